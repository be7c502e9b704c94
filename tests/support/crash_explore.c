/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * States of a disk at every cut of a log, and what must be true of each: a reader finds
 * acceptable content and writes nothing; a writer's replay finds the same; closed, it is clean
 * for check and reads the same again; a replay that is cut itself is replayed to the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash_run.h"
#include "util/num.h"

#define SEEN_SLOTS (UINT64_C(1) << 14)

static const char *const class_names[] = {
	"state", "journal", "table", "bitmap", "data", "header",
};

/* What was done and what was chosen, for whoever looks into a violation (CRASH_DUMP=1). */
static void dump(const struct cr *r, const struct cd *d)
{
	static const char *const kinds[] = { "open", "read", "write", "punch", "truncate", "flush" };
	const struct cw *w = d->w;

	for (size_t i = 0; i < w->ops; i++) {
		const struct cw_op *op = &w->op[i];
		int class = ci_classify((void *)(uintptr_t)&r->ci, op->file, op->first * CW_SECTOR);

		fprintf(stderr, "%4zu %5" PRIu64 "..%-5" PRIu64 " %s %s %s sector %" PRIu64 "+%" PRIu64
			" length %" PRIu64 "%s%s%s\n", i, op->begin, op->end, w->file[op->file].name,
			kinds[op->kind], op->count ? class_names[class] : "", op->first, op->count,
			op->length, op->grew ? " grew" : "", op->failed ? " FAILED" : "",
			d->durable[i] ? " durable" : "");
	}
	for (size_t i = 0; i < d->pieces; i++)
		fprintf(stderr, "piece %zu: op %u sector %d %s\n", i, d->piece[i].op,
			(int)d->piece[i].sector, d->piece[i].chosen ? "CHOSEN" : "-");
}

static bool bad_state(struct cr *r, const struct cd *d, const char *what, const char *detail)
{
	size_t chosen = 0;

	for (size_t i = 0; i < d->pieces; i++)
		chosen += d->piece[i].chosen;
	if (getenv("CRASH_DUMP") && !r->result->violated)
		dump(r, d);
	return cr_violation(r, "power cut at %" PRIu64 ", %zu of %zu unsynced pieces on disk: %s: %s",
			    d->now, chosen, d->pieces, what, detail);
}

/* Open the state in @s, read everything, let go. */
static bool read_state(struct cr *r, const struct cd *d, struct cw *s, unsigned flags,
		       uint8_t *out)
{
	struct fvd_open_opts opts = ci_opts(&r->ci, s, flags);
	bool writer = flags & FVD_OPEN_WRITE;
	struct fvd_image *img;
	struct fvd_error err;
	int ret;

	if (fvd_image_open("img", &opts, &img, &err) < 0)
		return bad_state(r, d, writer ? "cannot replay" : "cannot open", err.text);
	ret = ci_read_all(img, out, r->model.size, &err);
	if (ret < 0) {
		fvd_image_drop(img);
		return bad_state(r, d, "cannot read", err.text);
	}
	if (fvd_image_close(img, &err) < 0)
		return bad_state(r, d, "cannot close", err.text);
	if (!writer && s->changes > 0)
		return bad_state(r, d, "a reader changed the file", "");
	return true;
}

static bool judge(struct cr *r, const struct cd *d, const uint8_t *content, uint64_t moment)
{
	uint64_t bad = model_judge(&r->model, content, moment);
	char why[300];

	if (bad == UINT64_MAX)
		return true;
	return bad_state(r, d, "lost data", model_explain(&r->model, bad, content + bad * CW_SECTOR,
							   why, sizeof(why)));
}

static bool same(struct cr *r, const struct cd *d, const char *what)
{
	if (memcmp(r->buf, r->second, r->model.size) == 0)
		return true;
	for (uint64_t s = 0; s * CW_SECTOR < r->model.size; s++) {
		char text[64];

		if (memcmp(r->buf + s * CW_SECTOR, r->second + s * CW_SECTOR, CW_SECTOR) == 0)
			continue;
		snprintf(text, sizeof(text), "sector %" PRIu64, s);
		return bad_state(r, d, what, text);
	}
	return true;
}

/* The replay of the state in r->scratch was logged: cut that too. */
static bool verify_replay_cuts(struct cr *r, struct cd *deep, uint64_t moment)
{
	const struct cw *s = r->scratch;

	for (size_t i = 0; i < s->ops; i++) {
		if (s->op[i].kind == CW_FLUSH && cw_chance(&r->rng, 50))
			continue;
		cd_advance(deep, s->op[i].applied);
		cd_choose_random(deep, &r->rng, 50);
		cd_build(deep, r->deeper);
		r->result->deep_states++;
		if (!read_state(r, deep, r->deeper, FVD_OPEN_WRITE, r->second) ||
		    !same(r, deep, "a replay that was cut comes to another content") ||
		    !judge(r, deep, r->second, moment))
			return false;
	}
	return true;
}

