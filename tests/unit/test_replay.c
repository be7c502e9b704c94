/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../support/mkimage.h"
#include "format/bitmap.h"
#include "image/replay.h"
#include "util/num.h"

#define SIZE (64 * FVD_MIB)
#define BLOCK UINT64_C(65536)

/* One image, its header, its loaded metadata. */
struct world {
	struct fvd_header h;
	struct fvd_io *io;
	struct fvd_meta m;
	struct fvd_replay_result r;
	struct fvd_error err;
};

static void make(struct world *w, uint64_t stable)
{
	memset(w, 0, sizeof(*w));
	w->h = mk_header(SIZE, SIZE, BLOCK, FVD_MIB, 65536);
	w->h.clean_shutdown = 0;
	w->h.stable_epoch = stable;
	w->io = mk_image(&w->h);
}

static int scan(struct world *w, const struct fvd_replay_opts *opts)
{
	assert_int_equal(fvd_meta_load(w->io, w->io, 0, &w->m, &w->err), 0);
	return fvd_replay_scan(w->io, &w->m, opts, &w->r, &w->err);
}

static void drop(struct world *w)
{
	fvd_replay_result_fini(&w->r);
	fvd_meta_fini(&w->m);
}

static void done(struct world *w)
{
	drop(w);
	fvd_io_close(w->io);
}

static void applies_all_sectors_past_empty_ones(void **state)
{
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 3, 9);
	mk_put_table(w.io, &w.h, 90, 2, 4, 8);
	mk_put_bits(w.io, &w.h, 127, 128, 1);	/* block 1 */
	assert_int_equal(scan(&w, NULL), 0);
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
	done(&w);
}

static void epoch_boundary_and_void_sectors(void **state)
{
	struct mk_sector s = { { 0 }, 0 };
	uint32_t entry = 5;
	struct world w;

	(void)state;
	make(&w, 7);
	/* Below stable: the whole sector is void, its BITMAP record too. */
	mk_table(&s, 6, 0, &entry, 1);
	mk_bits(&s, 0, 128);
	mk_put(w.io, &w.h, 0, &s);
	mk_put_table(w.io, &w.h, 1, 7, 1, 6);	/* exactly stable: applied */
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.r.void_sectors, 1);
	assert_int_equal(w.r.applied, 1);
	assert_int_equal(w.m.table[0], FVD_UNALLOCATED);
	assert_int_equal(w.m.table[1], 6);
	assert_int_equal(w.r.bits_set, 0);
	assert_int_equal(w.r.max_epoch, 7);
	done(&w);
}

static void max_epoch_counts_void_dropped_and_damaged(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct world w;

	(void)state;
	make(&w, 50);
	mk_put_table(w.io, &w.h, 0, 40, 0, 0);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.r.max_epoch, 40);
	drop(&w);
	mk_put_table(w.io, &w.h, 9, 70, 0, 0);
	opts.stop_at = 5;
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(w.r.max_epoch, 70);
	assert_int_equal(w.r.dropped, 1);
	drop(&w);
	mk_put_table(w.io, &w.h, 3, 90, 5000, 0);	/* chunk outside the table */
	opts = (struct fvd_replay_opts)FVD_REPLAY_OPTS_INIT;
	opts.skip_damaged = true;
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(w.r.max_epoch, 90);
	assert_int_equal(w.r.damaged, 1);
	done(&w);
}

static void void_sector_is_judged_for_framing_only(void **state)
{
	struct world w;

	(void)state;
	make(&w, 10);
	mk_put_table(w.io, &w.h, 0, 3, 5000, 0);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.r.void_sectors, 1);
	assert_int_equal(w.r.damaged, 0);
	done(&w);
}

static void legal_duplicates_pass_through(void **state)
{
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 0, 5);
	mk_put_table(w.io, &w.h, 1, 2, 1, 5);	/* for a moment both */
	mk_put_table(w.io, &w.h, 2, 3, 0, 6);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.m.table[0], 6);
	assert_int_equal(w.m.table[1], 5);
	done(&w);
}

