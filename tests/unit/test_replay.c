/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../support/replay_world.h"

static void applies_all_sectors_past_empty_ones(void **state)
{
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 3, 9);
	mk_put_table(w.io, &w.h, 90, 2, 4, 8);
	mk_put_bits(w.io, &w.h, 127, 128, 1);	/* block 1 */
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.sectors, 128);
	assert_int_equal(w.r.used, 3);
	assert_int_equal(w.r.applied, 3);
	assert_int_equal(w.r.table_records, 2);
	assert_int_equal(w.r.bitmap_records, 1);
	assert_int_equal(w.r.entries_set, 2);
	assert_int_equal(w.r.bits_set, 1);
	assert_int_equal(w.r.max_epoch, 2);
	assert_int_equal(w.m.table[3], 9);
	assert_int_equal(w.m.table[4], 8);
	assert_int_equal(w.m.bitmap[0], 2);
	assert_true(w.r.would_set_old_bit);
	replay_done(&w);
}

static void epoch_boundary_and_void_sectors(void **state)
{
	struct mk_sector s = { { 0 }, 0 };
	uint32_t entry = 5;
	struct replay_world w;

	(void)state;
	replay_make(&w, 7);
	/* Below stable: the whole sector is void, its BITMAP record too. */
	mk_table(&s, 6, 0, &entry, 1);
	mk_bits(&s, 0, 128);
	mk_put(w.io, &w.h, 0, &s);
	mk_put_table(w.io, &w.h, 1, 7, 1, 6);	/* exactly stable: applied */
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.void_sectors, 1);
	assert_int_equal(w.r.applied, 1);
	assert_int_equal(w.m.table[0], FVD_UNALLOCATED);
	assert_int_equal(w.m.table[1], 6);
	assert_int_equal(w.r.bits_set, 0);
	assert_int_equal(w.r.max_epoch, 7);
	replay_done(&w);
}

static void max_epoch_counts_void_dropped_and_damaged(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct replay_world w;

	(void)state;
	replay_make(&w, 50);
	mk_put_table(w.io, &w.h, 0, 40, 0, 0);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.max_epoch, 40);
	replay_drop(&w);
	mk_put_table(w.io, &w.h, 9, 70, 0, 0);
	opts.stop_at = 5;
	assert_int_equal(replay_scan(&w, &opts), 0);
	assert_int_equal(w.r.max_epoch, 70);
	assert_int_equal(w.r.dropped, 1);
	replay_drop(&w);
	mk_put_table(w.io, &w.h, 3, 90, 5000, 0);	/* chunk outside the table */
	opts = (struct fvd_replay_opts)FVD_REPLAY_OPTS_INIT;
	opts.skip_damaged = true;
	assert_int_equal(replay_scan(&w, &opts), 0);
	assert_int_equal(w.r.max_epoch, 90);
	assert_int_equal(w.r.damaged, 1);
	replay_done(&w);
}

static void void_sector_is_judged_for_framing_only(void **state)
{
	struct replay_world w;

	(void)state;
	replay_make(&w, 10);
	mk_put_table(w.io, &w.h, 0, 3, 5000, 0);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.void_sectors, 1);
	assert_int_equal(w.r.damaged, 0);
	replay_done(&w);
}

static void legal_duplicates_pass_through(void **state)
{
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 0, 5);
	mk_put_table(w.io, &w.h, 1, 2, 1, 5);	/* for a moment both */
	mk_put_table(w.io, &w.h, 2, 3, 0, 6);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.m.table[0], 6);
	assert_int_equal(w.m.table[1], 5);
	replay_done(&w);
}

static void duplicates_in_the_final_table_are_refused(void **state)
{
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_entry(w.io, &w.h, 60, 5);
	mk_put_table(w.io, &w.h, 0, 1, 2, 5);
	assert_int_equal(replay_scan(&w, NULL), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w.err.text, "entries 2 and 60"));
	replay_drop(&w);
	/* apply: for check, which goes on */
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	assert_int_equal(fvd_replay_apply(w.io, &w.m, NULL, &w.r, &w.err), 0);
	assert_int_equal(w.m.table[2], 5);
	replay_done(&w);
}

