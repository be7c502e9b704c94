/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/mem_opener.h"
#include "../support/mkimage.h"
#include "io/io_mem.h"
#include "io/io_undo.h"
#include "ops/replay_journal.h"
#include "util/num.h"

#define SIZE (64 * FVD_MIB)
#define CHUNK (64 * FVD_KIB)

struct world {
	struct fvd_opener *opener;
	struct fvd_header h;
	struct fvd_io *io;	/* borrowed */
	struct fvd_replay_op_opts opts;
	struct fvd_replay_result r;
	struct fvd_error err;
	bool was_clean;
	uint8_t *before;
	uint64_t len;
};

/* Dirty, with two table records and a bitmap record waiting. */
static void make(struct world *w, const char *data_file)
{
	memset(w, 0, sizeof(*w));
	w->opener = mem_opener_new();
	w->h = mk_header(SIZE, SIZE, CHUNK, CHUNK, 65536);
	if (data_file != NULL) {
		strcpy(w->h.data_file, data_file);
		w->h.data_offset = 0;
	}
	w->h.clean_shutdown = 0;
	w->io = mk_image(&w->h);
	mem_opener_add(w->opener, "disk.fvd", w->io);
	mk_put_table(w->io, &w->h, 0, 4, 2, 7);
	mk_put_table(w->io, &w->h, 1, 5, 3, 8);
	mk_put_bits(w->io, &w->h, 2, 0, 1);
	w->opts = (struct fvd_replay_op_opts)FVD_REPLAY_OP_OPTS_INIT;
	w->opts.opener = w->opener;
	w->before = mk_bytes(w->io, &w->len);
}

static int run(struct world *w)
{
	fvd_replay_result_fini(&w->r);
	return fvd_replay_journal("disk.fvd", &w->opts, &w->r, &w->was_clean, &w->err);
}

static bool unchanged(struct world *w)
{
	uint64_t len;
	uint8_t *now = mk_bytes(w->io, &len);
	bool same = len == w->len && memcmp(now, w->before, len) == 0;

	free(now);
	return same;
}

static void done(struct world *w)
{
	fvd_replay_result_fini(&w->r);
	free(w->before);
	mem_opener_free(w->opener);
}

static void replay_puts_the_journal_in_place(void **state)
{
	struct world w;

	(void)state;
	make(&w, NULL);
	assert_int_equal(run(&w), 0);
	assert_false(w.was_clean);
	assert_int_equal(w.r.applied, 3);
	assert_int_equal(mk_get_entry(w.io, &w.h, 2), 7);
	assert_int_equal(mk_get_entry(w.io, &w.h, 3), 8);
	assert_true(mk_get_bit(w.io, &w.h, 0));
	free(w.before);
	w.before = mk_bytes(w.io, &w.len);
	assert_int_equal(run(&w), 0);
	assert_true(w.was_clean);
	assert_true(unchanged(&w));
	done(&w);
}

static void dry_run_says_the_same_and_writes_nothing(void **state)
{
	struct world w;

	(void)state;
	make(&w, "disk.dat");
	w.opts.dry_run = true;
	w.opts.undo_file = "undo";
	assert_int_equal(run(&w), 0);
	assert_int_equal(w.r.applied, 3);
	assert_int_equal(w.r.entries_set, 2);
	assert_int_equal(w.r.bits_set, 1);
	assert_true(unchanged(&w));
	assert_null(mem_opener_get(w.opener, "undo"));
	done(&w);
}

static void damage_stops_before_the_first_write(void **state)
{
	struct mk_sector bad = { { 5, 5, 5, 5 }, 4 };
	struct world w;

	(void)state;
	make(&w, NULL);
	mk_put(w.io, &w.h, 1, &bad);
	free(w.before);
	w.before = mk_bytes(w.io, &w.len);
	w.opts.undo_file = "undo";
	assert_int_equal(run(&w), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w.err.text, "disk.fvd: journal sector 1"));
	assert_non_null(strstr(w.err.text, "--skip-damaged"));
	assert_true(unchanged(&w));
	assert_null(mem_opener_get(w.opener, "undo"));
	w.opts.replay.skip_damaged = true;
	assert_int_equal(run(&w), 0);
	assert_int_equal(w.r.dropped, 1);
	assert_int_equal(mk_get_entry(w.io, &w.h, 2), 7);
	assert_int_equal(mk_get_entry(w.io, &w.h, 3), FVD_UNALLOCATED);
	assert_true(mk_get_bit(w.io, &w.h, 0));
	done(&w);
}

