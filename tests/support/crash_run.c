/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/compact.h"
#include "util/num.h"

const struct cr_profile cr_default_profile = {
	.write = 40, .zero = 8, .discard = 12, .flush = 18, .read = 5, .reopen = 2, .kill = 2,
	.odd_percent = 25, .aligned_percent = 60, .max_bytes = 12288, .ops = 22, .phases = 3,
	.close_percent = 40, .states_per_cut = 14,
};

uint64_t cr_env(const char *name, uint64_t value)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : value;
}

bool cr_violation(struct cr *r, const char *fmt, ...)
{
	struct cr_result *res = r->result;
	va_list ap;
	int used;

	if (res->violated)
		return false;
	res->violated = true;
	used = snprintf(res->text, sizeof(res->text), "%s: SEED=%" PRIu64 " phase %u: ",
			r->job.cfg->name, r->job.seed, r->phase);
	va_start(ap, fmt);
	vsnprintf(res->text + used, sizeof(res->text) - (size_t)used, fmt, ap);
	va_end(ap);
	return false;
}

void cr_init(struct cr *r, const struct cr_job *job, struct cr_result *result)
{
	uint64_t size = job->cfg->vsize;
	struct fvd_error err;

	*r = (struct cr){ .job = *job, .result = result };
	cw_seed(&r->rng, job->seed);
	pthread_mutex_init(&r->lock, NULL);
	r->w = cw_new();
	r->scratch = cw_new();
	r->deeper = cw_new();
	r->buf = malloc(size);
	r->second = malloc(size);
	if (!r->buf || !r->second)
		abort();
	if (ci_make(&r->ci, job->cfg, r->w, &err) < 0)
		cr_violation(r, "cannot make the image: %s", err.text);
	model_init(&r->model, size, r->ci.initial);
}

void cr_fini(struct cr *r)
{
	fvd_image_drop(r->img);
	cd_fini(&r->disk);
	pthread_mutex_destroy(&r->lock);
	model_fini(&r->model);
	ci_fini(&r->ci);
	cw_free(r->deeper);
	cw_free(r->scratch);
	cw_free(r->w);
	free(r->buf);
	free(r->second);
	free(r->moment);
	free(r->seen);
}

void cr_start_log(struct cr *r)
{
	cw_clear_log(r->w);
	cd_fini(&r->disk);
	cd_init(&r->disk, r->w);
	r->disk.classify = ci_classify;
	r->disk.opaque = &r->ci;
	r->moments = 0;
	r->w->logging = true;
}

/* CRASH_TRACE=1 shows what a workload does. */
static void trace(const struct cr *r, const char *what, uint64_t off, uint64_t len)
{
	if (getenv("CRASH_TRACE"))
		fprintf(stderr, "%6" PRIu64 " %s %" PRIu64 "+%" PRIu64 "\n", r->w->clock, what, off,
			len);
}

static void add_moment(struct cr *r, uint64_t moment)
{
	if (r->moments == r->moment_cap) {
		r->moment_cap = r->moment_cap ? r->moment_cap * 2 : 64;
		r->moment = realloc(r->moment, r->moment_cap * sizeof(*r->moment));
		if (!r->moment)
			abort();
	}
	r->moment[r->moments++] = moment;
}

bool cr_open(struct cr *r)
{
	struct fvd_open_opts opts = ci_opts(&r->ci, r->w, FVD_OPEN_WRITE);
	struct fvd_error err;

	opts.broken_rules = r->job.broken_rules;
	r->touched = false;
	if (fvd_image_open("img", &opts, &r->img, &err) == 0)
		return true;
	r->img = NULL;
	return cr_violation(r, "cannot open: %s", err.text);
}

bool cr_check_live(struct cr *r)
{
	struct fvd_error err;

	if (ci_read_all(r->img, r->buf, r->model.size, &err) < 0)
		return r->expect_errors || cr_violation(r, "cannot read: %s", err.text);
	for (uint64_t off = 0; off < r->model.size; off += CW_SECTOR) {
		if (memcmp(r->buf + off, r->model.live + off, CW_SECTOR) != 0)
			return cr_violation(r, "a read at %" PRIu64 " is not what was written",
					    off);
	}
	return true;
}

bool cr_settle(struct cr *r)
{
	struct fvd_error err;
	char why[300];
	uint64_t bad, now;

	if (ci_read_all(r->img, r->buf, r->model.size, &err) < 0)
		return cr_violation(r, "cannot read: %s", err.text);
	now = cw_tick(r->w);
	bad = model_settle(&r->model, r->buf, r->model.size, 0, now);
	if (bad == UINT64_MAX)
		return true;
	return cr_violation(r, "after reopening, %s",
			    model_explain(&r->model, bad, r->buf + bad * CW_SECTOR, why,
					  sizeof(why)));
}