static void damage_stops_but_all_of_it_is_counted(void **state)
{
	struct mk_sector bad = { { 0x12, 0x34, 0x56, 0x78 }, 4 };
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 0, 0);
	mk_put(w.io, &w.h, 4, &bad);
	mk_put_table(w.io, &w.h, 5, 1, 1, FVD_ENTRY_DAMAGED);
	mk_put_bits(w.io, &w.h, 6, 0, 1);
	mk_put_bits(w.io, &w.h, 7, SIZE / 512, 1);
	assert_int_equal(replay_scan(&w, NULL), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w.err.text, "sector 4"));
	assert_non_null(strstr(w.err.text, "--skip-damaged"));
	assert_int_equal(w.r.damaged, 3);
	assert_int_equal(w.r.first_damaged, 4);
	assert_int_equal(w.r.applied, 2);
	replay_drop(&w);
	opts.skip_damaged = true;
	assert_int_equal(replay_scan(&w, &opts), 0);
	assert_int_equal(w.r.dropped, 3);
	assert_int_equal(w.r.zero_before_count, 3);
	assert_int_equal(w.r.zero_before[0], 4);
	assert_int_equal(w.r.zero_before[1], 5);
	assert_int_equal(w.r.zero_before[2], 7);
	assert_int_equal(w.m.table[0], 0);
	replay_done(&w);
}

static void unreadable_sector_is_damage_and_hides_no_neighbour(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct mk_recorder rec;
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	for (unsigned i = 0; i < 4; i++)
		mk_put_table(w.io, &w.h, i, 1, i, i);
	mk_record(&rec, w.io);
	rec.bad_read = w.h.journal_offset + 2 * 512 + 100;
	opts.skip_damaged = true;
	assert_int_equal(fvd_meta_load(&rec.io, NULL, 0, &w.m, &w.err), 0);
	assert_int_equal(fvd_replay_scan(&rec.io, &w.m, &opts, &w.r, &w.err), 0);
	assert_int_equal(w.r.damaged, 1);
	assert_int_equal(w.r.first_damaged, 2);
	assert_non_null(strstr(w.r.first_damage, "cannot be read"));
	assert_int_equal(w.r.applied, 3);
	assert_int_equal(w.m.table[2], FVD_UNALLOCATED);
	assert_int_equal(w.m.table[3], 3);
	replay_done(&w);
}

static void stop_at_drops_the_rest(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 0, 0);
	mk_put_table(w.io, &w.h, 5, 2, 1, 1);
	mk_put_bits(w.io, &w.h, 6, 0, 1);
	mk_put_table(w.io, &w.h, 8, 3, 5000, 1);	/* damaged, and dropped: no error */
	opts.stop_at = 5;
	assert_int_equal(replay_scan(&w, &opts), 0);
	assert_int_equal(w.m.table[0], 0);
	assert_int_equal(w.m.table[1], FVD_UNALLOCATED);
	assert_int_equal(w.r.bits_set, 0);
	assert_int_equal(w.r.dropped, 3);
	assert_int_equal(w.r.zero_before_count, 2);
	assert_int_equal(w.r.zero_before[0], 6);
	assert_int_equal(w.r.zero_before[1], 8);
	assert_int_equal(w.r.zero_after_count, 1);
	assert_int_equal(w.r.zero_after[0], 5);
	replay_done(&w);
}

struct seen {
	enum fvd_verdict verdict[32];
	char why[32][100];
	unsigned count;
};

static int note_record(void *opaque, const struct fvd_replay_record *rec)
{
	struct seen *s = opaque;

	s->verdict[s->count] = rec->verdict;
	snprintf(s->why[s->count], sizeof(s->why[0]), "%s", rec->why);
	s->count++;
	return s->count == 5;
}

