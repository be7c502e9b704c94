/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every call of the backend made to fail in turn: opening, reading, writing, punching, syncing,
 * lengths and maps. Each job of the library says so or has succeeded all the same, leaves no
 * file open, and what is left on the disk replays to what flushes had promised.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/crash_layouts.h"
#include "ops/check.h"
#include "ops/compact.h"
#include "ops/create.h"
#include "ops/info.h"

struct fault {
	uint64_t at;		/* number of the call */
	int errnum;
	bool for_good;		/* all calls from there on, as when a disk goes away */
	bool hit;
};

static int inject(void *opaque, const struct cw_call *call)
{
	struct fault *f = opaque;

	if (call->number < f->at || (f->hit && !f->for_good))
		return 0;
	if (f->errnum == ENOSPC && call->kind != CW_WRITE && call->kind != CW_TRUNCATE &&
	    call->kind != CW_PUNCH)
		return 0;
	f->hit = true;
	return f->errnum;
}

/* An error says what is wrong. */
static bool told(struct cr *r, int ret, const struct fvd_error *err, const char *what)
{
	if (ret == 0 || (err->class != FVD_ERR_NONE && err->text[0] != '\0'))
		return true;
	return cr_violation(r, "%s failed without a word", what);
}

static bool try_open(struct cr *r)
{
	struct fvd_open_opts opts = ci_opts(&r->ci, r->w, FVD_OPEN_WRITE);
	struct fvd_error err = { 0 };
	int ret = fvd_image_open("img", &opts, &r->img, &err);
	int (*before)(void *, const struct cw_call *);
	bool ok;

	r->touched = false;
	if (ret < 0) {
		r->img = NULL;
		return told(r, ret, &err, "open");
	}
	/* The test's own look at what a kill before this left does not fail. */
	before = r->w->before;
	r->w->before = NULL;
	ok = cr_settle(r);
	r->w->before = before;
	return ok;
}

static bool try_compact(struct cr *r)
{
	struct fvd_compact_opts opts = { .against_base = r->job.cfg->base_len > 0,
					 .opener = &r->w->opener };
	struct fvd_compact_report report;
	struct fvd_error err = { 0 };

	return told(r, fvd_compact("img", &opts, &report, &err), &err, "compact");
}

static bool try_check(struct cr *r)
{
	struct fvd_check_opts opts = { .repair = FVD_REPAIR_ALL, .undo_file = "undo",
				       .follow = true, .opener = &r->w->opener };
	struct fvd_check_report report;
	struct fvd_error err = { 0 };

	return told(r, fvd_check("img", &opts, &report, &err), &err, "check");
}

static bool try_info(struct cr *r)
{
	struct fvd_info_opts opts = { .journal = true, .opener = &r->w->opener };
	struct fvd_error err = { 0 };
	struct fvd_info info;
	int ret = fvd_info("img", &opts, &info, &err);

	if (ret == 0)
		fvd_info_fini(&info);
	return told(r, ret, &err, "info");
}

/* Writes of every kind while the image is open. */
static bool guest_part(struct cr *r, uint64_t shift)
{
	uint64_t size = r->model.size;

	return cr_write(r, shift + 1000, 700) && cr_write(r, shift + 8192, 9000) && cr_flush(r) &&
	       cr_zero(r, shift, 16384, true) && cr_write(r, shift + 4096, 512) && cr_flush(r) &&
	       cr_zero(r, shift + 8704, 1024, false) && cr_write(r, size - 12000, 12000) &&
	       (r->dead || cr_check_live(r)) && cr_flush(r) && cr_zero(r, 0, size / 2, true) &&
	       cr_write(r, shift + 2048, 2048);
}

static bool let_go(struct cr *r, bool orderly)
{
	if (!r->img)
		return true;
	return orderly ? cr_close(r) : cr_kill(r);
}

static bool workload(struct cr *r)
{
	if (!try_open(r) || (r->img && !guest_part(r, 0)) || !let_go(r, true))
		return false;
	if (!try_compact(r) || !try_info(r) || !try_open(r))
		return false;
	if ((r->img && !guest_part(r, 16384)) || !let_go(r, false))
		return false;
	if (!try_info(r) || !try_check(r) || !try_open(r))
		return false;
	return (!r->img || cr_write(r, 3000, 30000)) && let_go(r, true);
}

/* The backend works again: nothing flushed is lost, in any state that may be left. */
static bool verify(struct cr *r)
{
	if (cw_open_count(r->w) > 0)
		return cr_violation(r, "a file was left open");
	r->w->before = NULL;
	r->expect_errors = r->dead = false;
	if (!cr_explore_some(r, 2) || !cr_open(r) || !cr_settle(r) || !cr_write(r, 0, 8192) ||
	    !cr_check_live(r) || !cr_close(r))
		return false;
	return cr_check_clean(r, r->w);
}

