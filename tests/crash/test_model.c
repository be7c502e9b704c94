/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thousands of random operations against a plain array, on images of random shape: any
 * legal block, chunk and journal size, any order of regions, bases shorter and longer, raw and
 * fvd. Closed and reopened, killed and replayed, read by readers between. SEED= and ROUNDS=
 * extend it.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/crash_run.h"
#include "util/num.h"

static uint64_t sectors(struct cw_rng *r, uint64_t most)
{
	return (1 + cw_below(r, most / CW_SECTOR)) * CW_SECTOR;
}

static uint64_t size_or_pow2(struct cw_rng *r, uint64_t most)
{
	uint64_t size = CW_SECTOR;

	if (cw_chance(r, 50))
		return sectors(r, most);
	while (size < most && cw_chance(r, 70))
		size *= 2;
	return size;
}

static void random_base(struct cw_rng *r, struct ci_cfg *cfg)
{
	cfg->block = size_or_pow2(r, 32768);
	cfg->base_len = cw_chance(r, 30) ? cfg->vsize : 1 + cw_below(r, cfg->vsize * 3 / 2);
	if (cw_chance(r, 30)) {
		cfg->base = cw_chance(r, 50) ? CI_FVD : CI_FVD_DIRTY;
		cfg->base_len = fvd_max(fvd_round_up(cfg->base_len, CW_SECTOR), 8192);
	}
}

static void random_layout(struct cw_rng *r, struct ci_cfg *cfg)
{
	*cfg = (struct ci_cfg){ .name = "random layout", .vsize = sectors(r, 200000) };
	if (cw_chance(r, 75))
		cfg->chunk = size_or_pow2(r, 32768);
	if (cw_chance(r, 65))
		random_base(r, cfg);
	if (cw_chance(r, 85))
		cfg->journal = 4096 * (1 + cw_below(r, 5));
	cfg->data_file = cw_chance(r, 25);
	cfg->order = (enum ci_order)cw_below(r, 3);
	cfg->data_skew = cw_chance(r, 30) ? sectors(r, 8192) : 0;
	cfg->generation = cw_chance(r, 50);
	cfg->grow = 1 + cw_below(r, 100000);
	cfg->commit = cw_chance(r, 50) ? FVD_COMMIT_ON_DEMAND : 0;
	cfg->buffer = CW_SECTOR * (1 + cw_below(r, fvd_max(cfg->journal / CW_SECTOR, 1)));
	if (cfg->chunk && cfg->order != CI_DATA_FIRST && cw_chance(r, 15))
		cfg->device_chunks = 1 + cw_below(r, 2 * cfg->vsize / cfg->chunk + 1);
}

static bool needs_journal(const struct ci_cfg *cfg)
{
	return cfg->chunk > 0 || cfg->base_len > 0;
}

static bool check_data(struct cr *r, const struct fvd_extent *e)
{
	struct fvd_error err;

	if (fvd_io_pread(e->io, r->buf, e->len, e->io_off, &err) < 0)
		return cr_violation(r, "cannot read where an extent is stored: %s", err.text);
	if (memcmp(r->buf, r->model.live + e->off, e->len) != 0)
		return cr_violation(r, "extent at %" PRIu64 ": storage holds something else", e->off);
	return true;
}

static bool check_extent(struct cr *r, const struct fvd_extent *e, unsigned flags)
{
	if (e->kind == FVD_EXTENT_DATA)
		return e->depth >= 0 && check_data(r, e);
	if (e->kind == FVD_EXTENT_BASE) {
		if ((flags & FVD_EXTENT_RECURSE) || !r->job.cfg->base_len)
			return cr_violation(r, "extent at %" PRIu64 ": base again", e->off);
		if (memcmp(r->ci.initial + e->off, r->model.live + e->off, e->len) != 0)
			return cr_violation(r, "extent at %" PRIu64 ": not the base's", e->off);
		return true;
	}
	for (uint64_t i = 0; i < e->len; i++) {
		if (r->model.live[e->off + i] != 0)
			return cr_violation(r, "extent at %" PRIu64 ": zero, says it, but %" PRIu64
					    " is not", e->off, e->off + i);
	}
	return true;
}

static bool check_extents(struct cr *r)
{
	unsigned flags = (unsigned)cw_below(&r->rng, 4);
	uint64_t off = cw_below(&r->rng, r->model.size), max;
	struct fvd_extent e;
	struct fvd_error err;

	if (cw_chance(&r->rng, 50))
		off = 0;
	for (; off < r->model.size; off += e.len) {
		max = cw_chance(&r->rng, 80) ? r->model.size - off :
					       1 + cw_below(&r->rng, r->model.size - off);
		if (fvd_image_extent(r->img, off, max, flags, &e, &err) < 0)
			return cr_violation(r, "extent at %" PRIu64 ": %s", off, err.text);
		if (e.off != off || e.len == 0 || e.len > max)
			return cr_violation(r, "extent at %" PRIu64 " is %" PRIu64 "+%" PRIu64, off,
					    e.off, e.len);
		if (!check_extent(r, &e, flags))
			return false;
	}
	return true;
}