/* A write failed: what is there now is what was there or what was to come. */
static bool look_at_failed(struct cr *r, uint64_t off, uint64_t len)
{
	uint64_t start = fvd_round_down(off, CW_SECTOR), end = fvd_round_up(off + len, CW_SECTOR);
	struct fvd_error err;
	uint64_t bad;

	if (fvd_image_read(r->img, r->buf, end - start, start, &err) < 0)
		return cr_violation(r, "cannot read after a failed write: %s", err.text);
	bad = model_settle(&r->model, r->buf, end - start, start, cw_tick(r->w));
	if (bad == UINT64_MAX)
		return true;
	return cr_violation(r, "after a failed write sector %" PRIu64 " is neither old nor new", bad);
}

static uint32_t begin_change(struct cr *r, const char *what, const void *data, uint64_t len,
			     uint64_t off)
{
	uint32_t id;

	pthread_mutex_lock(&r->lock);
	trace(r, what, off, len);
	r->touched = true;
	id = model_write(&r->model, data, len, off, cw_tick(r->w));
	pthread_mutex_unlock(&r->lock);
	return id;
}

/* The outcome of a guest call that changes [off, off + len). */
static bool end_change(struct cr *r, uint32_t id, uint64_t off, uint64_t len, int ret,
		       const struct fvd_error *err)
{
	bool ok = true;

	pthread_mutex_lock(&r->lock);
	model_written(&r->model, id, len, off, ret == 0, cw_tick(r->w));
	if (ret < 0 && err->class != FVD_ERR_NOSPACE && !r->expect_errors)
		ok = cr_violation(r, "a write failed: %s", err->text);
	else if (ret < 0 && !r->dead)
		ok = look_at_failed(r, off, len);
	pthread_mutex_unlock(&r->lock);
	return ok;
}

static bool write_data(struct cr *r, const uint8_t *data, uint64_t off, uint64_t len)
{
	uint32_t id = begin_change(r, "write", data, len, off);
	struct fvd_error err;
	int ret = fvd_image_write(r->img, data, len, off, &err);

	return end_change(r, id, off, len, ret, &err);
}

bool cr_write(struct cr *r, uint64_t off, uint64_t len)
{
	uint64_t whole = fvd_round_up(len, CW_SECTOR), serial;
	uint8_t *data = malloc(whole);
	bool ok;

	if (!data)
		abort();
	pthread_mutex_lock(&r->lock);
	serial = ++r->serial;
	pthread_mutex_unlock(&r->lock);
	model_stamp(data, whole / CW_SECTOR, off / CW_SECTOR, serial);
	ok = write_data(r, data, off, len);
	free(data);
	return ok;
}

bool cr_zero(struct cr *r, uint64_t off, uint64_t len, bool discard)
{
	uint32_t id = begin_change(r, discard ? "discard" : "zero", NULL, len, off);
	struct fvd_error err;
	int ret = discard ? fvd_image_discard(r->img, len, off, &err) :
			    fvd_image_write_zeroes(r->img, len, off, &err);

	return end_change(r, id, off, len, ret, &err);
}

bool cr_flush(struct cr *r)
{
	uint64_t begin = cw_tick(r->w), end;
	struct fvd_error err;

	if (fvd_image_flush(r->img, &err) < 0)
		return r->expect_errors || cr_violation(r, "a flush failed: %s", err.text);
	end = cw_tick(r->w);
	pthread_mutex_lock(&r->lock);
	trace(r, "flush", 0, 0);
	model_flushed(&r->model, begin, end);
	add_moment(r, end);
	pthread_mutex_unlock(&r->lock);
	return true;
}

static void count_stats(struct cr *r)
{
	struct fvd_image_stats stats;

	fvd_image_stats(r->img, &stats);
	r->result->recycles += stats.recycles;
	r->result->journal_writes += stats.journal_writes;
}

bool cr_close(struct cr *r)
{
	uint64_t begin = cw_tick(r->w);
	struct fvd_image *img = r->img;
	struct fvd_error err;

	trace(r, "close", 0, 0);
	count_stats(r);
	r->img = NULL;
	if (fvd_image_close(img, &err) < 0) {
		if (!r->expect_errors)
			return cr_violation(r, "close failed: %s", err.text);
	} else if (r->touched) {
		/* One with nothing to close does not sync what a killed process left. */
		model_flushed(&r->model, begin, cw_tick(r->w));
	}
	add_moment(r, cw_tick(r->w));
	if (cw_open_count(r->w) > 0)
		return cr_violation(r, "close left a file open");
	return true;
}

bool cr_kill(struct cr *r)
{
	trace(r, "kill", 0, 0);
	count_stats(r);
	fvd_image_drop(r->img);
	r->img = NULL;
	if (cw_open_count(r->w) > 0)
		return cr_violation(r, "drop left a file open");
	return true;
}

static uint64_t place(struct cr *r, uint64_t unit, uint64_t *len)
{
	const struct cr_profile *p = r->job.profile;
	uint64_t size = p->window ? fvd_min(p->window, r->model.size) : r->model.size;
	uint64_t off = cw_below(&r->rng, fvd_div_up(size, unit)) * unit;

	*len = (1 + cw_below(&r->rng, fvd_max(1, p->max_bytes / unit))) * unit;
	if (cw_chance(&r->rng, 50))
		*len = fvd_min(*len, unit * 2);
	*len = fvd_min(*len, size - off);
	return off;
}

