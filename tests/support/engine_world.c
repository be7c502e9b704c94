/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/io_mem.h"

/* ---- the file ---- */

static struct ew_file *file_of(struct fvd_io *io)
{
	return (struct ew_file *)(void *)io;
}

/* 0, or the errno this call fails with. */
static int enter(struct ew_file *f, enum ew_kind kind, uint64_t off, uint64_t len)
{
	int errnum = 0;

	if (f->before)
		f->before(f->opaque, kind, off, len);
	pthread_mutex_lock(&f->lock);
	f->count[kind]++;
	if (kind == EW_WRITE && off < f->watch_off + f->watch_len && f->watch_off < off + len)
		f->watched++;
	if (f->gate_armed && kind == f->gate_kind) {
		f->gate_armed = false;
		f->gate_reached = true;
		pthread_cond_broadcast(&f->cond);
		while (!f->gate_open)
			pthread_cond_wait(&f->cond, &f->lock);
	}
	if (f->fail_in >= 0 && kind == f->fail_kind && f->fail_in-- == 0) {
		f->failed = true;
		errnum = EIO;
	}
	pthread_mutex_unlock(&f->lock);
	return errnum;
}

static uint64_t total(const struct iovec *iov, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int f_preadv(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		    struct fvd_error *err)
{
	int errnum = enter(file_of(io), EW_READ, off, total(iov, n));

	return errnum ? fvd_error_sys(err, errnum, "%s: read", io->name)
		      : fvd_io_preadv(file_of(io)->inner, iov, n, off, err);
}

static int f_pwritev(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		     struct fvd_error *err)
{
	int errnum = enter(file_of(io), EW_WRITE, off, total(iov, n));

	return errnum ? fvd_error_sys(err, errnum, "%s: write", io->name)
		      : fvd_io_pwritev(file_of(io)->inner, iov, n, off, err);
}

static int f_flush(struct fvd_io *io, struct fvd_error *err)
{
	int errnum = enter(file_of(io), EW_FLUSH, 0, 0);

	return errnum ? fvd_error_sys(err, errnum, "%s: sync", io->name)
		      : fvd_io_flush(file_of(io)->inner, err);
}

static int f_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	return fvd_io_length(file_of(io)->inner, len, err);
}

static int f_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	int errnum = enter(file_of(io), EW_TRUNCATE, 0, len);

	return errnum ? fvd_error_sys(err, errnum, "%s: truncate", io->name)
		      : fvd_io_truncate(file_of(io)->inner, len, err);
}

static int f_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	int errnum = enter(file_of(io), EW_PUNCH, off, len);
	bool punched;

	if (errnum)
		return fvd_error_sys(err, errnum, "%s: punch", io->name);
	if (fvd_io_punch(file_of(io)->inner, off, len, &punched, err) < 0)
		return -1;
	return punched ? 0 : 1;
}

static int f_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
		    struct fvd_error *err)
{
	return fvd_io_extent(file_of(io)->inner, off, (uint64_t)INT64_MAX - off, ext, err);
}

static void f_close(struct fvd_io *io)
{
	struct ew_file *f = file_of(io);

	fvd_io_close(f->inner);
	pthread_cond_destroy(&f->cond);
	pthread_mutex_destroy(&f->lock);
	free(io->name);
	free(f);
}

static const struct fvd_io_ops file_ops = {
	.name = "memory",
	.preadv = f_preadv,
	.pwritev = f_pwritev,
	.flush = f_flush,
	.length = f_length,
	.truncate = f_truncate,
	.punch = f_punch,
	.extent = f_extent,
	.close = f_close,
};

static struct ew_file *file_new(struct fvd_io *inner)
{
	struct ew_file *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->io.ops = &file_ops;
	f->io.name = strdup("img");
	f->inner = inner;
	f->fail_in = -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->cond, NULL);
	return f;
}

/* ---- the image ---- */

static void must(struct ew *w, int rc)
{
	if (rc < 0)
		fail_msg("%s", w->err.text);
}

void ew_make(struct ew *w, const struct fvd_header *h)
{
	memset(w, 0, sizeof(*w));
	w->h = *h;
	w->opener = mem_opener_new();
	w->file = file_new(mk_image(h));
	mem_opener_add(w->opener, "img", &w->file->io);
	w->opts = (struct fvd_open_opts){ .flags = FVD_OPEN_WRITE, .opener = w->opener,
					  .commit_interval_ms = FVD_COMMIT_ON_DEMAND };
}

void ew_base(struct ew *w, uint64_t len, uint8_t value)
{
	struct fvd_io *base = fvd_io_mem_new("base.raw", len, NULL);

	assert_non_null(base);
	mk_fill(base, 0, len, value);
	mem_opener_add(w->opener, "base.raw", base);
}

void ew_done(struct ew *w)
{
	fvd_image_drop(w->img);
	mem_opener_free(w->opener);
}

void ew_open(struct ew *w)
{
	must(w, fvd_image_open("img", &w->opts, &w->img, &w->err));
}

void ew_close(struct ew *w)
{
	struct fvd_image *img = w->img;

	w->img = NULL;
	must(w, fvd_image_close(img, &w->err));
}

void ew_crash(struct ew *w)
{
	fvd_image_drop(w->img);
	w->img = NULL;
	ew_open(w);
}