/* A reader of the closed or killed image: same content as the writer after it, file untouched. */
static bool read_only_visit(struct cr *r, bool clean)
{
	struct fvd_open_opts opts = ci_opts(&r->ci, r->w, 0);
	uint64_t changes = r->w->changes;
	struct fvd_error err;
	int ret;

	if (fvd_image_open("img", &opts, &r->img, &err) < 0) {
		r->img = NULL;
		return cr_violation(r, "a reader cannot open: %s", err.text);
	}
	ret = ci_read_all(r->img, r->second, r->model.size, &err);
	if (ret == 0 && clean && !check_extents(r))
		return false;
	if (fvd_image_close(r->img, &err) < 0 || ret < 0) {
		r->img = NULL;
		return cr_violation(r, "a reader failed: %s", err.text);
	}
	r->img = NULL;
	if (r->w->changes != changes)
		return cr_violation(r, "a reader changed a file");
	return true;
}

static bool visit_and_reopen(struct cr *r, bool clean)
{
	if (!read_only_visit(r, clean) || !cr_open(r))
		return false;
	if (clean ? !cr_check_live(r) : !cr_settle(r))
		return false;
	if (memcmp(r->second, r->model.live, r->model.size) != 0)
		return cr_violation(r, "a reader saw other content than the next writer");
	return true;
}

static bool close_or_kill(struct cr *r)
{
	bool journal = r->job.cfg->journal > 0 || !needs_journal(r->job.cfg);

	if (cw_chance(&r->rng, 50) || !journal)
		return cr_close(r) && visit_and_reopen(r, true);
	return cr_kill(r) && visit_and_reopen(r, r->job.cfg->commit == 0);
}

static bool model_op(struct cr *r)
{
	uint64_t n = cw_below(&r->rng, 100), size = r->model.size;
	uint64_t off = cw_below(&r->rng, size), len;

	len = 1 + cw_below(&r->rng, fvd_min(size - off, cw_chance(&r->rng, 70) ? 20000 : size));
	if (cw_chance(&r->rng, 30)) {
		off = fvd_round_down(off, 4096);
		len = fvd_min(fvd_round_up(len, 4096), size - off);
	}
	if (n < 45)
		return cr_write(r, off, len);
	if (n < 70)
		return cr_zero(r, off, len, n & 1);
	if (n < 80)
		return cr_flush(r);
	if (n < 87)
		return check_extents(r);
	if (n < 94)
		return cr_check_live(r);
	return close_or_kill(r);
}

static void run_layout(const struct ci_cfg *cfg, uint64_t seed, unsigned ops,
		       struct cr_result *result)
{
	struct cr_job job = { cfg, &cr_default_profile, seed, 0 };
	struct cr r;

	cr_init(&r, &job, result);
	if (!result->violated && cr_open(&r) && cr_check_live(&r)) {
		for (unsigned i = 0; i < ops && model_op(&r); i++)
			;
	}
	if (!result->violated && cr_close(&r) && read_only_visit(&r, true) &&
	    memcmp(r.second, r.model.live, r.model.size) != 0)
		cr_violation(&r, "at the end a reader sees other content");
	if (!result->violated)
		cr_check_clean(&r, r.w);
	cr_fini(&r);
}

static void test_random_layouts(void **state)
{
	uint64_t seed = cr_env("SEED", 1), rounds = cr_env("ROUNDS", 1), n = 0;
	struct cr_result result = { 0 };
	struct ci_cfg cfg;
	struct cw_rng rng;

	(void)state;
	for (uint64_t s = seed; s < seed + rounds * 400 && !result.violated; s++, n++) {
		cw_seed(&rng, s);
		random_layout(&rng, &cfg);
		run_layout(&cfg, s, 120, &result);
	}
	print_message("SEED=%" PRIu64 " ROUNDS=%" PRIu64 ": %" PRIu64 " random layouts\n", seed,
		      rounds, n);
	if (result.violated)
		fail_msg("%s (vsize %" PRIu64 " chunk %" PRIu64 " block %" PRIu64 " base %" PRIu64
			 "/%d journal %" PRIu64 " buffer %zu data file %d device %" PRIu64
			 " skew %" PRIu64 " order %d grow %" PRIu64 " commit %" PRIu32 ")",
			 result.text, cfg.vsize, cfg.chunk, cfg.block, cfg.base_len, (int)cfg.base,
			 cfg.journal, cfg.buffer, cfg.data_file, cfg.device_chunks, cfg.data_skew,
			 (int)cfg.order, cfg.grow, cfg.commit);
}

