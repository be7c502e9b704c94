/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The crash explorer. A run makes an image in a crash world, and does in several phases: open,
 * random guest operations, a close or a kill. Then every moment of the phase is a cut, and for
 * each cut many disks that it could leave are built, replayed, read, compared with the model,
 * checked and opened again. One such disk is what the next phase goes on with.
 */
#ifndef TESTS_SUPPORT_CRASH_RUN_H
#define TESTS_SUPPORT_CRASH_RUN_H

#include "crash_disk.h"
#include "crash_image.h"
#include "model.h"

/* Weights of guest operations, and how they look. */
struct cr_profile {
	unsigned write, zero, discard, flush, read, reopen, kill, compact;
	unsigned odd_percent;		/* writes that do not end on sectors */
	unsigned base_percent;		/* writes of what the disk held at the start */
	unsigned aligned_percent;	/* discards and zeroes of whole chunks */
	uint64_t max_bytes;		/* of one operation */
	uint64_t window;		/* > 0: keep to this many bytes at the start */
	unsigned ops, phases;
	unsigned close_percent;		/* of phases that end with an orderly close */
	unsigned states_per_cut;	/* about */
};

extern const struct cr_profile cr_default_profile;

struct cr_result {
	uint64_t states, deep_states, cuts, runs;
	uint64_t recycles, journal_writes;	/* what the workload made the engine do */
	bool violated;
	char text[1500];
};

struct cr_job {
	const struct ci_cfg *cfg;
	const struct cr_profile *profile;
	uint64_t seed;
	uint32_t broken_rules;
};

/* Adds to @result; stops at the first violation, whose text names layout and seed. */
void cr_run(const struct cr_job *job, struct cr_result *result);

/*
 * Walk through the log of @w from what was durable in @d at its start, and verify states at every
 * cut. Used by cr_run, and by scripted tests after their own workload.
 */
struct cr {
	struct cr_job job;
	struct cw *w, *scratch, *deeper;
	struct ci ci;
	struct cd disk;
	struct model model;
	pthread_mutex_t lock;		/* of model, moments, serial: guests are threads too */
	struct fvd_image *img;
	struct cw_rng rng;
	uint8_t *buf, *second;
	uint64_t *moment;		/* more cuts than those of the log: flushes that returned */
	size_t moments, moment_cap;
	uint64_t *seen;			/* choices tried in this phase */
	uint64_t serial;
	unsigned phase;
	bool touched;			/* something was written through this opening */
	bool expect_errors;		/* faults are injected: a failed call is fine */
	bool dead;			/* and reads fail too: look at nothing */
	struct cr_result *result;
};

void cr_init(struct cr *r, const struct cr_job *job, struct cr_result *result);
void cr_fini(struct cr *r);
bool cr_open(struct cr *r);		/* false: violated, as all below */
bool cr_write(struct cr *r, uint64_t off, uint64_t len);
bool cr_zero(struct cr *r, uint64_t off, uint64_t len, bool discard);
bool cr_flush(struct cr *r);
bool cr_close(struct cr *r);
bool cr_kill(struct cr *r);		/* drop */
bool cr_check_live(struct cr *r);	/* the open image reads as the model says */
/* After a crash or a kill: what is read is what is there now. */
bool cr_settle(struct cr *r);
void cr_start_log(struct cr *r);	/* what the files hold is durable, log from here */
bool cr_explore(struct cr *r);		/* all cuts of the log */
/* @cuts of them, chosen at random, the last one always. */
bool cr_explore_some(struct cr *r, size_t cuts);
/* check finds no damage in the closed image in @w, after a replay; leaks are no damage. */
bool cr_check_clean(struct cr *r, struct cw *w);
bool cr_violation(struct cr *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Run jobs on two threads; the first violation in @result. */
void cr_run_all(const struct cr_job *jobs, size_t count, struct cr_result *result);
uint64_t cr_env(const char *name, uint64_t value);	/* a number from the environment */

#endif
