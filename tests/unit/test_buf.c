/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/error.h"
#include "util/uuid.h"

static void test_buf_grows(void **state)
{
	struct fvd_buf b = FVD_BUF_INIT;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(fvd_buf_printf(&b, NULL, "%04d,", i), 0);
		assert_int_equal(b.len, 5 * (i + 1));
		assert_int_equal(strlen(b.data), b.len);
	}
	assert_memory_equal(b.data + 5 * 777, "0777,", 5);
	assert_int_equal(fvd_buf_add(&b, "a\0b", 3, NULL), 0);
	assert_int_equal(b.len, 5003);
	assert_memory_equal(b.data + 5000, "a\0b", 4);
	fvd_buf_fini(&b);
	assert_null(b.data);
	fvd_buf_fini(&b);
}

static void test_buf_too_large(void **state)
{
	struct fvd_buf b = FVD_BUF_INIT;
	struct fvd_error err;

	(void)state;
	assert_int_equal(fvd_buf_add(&b, "x", SIZE_MAX, &err), -1);
	assert_int_equal(err.class, FVD_ERR_NOMEM);
	fvd_buf_fini(&b);
}

static void test_alloc(void **state)
{
	struct fvd_error err;
	uint64_t *words = fvd_alloc_array(1000, 8, "words", NULL);
	void *io = fvd_alloc_io(5000, NULL);

	(void)state;
	assert_non_null(words);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(words[i], 0);
	assert_int_equal((uintptr_t)io % 4096, 0);
	free(words);
	free(io);
	assert_null(fvd_alloc_array(UINT64_MAX / 4, 8, "the map of things", &err));
	assert_int_equal(err.class, FVD_ERR_NOMEM);
	assert_non_null(strstr(err.text, "the map of things"));
}

static void escapes(const char *text, const char *want)
{
	char out[64];

	assert_string_equal(fvd_text_escape(text, out, sizeof(out)), want);
}

static void test_escape(void **state)
{
	char out[8];

	(void)state;
	escapes("plain /name-1.fvd", "plain /name-1.fvd");
	escapes("a\\b", "a\\\\b");
	escapes("\033[31mred\n", "\\x1B[31mred\\x0A");
	escapes("\x7f", "\\x7F");
	escapes("gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F");
	escapes("\xE2\x82\xAC \xF0\x9F\x98\x80", "\xE2\x82\xAC \xF0\x9F\x98\x80");
	escapes("\xC2\x9B", "\\xC2\\x9B");	/* CSI as a C1 control */
	escapes("\xFF\xC3", "\\xFF\\xC3");
	escapes("\xC0\xAF", "\\xC0\\xAF");	/* over-long */
	escapes("\xED\xA0\x80", "\\xED\\xA0\\x80");	/* surrogate */
	escapes("\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80");	/* above U+10FFFF */
	/* Cut in front of an escape, never inside one. */
	assert_string_equal(fvd_text_escape("abcd\n", out, sizeof(out)), "abcd");
	assert_string_equal(fvd_text_escape("abc\n", out, sizeof(out)), "abc\\x0A");
	assert_string_equal(fvd_text_escape("abcdef\xC3\xBC", out, sizeof(out)), "abcdef");
	assert_string_equal(fvd_text_escape("x", out, 1), "");
}

static void test_error(void **state)
{
	struct fvd_error err;
	char longer[2000];

	(void)state;
	assert_int_equal(fvd_error_set(NULL, FVD_ERR_IO, "x"), -1);
	assert_int_equal(fvd_error_set(&err, FVD_ERR_CORRUPT, "entry %d", 5), -1);
	assert_int_equal(fvd_error_prefix(&err, "disk%d.fvd", 1), -1);
	assert_string_equal(err.text, "disk1.fvd: entry 5");
	assert_int_equal(err.class, FVD_ERR_CORRUPT);
	assert_int_equal(err.errnum, 0);
	/* An error may quote itself. */
	fvd_error_set(&err, FVD_ERR_BASE, "(%s)", err.text);
	assert_string_equal(err.text, "(disk1.fvd: entry 5)");

	assert_int_equal(fvd_error_sys(&err, ENOSPC, "write %s", "f"), -1);
	assert_int_equal(err.class, FVD_ERR_NOSPACE);
	assert_int_equal(err.errnum, ENOSPC);
	assert_string_equal(err.text, "write f: No space left on device");
	fvd_error_sys(&err, ENOMEM, "x");
	assert_int_equal(err.class, FVD_ERR_NOMEM);
	fvd_error_sys(&err, EIO, "x");
	assert_int_equal(err.class, FVD_ERR_IO);

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	fvd_error_set(&err, FVD_ERR_IO, "%s", longer);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	fvd_error_prefix(&err, "b");
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_memory_equal(err.text, "b: aaa", 6);
	fvd_error_prefix(&err, "%s", longer);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_string_equal(fvd_error_class_name(FVD_ERR_BASE_CHANGED), "base-changed");
}

static void test_uuid(void **state)
{
	uint8_t a[16], b[16];
	char text[37];

	(void)state;
	assert_int_equal(fvd_uuid_new(a, NULL), 0);
	assert_int_equal(fvd_uuid_new(b, NULL), 0);
	assert_memory_not_equal(a, b, 16);
	assert_int_equal(a[6] >> 4, 4);
	assert_int_equal(a[8] >> 6, 2);
	for (unsigned i = 0; i < 16; i++)
		a[i] = (uint8_t)(i * 0x11);
	assert_string_equal(fvd_uuid_format(a, text), "00112233-4455-6677-8899-aabbccddeeff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_grows),
		cmocka_unit_test(test_buf_too_large),
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
