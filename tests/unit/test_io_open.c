/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/io_open.h"

static void schemes_are_told_from_files(void **state)
{
	static const struct {
		const char *name;
		size_t len;		/* 0: no scheme */
	} cases[] = {
		{ "http://host/disk.fvd", 4 }, { "nbd+unix:///x", 8 }, { "ab:", 2 },
		{ "a1.-+:x", 5 }, { "c:disk", 0 }, { "disk.fvd", 0 }, { "./http:x", 0 },
		{ "/a:b", 0 }, { "dir/http:x", 0 }, { "HTTP:x", 0 }, { "1a:x", 0 },
		{ "+a:x", 0 }, { ":x", 0 }, { "", 0 }, { "disk image:x", 0 },
		{ "d\xc3\xa9j\xc3\xa0:x", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = 0;

		assert_int_equal(fvd_name_has_scheme(cases[i].name, &len), cases[i].len > 0);
		assert_int_equal(len, cases[i].len);
	}
	assert_true(fvd_name_has_scheme("http:", NULL));
}

static void names_resolve_beside_their_image(void **state)
{
	static const char *const cases[][3] = {
		{ "disk.fvd", "base.raw", "base.raw" },
		{ "a/b/disk.fvd", "base.raw", "a/b/base.raw" },
		{ "/disk.fvd", "base.raw", "/base.raw" },
		{ "/a/disk.fvd", "../base.raw", "/a/../base.raw" },
		{ "a/disk.fvd", "/base.raw", "/base.raw" },
		{ "a/disk.fvd", "http://h/x", "http://h/x" },
		{ "a/disk.fvd", "./http:x", "a/./http:x" },
		{ "http://h/d/disk.fvd", "base.raw", "http://h/d/base.raw" },
		{ "a/disk.fvd", "", "a/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = fvd_name_resolve(cases[i][0], cases[i][1], NULL);

		assert_string_equal(got, cases[i][2]);
		free(got);
	}
}

static void a_scheme_is_not_opened_as_a_file(void **state)
{
	struct fvd_opener *files = fvd_opener_files();
	struct fvd_error err = { 0 };
	struct fvd_io *io;

	(void)state;
	assert_int_equal(files->open(files, "http://host/x", 0, FVD_LOCK_NONE, &io, &err), -1);
	assert_int_equal(err.class, FVD_ERR_UNSUPPORTED);
	assert_null(io);
	assert_non_null(strstr(err.text, "\"http:\""));
	assert_non_null(strstr(err.text, "write ./NAME for a file of that name"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schemes_are_told_from_files),
		cmocka_unit_test(names_resolve_beside_their_image),
		cmocka_unit_test(a_scheme_is_not_opened_as_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
