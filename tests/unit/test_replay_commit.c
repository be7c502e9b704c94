/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/replay_world.h"
#include "format/bitmap.h"

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
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 8, 2, 11);
	mk_put_bits(w.io, &w.h, 1, 0, 1);
	mk_put_bits(w.io, &w.h, 2, 256, 1);
	mk_put_table(w.io, &w.h, 3, 9, 3, 12);
	opts.stop_at = 2;
	mk_record(&rec, w.io);
	assert_int_equal(replay_scan(&w, &opts), 0);
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
	replay_drop(&w);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.m.h.clean_shutdown, 1);
	assert_true(w.m.h.stable_epoch > 9);
	assert_int_equal(w.r.used, 2);
	assert_int_equal(w.m.table[2], 11);
	assert_int_equal(w.m.table[3], FVD_UNALLOCATED);
	assert_false(fvd_bitmap_get(w.m.bitmap, 2));
	replay_done(&w);
}

static void commit_extends_a_short_file_before_clean(void **state)
{
	struct mk_recorder rec;
	struct replay_world w;
	uint64_t len;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 2, 11);
	mk_record(&rec, w.io);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(fvd_replay_commit(&rec.io, &rec.io, &w.m, &w.r, &w.err), 0);
	assert_int_equal(fvd_io_length(w.io, &len, &w.err), 0);
	assert_int_equal(len, w.h.data_offset + 12 * FVD_MIB);
	assert_true(find(&rec, 't', 0, UINT64_MAX, 0) < find(&rec, 'w', 3072, 512, 0));
	replay_done(&w);
}

static void discard_forgets_everything(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 8, 2, 11);
	mk_put_bits(w.io, &w.h, 1, 0, 1);
	opts.drop_all = true;
	assert_int_equal(replay_scan(&w, &opts), 0);
	assert_int_equal(w.r.entries_set + w.r.bits_set, 0);
	assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), 0);
	replay_drop(&w);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(w.r.used, 0);
	assert_true(w.m.h.stable_epoch > 8);
	replay_done(&w);
}

static void replay_cut_anywhere_and_repeated_is_the_same(void **state)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	uint32_t want_table[1024];
	uint8_t want_bits[128];
	struct replay_world w;

	(void)state;
	opts.stop_at = 5;
	replay_busy(&w);
	assert_int_equal(replay_scan(&w, &opts), 0);
	memcpy(want_table, w.m.table, sizeof(want_table));
	memcpy(want_bits, w.m.bitmap, sizeof(want_bits));
	replay_done(&w);
	for (unsigned cut = 0;; cut++) {
		struct mk_recorder rec;
		int ret;

		replay_busy(&w);
		mk_record(&rec, w.io);
		rec.fail_at = cut;
		assert_int_equal(replay_scan(&w, &opts), 0);
		ret = fvd_replay_commit(&rec.io, &rec.io, &w.m, &w.r, &w.err);
		replay_drop(&w);
		assert_int_equal(replay_scan(&w, &opts), 0);
		assert_memory_equal(w.m.table, want_table, sizeof(want_table));
		assert_memory_equal(w.m.bitmap, want_bits, sizeof(want_bits));
		assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), 0);
		replay_drop(&w);
		/* Now in place: nothing of the journal is needed, and nothing comes back. */
		assert_int_equal(fvd_meta_load(w.io, w.io, 0, &w.m, &w.err), 0);
		assert_memory_equal(w.m.table, want_table, sizeof(want_table));
		assert_memory_equal(w.m.bitmap, want_bits, sizeof(want_bits));
		assert_int_equal(w.m.h.clean_shutdown, 1);
		assert_int_equal(fvd_replay_survey(w.io, &w.m, &w.r, &w.err), 0);
		assert_false(w.r.would_set_old_bit);
		replay_done(&w);
		if (ret == 0)
			break;
		assert_true(cut < 40);
	}
}

static void epochs_used_up_are_refused(void **state)
{
	struct replay_world w;

	(void)state;
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, FVD_MAX_EPOCH, 0, 0);
	assert_int_equal(replay_scan(&w, NULL), 0);
	assert_int_equal(fvd_replay_commit(w.io, w.io, &w.m, &w.r, &w.err), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	replay_done(&w);
}

/* A reader's io under which a writer moves the state after the n-th read. */
static void shared_load_replays_in_memory(void **state)
{
	struct mk_recorder rec;
	struct replay_world w;

	(void)state;
	replay_busy(&w);
	mk_record(&rec, w.io);
	assert_int_equal(fvd_replay_load_shared(&rec.io, NULL, 3, &w.m, &w.err), 0);
	assert_int_equal(w.m.table[9], 6);
	assert_int_equal(rec.count, 0);
	replay_done(&w);
	replay_make(&w, 1);
	mk_put_table(w.io, &w.h, 0, 1, 5000, 1);
	assert_int_equal(fvd_replay_load_shared(w.io, NULL, 3, &w.m, &w.err), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	replay_done(&w);
}

struct mover {
	struct fvd_io io;
	struct replay_world *w;
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
	struct replay_world w;
	struct mover mv = { .w = &w, .left = 2, .epoch = 20 };
	char name[] = "mover";

	(void)state;
	replay_make(&w, 3);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commit_writes_in_the_order_of_the_format),
		cmocka_unit_test(commit_extends_a_short_file_before_clean),
		cmocka_unit_test(discard_forgets_everything),
		cmocka_unit_test(replay_cut_anywhere_and_repeated_is_the_same),
		cmocka_unit_test(epochs_used_up_are_refused),
		cmocka_unit_test(shared_load_replays_in_memory),
		cmocka_unit_test(shared_load_tries_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