static bool random_write(struct cr *r)
{
	uint64_t len, off = place(r, CW_SECTOR, &len), cut;

	if (cw_chance(&r->rng, r->job.profile->odd_percent)) {
		cut = cw_below(&r->rng, fvd_min(len, CW_SECTOR));
		off += cut;
		len -= cut;
		len -= len > CW_SECTOR ? cw_below(&r->rng, CW_SECTOR) : 0;
	}
	if (cw_chance(&r->rng, r->job.profile->base_percent))
		return write_data(r, r->ci.initial + off, off, len);
	return cr_write(r, off, len);
}

static bool random_zero(struct cr *r, bool discard)
{
	uint64_t unit = CW_SECTOR, len, off;

	if (cw_chance(&r->rng, r->job.profile->aligned_percent))
		unit = r->job.cfg->chunk ? r->job.cfg->chunk : 4096;
	off = place(r, unit, &len);
	return cr_zero(r, off, len, discard);
}

static bool random_read(struct cr *r)
{
	uint64_t len, off = place(r, 1, &len);
	struct fvd_error err;

	if (fvd_image_read(r->img, r->buf, len, off, &err) < 0)
		return cr_violation(r, "cannot read: %s", err.text);
	if (memcmp(r->buf, r->model.live + off, len) != 0)
		return cr_violation(r, "a read at %" PRIu64 " is not what was written", off);
	return true;
}

static bool kill_and_reopen(struct cr *r)
{
	if (!cr_kill(r) || !cr_open(r))
		return false;
	/* Written through: nothing may be missing after the process is gone. */
	return r->job.cfg->commit == 0 && !r->job.broken_rules ? cr_check_live(r) : cr_settle(r);
}

static bool compact(struct cr *r)
{
	struct fvd_compact_opts opts = { .no_punch = cw_chance(&r->rng, 20),
					 .opener = &r->w->opener };
	struct fvd_compact_report report;
	struct fvd_error err;

	if (!cr_close(r))
		return false;
	opts.against_base = r->job.cfg->base_len && cw_chance(&r->rng, 50);
	trace(r, "compact", opts.against_base, opts.no_punch);
	if (fvd_compact("img", &opts, &report, &err) < 0)
		return cr_violation(r, "compact failed: %s", err.text);
	add_moment(r, cw_tick(r->w));
	if (cw_open_count(r->w) > 0)
		return cr_violation(r, "compact left a file open");
	return cr_open(r) && cr_check_live(r);
}

static bool random_op(struct cr *r)
{
	const struct cr_profile *p = r->job.profile;
	unsigned all = p->write + p->zero + p->discard + p->flush + p->read + p->reopen + p->kill +
		       p->compact;
	unsigned n = (unsigned)cw_below(&r->rng, all);

	if (n < p->write)
		return random_write(r);
	n -= p->write;
	if (n < p->zero + p->discard)
		return random_zero(r, n >= p->zero);
	n -= p->zero + p->discard;
	if (n < p->flush)
		return cr_flush(r);
	n -= p->flush;
	if (n < p->read)
		return random_read(r);
	n -= p->read;
	if (n < p->reopen)
		return cr_close(r) && cr_open(r) && cr_check_live(r);
	return n - p->reopen < p->kill ? kill_and_reopen(r) : compact(r);
}

static bool phase_ops(struct cr *r)
{
	const struct cr_profile *p = r->job.profile;

	for (unsigned i = 0; i < p->ops; i++) {
		if (!random_op(r) || (getenv("CRASH_TRACE") && !cr_check_live(r)))
			return false;
	}
	if (!cr_check_live(r))
		return false;
	return cw_chance(&r->rng, p->close_percent) ? cr_close(r) : cr_kill(r);
}

/* Power is cut now; the world goes on with one of the disks that may be left. */
static void lose_power(struct cr *r)
{
	struct cw *next = cw_new();

	cd_advance(&r->disk, r->w->clock);
	if (cw_chance(&r->rng, 50))
		cd_choose_random(&r->disk, &r->rng, 20 + (unsigned)cw_below(&r->rng, 70));
	else
		cd_choose_classes(&r->disk, (unsigned)cw_random(&r->rng));
	cd_build(&r->disk, next);
	next->clock = r->w->clock;
	for (int i = 0; i < next->files; i++) {
		struct cw_file *f = &next->file[i];

		if (!f->borrowed)
			continue;
		/* The lender goes away: take over what was lent. */
		f->borrowed = false;
		f->constant = true;
		r->w->file[i].borrowed = true;
	}
	cw_free(r->w);
	r->w = next;
}

void cr_run(const struct cr_job *job, struct cr_result *result)
{
	struct cr r;

	cr_init(&r, job, result);
	result->runs++;
	for (r.phase = 0; r.phase < job->profile->phases && !result->violated; r.phase++) {
		cr_start_log(&r);
		if (!cr_open(&r))
			break;
		if (r.phase == 0 ? !cr_check_live(&r) : !cr_settle(&r))
			break;
		if (!phase_ops(&r) || !cr_explore(&r))
			break;
		lose_power(&r);
	}
	cr_fini(&r);
}