/* Killed without a journal: readable, and for writing only when the risk is accepted. */
static void test_without_journal(void **state)
{
	static const struct ci_cfg cfg = { .name = "no journal", .vsize = 65536, .chunk = 4096,
					   .base_len = 50000, .commit = FVD_COMMIT_ON_DEMAND };
	struct cr_job job = { &cfg, &cr_default_profile, 1, 0 };
	struct cr_result result = { 0 };
	struct fvd_open_opts opts;
	struct fvd_image *img;
	struct fvd_error err;
	struct cr r;

	(void)state;
	cr_init(&r, &job, &result);
	assert_true(cr_open(&r) && cr_write(&r, 1000, 20000) && cr_flush(&r) && cr_kill(&r));
	opts = ci_opts(&r.ci, r.w, FVD_OPEN_WRITE);
	assert_int_equal(fvd_image_open("img", &opts, &img, &err), -1);
	assert_int_equal(err.class, FVD_ERR_DIRTY);
	opts.flags |= FVD_OPEN_ACCEPT_UNCLEAN;
	assert_int_equal(fvd_image_open("img", &opts, &r.img, &err), 0);
	assert_true(cr_check_live(&r) && cr_write(&r, 30000, 3000) && cr_close(&r));
	assert_true(read_only_visit(&r, true));
	assert_memory_equal(r.second, r.model.live, r.model.size);
	assert_false(result.violated);
	cr_fini(&r);
}

/* Filling a new image in bulk: some is placed, some zeroed, the rest is the base. */
static void fill_in_bulk(struct cr *r)
{
	uint64_t unit = 16384, phys, run, id;
	struct fvd_error err;

	for (uint64_t off = 0; off < r->model.size; off += unit) {
		uint64_t len = fvd_min(unit, r->model.size - off), at = off;

		if (cw_chance(&r->rng, 40))
			continue;
		if (cw_chance(&r->rng, 30) && r->job.cfg->base_len) {
			id = model_write(&r->model, NULL, len, off, cw_tick(r->w));
			assert_int_equal(fvd_image_bulk_zero(r->img, off, len, &err), 0);
			model_written(&r->model, (uint32_t)id, len, off, true, cw_tick(r->w));
			continue;
		}
		model_stamp(r->buf, len / CW_SECTOR, off / CW_SECTOR, 99);
		id = model_write(&r->model, r->buf, len, off, cw_tick(r->w));
		for (; at < off + len; at += run) {
			assert_int_equal(fvd_image_bulk_place(r->img, at, off + len - at, &phys,
							      &run, &err), 0);
			assert_true(run > 0 && run <= off + len - at);
			assert_int_equal(fvd_io_pwrite(fvd_image_data(r->img), r->buf + (at - off),
						       run, phys, &err), 0);
		}
		model_written(&r->model, (uint32_t)id, len, off, true, cw_tick(r->w));
	}
}

static void test_bulk(void **state)
{
	static const struct ci_cfg cfgs[] = {
		{ .name = "bulk compact", .vsize = 131072, .chunk = 4096, .journal = 4096 },
		{ .name = "bulk large chunk", .vsize = 131072, .chunk = 32768, .journal = 4096 },
		{ .name = "bulk both", .vsize = 131072, .chunk = 8192, .block = 16384,
		  .base_len = 120000, .journal = 4096 },
		{ .name = "bulk copy-on-write", .vsize = 131072, .block = 4096,
		  .base_len = 100000, .journal = 4096, .data_file = true },
		{ .name = "bulk raw-like", .vsize = 131072 },
	};

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		const struct ci_cfg *cfg = &cfgs[i % 5];
		struct cr_job job = { cfg, &cr_default_profile, i, 0 };
		struct cr_result result = { 0 };
		struct fvd_open_opts opts;
		struct fvd_error err;
		struct cr r;

		cr_init(&r, &job, &result);
		opts = ci_opts(&r.ci, r.w, FVD_OPEN_WRITE | FVD_OPEN_BULK);
		assert_int_equal(fvd_image_open("img", &opts, &r.img, &err), 0);
		fill_in_bulk(&r);
		if (!cr_close(&r) || !visit_and_reopen(&r, true) || !cr_close(&r))
			fail_msg("%s", result.text);
		cr_fini(&r);
	}
}

/* Ranges that are not in the disk are refused, and change nothing. */
static void test_range_errors(void **state)
{
	static const struct ci_cfg cfg = { .name = "ranges", .vsize = 65536, .chunk = 4096,
					   .journal = 4096 };
	struct cr_job job = { &cfg, &cr_default_profile, 1, 0 };
	struct cr_result result = { 0 };
	struct fvd_error err;
	struct fvd_extent e;
	uint64_t changes;
	struct cr r;

	(void)state;
	cr_init(&r, &job, &result);
	assert_true(cr_open(&r));
	changes = r.w->changes;
	assert_int_equal(fvd_image_read(r.img, r.buf, 2, 65535, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
	assert_int_equal(fvd_image_write(r.img, r.buf, 1, 65536, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
	assert_int_equal(fvd_image_discard(r.img, UINT64_MAX, 512, &err), -1);
	assert_int_equal(fvd_image_write_zeroes(r.img, 65536, 1, &err), -1);
	assert_int_equal(fvd_image_extent(r.img, 65536, 1, 0, &e, &err), -1);
	assert_int_equal(fvd_image_write(r.img, r.buf, 0, 65536, &err), 0);
	assert_int_equal(r.w->changes, changes);
	assert_true(cr_check_live(&r) && cr_close(&r));
	cr_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_layouts),
		cmocka_unit_test(test_without_journal),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_range_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