static void duplicates_in_the_final_table_are_refused(void **state)
{
	struct world w;

	(void)state;
	make(&w, 1);
	mk_entry(w.io, &w.h, 60, 5);
	mk_put_table(w.io, &w.h, 0, 1, 2, 5);
	assert_int_equal(scan(&w, NULL), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w.err.text, "entries 2 and 60"));
	drop(&w);
	/* apply: for check, which goes on */
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	assert_int_equal(fvd_replay_apply(w.io, &w.m, NULL, &w.r, &w.err), 0);
	assert_int_equal(w.m.table[2], 5);
	done(&w);
}

static void damage_stops_but_all_of_it_is_counted(void **state)
{
	struct mk_sector bad = { { 0x12, 0x34, 0x56, 0x78 }, 4 };
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 0, 0);
	mk_put(w.io, &w.h, 4, &bad);
	mk_put_table(w.io, &w.h, 5, 1, 1, FVD_ENTRY_DAMAGED);
	mk_put_bits(w.io, &w.h, 6, 0, 1);
	mk_put_bits(w.io, &w.h, 7, SIZE / 512, 1);
	assert_int_equal(scan(&w, NULL), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w.err.text, "sector 4"));
	assert_non_null(strstr(w.err.text, "--skip-damaged"));
	assert_int_equal(w.r.damaged, 3);
	assert_int_equal(w.r.first_damaged, 4);
	assert_int_equal(w.r.applied, 2);
	drop(&w);
	opts.skip_damaged = true;
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(w.r.dropped, 3);
	assert_int_equal(w.r.zero_before_count, 3);
	assert_int_equal(w.r.zero_before[0], 4);
	assert_int_equal(w.r.zero_before[1], 5);
	assert_int_equal(w.r.zero_before[2], 7);
	assert_int_equal(w.m.table[0], 0);
	done(&w);
}

static void unreadable_sector_is_damage_and_hides_no_neighbour(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct mk_recorder rec;
	struct world w;

	(void)state;
	make(&w, 1);
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
	done(&w);
}

static void stop_at_drops_the_rest(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 0, 0);
	mk_put_table(w.io, &w.h, 5, 2, 1, 1);
	mk_put_bits(w.io, &w.h, 6, 0, 1);
	mk_put_table(w.io, &w.h, 8, 3, 5000, 1);	/* damaged, and dropped: no error */
	opts.stop_at = 5;
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(w.m.table[0], 0);
	assert_int_equal(w.m.table[1], FVD_UNALLOCATED);
	assert_int_equal(w.r.bits_set, 0);
	assert_int_equal(w.r.dropped, 3);
	assert_int_equal(w.r.zero_before_count, 2);
	assert_int_equal(w.r.zero_before[0], 6);
	assert_int_equal(w.r.zero_before[1], 8);
	assert_int_equal(w.r.zero_after_count, 1);
	assert_int_equal(w.r.zero_after[0], 5);
	done(&w);
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
	struct world w;

	(void)state;
	make(&w, 4);
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
	assert_int_equal(scan(&w, &opts), -1);	/* the fifth answer was "stop" */
	assert_int_equal(w.err.class, FVD_ERR_CANCELLED);
	assert_int_equal(seen.verdict[0], FVD_REC_VOID);
	assert_non_null(strstr(seen.why[0], "stable epoch 4"));
	assert_int_equal(seen.verdict[1], FVD_REC_APPLIED);
	assert_int_equal(seen.verdict[2], FVD_REC_APPLIED);
	assert_int_equal(seen.verdict[3], FVD_REC_DAMAGED);
	assert_int_equal(seen.verdict[4], FVD_REC_DROPPED);
	done(&w);
}

static void bitmap_touches_blocks_up_to_the_base(void **state)
{
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header(SIZE, 3 * BLOCK + 512, BLOCK, 0, 65536);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	/* One sector each of blocks 1 and 2. */
	mk_put_bits(w.io, &w.h, 0, 2 * BLOCK / 512 - 1, 2);
	mk_put_bits(w.io, &w.h, 1, 3 * BLOCK / 512, 4096);	/* over the base's end */
	mk_put_bits(w.io, &w.h, 2, 3 * BLOCK / 512 + 1, 4096);	/* wholly beyond it */
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.r.bits_set, 3);
	assert_int_equal(w.m.bitmap[0], 0x0E);
	done(&w);
}

