/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/check_world.h"
#include "format/ext.h"
#include "io/io_mem.h"

static void duplicate_gets_its_own_copy(void **state)
{
	struct world w;
	uint32_t moved;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 0, 1);
	check_place(&w, 5, 1, 2);
	mk_entry(w.io, &w.h, 900, 1);
	check_one_defect(&w, "table-duplicate", FVD_DAMAGE, false, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_non_null(strstr(check_get(&w, "table-duplicate")->text, "entries 5 and 900 both name "
			       "chunk 1"));
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(mk_get_entry(w.io, &w.h, 5), 1);
	moved = mk_get_entry(w.io, &w.h, 900);
	assert_int_equal(moved, 2);
	assert_int_equal(check_byte(&w, w.h.data_offset + moved * CHUNK + 77), 2);
	check_done(&w);
}

static void copy_over_a_leaked_chunk_keeps_the_holes(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	mk_entry(w.io, &w.h, 5, 3);
	mk_entry(w.io, &w.h, 6, 3);
	mk_fill(w.io, w.h.data_offset + 3 * CHUNK + 8192, CHUNK - 8192, 2);
	mk_fill(w.io, w.h.data_offset, CHUNK, 9);	/* chunk 0: free, with old content */
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_int_equal(mk_get_entry(w.io, &w.h, 6), 0);
	assert_int_equal(check_byte(&w, w.h.data_offset), 0);
	assert_int_equal(check_byte(&w, w.h.data_offset + 8192), 2);
	check_done(&w);
}

/* What a damaged entry meant to name may be what looks like a leak. */
static void nothing_is_cut_off_while_the_table_is_damaged(void **state)
{
	uint64_t len;
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 0, 1);
	mk_fill(w.io, w.h.data_offset + 3 * CHUNK, CHUNK, 1);
	mk_entry(w.io, &w.h, 9, FVD_ENTRY_DAMAGED);
	len = check_length(w.io);
	assert_int_equal(check_run(&w, FVD_REPAIR_SAFE), 0);
	assert_int_equal(check_length(w.io), len);
	assert_false(check_get(&w, "leak-tail")->fixed);
	check_done(&w);
}

/* Copy, sync, table page, sync: a cut before the last leaves what was there. */
static void copy_is_synced_before_the_table_names_it(void **state)
{
	struct mk_recorder *rec = malloc(sizeof(*rec));
	unsigned copy = 0, table = 0;
	struct fvd_io *plain;
	struct world w;

	(void)state;
	assert_non_null(rec);
	check_make(&w);
	check_place(&w, 5, 1, 2);
	mk_entry(w.io, &w.h, 900, 1);
	plain = mk_clone(w.io);
	mk_record(rec, plain);
	mem_opener_add(w.opener, "disk.fvd", &rec->io);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	for (unsigned i = 0; i < rec->count; i++) {
		if (rec->log[i].what == 'w' && rec->log[i].off >= w.h.data_offset)
			copy = i;
		if (rec->log[i].what == 'w' && rec->log[i].off == w.h.table_offset)
			table = i;
	}
	assert_true(copy < table);
	assert_int_equal(rec->log[table - 1].what, 'f');
	assert_true(table - 1 > copy);
	assert_int_equal(rec->log[table + 1].what, 'f');
	check_done(&w);
	fvd_io_close(plain);
	free(rec);
}

static void duplicate_after_replay_is_mended_with_it(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 5, 0, 2);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 0, 3, 6, 0);
	check_one_defect(&w, "table-duplicate", FVD_DAMAGE, false, true);
	check_done(&w);
}

static void many_duplicates_are_counted(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 0, 2);
	for (unsigned i = 1; i < 500; i++)
		mk_entry(w.io, &w.h, i, 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.found[FVD_DAMAGE], 499);
	assert_int_equal(w.count, 101);
	assert_non_null(strstr(check_get(&w, "table-duplicate-more")->text, "399 more"));
	assert_non_null(strstr(w.list[99].text, "entries 0 and 100 "));
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_int_equal(w.report.fixed[FVD_DAMAGE], 499);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	check_done(&w);
}

