/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/image.h"
#include "ops/create.h"
#include "ops/info.h"
#include "support/tempdir.h"
#include "util/num.h"

static struct fvd_info info;

static void look(const char *name, bool journal, bool share)
{
	struct fvd_info_opts o = { .journal = journal, .force_share = share };
	struct fvd_error err = { .text = "" };

	fvd_info_fini(&info);
	assert_ok(fvd_info(name, &o, &info, &err), &err);
}

static void make(const char *name, const char *base)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_error err = { .text = "" };

	o.size = 10 * FVD_MIB;
	o.base = base;
	assert_ok(fvd_create(name, &o, NULL, &err), &err);
}

static struct fvd_image *open_to_write(const char *name)
{
	struct fvd_open_opts how = FVD_OPEN_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	struct fvd_image *img;

	how.flags = FVD_OPEN_WRITE;
	how.commit_interval_ms = FVD_COMMIT_ON_DEMAND;
	assert_ok(fvd_image_open(name, &how, &img, &err), &err);
	return img;
}

static void write_some(struct fvd_image *img)
{
	uint8_t data[4096];
	struct fvd_error err = { .text = "" };

	memset(data, 1, sizeof(data));
	assert_ok(fvd_image_write(img, data, sizeof(data), 0, &err), &err);
	assert_ok(fvd_image_write(img, data, sizeof(data), 5 * FVD_MIB, &err), &err);
	assert_ok(fvd_image_flush(img, &err), &err);
}

static void test_new_image(void **state)
{
	const char *name = in_tempdir("a.fvd");

	(void)state;
	make(name, NULL);
	look(name, false, false);
	assert_false(info.dirty);
	assert_true(info.allocation_known);
	assert_int_equal(info.h.virtual_size, 10 * FVD_MIB);
	assert_int_equal(info.chunks, 10);
	assert_int_equal(info.chunks_allocated, 0);
	assert_int_equal(info.blocks, 0);
	assert_int_equal(info.file_length, file_size(name));
	assert_int_equal(info.actual_size, file_storage(name));
	assert_null(info.base_resolved);
	assert_null(info.data_resolved);
	assert_true(info.ext.has_uuid);
}

/* Names are resolved, and never opened: neither need exist. */
static void test_names_are_not_opened(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_error err = { .text = "" };

	(void)state;
	o.size = 10 * FVD_MIB;
	o.base = "sub/base.raw";
	o.no_base_check = true;
	o.data_file = "data";
	assert_ok(fvd_create(in_tempdir("a.fvd"), &o, NULL, &err), &err);
	assert_int_equal(unlink(in_tempdir("data")), 0);
	look(in_tempdir("a.fvd"), true, false);
	assert_string_equal(info.base_resolved, in_tempdir("sub/base.raw"));
	assert_string_equal(info.data_resolved, in_tempdir("data"));
	assert_int_equal(info.blocks, 160);
	assert_int_equal(info.blocks_local, 0);
}

static void test_dirty_image_is_replayed_in_memory(void **state)
{
	const char *name = in_tempdir("a.fvd");
	struct fvd_image *img;
	uint8_t data[4096] = { 0 }, *before, *after;
	size_t len;

	(void)state;
	put_file(in_tempdir("base"), data, sizeof(data));
	make(name, "base");
	img = open_to_write(name);
	write_some(img);
	/* While the writer has it, only on demand. */
	{
		struct fvd_info_opts o = { .journal = false };
		struct fvd_error err = { .text = "" };

		fvd_info_fini(&info);
		assert_fails(fvd_info(name, &o, &info, &err), &err, FVD_ERR_LOCKED, name);
	}
	look(name, false, true);
	assert_true(info.dirty);
	assert_int_equal(info.chunks_allocated, 2);
	fvd_image_drop(img);
	len = (size_t)file_size(name);
	before = malloc(len);
	after = malloc(len);
	{
		int fd = open(name, O_RDONLY);

		assert_int_equal(pread(fd, before, len, 0), len);
		look(name, false, false);
		assert_int_equal(pread(fd, after, len, 0), len);
		close(fd);
	}
	assert_memory_equal(before, after, len);
	assert_true(info.dirty && info.allocation_known);
	assert_int_equal(info.chunks_allocated, 2);
	assert_int_equal(info.blocks, 1);
	assert_int_equal(info.blocks_local, 1);
	assert_true(info.journal.used > 0 && info.journal.applied > 0);
	assert_string_equal(info.replay_error, "");
	free(before);
	free(after);
}

/* A damaged journal is told, and what depends on it is not known. */
static void test_damaged_journal(void **state)
{
	const char *name = in_tempdir("a.fvd");
	struct fvd_image *img;
	int fd;

	(void)state;
	make(name, NULL);
	img = open_to_write(name);
	write_some(img);
	fvd_image_drop(img);
	look(name, false, false);
	fd = open(name, O_RDWR);
	assert_int_equal(pwrite(fd, "junk", 4, (off_t)info.h.journal_offset), 4);
	close(fd);
	look(name, false, false);
	assert_true(info.dirty);
	assert_false(info.allocation_known);
	assert_int_equal(info.journal.damaged, 1);
	assert_true(info.replay_error[0] != '\0');
	assert_int_equal(info.chunks, 10);
}

/* The journal of a clean image is void: it is looked at, and changes no figure. */
static void test_journal_of_a_clean_image(void **state)
{
	const char *name = in_tempdir("a.fvd");
	struct fvd_error err = { .text = "" };
	struct fvd_image *img;

	(void)state;
	make(name, NULL);
	img = open_to_write(name);
	write_some(img);
	assert_ok(fvd_image_close(img, &err), &err);
	look(name, true, false);
	assert_false(info.dirty);
	assert_int_equal(info.chunks_allocated, 2);
	assert_true(info.journal.sectors > 0 && info.journal.used > 0);
	assert_int_equal(info.journal.applied, 0);
	look(name, false, false);
	assert_int_equal(info.journal.sectors, 0);
}

static void test_refusals(void **state)
{
	struct fvd_info_opts o = { .journal = false };
	struct fvd_error err = { .text = "" };
	uint8_t data[9000] = { 'x' };

	(void)state;
	fvd_info_fini(&info);
	assert_fails(fvd_info(in_tempdir("none"), &o, &info, &err), &err, FVD_ERR_IO, "none");
	put_file(in_tempdir("raw"), data, sizeof(data));
	assert_fails(fvd_info(in_tempdir("raw"), &o, &info, &err), &err, FVD_ERR_FORMAT,
		     "raw: not an FVD image");
	put_file(in_tempdir("short"), (const uint8_t *)"FVD\0\1\0\0\0", 8);
	assert_fails(fvd_info(in_tempdir("short"), &o, &info, &err), &err, FVD_ERR_CORRUPT,
		     "short");
}

static int finish(void **state)
{
	fvd_info_fini(&info);
	return tempdir_group_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_new_image, tempdir_teardown),
		cmocka_unit_test_teardown(test_names_are_not_opened, tempdir_teardown),
		cmocka_unit_test_teardown(test_dirty_image_is_replayed_in_memory,
					  tempdir_teardown),
		cmocka_unit_test_teardown(test_damaged_journal, tempdir_teardown),
		cmocka_unit_test_teardown(test_journal_of_a_clean_image, tempdir_teardown),
		cmocka_unit_test_teardown(test_refusals, tempdir_teardown),
	};

	return cmocka_run_group_tests_name("info", tests, NULL, finish);
}
