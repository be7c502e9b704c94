/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>
#include <time.h>

#include "util/progress.h"

#define INTERVAL_MS 100

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void report(struct fvd_progress *p)
{
	if (p->report)
		p->report(p->opaque, p->what, atomic_load(&p->done), atomic_load(&p->total));
}

void fvd_progress_start(struct fvd_progress *p, const char *what, uint64_t total)
{
	if (!p)
		return;
	p->what = what;
	atomic_store(&p->done, 0);
	atomic_store(&p->total, total);
	atomic_store(&p->next_ms, now_ms() + INTERVAL_MS);
	atomic_flag_clear(&p->busy);
}

int fvd_progress_add(struct fvd_progress *p, uint64_t bytes, struct fvd_error *err)
{
	int64_t now;

	if (!p)
		return 0;
	if (p->cancelled && p->cancelled(p->opaque))
		return fvd_error_set(err, FVD_ERR_CANCELLED, "interrupted");
	atomic_fetch_add(&p->done, bytes);
	if (!p->report)
		return 0;
	now = now_ms();
	if (now < atomic_load(&p->next_ms) || atomic_flag_test_and_set(&p->busy))
		return 0;
	/* Another thread may have reported since the question above. */
	if (now >= atomic_load(&p->next_ms)) {
		report(p);
		atomic_store(&p->next_ms, now_ms() + INTERVAL_MS);
	}
	atomic_flag_clear(&p->busy);
	return 0;
}

void fvd_progress_finish(struct fvd_progress *p)
{
	if (!p)
		return;
	while (atomic_flag_test_and_set(&p->busy))
		sched_yield();
	report(p);
	atomic_flag_clear(&p->busy);
}
