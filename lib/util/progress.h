/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a long job tells its caller where it is, and learns that it should stop.
 * The job calls _add from any of its threads. report() is called at most every
 * 100 ms (and once at the end by _finish), one call at a time; cancelled() is
 * asked on every _add and must be cheap and async-signal tolerant (read a flag).
 * A NULL struct fvd_progress is legal everywhere.
 */
#ifndef FVD_UTIL_PROGRESS_H
#define FVD_UTIL_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct fvd_progress {
	void (*report)(void *opaque, const char *what, uint64_t done, uint64_t total);
	bool (*cancelled)(void *opaque);
	void *opaque;
	/* private from here */
	const char *what;
	_Atomic uint64_t done, total;
	_Atomic int64_t next_ms;
	atomic_flag busy;
};

/* Begin a phase of @total bytes named by @what ("convert", "verify"; static text). */
void fvd_progress_start(struct fvd_progress *p, const char *what, uint64_t total);
/* -1 with CANCELLED when the caller wants to stop. */
int fvd_progress_add(struct fvd_progress *p, uint64_t bytes, struct fvd_error *err);
void fvd_progress_finish(struct fvd_progress *p);

#endif