static void every_record_is_told_with_its_verdict(void **state)
{
	struct mk_sector bad = { { 1 }, 1 }, two = { { 0 }, 0 };
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct seen seen = { .count = 0 };
	uint32_t e = 3;
	struct replay_world w;

	(void)state;
	replay_make(&w, 4);
	mk_put_table(w.io, &w.h, 0, 1, 0, 0);
	mk_table(&two, 4, 9, &e, 1);
	mk_bits(&two, 0, 8);
	mk_put(w.io, &w.h, 1, &two);
	mk_put(w.io, &w.h, 2, &bad);
	mk_put_table(w.io, &w.h, 3, 4, 1, 1);
	mk_put_table(w.io, &w.h, 4, 4, 2, 2);
	opts.record = note_record;
	opts.opaque = &seen;
	opts.stop_at = 3;
	assert_int_equal(replay_scan(&w, &opts), -1);	/* the fifth answer was "stop" */
	assert_int_equal(w.err.class, FVD_ERR_CANCELLED);
	assert_int_equal(seen.verdict[0], FVD_REC_VOID);
	assert_non_null(strstr(seen.why[0], "stable epoch 4"));
	assert_int_equal(seen.verdict[1], FVD_REC_APPLIED);
	assert_int_equal(seen.verdict[2], FVD_REC_APPLIED);
	assert_int_equal(seen.verdict[3], FVD_REC_DAMAGED);
	assert_int_equal(seen.verdict[4], FVD_REC_DROPPED);
	replay_done(&w);
}

static void bitmap_touches_blocks_up_to_the_base(void **state)
{
	struct replay_world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header(SIZE, 3 * BLOCK + 512, BLOCK, 0, 65536);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	/* One sector each of blocks 1 and 2. */
	mk_put_bits(w.io, &w.h, 0, 2 * BLOCK / 512 - 1, 2);
	mk_put_bits(w.io, &w.h, 1, 3 * BLOCK / 512, 4096);	/* over the base's end */
	mk_put_bits(w.io, &w.h, 2, 3 * BLOCK / 512 + 1, 4096);	/* wholly beyond it */
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.bits_set, 3);
	assert_int_equal(w.m.bitmap[0], 0x0E);
	replay_done(&w);
}

static void revision_1_applies_always_and_masks_bit_31(void **state)
{
	struct mk_sector s = { { 0 }, 0 };
	uint32_t entries[2] = { 4 | FVD_ENTRY_DIRTY, FVD_UNALLOCATED };
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct replay_world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header_rev1(SIZE, SIZE, BLOCK, FVD_MIB, 65536);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	mk_entry(w.io, &w.h, 3, 8);
	mk_table_rev1(&s, 2, entries, 2);
	mk_bits(&s, 0, 1);
	mk_put(w.io, &w.h, 3, &s);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.m.table[2], 4);
	assert_int_equal(w.m.table[3], FVD_UNALLOCATED);
	assert_int_equal(w.m.bitmap[0], 1);
	assert_int_equal(w.r.max_epoch, 0);
	assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), 0);
	replay_drop(&w);
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	assert_int_equal(w.m.h.clean_shutdown, 1);
	assert_int_equal(w.m.table[2], 4);
	replay_drop(&w);
	/* Nothing makes its sectors void, so dropping zeroes all of them first. */
	opts.drop_all = true;
	assert_int_equal(replay_scan(&w, &opts), 0);
	assert_int_equal(w.r.zero_before_count, 1);
	assert_int_equal(w.r.zero_after_count, 0);
	replay_done(&w);
}