/* Position of the first event of @kind that touches [off, off + len), from @from. */
static unsigned find(const struct mk_recorder *r, char what, uint64_t off, uint64_t len,
		     unsigned from)
{
	for (unsigned i = from; i < r->count; i++) {
		const struct mk_event *e = &r->log[i];

		if (e->what == what && (what == 'f' || (e->off < off + len &&
							 off < e->off + e->len)))
			return i;
	}
	return UINT32_MAX;
}

static void commit_writes_in_the_order_of_the_format(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	unsigned zb, tab, map, st, za;
	struct mk_recorder rec;
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 8, 2, 11);
	mk_put_bits(w.io, &w.h, 1, 0, 1);
	mk_put_bits(w.io, &w.h, 2, 256, 1);
	mk_put_table(w.io, &w.h, 3, 9, 3, 12);
	opts.stop_at = 2;
	mk_record(&rec, w.io);
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(fvd_replay_commit(&rec.io, &rec.io, &w.m, &w.r, &w.err), 0);
	assert_int_equal(rec.log[0].what, 'f');
	zb = find(&rec, 'w', w.h.journal_offset + 2 * 512, 512, 0);
	map = find(&rec, 'w', w.h.bitmap_offset, 1, 0);
	tab = find(&rec, 'w', w.h.table_offset, 1, 0);
	st = find(&rec, 'w', 3072, 512, 0);
	za = find(&rec, 'w', w.h.journal_offset + 3 * 512, 512, 0);
	assert_true(0 < zb && zb < map && zb < tab && map < st && tab < st && st < za);
	assert_true(find(&rec, 'f', 0, 0, zb) < fvd_min(map, tab));
	assert_true(find(&rec, 'f', 0, 0, (unsigned)fvd_max(map, tab)) < st);
	assert_true(find(&rec, 'f', 0, 0, st) < za);
	assert_true(find(&rec, 'f', 0, 0, za) != UINT32_MAX);
	drop(&w);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.m.h.clean_shutdown, 1);
	assert_true(w.m.h.stable_epoch > 9);
	assert_int_equal(w.r.used, 2);
	assert_int_equal(w.m.table[2], 11);
	assert_int_equal(w.m.table[3], FVD_UNALLOCATED);
	assert_false(fvd_bitmap_get(w.m.bitmap, 2));
	done(&w);
}

static void commit_extends_a_short_file_before_clean(void **state)
{
	struct mk_recorder rec;
	struct world w;
	uint64_t len;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 2, 11);
	mk_record(&rec, w.io);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(fvd_replay_commit(&rec.io, &rec.io, &w.m, &w.r, &w.err), 0);
	assert_int_equal(fvd_io_length(w.io, &len, &w.err), 0);
	assert_int_equal(len, w.h.data_offset + 12 * FVD_MIB);
	assert_true(find(&rec, 't', 0, UINT64_MAX, 0) < find(&rec, 'w', 3072, 512, 0));
	done(&w);
}

static void discard_forgets_everything(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 8, 2, 11);
	mk_put_bits(w.io, &w.h, 1, 0, 1);
	opts.drop_all = true;
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(w.r.entries_set + w.r.bits_set, 0);
	assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), 0);
	drop(&w);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.r.used, 0);
	assert_true(w.m.h.stable_epoch > 8);
	done(&w);
}

static void busy_image(struct world *w)
{
	make(w, 3);
	mk_entry(w->io, &w->h, 0, 0);
	mk_put_table(w->io, &w->h, 0, 3, 0, 5);
	mk_put_table(w->io, &w->h, 1, 2, 7, 5);
	mk_put_table(w->io, &w->h, 2, 4, 9, 6);
	mk_put_bits(w->io, &w->h, 3, 0, 3000);
	mk_put_bits(w->io, &w->h, 5, 9000, 1);
	mk_put_table(w->io, &w->h, 6, 9, 10, 2);
}

