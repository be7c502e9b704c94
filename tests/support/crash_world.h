/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small world of files in memory that remembers everything done to it: the ground the
 * crash tests stand on. Every write, punch, truncate and flush is logged with the moments it was
 * called, took effect and returned; crash_disk.h turns the log into what a disk may hold
 * after a power cut. Calls can be made to fail, or be held, by a hook.
 */
#ifndef TESTS_SUPPORT_CRASH_WORLD_H
#define TESTS_SUPPORT_CRASH_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/io_open.h"

#define CW_FILES 8
#define CW_SECTOR 512u
#define CW_NEVER UINT64_MAX

enum cw_kind {
	CW_OPEN, CW_READ, CW_WRITE, CW_PUNCH, CW_TRUNCATE, CW_FLUSH, CW_LENGTH, CW_EXTENT,
};

/* One call as hooks see it. */
struct cw_call {
	enum cw_kind kind;
	int file;		/* -1 for the opening of a file that is not there */
	uint64_t off, len;
	uint64_t number;	/* of this call among all, from 0 */
};

/* One logged operation. Sectors [first, first + count) have this content afterwards. */
struct cw_op {
	enum cw_kind kind;	/* WRITE, PUNCH, TRUNCATE, FLUSH */
	int file;
	uint64_t first, count;
	uint8_t *after, *hole;	/* count * 512 bytes; count flags */
	uint64_t length;	/* of the file afterwards */
	bool grew;
	bool failed;
	bool lost;		/* a failed flush swallowed it: later ones do not help */
	uint64_t begin, applied, end;	/* moments; end is CW_NEVER while in flight */
};

struct cw_file {
	char name[32];
	uint8_t *data, *hole;	/* bytes; one flag per sector: never written, or punched */
	uint64_t len, cap;	/* beyond len: zero bytes, hole flags */
	uint64_t max_len;	/* writes beyond fail with ENOSPC */
	bool block_device;
	bool constant;		/* nobody writes it: states of a disk may share it */
	bool borrowed;		/* data and hole belong to another world */
	unsigned readers, writers, opens;
};

struct cw {
	struct fvd_opener opener;
	pthread_mutex_t lock;
	struct cw_file file[CW_FILES];
	int files;
	bool logging;
	struct cw_op *op;
	size_t ops, op_cap;
	uint64_t clock, calls;
	uint64_t changes;	/* calls that change a file, logged or not */
	uint64_t flushes;
	bool lose_on_failed_flush;
	/* Called without the lock. _before returns an errno to fail with, 0 to go on. */
	int (*before)(void *opaque, const struct cw_call *call);
	void (*after)(void *opaque, const struct cw_call *call);
	void *opaque;
};

struct cw *cw_new(void);
void cw_free(struct cw *w);	/* NULL is fine */
/* A file of @len zero bytes that is one hole. Returns its number. */
int cw_add(struct cw *w, const char *name, uint64_t len);
int cw_find(const struct cw *w, const char *name);	/* -1: not there */
/* Put bytes into a file without a log entry: they are durable. */
void cw_poke(struct cw *w, int file, const void *buf, uint64_t len, uint64_t off);
/* Move the clock on by one and say what it shows. */
uint64_t cw_tick(struct cw *w);
/* Forget the log: what the files hold now is durable. */
void cw_clear_log(struct cw *w);
/* Files still open: a leak when everything was closed. */
unsigned cw_open_count(const struct cw *w);
/* Lend file @file of @src to @dst, which must not write it. */
void cw_borrow(struct cw *dst, const struct cw *src, int file);
void cw_resize(struct cw_file *f, uint64_t len);	/* grows cap, keeps the rest */

/* xorshift64*: the same numbers for the same seed everywhere. */
struct cw_rng { uint64_t s; };
void cw_seed(struct cw_rng *r, uint64_t seed);
uint64_t cw_random(struct cw_rng *r);
uint64_t cw_below(struct cw_rng *r, uint64_t n);	/* 0..n-1, n > 0 */
static inline bool cw_chance(struct cw_rng *r, unsigned percent)
{
	return cw_below(r, 100) < percent;
}

#endif