static void damaged_entry_becomes_unallocated(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	mk_entry(w.io, &w.h, 7, FVD_ENTRY_DAMAGED);
	check_one_defect(&w, "table-entry-damaged", FVD_DAMAGE, false, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(mk_get_entry(w.io, &w.h, 7), FVD_UNALLOCATED);
	check_done(&w);
}

static void prefetched_mark_is_cleared(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	w.h.fully_prefetched = true;
	mk_put_header(w.io, &w.h);
	mk_bit(w.io, &w.h, 0);
	check_one_defect(&w, "prefetched-mark", FVD_DAMAGE, false, true);
	check_done(&w);
}

static void extension_is_salvaged(void **state)
{
	struct fvd_ext x = { .has_generation = true, .generation = 9, .has_uuid = true };
	struct world w;
	uint8_t area[FVD_EXT_AREA], bad = 'X';

	(void)state;
	check_make(&w);
	memset(x.uuid, 0x5A, 16);
	strcpy(x.creator, "a test");
	assert_int_equal(fvd_ext_encode(&x, w.h.reserved, NULL), 0);
	mk_put_header(w.io, &w.h);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	assert_int_equal(fvd_io_pwrite(w.io, &bad, 1, 3316 + 8, NULL), 0);	/* the checksum */
	check_one_defect(&w, "extension-damaged", FVD_DAMAGE, false, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(fvd_io_pread(w.io, area, sizeof(area), 3316, NULL), 0);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(x.generation, 9);
	assert_true(x.has_uuid && x.uuid[15] == 0x5A);
	assert_string_equal(x.creator, "a test");
	check_done(&w);
}

static void hopeless_extension_is_zeroed(void **state)
{
	uint8_t junk[64];
	struct world w;

	(void)state;
	check_make(&w);
	memset(junk, 0xEE, sizeof(junk));
	memcpy(junk, "FVDX", 4);
	assert_int_equal(fvd_io_pwrite(w.io, junk, sizeof(junk), 3316, NULL), 0);
	check_one_defect(&w, "extension-damaged", FVD_DAMAGE, false, true);
	check_done(&w);
}

static void short_file_is_extended(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 0, 1);
	mk_entry(w.io, &w.h, 1, 9);
	/* The same file also leaks nothing: chunks 1 to 8 do not exist. */
	check_one_defect(&w, "file-short", FVD_DAMAGE, true, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_SAFE), 0);
	assert_int_equal(check_length(w.io), w.h.data_offset + 10 * CHUNK);
	check_done(&w);
}

static void leaked_tail_is_cut_off(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 0, 1);
	mk_fill(w.io, w.h.data_offset + 3 * CHUNK, 2 * CHUNK, 1);
	check_one_defect(&w, "leak-tail", FVD_LEAK, true, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.leaked_bytes, 2 * CHUNK);
	assert_int_equal(check_get(&w, "leak-tail")->bytes, 2 * CHUNK);
	assert_int_equal(check_run(&w, FVD_REPAIR_SAFE), 0);
	assert_int_equal(check_length(w.io), w.h.data_offset + CHUNK);
	assert_int_equal(w.report.leaked_bytes, 0);
	check_done(&w);
}

static void preallocated_holes_are_no_leak(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 0, 1);
	assert_int_equal(fvd_io_truncate(w.io, w.h.data_offset + 100 * CHUNK, NULL), 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(w.count, 0);
	assert_int_equal(check_length(w.io), w.h.data_offset + 100 * CHUNK);
	check_done(&w);
}

static void leak_between_chunks_is_punched(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 3, 1);
	check_place(&w, 1, 8, 1);
	mk_fill(w.io, w.h.data_offset + CHUNK, CHUNK / 2, 1);
	mk_fill(w.io, w.h.data_offset + 7 * CHUNK, CHUNK, 1);
	check_one_defect(&w, "leak-inside", FVD_LEAK, false, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.leaked_bytes, CHUNK + CHUNK / 2);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(check_byte(&w, w.h.data_offset + 8 * CHUNK), 1);
	assert_int_equal(check_byte(&w, w.h.data_offset + 3 * CHUNK), 1);
	assert_int_equal(check_byte(&w, w.h.data_offset + 7 * CHUNK), 0);
	check_done(&w);
}

