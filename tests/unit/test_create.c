/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <time.h>

#include "format/bitmap.h"
#include "image/image.h"
#include "image/meta.h"
#include "io/io_mem.h"
#include "ops/create.h"
#include "support/tempdir.h"
#include "util/num.h"
#include "util/zero.h"

static void create(const char *name, const struct fvd_create_opts *o, struct fvd_header *h)
{
	struct fvd_error err = { .text = "" };

	assert_ok(fvd_create(name, o, h, &err), &err);
}

static void refuses(const struct fvd_create_opts *o, enum fvd_error_class class, const char *text)
{
	struct fvd_error err = { .text = "" };
	int before = tempdir_count();

	assert_fails(fvd_create(in_tempdir("refused.fvd"), o, NULL, &err), &err, class, text);
	assert_int_equal(tempdir_count(), before);
}

static void load(const char *name, struct fvd_meta *m)
{
	struct fvd_error err = { .text = "" };
	struct fvd_opener *files = fvd_opener_files();
	struct fvd_io *io;

	memset(m, 0, sizeof(*m));
	assert_ok(files->open(files, name, 0, FVD_LOCK_NONE, &io, &err), &err);
	assert_ok(fvd_meta_load(io, NULL, 0, m, &err), &err);
	fvd_io_close(io);
}

/* All that FORMAT 2 says of a new image, and it opens and reads as zeros. */
static void assert_new(const char *name)
{
	struct fvd_open_opts how = FVD_OPEN_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	struct fvd_image *img;
	struct fvd_meta m;
	uint8_t buf[8192];

	load(name, &m);
	assert_ok(fvd_header_validate(&m.h, &err), &err);
	assert_int_equal(m.h.revision, 2);
	assert_int_equal(m.h.stable_epoch, 1);
	assert_int_equal(m.h.clean_shutdown, 1);
	assert_int_equal(m.h.prefetch_start_delay, -1);
	assert_int_equal(m.ext.state, FVD_EXT_OK);
	assert_true(m.ext.has_uuid && m.ext.has_generation);
	assert_int_equal(m.ext.generation, 1);
	assert_memory_equal(m.ext.creator, "fvdtool ", 8);
	for (uint64_t i = 0; m.table && i < m.h.table_size / 4; i++)
		assert_int_equal(m.table[i], FVD_UNALLOCATED);
	if (m.bitmap)
		assert_true(fvd_is_zero(m.bitmap, m.h.bitmap_size));
	assert_ok(fvd_image_open(name, &how, &img, &err), &err);
	if (!fvd_header_has_base(&m.h)) {
		assert_ok(fvd_image_read(img, buf, sizeof(buf), m.h.virtual_size - 8192, &err),
			  &err);
		assert_true(fvd_is_zero(buf, sizeof(buf)));
	}
	fvd_image_drop(img);
	fvd_meta_fini(&m);
}

static void test_four_layouts(void **state)
{
	uint8_t data[70000];

	(void)state;
	memset(data, 1, sizeof(data));
	put_file(in_tempdir("base"), data, sizeof(data));
	for (int kind = 0; kind < 8; kind++) {
		struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
		struct fvd_header h;

		o.size = 10 * FVD_MIB;
		o.base = kind & 1 ? "base" : NULL;
		o.no_table = kind & 2;
		o.data_file = kind & 4 ? "data" : NULL;
		create(in_tempdir("a.fvd"), &o, &h);
		assert_new(in_tempdir("a.fvd"));
		assert_int_equal(fvd_header_has_base(&h), kind & 1);
		assert_int_equal(fvd_header_has_table(&h), !(kind & 2));
		assert_int_equal(h.journal_size, (kind & 3) == 2 ? 0 : FVD_DEFAULT_JOURNAL);
		assert_int_equal(h.base_size, kind & 1 ? 70144 : 0);
		if (kind & 4)
			assert_int_equal(file_size(in_tempdir("data")),
					 kind & 2 ? 10 * FVD_MIB : 0);
		else if (kind & 2)
			assert_int_equal(file_size(in_tempdir("a.fvd")),
					 h.data_offset + 10 * FVD_MIB);
		unlink(in_tempdir("data"));
		unlink(in_tempdir("a.fvd"));
	}
}

