/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several threads on one image. In the crash world their calls are delayed at random, and all
 * cuts of what came of it are explored; on real files the commit thread runs too, and threads
 * overwrite each other. The second is the one to run under -fsanitize=thread: the crash world's
 * own lock would hide races.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/crash_layouts.h"
#include "ops/create.h"
#include "util/num.h"

#define THREADS 3

/* ---- power cuts ---- */

struct guest {
	struct cr *r;
	struct cw_rng rng;
	unsigned id, ops;
	uint64_t unit;		/* units are dealt to the threads in turn */
	uint8_t *buf;
	bool ok;
};

/* Some calls take longer than others. */
static int delay(void *opaque, const struct cw_call *call)
{
	_Atomic uint64_t *state = opaque;
	uint64_t n = atomic_fetch_add(state, UINT64_C(0x9E3779B97F4A7C15)) ^ call->number << 13;

	n = (n ^ n >> 31) * UINT64_C(0xff51afd7ed558ccd) >> 40;
	if (n % 4 == 0)
		usleep((useconds_t)(n % 60));
	return 0;
}

static uint64_t own_range(struct guest *g, uint64_t *len)
{
	uint64_t units = fvd_div_up(g->r->model.size, g->unit), u, off, skip;

	u = cw_below(&g->rng, fvd_div_up(units, THREADS)) * THREADS + g->id;
	if (u >= units)
		u = g->id;
	off = u * g->unit;
	*len = fvd_min(g->unit, g->r->model.size - off);
	if (cw_chance(&g->rng, 60)) {
		skip = cw_below(&g->rng, *len / CW_SECTOR) * CW_SECTOR;
		off += skip;
		*len = (1 + cw_below(&g->rng, (*len - skip) / CW_SECTOR)) * CW_SECTOR;
	}
	return off;
}

static bool read_own(struct guest *g, uint64_t off, uint64_t len)
{
	struct fvd_error err;
	bool same;

	if (fvd_image_read(g->r->img, g->buf, len, off, &err) < 0)
		return cr_violation(g->r, "cannot read: %s", err.text);
	pthread_mutex_lock(&g->r->lock);
	same = memcmp(g->buf, g->r->model.live + off, len) == 0;
	pthread_mutex_unlock(&g->r->lock);
	return same || cr_violation(g->r, "thread %u reads something else at %" PRIu64, g->id, off);
}

static bool guest_op(struct guest *g)
{
	unsigned n = (unsigned)cw_below(&g->rng, 100);
	uint64_t len, off = own_range(g, &len);

	if (n < 50)
		return cr_write(g->r, off, len) && read_own(g, off, len);
	if (n < 70)
		return cr_zero(g->r, off, len, true);
	return n < 90 ? cr_flush(g->r) : read_own(g, off, len);
}

static void *guest_thread(void *opaque)
{
	struct guest *g = opaque;

	g->ok = true;
	for (unsigned i = 0; i < g->ops && g->ok; i++)
		g->ok = guest_op(g);
	return NULL;
}