static void survey_changes_nothing(void **state)
{
	struct mk_sector mixed = { { 0 }, 0 };
	uint32_t entry = 0;
	struct replay_world w;

	(void)state;
	replay_make(&w, 5);
	mk_put_table(w.io, &w.h, 0, 3, 0, 0);
	mk_put_table(w.io, &w.h, 1, 9, 0, 0);
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_int_equal(w.r.max_epoch, 9);
	assert_false(w.r.would_set_old_bit);
	assert_int_equal(w.m.table[0], FVD_UNALLOCATED);
	/* With a TABLE record, raising the epoch makes it void: no danger. */
	mk_table(&mixed, 9, 0, &entry, 1);
	mk_bits(&mixed, 0, 1);
	mk_put(w.io, &w.h, 2, &mixed);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_false(w.r.would_set_old_bit);
	mk_put_bits(w.io, &w.h, 2, 0, 1);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_true(w.r.would_set_old_bit);
	fvd_meta_set_bits(&w.m, 0, 1);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_false(w.r.would_set_old_bit);
	replay_done(&w);
}

static double seconds_since(const struct timespec *a)
{
	struct timespec b;

	clock_gettime(CLOCK_MONOTONIC, &b);
	return (double)(b.tv_sec - a->tv_sec) + (double)(b.tv_nsec - a->tv_nsec) / 1e9;
}

static void full_journal_is_fast(void **state)
{
	struct timespec a;
	struct replay_world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header(4 * FVD_TIB, 0, 65536, FVD_MIB, 16 * FVD_MIB);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	for (uint32_t i = 0; i < 32768; i++) {
		struct mk_sector s = { { 0 }, 0 };
		uint32_t e[123];

		for (uint32_t k = 0; k < 123; k++)
			e[k] = (i * 123 + k) % 4194304;
		mk_table(&s, i + 1, i * 123 % 4194000, e, 123);
		mk_put(w.io, &w.h, i, &s);
	}
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(fvd_replay_scan(w.io, &w.m, NULL, &w.r, &w.err), 0);
	print_message("full journal: %.0f ms\n", seconds_since(&a) * 1000);
	assert_int_equal(w.r.applied, 32768);
	assert_true(seconds_since(&a) < 2.0);
	replay_done(&w);
}

static void records_that_cover_everything_do_not_hang(void **state)
{
	struct timespec a;
	struct replay_world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header(64 * FVD_GIB, 64 * FVD_GIB, 512, 0, FVD_MIB);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	for (uint32_t i = 0; i < 2048; i++) {
		struct mk_sector s = { { 0 }, 0 };

		for (unsigned k = 0; k < 32; k++)
			mk_bits(&s, 0, 64 * FVD_GIB / 512);
		mk_put(w.io, &w.h, i, &s);
	}
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(fvd_replay_scan(w.io, &w.m, NULL, &w.r, &w.err), 0);
	assert_int_equal(w.r.bits_set, 64 * FVD_GIB / 512);
	assert_true(seconds_since(&a) < 5.0);
	replay_done(&w);
}

static void no_journal_is_an_empty_result(void **state)
{
	struct replay_world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header(SIZE, 0, BLOCK, FVD_MIB, 0);
	w.io = mk_image(&w.h);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.sectors, 0);
	assert_int_equal(w.r.first_damaged == UINT64_MAX, 1);
	replay_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(applies_all_sectors_past_empty_ones),
		cmocka_unit_test(epoch_boundary_and_void_sectors),
		cmocka_unit_test(max_epoch_counts_void_dropped_and_damaged),
		cmocka_unit_test(void_sector_is_judged_for_framing_only),
		cmocka_unit_test(legal_duplicates_pass_through),
		cmocka_unit_test(duplicates_in_the_final_table_are_refused),
		cmocka_unit_test(damage_stops_but_all_of_it_is_counted),
		cmocka_unit_test(unreadable_sector_is_damage_and_hides_no_neighbour),
		cmocka_unit_test(stop_at_drops_the_rest),
		cmocka_unit_test(every_record_is_told_with_its_verdict),
		cmocka_unit_test(bitmap_touches_blocks_up_to_the_base),
		cmocka_unit_test(revision_1_applies_always_and_masks_bit_31),
		cmocka_unit_test(survey_changes_nothing),
		cmocka_unit_test(full_journal_is_fast),
		cmocka_unit_test(records_that_cover_everything_do_not_hang),
		cmocka_unit_test(no_journal_is_an_empty_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