/* False once the workload makes fewer calls than @f->at. */
static bool run_fault(const struct ci_cfg *cfg, struct fault *f, struct cr_result *result)
{
	struct cr_job job = { cfg, cr_profiles[CR_HOT], f->at + 1, 0 };
	struct cr r;

	cr_init(&r, &job, result);
	cr_start_log(&r);
	r.w->calls = 0;
	r.w->opaque = f;
	r.w->before = inject;
	r.w->lose_on_failed_flush = false;
	r.expect_errors = true;
	r.dead = f->for_good;
	if (!workload(&r) || !verify(&r))
		fail_msg("call %" PRIu64 " fails with %s%s: %s", f->at, strerror(f->errnum),
			 f->for_good ? " for good" : "", result->text);
	cr_fini(&r);
	result->runs++;
	return f->hit;
}

static void fail_each_call(int errnum, bool for_good, uint64_t step)
{
	static const char *const names[] = {
		"raw-like without base", "compact", "compact, data file", "compact on a device",
		"copy-on-write, short base, written through", "both, blocks larger than chunks",
		"both on fvd on raw",
	};
	struct cr_result result = { 0 };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fault f = { .errnum = errnum, .for_good = for_good };

		while (run_fault(cr_layout(names[i]), &f, &result)) {
			f.at += step;
			f.hit = false;
		}
	}
	print_message("%" PRIu64 " failing calls, %" PRIu64 " crash states\n", result.runs,
		      result.states);
}

static void test_each_call_fails_once(void **state)
{
	(void)state;
	fail_each_call(EIO, false, 1);
}

static void test_each_change_finds_no_space(void **state)
{
	(void)state;
	fail_each_call(ENOSPC, false, 2);
}

static void test_disk_goes_away(void **state)
{
	(void)state;
	fail_each_call(EIO, true, 2);
}

/* The room of the file ends: writes say so, what was there stays, less can still be written. */
static void test_file_system_full(void **state)
{
	struct cr_job job = { cr_layout("compact, default buffer"), cr_profiles[CR_HOT], 1, 0 };
	struct cr_result result = { 0 };
	struct fvd_error err = { 0 };
	uint8_t buf[32768] = { 1 };
	struct cr r;

	(void)state;
	cr_init(&r, &job, &result);
	cr_start_log(&r);
	assert_true(cr_open(&r) && cr_write(&r, 0, 16384) && cr_flush(&r));
	r.w->file[r.ci.data].max_len = r.w->file[r.ci.data].len;
	assert_int_equal(fvd_image_write(r.img, buf, sizeof(buf), 32768, &err), -1);
	assert_int_equal(err.class, FVD_ERR_NOSPACE);
	if (!cr_write(&r, 512, 512) || !cr_flush(&r) || !cr_zero(&r, 32768, 32768, true) ||
	    !cr_check_live(&r) || !cr_close(&r) || !cr_explore(&r))
		fail_msg("%s", result.text);
	cr_fini(&r);
}

/* Creating onto an io: an error, or an image that opens. */
static void test_create_on(void **state)
{
	struct fault f = { .errnum = EIO };

	(void)state;
	for (f.hit = true; f.hit; f.at++) {
		struct fvd_create_opts opts = FVD_CREATE_OPTS_INIT;
		struct cw *w = cw_new();
		struct fvd_error err = { 0 };
		struct fvd_io *io;
		int ret;

		opts.size = 1000448;
		opts.journal_size = 4096;
		opts.opener = &w->opener;
		opts.base = "base";
		cw_add(w, "base", 300000);
		cw_add(w, "img", 0);
		assert_int_equal(w->opener.open(&w->opener, "img", FVD_IO_WRITE, FVD_LOCK_NONE, &io,
						&err), 0);
		w->calls = 0;
		f.hit = false;
		w->opaque = &f;
		w->before = inject;
		ret = fvd_create_on(io, "img", &opts, NULL, &err);
		w->before = NULL;
		fvd_io_close(io);
		assert_int_equal(cw_open_count(w), 0);
		assert_true(ret == 0 || err.text[0] != '\0');
		if (ret < 0 && !f.hit)
			fail_msg("%s", err.text);
		if (ret == 0) {
			struct fvd_open_opts open = FVD_OPEN_OPTS_INIT;
			struct fvd_image *img;

			open.opener = &w->opener;
			assert_int_equal(fvd_image_open("img", &open, &img, &err), 0);
			assert_int_equal(fvd_image_close(img, &err), 0);
		}
		cw_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_fails_once),
		cmocka_unit_test(test_each_change_finds_no_space),
		cmocka_unit_test(test_disk_goes_away),
		cmocka_unit_test(test_file_system_full),
		cmocka_unit_test(test_create_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