static bool run_guests(struct cr *r, unsigned ops, uint64_t unit)
{
	struct guest g[THREADS];
	pthread_t thread[THREADS];
	bool ok = true;

	for (unsigned i = 0; i < THREADS; i++) {
		g[i] = (struct guest){ .r = r, .id = i, .ops = ops, .unit = unit };
		g[i].buf = malloc(r->model.size);
		assert_non_null(g[i].buf);
		cw_seed(&g[i].rng, r->job.seed * THREADS + i);
		assert_int_equal(pthread_create(&thread[i], NULL, guest_thread, &g[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		free(g[i].buf);
		ok &= g[i].ok;
	}
	return ok;
}

static void run_layout(const struct ci_cfg *cfg, uint64_t seed, struct cr_result *result)
{
	static const uint64_t units[] = { 1024, 4096, 8192, 2560 };
	struct cr_job job = { cfg, cr_profiles[CR_HOT], seed, 0 };
	_Atomic uint64_t delays = seed;
	struct cr r;

	cr_init(&r, &job, result);
	cr_start_log(&r);
	if (!result->violated && cr_open(&r)) {
		r.w->opaque = &delays;
		r.w->before = delay;
		if (run_guests(&r, 12, units[seed % 4]) && cr_check_live(&r)) {
			r.w->before = NULL;
			if (seed & 4 ? cr_close(&r) : cr_kill(&r))
				cr_explore(&r);
		}
	}
	cr_fini(&r);
	result->runs++;
}

static void test_power_cuts(void **state)
{
	uint64_t seed = cr_env("SEED", 1), rounds = cr_env("ROUNDS", 1);
	struct cr_result result = { 0 };

	(void)state;
	for (uint64_t s = seed; s < seed + 4 * rounds; s++) {
		for (size_t i = 0; i < cr_layout_count && !result.violated; i++)
			run_layout(&cr_layouts[i], s, &result);
	}
	print_message("SEED=%" PRIu64 " ROUNDS=%" PRIu64 ": %" PRIu64 " crash states of %" PRIu64
		      " runs of %d threads\n", seed, rounds, result.states, result.runs, THREADS);
	if (result.violated)
		fail_msg("%s", result.text);
}

/* ---- real files ---- */

#define DISK (UINT64_C(1) << 20)
#define SHARED (DISK / 4)	/* at the end: everybody writes there */
#define WRITERS 4
#define WRITES 300

struct writer {
	struct fvd_image *img;
	struct cw_rng rng;
	unsigned id;
	uint8_t *mine;		/* what its own sectors hold */
	bool ok;
};

static uint64_t serial_of(unsigned writer, unsigned i)
{
	return 1 + (uint64_t)writer * WRITES + i;
}

/* Sectors in turn below SHARED; a write covers one of its own, or a run of the shared ones. */
static bool one_write(struct writer *w, unsigned i)
{
	uint64_t sectors = (DISK - SHARED) / CW_SECTOR, s, count = 1;
	uint8_t data[8 * CW_SECTOR];

	if (cw_chance(&w->rng, 40)) {
		s = sectors + cw_below(&w->rng, SHARED / CW_SECTOR - 8);
		count = 1 + cw_below(&w->rng, 8);
	} else {
		s = cw_below(&w->rng, sectors / WRITERS) * WRITERS + w->id;
	}
	model_stamp(data, count, s, serial_of(w->id, i));
	if (s < sectors)
		memcpy(w->mine + s * CW_SECTOR, data, CW_SECTOR);
	return fvd_image_write(w->img, data, count * CW_SECTOR, s * CW_SECTOR, NULL) == 0;
}

static bool one_look(struct writer *w)
{
	uint64_t s = cw_below(&w->rng, (DISK - SHARED) / CW_SECTOR / WRITERS) * WRITERS + w->id;
	uint8_t sector[CW_SECTOR];
	struct fvd_extent e;

	return fvd_image_extent(w->img, s * CW_SECTOR, DISK - s * CW_SECTOR, 0, &e, NULL) == 0 &&
	       fvd_image_read(w->img, sector, CW_SECTOR, s * CW_SECTOR, NULL) == 0 &&
	       memcmp(sector, w->mine + s * CW_SECTOR, CW_SECTOR) == 0;
}

static void *writer_thread(void *opaque)
{
	struct writer *w = opaque;

	w->ok = true;
	for (unsigned i = 0; i < WRITES && w->ok; i++) {
		w->ok = one_write(w, i) && one_look(w);
		if (w->ok && cw_chance(&w->rng, 8))
			w->ok = fvd_image_flush(w->img, NULL) == 0;
		/* the same for all: whole chunks of the shared part come and go */
		if (w->ok && cw_chance(&w->rng, 4))
			w->ok = fvd_image_discard(w->img, 16384, DISK - 32768, NULL) == 0;
	}
	return NULL;
}

static bool written_by_somebody(const uint8_t *content, uint64_t sector)
{
	static const uint8_t zero[CW_SECTOR];
	uint8_t data[CW_SECTOR];

	if (memcmp(content, zero, CW_SECTOR) == 0)
		return true;
	for (uint64_t serial = 1; serial <= (uint64_t)WRITERS * WRITES; serial++) {
		model_stamp(data, 1, sector, serial);
		if (memcmp(content, data, CW_SECTOR) == 0)
			return true;
	}
	return false;
}

static void verify_disk(struct fvd_image *img, uint8_t *const mine[WRITERS])
{
	uint8_t *content = malloc(DISK);

	assert_non_null(content);
	assert_int_equal(fvd_image_read(img, content, DISK, 0, NULL), 0);
	for (uint64_t s = 0; s < (DISK - SHARED) / CW_SECTOR; s++)
		assert_memory_equal(content + s * CW_SECTOR, mine[s % WRITERS] + s * CW_SECTOR,
				    CW_SECTOR);
	for (uint64_t s = (DISK - SHARED) / CW_SECTOR; s < DISK / CW_SECTOR; s++)
		assert_true(written_by_somebody(content + s * CW_SECTOR, s));
	free(content);
}

static void write_from_threads(const char *name, const struct fvd_open_opts *opts)
{
	uint8_t *mine[WRITERS];
	struct writer w[WRITERS];
	pthread_t thread[WRITERS];
	struct fvd_image *img;

	assert_int_equal(fvd_image_open(name, opts, &img, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		mine[i] = calloc(1, DISK);
		assert_non_null(mine[i]);
		w[i] = (struct writer){ .img = img, .id = i, .mine = mine[i] };
		cw_seed(&w[i].rng, i + 1);
		assert_int_equal(pthread_create(&thread[i], NULL, writer_thread, &w[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_true(w[i].ok);
	verify_disk(img, mine);
	assert_int_equal(fvd_image_close(img, NULL), 0);
	assert_int_equal(fvd_image_open(name, opts, &img, NULL), 0);
	verify_disk(img, mine);
	assert_int_equal(fvd_image_close(img, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		free(mine[i]);
}

static void make_base(const char *name)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), DISK), 0);
	assert_int_equal(fclose(f), 0);
}

static void test_real_files(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char dir[512], image[600], base[600];
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/fvd-threads-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/img", dir);
	snprintf(base, sizeof(base), "%s/base", dir);
	make_base(base);
	opts.flags = FVD_OPEN_WRITE;
	opts.commit_interval_ms = 1;
	opts.journal_buffer = 1024;
	for (int based = 0; based < 2; based++) {
		struct fvd_create_opts create = FVD_CREATE_OPTS_INIT;

		create.size = DISK;
		create.chunk_size = 8192;
		create.block_size = 16384;
		create.journal_size = 16384;
		create.base = based ? base : NULL;
		assert_int_equal(fvd_create(image, &create, NULL, NULL), 0);
		write_from_threads(image, &opts);
		assert_int_equal(unlink(image), 0);
	}
	unlink(base);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cuts),
		cmocka_unit_test(test_real_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