static bool verify_state(struct cr *r, uint64_t moment)
{
	bool reader = cw_chance(&r->rng, 33), deep = cw_chance(&r->rng, 4), ok;
	struct cw *s = r->scratch;
	struct cd cut = { 0 };

	r->result->states++;
	if (reader && (!read_state(r, &r->disk, s, 0, r->second) ||
		       !judge(r, &r->disk, r->second, moment)))
		return false;
	if (deep) {
		cd_init(&cut, s);
		cut.classify = ci_classify;
		cut.opaque = &r->ci;
	}
	s->logging = deep;
	ok = read_state(r, &r->disk, s, FVD_OPEN_WRITE, r->buf) &&
	     judge(r, &r->disk, r->buf, moment);
	s->logging = false;
	s->changes = 0;
	if (ok && reader)
		ok = same(r, &r->disk, "a reader and a replay do not agree");
	if (ok && deep)
		ok = verify_replay_cuts(r, &cut, moment);
	cd_fini(&cut);
	if (ok && (deep || !reader))
		ok = read_state(r, &r->disk, s, 0, r->second) &&
		     same(r, &r->disk, "after the replay it reads otherwise");
	return ok && cr_check_clean(r, s);
}

/* False once it was tried already in this phase. */
static bool unseen(struct cr *r)
{
	uint64_t hash = cd_choice_hash(&r->disk) ^ r->model.barrier * UINT64_C(0x9E3779B97F4A7C15);
	uint64_t *slot = &r->seen[hash % SEEN_SLOTS];

	if (*slot == hash)
		return false;
	*slot = hash;
	return true;
}

static bool try_choice(struct cr *r, uint64_t moment)
{
	if (!unseen(r))
		return true;
	cd_build(&r->disk, r->scratch);
	return verify_state(r, moment);
}

/* Each piece missing, each piece alone; a sample of them where there are many. */
static bool try_single(struct cr *r, uint64_t moment, bool missing)
{
	size_t n = r->disk.pieces, tries = fvd_min(n, r->job.profile->states_per_cut / 3);

	for (size_t i = 0; i < tries; i++) {
		size_t k = n <= tries ? i : cw_below(&r->rng, n);

		/* The newest ones have not been looked at in earlier cuts. */
		if (n > tries && i < 2)
			k = n - 1 - i;
		cd_choose_all(&r->disk, missing);
		r->disk.piece[k].chosen = !missing;
		if (!try_choice(r, moment))
			return false;
	}
	return true;
}

static bool try_classes(struct cr *r, uint64_t moment)
{
	unsigned present = 0;

	for (size_t i = 0; i < r->disk.pieces; i++)
		present |= 1u << r->disk.piece[i].class;
	for (unsigned c = 0; c < CD_CLASSES; c++) {
		if (!(present >> c & 1) || present == 1u << c)
			continue;
		cd_choose_classes(&r->disk, 1u << c);
		if (!try_choice(r, moment))
			return false;
		cd_choose_classes(&r->disk, ~(1u << c));
		if (!try_choice(r, moment))
			return false;
	}
	return true;
}

static bool try_random(struct cr *r, uint64_t moment)
{
	static const unsigned percent[] = { 50, 15, 85 };

	for (unsigned i = 0; i < r->job.profile->states_per_cut / 4; i++) {
		unsigned way = (unsigned)cw_below(&r->rng, 3);

		if (way == 0)
			cd_choose_ops(&r->disk, &r->rng, percent[i % 3]);
		else if (way == 1)
			cd_choose_prefix(&r->disk, cw_below(&r->rng, r->disk.pieces + 1));
		else
			cd_choose_random(&r->disk, &r->rng, percent[i % 3]);
		if (!try_choice(r, moment))
			return false;
	}
	return true;
}

static bool explore_cut(struct cr *r, uint64_t moment)
{
	r->result->cuts++;
	cd_advance(&r->disk, moment);
	/* The same disk is another state once a flush has promised more. */
	model_advance(&r->model, moment);
	cd_choose_all(&r->disk, false);
	if (!try_choice(r, moment))
		return false;
	if (r->disk.pieces == 0)
		return true;
	cd_choose_all(&r->disk, true);
	return try_choice(r, moment) && try_classes(r, moment) && try_single(r, moment, true) &&
	       try_single(r, moment, false) && try_random(r, moment);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* All moments at which the disks or the promises change, sorted. */
static uint64_t *list_cuts(const struct cr *r, size_t *count)
{
	size_t n = 0, kept = 0;
	uint64_t *cut = malloc((r->w->ops + r->moments + 1) * sizeof(*cut));

	if (!cut)
		abort();
	for (size_t i = 0; i < r->w->ops; i++)
		cut[n++] = r->w->op[i].kind == CW_FLUSH ? r->w->op[i].end : r->w->op[i].applied;
	for (size_t i = 0; i < r->moments; i++)
		cut[n++] = r->moment[i];
	cut[n++] = r->w->clock;
	qsort(cut, n, sizeof(*cut), by_value);
	for (size_t i = 0; i < n; i++) {
		if (cut[i] != CW_NEVER && (kept == 0 || cut[kept - 1] != cut[i]))
			cut[kept++] = cut[i];
	}
	*count = kept;
	return cut;
}

static void begin_exploring(struct cr *r)
{
	r->seen = realloc(r->seen, SEEN_SLOTS * sizeof(*r->seen));
	if (!r->seen)
		abort();
	memset(r->seen, 0, SEEN_SLOTS * sizeof(*r->seen));
	r->w->logging = false;
}

bool cr_explore(struct cr *r)
{
	return cr_explore_some(r, SIZE_MAX);
}

bool cr_explore_some(struct cr *r, size_t cuts)
{
	bool ok = true;
	size_t n;
	uint64_t *cut = list_cuts(r, &n);

	begin_exploring(r);
	for (size_t i = 0; i < n && ok; i++) {
		if (i + 1 == n || cuts >= n || cw_below(&r->rng, n) < cuts)
			ok = explore_cut(r, cut[i]);
	}
	free(cut);
	return ok;
}