static void replay_cut_anywhere_and_repeated_is_the_same(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	uint32_t want_table[1024];
	uint8_t want_bits[128];
	struct world w;

	(void)state;
	opts.stop_at = 5;
	busy_image(&w);
	assert_int_equal(scan(&w, &opts), 0);
	memcpy(want_table, w.m.table, sizeof(want_table));
	memcpy(want_bits, w.m.bitmap, sizeof(want_bits));
	done(&w);
	for (unsigned cut = 0;; cut++) {
		struct mk_recorder rec;
		int ret;

		busy_image(&w);
		mk_record(&rec, w.io);
		rec.fail_at = cut;
		assert_int_equal(scan(&w, &opts), 0);
		ret = fvd_replay_commit(&rec.io, &rec.io, &w.m, &w.r, &w.err);
		drop(&w);
		assert_int_equal(scan(&w, &opts), 0);
		assert_memory_equal(w.m.table, want_table, sizeof(want_table));
		assert_memory_equal(w.m.bitmap, want_bits, sizeof(want_bits));
		assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), 0);
		drop(&w);
		/* Now in place: nothing of the journal is needed, and nothing comes back. */
		assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
		assert_memory_equal(w.m.table, want_table, sizeof(want_table));
		assert_memory_equal(w.m.bitmap, want_bits, sizeof(want_bits));
		assert_int_equal(w.m.h.clean_shutdown, 1);
		assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
		assert_false(w.r.would_set_old_bit);
		done(&w);
		if (ret == 0)
			break;
		assert_true(cut < 40);
	}
}

static void revision_1_applies_always_and_masks_bit_31(void **state)
{
	struct mk_sector s = { { 0 }, 0 };
	uint32_t entries[2] = { 4 | FVD_ENTRY_DIRTY, FVD_UNALLOCATED };
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header_rev1(SIZE, SIZE, BLOCK, FVD_MIB, 65536);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	mk_entry(w.io, &w.h, 3, 8);
	mk_table_rev1(&s, 2, entries, 2);
	mk_bits(&s, 0, 1);
	mk_put(w.io, &w.h, 3, &s);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.m.table[2], 4);
	assert_int_equal(w.m.table[3], FVD_UNALLOCATED);
	assert_int_equal(w.m.bitmap[0], 1);
	assert_int_equal(w.r.max_epoch, 0);
	assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), 0);
	drop(&w);
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	assert_int_equal(w.m.h.clean_shutdown, 1);
	assert_int_equal(w.m.table[2], 4);
	drop(&w);
	/* Nothing makes its sectors void, so dropping zeroes all of them first. */
	opts.drop_all = true;
	assert_int_equal(scan(&w, &opts), 0);
	assert_int_equal(w.r.zero_before_count, 1);
	assert_int_equal(w.r.zero_after_count, 0);
	done(&w);
}

static void survey_changes_nothing(void **state)
{
	struct world w;

	(void)state;
	make(&w, 5);
	mk_put_table(w.io, &w.h, 0, 3, 0, 0);
	mk_put_table(w.io, &w.h, 1, 9, 0, 0);
	assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_int_equal(w.r.max_epoch, 9);
	assert_false(w.r.would_set_old_bit);
	assert_int_equal(w.m.table[0], FVD_UNALLOCATED);
	mk_put_bits(w.io, &w.h, 2, 0, 1);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_true(w.r.would_set_old_bit);
	fvd_meta_set_bits(&w.m, 0, 1);
	assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
	assert_false(w.r.would_set_old_bit);
	done(&w);
}

static void epochs_used_up_are_refused(void **state)
{
	struct world w;

	(void)state;
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, FVD_MAX_EPOCH, 0, 0);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	done(&w);
}

