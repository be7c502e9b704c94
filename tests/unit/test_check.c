/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../support/check_world.h"
#include "format/ext.h"
#include "io/io_mem.h"

static void sound_images_have_no_findings(void **state)
{
	const struct fvd_header h[] = {
		mk_header(SIZE, 0, CHUNK, 0, 0),
		mk_header(SIZE, 0, CHUNK, CHUNK, 65536),
		mk_header(SIZE, SIZE / 2 + 512, CHUNK, 0, 65536),
		mk_header(SIZE - 512, SIZE / 2 + 512, CHUNK, CHUNK, 65536),
		mk_header_rev1(SIZE - 512, SIZE / 2 + 512, 7680, 102400, 65536),
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(h) / sizeof(h[0]); i++) {
		check_make_with(&w, h[i]);
		assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
		if (w.count > 0)
			fail_msg("layout %zu: %s", i, w.list[0].text);
		assert_true(w.report.clean);
		assert_int_equal(mem_opener_opened(w.opener, "base.raw"), 0);
		assert_int_equal(check_run(&w, FVD_REPAIR_ALL), 0);
		assert_int_equal(w.count, 0);
		check_done(&w);
	}
}

static void numbers_are_counted(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	check_place(&w, 1, 0, 1);
	check_place(&w, 9, 1, 1);
	mk_bit(w.io, &w.h, 4);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.chunk_count, 1024);
	assert_int_equal(w.report.chunks_allocated, 2);
	assert_int_equal(w.report.block_count, 1024);
	assert_int_equal(w.report.blocks_local, 1);
	assert_int_equal(w.report.data_end, w.h.data_offset + 2 * CHUNK);
	assert_int_equal(w.report.file_length, w.report.data_end);
	assert_int_equal(w.report.journal.sectors, 128);
	assert_int_equal(w.count, 0);
	check_done(&w);
}

static void sound_journal_is_replayed(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 3, 5, 2, 0);
	mk_put_bits(w.io, &w.h, 4, 0, 128);
	mk_fill(w.io, w.h.data_offset, CHUNK, 7);
	check_one_defect(&w, "journal-needs-replay", FVD_DIRTY, true, true);
	assert_int_equal(check_run(&w, FVD_REPAIR_SAFE), -1 + 1);
	assert_int_equal(mk_get_entry(w.io, &w.h, 2), 0);
	assert_true(mk_get_bit(w.io, &w.h, 0));
	check_done(&w);
}

static void damaged_journal_needs_all(void **state)
{
	struct mk_sector bad = { { 9, 9, 9, 9 }, 4 };
	struct world w;

	(void)state;
	check_make(&w);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 3, 5, 2, 0);
	mk_fill(w.io, w.h.data_offset, CHUNK, 7);
	mk_put(w.io, &w.h, 1, &bad);
	check_one_defect(&w, "journal-damaged", FVD_DAMAGE, false, true);
	check_done(&w);
}

static void damaged_history_is_a_note(void **state)
{
	struct mk_sector bad = { { 9, 9, 9, 9 }, 4 };
	struct world w;

	(void)state;
	check_make(&w);
	mk_put(w.io, &w.h, 1, &bad);
	check_one_defect(&w, "journal-old-damage", FVD_NOTE, false, true);
	check_done(&w);
}

static void dirty_without_journal_needs_all(void **state)
{
	struct fvd_header h = mk_header(SIZE, 0, CHUNK, CHUNK, 0);
	struct world w;

	(void)state;
	h.clean_shutdown = 0;
	check_make_with(&w, h);
	check_one_defect(&w, "dirty-no-journal", FVD_DIRTY, false, true);
	check_done(&w);
}

static void epochs_used_up_stay(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 0, FVD_MAX_EPOCH, 2, FVD_UNALLOCATED);
	check_one_defect(&w, "epochs-used-up", FVD_DAMAGE, false, false);
	check_done(&w);
}

static void slack_and_marks_are_notes(void **state)
{
	struct fvd_header h = mk_header(SIZE - CHUNK, SIZE - CHUNK, CHUNK, CHUNK, 65536);
	struct world w;

	(void)state;
	check_make_with(&w, h);
	mk_entry(w.io, &w.h, 1023, 5);
	check_one_defect(&w, "table-slack", FVD_NOTE, false, true);
	check_done(&w);
	check_make_with(&w, h);
	mk_bit(w.io, &w.h, 1023);
	check_one_defect(&w, "bitmap-slack", FVD_NOTE, false, true);
	check_done(&w);
	check_make_with(&w, h);
	check_place(&w, 3, 0, 1);
	mk_entry(w.io, &w.h, 3, 0 | FVD_ENTRY_DIRTY);
	check_one_defect(&w, "table-dirty-mark", FVD_NOTE, false, true);
	check_done(&w);
}