/* Chunks that begin in the middle of a page: a leak is whole pages, and the walk ends. */
static void leaks_between_odd_chunks_are_found(void **state)
{
	struct fvd_header h = mk_header_rev1(SIZE, 0, 0, 102912, 65536);
	struct world w;

	(void)state;
	h.metadata_size += 4608;
	h.data_offset += 4608;
	for (unsigned gap = 0; gap < 2; gap++) {
		check_make_with(&w, h);
		for (unsigned i = 0; i < 8; i += 2) {
			mk_entry(w.io, &w.h, i, i);
			mk_fill(w.io, h.data_offset + i * UINT64_C(102912), 102912, 1);
		}
		if (gap)
			mk_fill(w.io, h.data_offset + 3 * UINT64_C(102912), 102912, 1);
		assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
		assert_int_equal(w.count, gap);
		if (gap) {
			assert_in_range(w.report.leaked_bytes, 102912 - 2 * 4096, 102912);
			assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
			assert_true(w.report.clean);
			assert_int_equal(check_byte(&w, h.data_offset + 3 * 102912 - 1), 1);
			assert_int_equal(check_byte(&w, h.data_offset + 4 * 102912), 1);
		}
		check_done(&w);
	}
}

static void lost_data_raises_the_generation(void **state)
{
	struct fvd_ext x = { .has_generation = true, .generation = 9 };
	struct world w;

	(void)state;
	check_make(&w);
	assert_int_equal(fvd_ext_encode(&x, w.h.reserved, NULL), 0);
	mk_put_header(w.io, &w.h);
	mk_entry(w.io, &w.h, 7, FVD_ENTRY_DAMAGED);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_int_equal(fvd_io_pread(w.io, w.h.reserved, FVD_EXT_AREA, 3316, NULL), 0);
	fvd_ext_decode(w.h.reserved, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(x.generation, 10);
	check_done(&w);
}

static void several_defects_go_in_one_run(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 0, 3, 1);
	check_place(&w, 1, 8, 1);
	mk_entry(w.io, &w.h, 2, 3);
	mk_entry(w.io, &w.h, 3, FVD_ENTRY_DAMAGED);
	mk_fill(w.io, w.h.data_offset + 6 * CHUNK, CHUNK, 1);
	mk_fill(w.io, w.h.data_offset + 20 * CHUNK, CHUNK, 1);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 0, 1, 9, 30);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	for (unsigned i = 0; i < w.count; i++)
		assert_true(w.list[i].fixed);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	assert_int_equal(mk_get_entry(w.io, &w.h, 9), 30);
	check_done(&w);
}

static void data_file_is_opened_only_when_followed(void **state)
{
	struct fvd_header h = mk_header(SIZE, 0, CHUNK, CHUNK, 65536);
	struct fvd_io *data;
	struct world w;

	(void)state;
	strcpy(h.data_file, "disk.dat");
	h.data_offset = 0;
	h.clean_shutdown = 0;
	check_make_with(&w, h);
	data = fvd_io_mem_new("disk.dat", 0, NULL);
	mem_opener_add(w.opener, "disk.dat", data);
	mk_fill(data, 0, 5 * CHUNK, 3);
	mk_put_table(w.io, &w.h, 0, 1, 4, 1);
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_non_null(check_get(&w, "data-file-not-checked"));
	assert_false(check_get(&w, "journal-needs-replay")->fixable);
	assert_false(w.report.clean);
	assert_int_equal(mem_opener_opened(w.opener, "disk.dat"), 0);
	w.opts.follow = true;
	w.opts.undo_file = "undo";
	assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_non_null(mem_opener_get(w.opener, "undo.data"));
	assert_int_equal(check_length(data), 2 * CHUNK);
	w.opts.undo_file = NULL;
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	check_done(&w);
}