static void test_64_tib(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct timespec a, b;
	int64_t us;

	(void)state;
	o.size = 64 * FVD_TIB;
	o.no_sync = true;
	clock_gettime(CLOCK_MONOTONIC, &a);
	create(in_tempdir("a.fvd"), &o, NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
	print_message("64 TiB: %" PRId64 " us, %" PRIu64 " bytes\n", us,
		      file_storage(in_tempdir("a.fvd")));
	assert_true(file_storage(in_tempdir("a.fvd")) < FVD_MIB);
	assert_new(in_tempdir("a.fvd"));
	o.replace = true;
	o.base = "x";
	o.base_format = "fvd";
	o.no_base_check = true;
	create(in_tempdir("a.fvd"), &o, NULL);
	assert_true(file_storage(in_tempdir("a.fvd")) < FVD_MIB);
}

static void test_refusals(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;

	(void)state;
	refuses(&o, FVD_ERR_INVALID, "needs a size");
	o.size = 1000;
	refuses(&o, FVD_ERR_INVALID, "virtual size 1000");
	o.size = UINT64_C(1) << 63;
	refuses(&o, FVD_ERR_INVALID, "virtual size 9223372036854775808");
	o.size = FVD_MIB;
	o.chunk_size = 5000;
	refuses(&o, FVD_ERR_INVALID, "chunk size 5000");
	o.no_table = true;
	refuses(&o, FVD_ERR_INVALID, "without a table");
	o.chunk_size = 0;
	o.no_table = false;
	o.grow_unit = 1000;
	refuses(&o, FVD_ERR_INVALID, "grow unit 1000");
	o.grow_unit = 0;
	o.detect_zeroes = true;
	refuses(&o, FVD_ERR_INVALID, "without a base");
	o.detect_zeroes = false;
	o.base = "none";
	refuses(&o, FVD_ERR_IO, "none");
	o.base_format = "qcow2";
	refuses(&o, FVD_ERR_BASE, "qcow2");
	o.base_format = NULL;
	o.base = "http://host/base";
	refuses(&o, FVD_ERR_UNSUPPORTED, "http");
	o.no_base_check = true;
	o.size = 0;
	refuses(&o, FVD_ERR_INVALID, "leaving out the size");
	o.base = "";
	o.size = FVD_MIB;
	refuses(&o, FVD_ERR_INVALID, "name is empty");
	o.base = "refused.fvd";
	refuses(&o, FVD_ERR_BASE, "itself");
}

static void test_long_names(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	char name[1026];
	struct fvd_meta m;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[1024] = '\0';
	o.size = FVD_MIB;
	o.base = name;
	o.no_base_check = true;
	refuses(&o, FVD_ERR_INVALID, "1024 bytes: an image holds at most 1023");
	name[1023] = '\0';
	create(in_tempdir("a.fvd"), &o, NULL);
	load(in_tempdir("a.fvd"), &m);
	assert_string_equal(m.h.base_img, name);
	assert_int_equal(m.h.base_size, FVD_MIB);
	fvd_meta_fini(&m);
}

/* A base that is, or is based on, the file to be replaced. */
static void test_own_base(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	struct fvd_header h;

	(void)state;
	o.size = FVD_MIB;
	create(in_tempdir("a.fvd"), &o, NULL);
	o.size = 0;
	o.base = "a.fvd";
	assert_fails(fvd_create(in_tempdir("b.fvd"), &o, NULL, &err), &err, FVD_ERR_INVALID,
		     "-F fvd");
	o.base_format = "fvd";
	create(in_tempdir("b.fvd"), &o, &h);
	assert_int_equal(h.virtual_size, FVD_MIB);
	assert_new(in_tempdir("b.fvd"));
	o.base = "b.fvd";
	o.replace = true;
	assert_fails(fvd_create(in_tempdir("a.fvd"), &o, NULL, &err), &err, FVD_ERR_BASE,
		     "among its own bases");
	assert_int_equal(link(in_tempdir("b.fvd"), in_tempdir("c.fvd")), 0);
	assert_fails(fvd_create(in_tempdir("c.fvd"), &o, NULL, &err), &err, FVD_ERR_BASE,
		     "itself");
	assert_int_equal(tempdir_count(), 3);
	assert_new(in_tempdir("a.fvd"));
}

/* The image must read as its base whatever bits detection sets, and has exactly these. */
static void check_detection(const uint8_t *base, size_t len, uint64_t block, bool no_table,
			    uint64_t size)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_open_opts how = FVD_OPEN_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	uint8_t *got = calloc(1, len);
	struct fvd_image *img;
	struct fvd_meta m;

	o.base = "base";
	o.detect_zeroes = true;
	o.block_size = block;
	o.no_table = no_table;
	o.size = size;
	o.replace = true;
	create(in_tempdir("a.fvd"), &o, NULL);
	load(in_tempdir("a.fvd"), &m);
	assert_int_equal(m.h.need_zero_init, no_table);
	for (uint64_t b = 0; b < m.h.bitmap_size * 8; b++) {
		uint64_t off = b * block;
		bool zero = off < m.h.base_size &&
			    fvd_is_zero(base + off, (size_t)fvd_min(block, m.h.base_size - off));

		if (fvd_bitmap_get(m.bitmap, b) != zero)
			fail_msg("block %" PRIu64 " of %" PRIu64 ": zero %d", b, block, zero);
	}
	assert_ok(fvd_image_open(in_tempdir("a.fvd"), &how, &img, &err), &err);
	len = size && size < len ? (size_t)size : len;
	assert_ok(fvd_image_read(img, got, len, 0, &err), &err);
	assert_memory_equal(got, base, len);
	fvd_image_drop(img);
	fvd_meta_fini(&m);
	free(got);
}

