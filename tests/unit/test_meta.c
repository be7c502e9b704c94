/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../support/mkimage.h"
#include "image/meta.h"
#include "io/io_mem.h"
#include "util/num.h"

#define SMALL (64 * FVD_MIB)

static struct fvd_header both(void)
{
	return mk_header(SMALL, SMALL, 65536, FVD_MIB, 65536);
}

static void load_reads_what_is_there(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	mk_entry(io, &h, 3, 7 | FVD_ENTRY_DIRTY);
	mk_entry(io, &h, 63, 0);
	mk_bit(io, &h, 9);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	assert_int_equal(m.chunk_count, 64);
	assert_int_equal(m.block_count, 1024);
	assert_int_equal(m.table[3], 7);
	assert_int_equal(m.table[63], 0);
	for (int i = 64; i < 1024; i++)
		assert_int_equal(m.table[i], FVD_UNALLOCATED);
	assert_int_equal(m.bitmap[1], 2);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void load_refuses(struct fvd_io *io, enum fvd_error_class class, const char *text)
{
	struct fvd_meta m;
	struct fvd_error err = { 0 };

	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), -1);
	assert_int_equal(err.class, class);
	if (strstr(err.text, text) == NULL)
		fail_msg("\"%s\" not in \"%s\"", text, err.text);
}

static void load_refuses_what_is_no_image(void **state)
{
	struct fvd_io *io = fvd_io_mem_new("x", 0, NULL);
	uint8_t magic[8] = { 'F', 'V', 'D', 0, 1 };

	(void)state;
	load_refuses(io, FVD_ERR_FORMAT, "not an FVD image");
	assert_int_equal(fvd_io_pwrite(io, magic, sizeof(magic), 0, NULL), 0);
	load_refuses(io, FVD_ERR_CORRUPT, "shorter than a header");
	fvd_io_close(io);
}

static void load_refuses_regions_past_the_end(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);

	(void)state;
	assert_int_equal(fvd_io_truncate(io, h.table_offset + 128, NULL), 0);
	load_refuses(io, FVD_ERR_CORRUPT, "passes the end of the file");
	fvd_io_close(io);
}

static void petabyte_table_in_a_tiny_file_allocates_nothing(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	h.virtual_size = UINT64_C(1) << 50;
	h.chunk_size = FVD_MIB;
	h.table_size = UINT64_C(1) << 32;
	mk_put_header(io, &h);
	assert_int_equal(fvd_meta_load(io, io, FVD_META_LENIENT, &m, &err), -1);
	assert_int_equal(err.class, FVD_ERR_CORRUPT);
	fvd_io_close(io);
}

static void zero_sizes_do_not_divide(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	h.chunk_size = 0;
	mk_put_header(io, &h);
	assert_int_equal(fvd_meta_load(io, io, FVD_META_LENIENT, &m, &err), -1);
	h = both();
	h.block_size = 0;
	mk_put_header(io, &h);
	assert_int_equal(fvd_meta_load(io, io, FVD_META_LENIENT, &m, &err), -1);
	assert_int_equal(err.class, FVD_ERR_CORRUPT);
	fvd_io_close(io);
}