static void stop_at_and_discard_leave_nothing_to_come_back(void **state)
{
	struct fvd_replay_op_opts plain;
	struct world w;

	(void)state;
	for (int discard = 0; discard < 2; discard++) {
		make(&w, NULL);
		plain = w.opts;
		w.opts.replay.stop_at = discard ? UINT64_MAX : 1;
		w.opts.replay.drop_all = discard;
		assert_int_equal(run(&w), 0);
		assert_int_equal(w.r.dropped, discard ? 3 : 2);
		assert_int_equal(mk_get_entry(w.io, &w.h, 2), discard ? FVD_UNALLOCATED : 7);
		assert_int_equal(mk_get_entry(w.io, &w.h, 3), FVD_UNALLOCATED);
		assert_false(mk_get_bit(w.io, &w.h, 0));
		w.opts = plain;
		assert_int_equal(run(&w), 0);
		assert_int_equal(w.r.used, discard ? 0 : 1);
		done(&w);
	}
}

static void duplicates_are_refused_before_the_first_write(void **state)
{
	struct world w;

	(void)state;
	make(&w, NULL);
	mk_entry(w.io, &w.h, 40, 7);
	free(w.before);
	w.before = mk_bytes(w.io, &w.len);
	assert_int_equal(run(&w), -1);
	assert_int_equal(w.err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w.err.text, "both name chunk 7"));
	assert_true(unchanged(&w));
	done(&w);
}

static void data_file_must_be_there_to_write(void **state)
{
	struct fvd_io *data;
	struct world w;
	uint64_t len;

	(void)state;
	make(&w, "disk.dat");
	assert_int_equal(run(&w), -1);
	assert_int_equal(w.err.errnum, ENOENT);
	assert_non_null(strstr(w.err.text, "data file"));
	assert_non_null(strstr(w.err.text, "disk.dat"));
	assert_true(unchanged(&w));
	data = fvd_io_mem_new("disk.dat", 0, NULL);
	mem_opener_add(w.opener, "disk.dat", data);
	assert_int_equal(run(&w), 0);
	assert_int_equal(fvd_io_length(data, &len, NULL), 0);
	assert_int_equal(len, 9 * CHUNK);
	done(&w);
}

static void undo_brings_the_dirty_image_back(void **state)
{
	struct world w;
	uint64_t bytes;

	(void)state;
	make(&w, NULL);
	w.opts.undo_file = "undo";
	assert_int_equal(run(&w), 0);
	assert_false(unchanged(&w));
	assert_int_equal(fvd_undo_apply(mem_opener_get(w.opener, "undo"), w.io, &bytes, &w.err),
			 0);
	assert_true(unchanged(&w));
	w.opts.undo_file = "undo";
	assert_int_equal(run(&w), -1);	/* never over an undo file that is there */
	assert_int_equal(w.err.errnum, EEXIST);
	assert_true(unchanged(&w));
	done(&w);
}

static void no_journal_is_said(void **state)
{
	struct world w;

	(void)state;
	make(&w, NULL);
	w.h = mk_header(SIZE, 0, CHUNK, CHUNK, 0);
	w.h.clean_shutdown = 0;
	w.io = mk_image(&w.h);
	mem_opener_add(w.opener, "disk.fvd", w.io);
	assert_int_equal(run(&w), -1);
	assert_int_equal(w.err.class, FVD_ERR_DIRTY);
	assert_non_null(strstr(w.err.text, "check -y"));
	done(&w);
}

static void locks_are_taken(void **state)
{
	struct fvd_io *holder;
	struct world w;

	(void)state;
	make(&w, NULL);
	assert_int_equal(w.opener->open(w.opener, "disk.fvd", 0, FVD_LOCK_SHARED, &holder, NULL),
			 0);
	assert_int_equal(run(&w), -1);
	assert_int_equal(w.err.class, FVD_ERR_LOCKED);
	w.opts.dry_run = true;
	assert_int_equal(run(&w), 0);
	fvd_io_close(holder);
	done(&w);
}

static void clean_image_tells_its_history(void **state)
{
	struct world w;

	(void)state;
	make(&w, NULL);
	w.h.clean_shutdown = 1;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 9, 5, 50000, 8);	/* damage of no consequence */
	free(w.before);
	w.before = mk_bytes(w.io, &w.len);
	assert_int_equal(run(&w), 0);
	assert_true(w.was_clean);
	assert_int_equal(w.r.used, 4);
	assert_true(unchanged(&w));
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_puts_the_journal_in_place),
		cmocka_unit_test(dry_run_says_the_same_and_writes_nothing),
		cmocka_unit_test(damage_stops_before_the_first_write),
		cmocka_unit_test(stop_at_and_discard_leave_nothing_to_come_back),
		cmocka_unit_test(duplicates_are_refused_before_the_first_write),
		cmocka_unit_test(data_file_must_be_there_to_write),
		cmocka_unit_test(undo_brings_the_dirty_image_back),
		cmocka_unit_test(no_journal_is_said),
		cmocka_unit_test(locks_are_taken),
		cmocka_unit_test(clean_image_tells_its_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
