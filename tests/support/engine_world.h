/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One image in memory whose every call to its file can be counted, held or made to fail, and guest
 * threads on it. Functions without a result assert (cmocka) that they work.
 */
#ifndef TESTS_SUPPORT_ENGINE_WORLD_H
#define TESTS_SUPPORT_ENGINE_WORLD_H

#include <pthread.h>

#include "image/image.h"
#include "mem_opener.h"
#include "mkimage.h"
#include "util/num.h"

#define EW_CHUNK (64 * FVD_KIB)

enum ew_kind { EW_READ, EW_WRITE, EW_FLUSH, EW_PUNCH, EW_TRUNCATE, EW_KINDS };

/* The file of the image. Everything but @inner and @before under @lock. */
struct ew_file {
	struct fvd_io io;
	struct fvd_io *inner;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* Called without the lock, before each call. */
	void (*before)(void *opaque, enum ew_kind kind, uint64_t off, uint64_t len);
	void *opaque;
	/* The next call of this kind waits until the gate opens. */
	enum ew_kind gate_kind;
	bool gate_armed, gate_reached, gate_open;
	/* Call number @fail_in of this kind from now on fails; -1: none will. */
	enum ew_kind fail_kind;
	int fail_in;
	bool failed;
	uint64_t count[EW_KINDS];
	uint64_t watch_off, watch_len, watched;	/* writes in a range */
};

struct ew {
	struct fvd_opener *opener;
	struct fvd_header h;
	struct ew_file *file;		/* the opener's */
	struct fvd_image *img;
	struct fvd_open_opts opts;
	struct fvd_error err;
};

/* "img" with @h in an opener of its own; not open yet. Commits on demand only. */
void ew_make(struct ew *w, const struct fvd_header *h);
/* Add "base.raw", of @len bytes @value. */
void ew_base(struct ew *w, uint64_t len, uint8_t value);
void ew_done(struct ew *w);
void ew_open(struct ew *w);
void ew_close(struct ew *w);
/* Lose what was not written, and look again: the image must be sound. */
void ew_crash(struct ew *w);

/* Write @len bytes @value at @off; 0 or -1 with w->err. */
int ew_write(struct ew *w, uint8_t value, uint64_t off, uint64_t len);
void ew_put(struct ew *w, uint8_t value, uint64_t off, uint64_t len);
void ew_flush(struct ew *w);
/* [off, off + len) reads as @value. */
void ew_expect(struct ew *w, struct fvd_image *img, uint8_t value, uint64_t off, uint64_t len);

void ew_gate(struct ew *w, enum ew_kind kind);
void ew_gate_wait(struct ew *w);	/* until somebody is held there */
void ew_gate_open(struct ew *w);
void ew_fail(struct ew *w, enum ew_kind kind, int in);
void ew_watch(struct ew *w, uint64_t off, uint64_t len);
uint64_t ew_watched(struct ew *w);
uint64_t ew_count(struct ew *w, enum ew_kind kind);

/* A guest call in a thread of its own. */
struct ew_guest {
	struct ew *w;
	int (*call)(struct ew_guest *);
	uint64_t off, len;
	uint8_t value;
	int rc;
	bool done;
	int tid;		/* 0: does not run yet */
	pthread_t thread;
	struct fvd_error err;
};

int ew_call_write(struct ew_guest *g);
int ew_call_read(struct ew_guest *g);	/* what must be @value */
int ew_call_flush(struct ew_guest *g);
void ew_start(struct ew_guest *g);
/* Until it has ended, or sleeps and nothing but another thread can wake it. */
void ew_settle(struct ew_guest *g);
bool ew_is_done(struct ew_guest *g);
void ew_join(struct ew_guest *g);

#endif