static void judge_names_damage_and_duplicates(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct fvd_meta m;
	struct fvd_error err;
	uint64_t end;

	(void)state;
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	assert_int_equal(fvd_meta_judge_table(&m, &end, &err), 0);
	assert_int_equal(end, 0);
	fvd_meta_set_entry(&m, 5, 40);
	fvd_meta_set_entry(&m, 6, 1000000);
	assert_int_equal(fvd_meta_judge_table(&m, &end, &err), 0);
	assert_int_equal(end, 1000001);
	fvd_meta_set_entry(&m, 63, 40);
	assert_int_equal(fvd_meta_judge_table(&m, &end, &err), -1);
	assert_non_null(strstr(err.text, "entries 5 and 63 both name chunk 40"));
	fvd_meta_set_entry(&m, 63, 1000000);
	assert_int_equal(fvd_meta_judge_table(&m, &end, &err), -1);
	assert_non_null(strstr(err.text, "entries 6 and 63"));
	fvd_meta_set_entry(&m, 63, FVD_ENTRY_DAMAGED);
	assert_int_equal(fvd_meta_judge_table(&m, &end, &err), -1);
	assert_non_null(strstr(err.text, "table entry 63"));
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void judge_sees_chunks_over_regions(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io;
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	/* The journal behind the data region: chunk 2 would lie on it. */
	h.journal_offset = h.data_offset + 2 * h.chunk_size;
	io = mk_image(&h);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	fvd_meta_set_entry(&m, 0, 1);
	fvd_meta_set_entry(&m, 1, 3);
	assert_int_equal(fvd_meta_judge_table(&m, NULL, &err), 0);
	fvd_meta_set_entry(&m, 2, 2);
	assert_int_equal(fvd_meta_judge_table(&m, NULL, &err), -1);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void judging_64_mi_entries_is_fast(void **state)
{
	struct fvd_meta *m = calloc(1, sizeof(*m));
	struct fvd_header h = mk_header(64 * FVD_TIB, 0, 65536, FVD_MIB, 0);
	struct timespec a, b;
	uint64_t end;
	double s;

	(void)state;
	assert_non_null(m);
	m->h = h;
	m->chunk_count = h.virtual_size / h.chunk_size;
	fvd_chunk_geometry_init(&m->bounds.geometry, &h, UINT64_MAX);
	m->table = malloc(m->chunk_count * 4);
	assert_non_null(m->table);
	memset(m->table, 0xFF, m->chunk_count * 4);
	for (uint32_t i = 0; i < 16384; i++)
		m->table[i * UINT64_C(4096)] = i;
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(fvd_meta_judge_table(m, &end, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	assert_int_equal(end, 16384);
	assert_true(s < 2.0);	/* 0.05 s; room for sanitizers and busy machines */
	free(m->table);
	free(m);
}

static void write_in_place_touches_dirty_pages_only(void **state)
{
	struct fvd_header h = mk_header(16 * FVD_GIB, 16 * FVD_GIB, 65536, FVD_MIB, 0);
	struct fvd_io *io = mk_image(&h);
	struct mk_recorder rec;
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	mk_record(&rec, io);
	fvd_meta_set_entry(&m, 1024, 1);
	fvd_meta_set_entry(&m, 2047, 2);
	fvd_meta_set_entry(&m, 2048, 3);
	fvd_meta_set_entry(&m, 10000, 4);
	fvd_meta_set_bits(&m, 32767, 2);
	assert_int_equal(fvd_meta_write_table(&rec.io, &m, &err), 0);
	assert_int_equal(rec.count, 2);
	assert_int_equal(rec.log[0].off, h.table_offset + 4096);
	assert_int_equal(rec.log[0].len, 8192);
	assert_int_equal(rec.log[1].off, h.table_offset + 4096 * 9);
	assert_int_equal(fvd_meta_write_bitmap(&rec.io, &m, &err), 0);
	assert_int_equal(rec.count, 3);
	assert_int_equal(rec.log[2].off, h.bitmap_offset);
	assert_int_equal(rec.log[2].len, 8192);
	assert_int_equal(fvd_meta_write_table(&rec.io, &m, &err), 0);
	assert_int_equal(fvd_meta_write_bitmap(&rec.io, &m, &err), 0);
	assert_int_equal(rec.count, 3);
	assert_int_equal(mk_get_entry(io, &h, 2048), 3);
	assert_true(mk_get_bit(io, &h, 32767) && mk_get_bit(io, &h, 32768));
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void failed_write_keeps_pages_dirty(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct mk_recorder rec;
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	mk_record(&rec, io);
	rec.fail_at = 0;
	fvd_meta_set_entry(&m, 1, 1);
	assert_int_equal(fvd_meta_write_table(&rec.io, &m, &err), -1);
	rec.fail_at = 100;
	assert_int_equal(fvd_meta_write_table(&rec.io, &m, &err), 0);
	assert_int_equal(rec.count, 1);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void state_is_one_sector_and_keeps_the_rest(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct mk_recorder rec;
	struct fvd_meta m;
	struct fvd_error err;
	uint8_t before[8192], after[8192];
	uint64_t len;
	uint8_t *all;

	(void)state;
	h.reserved[0] = 0x77;	/* bytes of no known meaning in the same sector stay */
	mk_put_header(io, &h);
	assert_int_equal(fvd_io_pread(io, before, 8192, 0, &err), 0);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	mk_record(&rec, io);
	m.h.clean_shutdown = 0;
	m.h.stable_epoch = 99;
	assert_int_equal(fvd_meta_write_state(&rec.io, &m, &err), 0);
	assert_int_equal(rec.count, 1);
	assert_int_equal(rec.log[0].off, 3072);
	assert_int_equal(rec.log[0].len, 512);
	all = mk_bytes(io, &len);
	memcpy(after, all, 8192);
	free(all);
	memcpy(before + 3208, after + 3208, 12);
	assert_memory_equal(before, after, 8192);
	assert_memory_equal(after, m.region, 8192);
	fvd_meta_fini(&m);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	assert_int_equal(m.h.stable_epoch, 99);
	assert_int_equal(m.h.clean_shutdown, 0);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void generation_is_raised_in_the_state_sector(void **state)
{
	struct fvd_header h = both();
	struct fvd_ext x = { .has_generation = true, .generation = 4 };
	struct mk_recorder rec;
	struct fvd_meta m;
	struct fvd_error err;
	struct fvd_io *io;

	(void)state;
	strcpy(x.creator, "test");
	assert_int_equal(fvd_ext_encode(&x, h.reserved, &err), 0);
	io = mk_image(&h);
	mk_record(&rec, io);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	assert_int_equal(fvd_meta_write_generation(&rec.io, &m, &err), 0);
	assert_int_equal(rec.count, 1);
	assert_int_equal(rec.log[0].off, 3072);
	assert_int_equal(rec.log[0].len, 512);
	fvd_meta_fini(&m);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	assert_int_equal(m.ext.state, FVD_EXT_OK);
	assert_int_equal(m.ext.generation, 5);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void revision_1_neighbours_are_left_alone(void **state)
{
	struct fvd_header h = mk_header_rev1(SMALL, SMALL, 65536, FVD_MIB, 4096);
	struct fvd_io *io;
	struct fvd_meta m;
	struct fvd_error err;
	uint8_t byte;

	(void)state;
	/* A bitmap of its 128 bytes only, with the table right behind it. */
	h.bitmap_size = 512;
	h.table_offset = h.bitmap_offset + 512;
	io = mk_image(&h);
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	fvd_meta_set_bits(&m, 0, 8);
	assert_int_equal(fvd_meta_write_bitmap(io, &m, &err), 0);
	assert_int_equal(fvd_io_pread(io, &byte, 1, h.bitmap_offset, &err), 0);
	assert_int_equal(byte, 0xFF);
	assert_int_equal(mk_get_entry(io, &h, 0), FVD_UNALLOCATED);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

static void file_end_covers_regions_and_chunks(void **state)
{
	struct fvd_header h = both();
	struct fvd_io *io = mk_image(&h);
	struct fvd_meta m;
	struct fvd_error err;

	(void)state;
	assert_int_equal(fvd_meta_load(io, io, 0, &m, &err), 0);
	assert_int_equal(fvd_meta_file_end(&m, 0), h.table_offset + h.table_size);
	assert_int_equal(fvd_meta_file_end(&m, 3), h.data_offset + 3 * FVD_MIB);
	fvd_meta_fini(&m);
	fvd_io_close(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_reads_what_is_there),
		cmocka_unit_test(load_refuses_what_is_no_image),
		cmocka_unit_test(load_refuses_regions_past_the_end),
		cmocka_unit_test(petabyte_table_in_a_tiny_file_allocates_nothing),
		cmocka_unit_test(zero_sizes_do_not_divide),
		cmocka_unit_test(judge_names_damage_and_duplicates),
		cmocka_unit_test(judge_sees_chunks_over_regions),
		cmocka_unit_test(judging_64_mi_entries_is_fast),
		cmocka_unit_test(write_in_place_touches_dirty_pages_only),
		cmocka_unit_test(failed_write_keeps_pages_dirty),
		cmocka_unit_test(state_is_one_sector_and_keeps_the_rest),
		cmocka_unit_test(generation_is_raised_in_the_state_sector),
		cmocka_unit_test(revision_1_neighbours_are_left_alone),
		cmocka_unit_test(file_end_covers_regions_and_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