static void revision_1_is_mended(void **state)
{
	struct world w;

	(void)state;
	check_make_with(&w, mk_header_rev1(SIZE, SIZE, CHUNK, CHUNK, 65536));
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 1, 0, 2, 0);
	mk_fill(w.io, w.h.data_offset, CHUNK, 7);
	mk_fill(w.io, w.h.data_offset + 4 * CHUNK, CHUNK, 7);
	check_one_defect(&w, "journal-needs-replay", FVD_DIRTY, true, true);
	check_done(&w);
	check_make_with(&w, mk_header_rev1(SIZE, SIZE, CHUNK, CHUNK, 65536));
	check_place(&w, 5, 1, 2);
	mk_entry(w.io, &w.h, 900, 1);
	check_one_defect(&w, "table-duplicate", FVD_DAMAGE, false, true);
	check_done(&w);
}

static void writing_failures_leave_a_repairable_image(void **state)
{
	(void)state;
	for (unsigned cut = 0; cut < 60; cut++) {
		struct mk_recorder *rec = malloc(sizeof(*rec));
		struct fvd_io *plain;
		struct world w;
		int ret;

		assert_non_null(rec);
		check_make(&w);
		check_place(&w, 0, 3, 1);
		check_place(&w, 1, 8, 5);
		mk_entry(w.io, &w.h, 2, 8);
		mk_fill(w.io, w.h.data_offset + 6 * CHUNK, CHUNK, 1);
		w.h.clean_shutdown = 0;
		mk_put_header(w.io, &w.h);
		mk_put_table(w.io, &w.h, 0, 1, 9, 30);
		plain = mk_clone(w.io);
		mk_record(rec, plain);
		rec->fail_at = cut;
		mem_opener_add(w.opener, "disk.fvd", &rec->io);
		ret = check_run(&w, FVD_REPAIR_ALL);
		rec->fail_at = UINT32_MAX;
		rec->count = 0;
		assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
		assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
		/* The recorder cannot punch, so the leak alone may stay. */
		assert_int_equal(w.report.left[FVD_DAMAGE] + w.report.left[FVD_DIRTY], 0);
		assert_int_equal(mk_get_entry(plain, &w.h, 9), 30);
		w.io = plain;
		assert_int_equal(check_byte(&w, w.h.data_offset +
					 mk_get_entry(plain, &w.h, 2) * CHUNK), 5);
		assert_int_equal(check_byte(&w, w.h.data_offset +
					 mk_get_entry(plain, &w.h, 1) * CHUNK), 5);
		check_done(&w);
		fvd_io_close(plain);
		free(rec);
		if (ret == 0)
			return;
	}
	fail_msg("the repair never came to its end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(duplicate_gets_its_own_copy),
		cmocka_unit_test(copy_over_a_leaked_chunk_keeps_the_holes),
		cmocka_unit_test(nothing_is_cut_off_while_the_table_is_damaged),
		cmocka_unit_test(copy_is_synced_before_the_table_names_it),
		cmocka_unit_test(duplicate_after_replay_is_mended_with_it),
		cmocka_unit_test(many_duplicates_are_counted),
		cmocka_unit_test(damaged_entry_becomes_unallocated),
		cmocka_unit_test(prefetched_mark_is_cleared),
		cmocka_unit_test(extension_is_salvaged),
		cmocka_unit_test(hopeless_extension_is_zeroed),
		cmocka_unit_test(short_file_is_extended),
		cmocka_unit_test(leaked_tail_is_cut_off),
		cmocka_unit_test(preallocated_holes_are_no_leak),
		cmocka_unit_test(leak_between_chunks_is_punched),
		cmocka_unit_test(leaks_between_odd_chunks_are_found),
		cmocka_unit_test(lost_data_raises_the_generation),
		cmocka_unit_test(several_defects_go_in_one_run),
		cmocka_unit_test(data_file_is_opened_only_when_followed),
		cmocka_unit_test(revision_1_is_mended),
		cmocka_unit_test(writing_failures_leave_a_repairable_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