static void broken_header_stays(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	w.h.table_offset = w.h.journal_offset;
	mk_put_header(w.io, &w.h);
	check_one_defect(&w, "header", FVD_DAMAGE, false, false);
	w.h.table_offset = UINT64_C(1) << 40;
	mk_put_header(w.io, &w.h);
	check_one_defect(&w, "region-past-end", FVD_DAMAGE, false, false);
	w.h.chunk_size = 0;
	mk_put_header(w.io, &w.h);
	check_one_defect(&w, "header", FVD_DAMAGE, false, false);
	check_done(&w);
}

static void truncated_file_is_a_finding(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	assert_int_equal(fvd_io_truncate(w.io, 5000, NULL), 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_false(w.report.clean);
	assert_int_equal(fvd_io_truncate(w.io, 0, NULL), 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), -1);
	assert_int_equal(w.err.class, FVD_ERR_FORMAT);
	check_done(&w);
}

static void a_table_of_damage_is_counted_quickly(void **state)
{
	struct world w;

	(void)state;
	check_make_with(&w, mk_header(16 * FVD_TIB, 0, CHUNK, FVD_MIB, 0));
	mk_fill(w.io, w.h.table_offset, w.h.table_size / 2, 0);
	for (unsigned i = 0; i < 8; i++)
		mk_fill(w.io, w.h.table_offset + w.h.table_size / 2 + i * FVD_MIB, FVD_MIB, 0x7F);
	mk_entry(w.io, &w.h, 16 * FVD_MIB - 1, FVD_ENTRY_DAMAGED);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_true(w.report.found[FVD_DAMAGE] > 8000000);
	assert_true(w.count < 400);
	check_done(&w);
}

static void base_is_looked_at_only_when_followed(void **state)
{
	struct world w;

	(void)state;
	check_make(&w);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_true(w.report.clean);
	w.opts.follow = true;
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	check_expect(&w, "base", FVD_DAMAGE, false, false);
	mem_opener_add(w.opener, "base.raw", fvd_io_mem_new("base.raw", SIZE, NULL));
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	check_done(&w);
}

static void locks_are_respected(void **state)
{
	struct fvd_io *holder;
	struct world w;

	(void)state;
	check_make(&w);
	assert_int_equal(w.opener->open(w.opener, "disk.fvd", 0, FVD_LOCK_SHARED, &holder, NULL),
			 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_SAFE), -1);
	assert_int_equal(w.err.class, FVD_ERR_LOCKED);
	fvd_io_close(holder);
	assert_int_equal(w.opener->open(w.opener, "disk.fvd", FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE,
					&holder, NULL), 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), -1);
	assert_int_equal(w.err.class, FVD_ERR_LOCKED);
	w.opts.force_share = true;
	assert_int_equal(check_run(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(check_run(&w, FVD_REPAIR_SAFE), -1);
	assert_int_equal(w.err.class, FVD_ERR_INVALID);
	fvd_io_close(holder);
	check_done(&w);
}

static double timed_check(struct world *w)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(check_run(w, FVD_REPAIR_NONE), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static void scattered_pieces_are_fast(void **state)
{
	struct world w;
	double s;

	(void)state;
	check_make_with(&w, mk_header(FVD_TIB, 0, CHUNK, FVD_MIB, 16 * FVD_MIB));
	for (uint32_t i = 0; i < 16384; i++) {
		mk_entry(w.io, &w.h, i * UINT64_C(64), i);
		mk_fill(w.io, w.h.data_offset + i * FVD_MIB, 4096, 1);
	}
	assert_int_equal(fvd_io_truncate(w.io, w.h.data_offset + 16384 * FVD_MIB, NULL), 0);
	s = timed_check(&w);
	print_message("1 TiB: %.1f ms\n", s * 1000);
	assert_int_equal(w.count, 0);
	assert_true(s < 1.0);
	check_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_images_have_no_findings),
		cmocka_unit_test(numbers_are_counted),
		cmocka_unit_test(sound_journal_is_replayed),
		cmocka_unit_test(damaged_journal_needs_all),
		cmocka_unit_test(damaged_history_is_a_note),
		cmocka_unit_test(dirty_without_journal_needs_all),
		cmocka_unit_test(epochs_used_up_stay),
		cmocka_unit_test(slack_and_marks_are_notes),
		cmocka_unit_test(broken_header_stays),
		cmocka_unit_test(truncated_file_is_a_finding),
		cmocka_unit_test(a_table_of_damage_is_counted_quickly),
		cmocka_unit_test(base_is_looked_at_only_when_followed),
		cmocka_unit_test(locks_are_respected),
		cmocka_unit_test(scattered_pieces_are_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
