/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ops/target.h"
#include "support/tempdir.h"

static const uint8_t old_text[] = "old", new_text[] = "new text";

static struct fvd_target *begin(const char *name, bool replace)
{
	struct fvd_error err = { .text = "" };
	struct fvd_target *t;

	assert_ok(fvd_target_begin(name, replace, &t, &err), &err);
	assert_ok(fvd_io_pwrite(fvd_target_io(t), new_text, sizeof(new_text), 0, &err), &err);
	return t;
}

static void test_commit(void **state)
{
	const char *name = in_tempdir("out");
	struct fvd_error err = { .text = "" };
	struct fvd_target *t = begin(name, false);

	(void)state;
	assert_int_equal(access(name, F_OK), -1);
	assert_int_equal(access(fvd_target_temp_name(t), F_OK), 0);
	assert_ok(fvd_target_commit(t, false, &err), &err);
	assert_file(name, new_text, sizeof(new_text));
	assert_int_equal(tempdir_count(), 1);
}

static void test_abort_leaves_nothing(void **state)
{
	struct fvd_error err = { .text = "" };
	struct fvd_target *t = begin(in_tempdir("out"), false);

	(void)state;
	assert_ok(fvd_target_add_data(t, "out.data", 4096, &err), &err);
	assert_int_equal(tempdir_count(), 2);
	assert_int_equal(file_size(in_tempdir("out.data")), 4096);
	fvd_target_abort(t);
	fvd_target_abort(NULL);
	assert_int_equal(tempdir_count(), 0);
}

static void test_existing_stays_until_commit(void **state)
{
	const char *name = in_tempdir("out");
	struct fvd_error err = { .text = "" };
	struct fvd_target *t;
	struct stat st;

	(void)state;
	put_file(name, old_text, sizeof(old_text));
	assert_int_equal(chmod(name, 0600), 0);
	assert_fails(fvd_target_begin(name, false, &t, &err), &err, FVD_ERR_IO, "File exists");
	assert_null(t);
	t = begin(name, true);
	assert_file(name, old_text, sizeof(old_text));
	fvd_target_abort(t);
	assert_file(name, old_text, sizeof(old_text));
	t = begin(name, true);
	assert_ok(fvd_target_commit(t, true, &err), &err);
	assert_file(name, new_text, sizeof(new_text));
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(tempdir_count(), 1);
}

/* Somebody else took the name while we were writing. */
static void test_name_taken_meanwhile(void **state)
{
	const char *name = in_tempdir("out");
	struct fvd_error err = { .text = "" };
	struct fvd_target *t = begin(name, false);

	(void)state;
	put_file(name, old_text, sizeof(old_text));
	assert_fails(fvd_target_commit(t, false, &err), &err, FVD_ERR_IO, "File exists");
	assert_file(name, old_text, sizeof(old_text));
	assert_int_equal(tempdir_count(), 1);
}

static void test_other_types_are_refused(void **state)
{
	const char *link = in_tempdir("link"), *fifo = in_tempdir("fifo");
	const char *file = in_tempdir("file");
	struct fvd_error err = { .text = "" };
	struct fvd_target *t;

	(void)state;
	put_file(file, old_text, sizeof(old_text));
	assert_int_equal(symlink(file, link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_fails(fvd_target_begin(link, true, &t, &err), &err, FVD_ERR_UNSUPPORTED,
		     "symbolic link");
	assert_non_null(strstr(err.text, file));
	assert_fails(fvd_target_begin(fifo, true, &t, &err), &err, FVD_ERR_UNSUPPORTED, "FIFO");
	assert_fails(fvd_target_begin(tempdir(), true, &t, &err), &err, FVD_ERR_UNSUPPORTED,
		     "directory");
	assert_fails(fvd_target_begin("http://host/x", true, &t, &err), &err, FVD_ERR_UNSUPPORTED,
		     "\"http:\"");
	assert_fails(fvd_target_begin(in_tempdir("no/such/dir"), true, &t, &err), &err, FVD_ERR_IO,
		     "No such file");
	assert_file(file, old_text, sizeof(old_text));
	assert_int_equal(tempdir_count(), 3);
}

static void test_data_file_must_be_new_and_another(void **state)
{
	struct fvd_error err = { .text = "" };
	struct fvd_target *t = begin(in_tempdir("out"), true);

	(void)state;
	assert_fails(fvd_target_add_data(t, "out", 0, &err), &err, FVD_ERR_INVALID, "image itself");
	fvd_target_abort(t);
	assert_int_equal(tempdir_count(), 0);
	put_file(in_tempdir("kept"), old_text, sizeof(old_text));
	t = begin(in_tempdir("out"), true);
	assert_fails(fvd_target_add_data(t, "kept", 0, &err), &err, FVD_ERR_IO, "File exists");
	fvd_target_abort(t);
	assert_file(in_tempdir("kept"), old_text, sizeof(old_text));
	assert_int_equal(tempdir_count(), 1);
}

/* The temporary name of the longest legal name is not too long. */
static void test_long_name(void **state)
{
	struct fvd_error err = { .text = "" };
	char last[256];

	(void)state;
	memset(last, 'n', 255);
	last[255] = '\0';
	assert_ok(fvd_target_commit(begin(in_tempdir(last), false), true, &err), &err);
	assert_file(in_tempdir(last), new_text, sizeof(new_text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_commit, tempdir_teardown),
		cmocka_unit_test_teardown(test_abort_leaves_nothing, tempdir_teardown),
		cmocka_unit_test_teardown(test_existing_stays_until_commit, tempdir_teardown),
		cmocka_unit_test_teardown(test_name_taken_meanwhile, tempdir_teardown),
		cmocka_unit_test_teardown(test_other_types_are_refused, tempdir_teardown),
		cmocka_unit_test_teardown(test_data_file_must_be_new_and_another, tempdir_teardown),
		cmocka_unit_test_teardown(test_long_name, tempdir_teardown),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, tempdir_group_teardown);
}