/* A reader's io under which a writer moves the state after the n-th read. */
static void shared_load_replays_in_memory(void **state)
{
	struct mk_recorder rec;
	struct world w;

	(void)state;
	busy_image(&w);
	mk_record(&rec, w.io);
	assert_int_equal(fvd_replay_load_shared(&rec.io, NULL, 3, &w.m, &w.err), 0);
	assert_int_equal(w.m.table[9], 6);
	assert_int_equal(rec.count, 0);
	done(&w);
	make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 5000, 1);
	assert_int_equal(fvd_replay_load_shared(w.io, NULL, 3, &w.m, &w.err), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	done(&w);
}

struct mover {
	struct fvd_io io;
	struct world *w;
	unsigned left;
	uint64_t epoch;
};

static int mover_preadv(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
			struct fvd_error *err)
{
	struct mover *mv = (struct mover *)(void *)io;

	if (off == mv->w->h.table_offset && mv->left > 0) {
		mv->left--;
		mk_put_table(mv->w->io, &mv->w->h, 0, mv->epoch++, 1, 1);
	}
	return fvd_io_preadv(mv->w->io, iov, n, off, err);
}

static int mover_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	return fvd_io_length(((struct mover *)(void *)io)->w->io, len, err);
}

static int late_preadv(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		       struct fvd_error *err)
{
	struct mover *mv = (struct mover *)(void *)io;

	/* The second look at the state sector alone: change it just before, `left` times. */
	if (off == 3072 && mv->left > 0) {
		struct fvd_header h = mv->w->h;

		mv->left--;
		h.stable_epoch = mv->epoch++;
		mk_put_header(mv->w->io, &h);
	}
	return fvd_io_preadv(mv->w->io, iov, n, off, err);
}

static void shared_load_tries_again(void **state)
{
	const struct fvd_io_ops early = { .name = "mover", .preadv = mover_preadv,
					  .length = mover_length };
	const struct fvd_io_ops late = { .name = "mover", .preadv = late_preadv,
					 .length = mover_length };
	struct world w;
	struct mover mv = { .w = &w, .left = 2, .epoch = 20 };
	char name[] = "mover";

	(void)state;
	make(&w, 3);
	mv.io.name = name;
	mv.io.ops = &late;
	assert_int_equal(fvd_replay_load_shared(&mv.io, NULL, 4, &w.m, &w.err), 0);
	fvd_meta_fini(&w.m);
	mv.left = 1000;
	assert_int_equal(fvd_replay_load_shared(&mv.io, NULL, 4, &w.m, &w.err), -1);
	assert_int_equal(w.err.class, FVD_ERR_LOCKED);
	mv.left = 1;
	mv.io.ops = &early;
	assert_int_equal(fvd_replay_load_shared(&mv.io, NULL, 4, &w.m, &w.err), 0);
	assert_int_equal(w.m.table[1], 1);
	fvd_meta_fini(&w.m);
	fvd_io_close(w.io);
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
	struct world w;

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
	done(&w);
}

static void records_that_cover_everything_do_not_hang(void **state)
{
	struct timespec a;
	struct world w;

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
	done(&w);
}

static void no_journal_is_an_empty_result(void **state)
{
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.h = mk_header(SIZE, 0, BLOCK, FVD_MIB, 0);
	w.io = mk_image(&w.h);
	assert_int_equal(scan(&w, NULL), 0);
	assert_int_equal(w.r.sectors, 0);
	assert_int_equal(w.r.first_damaged == UINT64_MAX, 1);
	done(&w);
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
		cmocka_unit_test(commit_writes_in_the_order_of_the_format),
		cmocka_unit_test(commit_extends_a_short_file_before_clean),
		cmocka_unit_test(discard_forgets_everything),
		cmocka_unit_test(replay_cut_anywhere_and_repeated_is_the_same),
		cmocka_unit_test(revision_1_applies_always_and_masks_bit_31),
		cmocka_unit_test(survey_changes_nothing),
		cmocka_unit_test(epochs_used_up_are_refused),
		cmocka_unit_test(shared_load_replays_in_memory),
		cmocka_unit_test(shared_load_tries_again),
		cmocka_unit_test(full_journal_is_fast),
		cmocka_unit_test(records_that_cover_everything_do_not_hang),
		cmocka_unit_test(no_journal_is_an_empty_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