int ew_write(struct ew *w, uint8_t value, uint64_t off, uint64_t len)
{
	struct ew_guest g = { .w = w, .off = off, .len = len, .value = value };
	int rc = ew_call_write(&g);

	w->err = g.err;
	return rc;
}

void ew_put(struct ew *w, uint8_t value, uint64_t off, uint64_t len)
{
	must(w, ew_write(w, value, off, len));
}

void ew_flush(struct ew *w)
{
	must(w, fvd_image_flush(w->img, &w->err));
}

void ew_expect(struct ew *w, struct fvd_image *img, uint8_t value, uint64_t off, uint64_t len)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	must(w, fvd_image_read(img, buf, len, off, &w->err));
	for (uint64_t i = 0; i < len; i++)
		if (buf[i] != value)
			fail_msg("0x%02x at %llu, not 0x%02x", buf[i],
				 (unsigned long long)(off + i), value);
	free(buf);
}

/* ---- gate, fault, counts ---- */

void ew_gate(struct ew *w, enum ew_kind kind)
{
	struct ew_file *f = w->file;

	pthread_mutex_lock(&f->lock);
	f->gate_kind = kind;
	f->gate_reached = f->gate_open = false;
	f->gate_armed = true;
	pthread_mutex_unlock(&f->lock);
}

void ew_gate_wait(struct ew *w)
{
	struct ew_file *f = w->file;

	pthread_mutex_lock(&f->lock);
	while (!f->gate_reached)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

void ew_gate_open(struct ew *w)
{
	struct ew_file *f = w->file;

	pthread_mutex_lock(&f->lock);
	f->gate_armed = false;
	f->gate_open = true;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

void ew_fail(struct ew *w, enum ew_kind kind, int in)
{
	struct ew_file *f = w->file;

	pthread_mutex_lock(&f->lock);
	f->fail_kind = kind;
	f->fail_in = in;
	f->failed = false;
	pthread_mutex_unlock(&f->lock);
}

void ew_watch(struct ew *w, uint64_t off, uint64_t len)
{
	struct ew_file *f = w->file;

	pthread_mutex_lock(&f->lock);
	f->watch_off = off;
	f->watch_len = len;
	f->watched = 0;
	pthread_mutex_unlock(&f->lock);
}

static uint64_t get(struct ew_file *f, const uint64_t *counter)
{
	uint64_t value;

	pthread_mutex_lock(&f->lock);
	value = *counter;
	pthread_mutex_unlock(&f->lock);
	return value;
}

uint64_t ew_watched(struct ew *w)
{
	return get(w->file, &w->file->watched);
}

uint64_t ew_count(struct ew *w, enum ew_kind kind)
{
	return get(w->file, &w->file->count[kind]);
}

/* ---- guests ---- */

int ew_call_write(struct ew_guest *g)
{
	uint8_t *buf = malloc(g->len);
	int rc;

	if (!buf)
		abort();
	memset(buf, g->value, g->len);
	rc = fvd_image_write(g->w->img, buf, g->len, g->off, &g->err);
	free(buf);
	return rc;
}

int ew_call_read(struct ew_guest *g)
{
	uint8_t *buf = malloc(g->len);
	int rc;

	if (!buf)
		abort();
	rc = fvd_image_read(g->w->img, buf, g->len, g->off, &g->err);
	for (uint64_t i = 0; rc == 0 && i < g->len; i++)
		if (buf[i] != g->value)
			rc = fvd_error_set(&g->err, FVD_ERR_INVALID, "0x%02x read", buf[i]);
	free(buf);
	return rc;
}

int ew_call_flush(struct ew_guest *g)
{
	return fvd_image_flush(g->w->img, &g->err);
}

static void *guest_main(void *opaque)
{
	struct ew_guest *g = opaque;
	int rc;

	__atomic_store_n(&g->tid, (int)gettid(), __ATOMIC_RELEASE);
	rc = g->call(g);
	g->rc = rc;
	__atomic_store_n(&g->done, true, __ATOMIC_RELEASE);
	return NULL;
}

void ew_start(struct ew_guest *g)
{
	g->tid = 0;
	g->done = false;
	assert_int_equal(pthread_create(&g->thread, NULL, guest_main, g), 0);
}

bool ew_is_done(struct ew_guest *g)
{
	return __atomic_load_n(&g->done, __ATOMIC_ACQUIRE);
}

/* The kernel's word for the thread's state; 0 when it is gone. */
static char thread_state(int tid)
{
	char path[64], line[256] = "", *paren;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	paren = strrchr(line, ')');
	return paren && paren[1] == ' ' ? paren[2] : 0;
}

/* Asleep at many looks in a row: not for a lock that somebody holds for a moment. */
void ew_settle(struct ew_guest *g)
{
	for (int asleep = 0; asleep < 20 && !ew_is_done(g);) {
		int tid = __atomic_load_n(&g->tid, __ATOMIC_ACQUIRE);

		usleep(1000);
		asleep = tid != 0 && thread_state(tid) == 'S' ? asleep + 1 : 0;
	}
}

void ew_join(struct ew_guest *g)
{
	pthread_join(g->thread, NULL);
	if (g->rc < 0)
		fail_msg("%s", g->err.text);
}