static void test_detect_zeroes(void **state)
{
	static const uint64_t blocks[] = { 512, 4096, 65536, 2 << 20 };
	size_t len = 9 << 20;
	uint8_t *base = calloc(1, len);

	(void)state;
	memset(base + 5000, 1, 100);
	memset(base + (1 << 20), 2, 1 << 20);
	memset(base + (1 << 20) + 65536, 0, 300000);
	base[(6 << 20) - 1] = 3;
	base[(6 << 20) + 1600 * 1024] = 4;
	base[len - 1] = 5;
	for (int holes = 0; holes < 2; holes++) {
		put_file(in_tempdir("base"), base, len);
		if (holes == 0) {
			FILE *f = fopen(in_tempdir("base"), "w");

			assert_int_equal(fwrite(base, 1, len, f), len);
			fclose(f);
		}
		for (unsigned i = 0; i < 4; i++) {
			check_detection(base, len, blocks[i], false, 0);
			check_detection(base, len, blocks[i], true, 0);
			check_detection(base, len, blocks[i], false, (6 << 20) + 512);
		}
	}
	free(base);
}

/* A base that is one hole: its whole bitmap is ones, and nothing of it was read. */
static void test_detect_in_a_large_hole(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_header h;
	struct fvd_meta m;

	(void)state;
	put_file(in_tempdir("base"), NULL, 0);
	assert_int_equal(truncate(in_tempdir("base"), (off_t)(100 * FVD_GIB + 1000)), 0);
	o.base = "base";
	o.detect_zeroes = true;
	create(in_tempdir("a.fvd"), &o, &h);
	load(in_tempdir("a.fvd"), &m);
	assert_int_equal(fvd_bitmap_count(m.bitmap, m.h.bitmap_size * 8), m.block_count);
	fvd_meta_fini(&m);
}

static bool always(void *opaque)
{
	(void)opaque;
	return true;
}

static void test_cancelled(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_progress p = { .cancelled = always };
	uint8_t data[10000] = { 1 };

	(void)state;
	put_file(in_tempdir("base"), data, sizeof(data));
	o.base = "base";
	o.detect_zeroes = true;
	o.data_file = "data";
	o.progress = &p;
	refuses(&o, FVD_ERR_CANCELLED, "interrupted");
}

/* A device holds old bytes everywhere; its length does not change. */
static void test_device(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	struct fvd_io *io = fvd_io_mem_new("disk", 64 << 20, &err);
	uint8_t *old = malloc(64 << 20);
	struct fvd_header h;
	struct fvd_meta m;

	(void)state;
	put_file(in_tempdir("base"), NULL, 0);
	assert_int_equal(truncate(in_tempdir("base"), 32 << 20), 0);
	memset(old, 0xa5, 64 << 20);
	assert_ok(fvd_io_pwrite(io, old, 64 << 20, 0, &err), &err);
	io->block_device = true;
	o.base = in_tempdir("base");
	o.no_table = true;
	o.detect_zeroes = true;
	assert_ok(fvd_create_on(io, in_tempdir("x"), &o, &h, &err), &err);
	assert_ok(fvd_io_pread(io, old, 64 << 20, 0, &err), &err);
	assert_true(fvd_is_zero(old + h.journal_offset, h.journal_size));
	assert_true(fvd_is_zero(old + h.data_offset, 32 << 20));
	assert_int_equal(old[h.data_offset + (32 << 20)], 0xa5);
	assert_ok(fvd_meta_load(io, NULL, 0, &m, &err), &err);
	assert_int_equal(fvd_bitmap_count(m.bitmap, m.h.bitmap_size * 8), m.block_count);
	fvd_meta_fini(&m);
	o.size = 60 << 20;
	assert_fails(fvd_create_on(io, in_tempdir("x"), &o, &h, &err), &err, FVD_ERR_NOSPACE,
		     "67108864 bytes long");
	fvd_io_close(io);
	free(old);
}

/* Room to grow: the regions lie as for the larger disk, the sizes are the smaller one's. */
static void test_reserve(void **state)
{
	struct fvd_create_opts o = FVD_CREATE_OPTS_INIT;
	struct fvd_header h;

	(void)state;
	o.size = 10 * FVD_MIB;
	o.reserve = FVD_TIB;
	create(in_tempdir("a.fvd"), &o, &h);
	assert_new(in_tempdir("a.fvd"));
	assert_int_equal(h.virtual_size, 10 * FVD_MIB);
	assert_int_equal(h.table_size, 4096);
	assert_true(h.data_offset >= h.table_offset + 4 * FVD_MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_four_layouts, tempdir_teardown),
		cmocka_unit_test_teardown(test_64_tib, tempdir_teardown),
		cmocka_unit_test_teardown(test_refusals, tempdir_teardown),
		cmocka_unit_test_teardown(test_long_names, tempdir_teardown),
		cmocka_unit_test_teardown(test_own_base, tempdir_teardown),
		cmocka_unit_test_teardown(test_detect_zeroes, tempdir_teardown),
		cmocka_unit_test_teardown(test_detect_in_a_large_hole, tempdir_teardown),
		cmocka_unit_test_teardown(test_cancelled, tempdir_teardown),
		cmocka_unit_test_teardown(test_device, tempdir_teardown),
		cmocka_unit_test_teardown(test_reserve, tempdir_teardown),
	};

	return cmocka_run_group_tests_name("create", tests, NULL, tempdir_group_teardown);
}
