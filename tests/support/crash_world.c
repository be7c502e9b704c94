/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/num.h"

struct world_io {
	struct fvd_io io;
	struct cw *w;
	int file;
	enum fvd_io_lock lock;
};

static void *must(void *p)
{
	if (!p) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

void cw_seed(struct cw_rng *r, uint64_t seed)
{
	r->s = seed * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0x1234567);
	if (r->s == 0)
		r->s = 1;
	for (int i = 0; i < 4; i++)
		cw_random(r);
}

uint64_t cw_random(struct cw_rng *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * UINT64_C(2685821657736338717);
}

uint64_t cw_below(struct cw_rng *r, uint64_t n)
{
	return (cw_random(r) >> 16) % n;
}

void cw_resize(struct cw_file *f, uint64_t len)
{
	uint64_t cap = fvd_round_up(len, 4096);

	if (cap <= f->cap)
		return;
	if (cap < f->cap * 2)
		cap = f->cap * 2;
	f->data = must(realloc(f->data, cap));
	f->hole = must(realloc(f->hole, cap / CW_SECTOR));
	memset(f->data + f->cap, 0, cap - f->cap);
	memset(f->hole + f->cap / CW_SECTOR, 1, (cap - f->cap) / CW_SECTOR);
	f->cap = cap;
}

/* Lock held. The file reads as zero from @len on. */
static void set_len(struct cw_file *f, uint64_t len)
{
	cw_resize(f, len);
	if (len < f->len) {
		uint64_t from = fvd_div_up(len, CW_SECTOR);

		memset(f->data + len, 0, f->len - len);
		memset(f->hole + from, 1, fvd_div_up(f->len, CW_SECTOR) - from);
	}
	f->len = len;
}

uint64_t cw_tick(struct cw *w)
{
	uint64_t now;

	pthread_mutex_lock(&w->lock);
	now = ++w->clock;
	pthread_mutex_unlock(&w->lock);
	return now;
}

/* The hook's word on a call, asked without the lock: 0 or an errno. */
static int ask(struct cw *w, struct cw_call *c)
{
	pthread_mutex_lock(&w->lock);
	c->number = w->calls++;
	w->clock++;
	pthread_mutex_unlock(&w->lock);
	return w->before ? w->before(w->opaque, c) : 0;
}

static void told(struct cw *w, const struct cw_call *c)
{
	if (w->after)
		w->after(w->opaque, c);
}

static const char *kind_name(enum cw_kind kind)
{
	static const char *const names[] = {
		"open", "read", "write", "punch", "truncate", "flush", "length", "extent",
	};

	return names[kind];
}

static int fail(const struct fvd_io *io, const struct cw_call *c, int errnum,
		struct fvd_error *err)
{
	return fvd_error_sys(err, errnum, "%s: injected %s failure", io->name, kind_name(c->kind));
}

/* Lock held. Returns the number of a new log entry, SIZE_MAX when not logging. */
static size_t log_op(struct cw *w, const struct cw_call *c, uint64_t begin, uint64_t first,
		     uint64_t count, uint64_t old_len)
{
	const struct cw_file *f = &w->file[c->file];
	struct cw_op *op;

	if (!w->logging)
		return SIZE_MAX;
	if (w->ops == w->op_cap) {
		w->op_cap = w->op_cap ? w->op_cap * 2 : 256;
		w->op = must(realloc(w->op, w->op_cap * sizeof(*w->op)));
	}
	op = &w->op[w->ops];
	*op = (struct cw_op){ .kind = c->kind, .file = c->file, .first = first, .count = count,
			      .length = f->len, .grew = f->len > old_len, .begin = begin,
			      .applied = ++w->clock, .end = CW_NEVER };
	if (count > 0) {
		op->after = must(malloc(count * CW_SECTOR));
		op->hole = must(malloc(count));
		memcpy(op->after, f->data + first * CW_SECTOR, count * CW_SECTOR);
		memcpy(op->hole, f->hole + first, count);
	}
	return w->ops++;
}

static void end_op(struct cw *w, size_t number, bool failed)
{
	pthread_mutex_lock(&w->lock);
	w->clock++;
	if (number != SIZE_MAX) {
		w->op[number].end = w->clock;
		w->op[number].failed = failed;
	}
	pthread_mutex_unlock(&w->lock);
}

static int world_preadv(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
			struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw *w = wio->w;
	struct cw_file *f = &w->file[wio->file];
	struct cw_call c = { CW_READ, wio->file, off, 0, 0 };
	int errnum;

	for (int i = 0; i < iovcnt; i++)
		c.len += iov[i].iov_len;
	errnum = ask(w, &c);
	if (errnum)
		return fail(io, &c, errnum, err);
	pthread_mutex_lock(&w->lock);
	for (int i = 0; i < iovcnt; i++) {
		uint64_t have = off < f->len ? fvd_min(iov[i].iov_len, f->len - off) : 0;

		if (have > 0)
			memcpy(iov[i].iov_base, f->data + off, have);
		memset((uint8_t *)iov[i].iov_base + have, 0, iov[i].iov_len - have);
		off += iov[i].iov_len;
	}
	pthread_mutex_unlock(&w->lock);
	told(w, &c);
	return 0;
}

/* Lock held. Put the first @len bytes of @iov at @off. */
static void store(struct cw_file *f, const struct iovec *iov, uint64_t len, uint64_t off)
{
	if (off + len > f->len)
		set_len(f, off + len);
	memset(f->hole + off / CW_SECTOR, 0,
	       fvd_div_up(off + len, CW_SECTOR) - off / CW_SECTOR);
	for (int i = 0; len > 0; i++) {
		uint64_t n = fvd_min(len, iov[i].iov_len);

		memcpy(f->data + off, iov[i].iov_base, n);
		off += n;
		len -= n;
	}
}

static int world_pwritev(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
			 struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw *w = wio->w;
	struct cw_file *f = &w->file[wio->file];
	struct cw_call c = { CW_WRITE, wio->file, off, 0, 0 };
	uint64_t begin = cw_tick(w), len, old_len;
	size_t number = SIZE_MAX;
	int errnum;

	for (int i = 0; i < iovcnt; i++)
		c.len += iov[i].iov_len;
	errnum = ask(w, &c);
	if (!errnum && off + c.len > f->max_len)
		errnum = ENOSPC;
	/* What failed may have happened in part, by whole sectors. */
	len = c.len;
	if (errnum)
		len = fvd_max(off, fvd_round_down(off + len / 2, CW_SECTOR)) - off;
	if (errnum && off + len > f->max_len)
		len = 0;
	pthread_mutex_lock(&w->lock);
	w->changes++;
	old_len = f->len;
	if (len > 0) {
		store(f, iov, len, off);
		number = log_op(w, &c, begin, off / CW_SECTOR,
				fvd_div_up(off + len, CW_SECTOR) - off / CW_SECTOR, old_len);
	}
	pthread_mutex_unlock(&w->lock);
	told(w, &c);
	end_op(w, number, errnum != 0);
	return errnum ? fail(io, &c, errnum, err) : 0;
}

static int world_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw *w = wio->w;
	struct cw_file *f = &w->file[wio->file];
	struct cw_call c = { CW_PUNCH, wio->file, off, len, 0 };
	uint64_t begin = cw_tick(w), first, last;
	size_t number = SIZE_MAX;
	int errnum = ask(w, &c);

	if (errnum)
		return fail(io, &c, errnum, err);
	pthread_mutex_lock(&w->lock);
	w->changes++;
	len = off < f->len ? fvd_min(len, f->len - off) : 0;
	if (len > 0) {
		memset(f->data + off, 0, len);
		first = fvd_div_up(off, CW_SECTOR);
		last = off + len == f->len ? fvd_div_up(off + len, CW_SECTOR) :
					     (off + len) / CW_SECTOR;
		if (last > first)
			memset(f->hole + first, 1, last - first);
		first = off / CW_SECTOR;
		last = fvd_div_up(off + len, CW_SECTOR);
		number = log_op(w, &c, begin, first, last - first, f->len);
	}
	pthread_mutex_unlock(&w->lock);
	told(w, &c);
	end_op(w, number, false);
	return 0;
}

static int world_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw *w = wio->w;
	struct cw_file *f = &w->file[wio->file];
	struct cw_call c = { CW_TRUNCATE, wio->file, 0, len, 0 };
	uint64_t begin = cw_tick(w), old_len;
	size_t number;
	int errnum = ask(w, &c);

	if (!errnum && len > f->max_len)
		errnum = EFBIG;
	if (errnum)
		return fail(io, &c, errnum, err);
	pthread_mutex_lock(&w->lock);
	w->changes++;
	old_len = f->len;
	set_len(f, len);
	number = log_op(w, &c, begin, 0, 0, old_len);
	pthread_mutex_unlock(&w->lock);
	told(w, &c);
	end_op(w, number, false);
	return 0;
}

/* Lock held. A kernel that failed to write pages back forgets that they were dirty. */
static void lose(struct cw *w, int file, uint64_t before)
{
	for (size_t i = 0; i < w->ops; i++) {
		if (w->op[i].file == file && w->op[i].end < before)
			w->op[i].lost = true;
	}
}

static int world_flush(struct fvd_io *io, struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw *w = wio->w;
	struct cw_call c = { CW_FLUSH, wio->file, 0, 0, 0 };
	uint64_t begin = cw_tick(w);
	int errnum = ask(w, &c);
	size_t number;

	pthread_mutex_lock(&w->lock);
	w->flushes++;
	if (errnum && w->lose_on_failed_flush)
		lose(w, wio->file, begin);
	number = log_op(w, &c, begin, 0, 0, w->file[wio->file].len);
	pthread_mutex_unlock(&w->lock);
	told(w, &c);
	end_op(w, number, errnum != 0);
	return errnum ? fail(io, &c, errnum, err) : 0;
}

static int world_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw_call c = { CW_LENGTH, wio->file, 0, 0, 0 };
	int errnum = ask(wio->w, &c);

	if (errnum)
		return fail(io, &c, errnum, err);
	pthread_mutex_lock(&wio->w->lock);
	*len = wio->w->file[wio->file].len;
	pthread_mutex_unlock(&wio->w->lock);
	told(wio->w, &c);
	return 0;
}

/* Pages of 4096, as file systems have them. */
static bool page_is_hole(const struct cw_file *f, uint64_t page)
{
	static const uint8_t all[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };

	return page * 4096 >= f->cap || memcmp(f->hole + page * 8, all, sizeof(all)) == 0;
}

static int world_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
			struct fvd_error *err)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw_call c = { CW_EXTENT, wio->file, off, 0, 0 };
	const struct cw_file *f = &wio->w->file[wio->file];
	int errnum = ask(wio->w, &c);
	uint64_t page = off / 4096;

	if (errnum)
		return fail(io, &c, errnum, err);
	pthread_mutex_lock(&wio->w->lock);
	if (off >= f->len) {
		*ext = (struct fvd_io_extent){ FVD_MAX_OFF, true };
	} else {
		ext->hole = page_is_hole(f, page);
		while (page * 4096 < f->len && page_is_hole(f, page) == ext->hole)
			page++;
		ext->len = fvd_min(page * 4096, f->len) - off;
	}
	pthread_mutex_unlock(&wio->w->lock);
	told(wio->w, &c);
	return 0;
}

static void world_close(struct fvd_io *io)
{
	struct world_io *wio = (struct world_io *)io;
	struct cw_file *f = &wio->w->file[wio->file];

	pthread_mutex_lock(&wio->w->lock);
	f->opens--;
	if (wio->lock == FVD_LOCK_EXCLUSIVE)
		f->writers--;
	else if (wio->lock == FVD_LOCK_SHARED)
		f->readers--;
	pthread_mutex_unlock(&wio->w->lock);
	free(io->name);
	free(wio);
}

static const struct fvd_io_ops file_ops = {
	.name = "memory", .preadv = world_preadv, .pwritev = world_pwritev, .flush = world_flush,
	.length = world_length, .truncate = world_truncate, .punch = world_punch,
	.extent = world_extent, .close = world_close,
};

static const struct fvd_io_ops device_ops = {
	.name = "memory device", .preadv = world_preadv, .pwritev = world_pwritev,
	.flush = world_flush, .length = world_length, .punch = world_punch, .close = world_close,
};

/* Lock held. */
static int take_lock(struct cw_file *f, enum fvd_io_lock lock, struct fvd_error *err)
{
	if ((lock == FVD_LOCK_EXCLUSIVE && (f->readers || f->writers)) ||
	    (lock == FVD_LOCK_SHARED && f->writers))
		return fvd_error_set(err, FVD_ERR_LOCKED, "%s: in use", f->name);
	if (lock == FVD_LOCK_EXCLUSIVE)
		f->writers++;
	else if (lock == FVD_LOCK_SHARED)
		f->readers++;
	f->opens++;
	return 0;
}

static int open_file(struct cw *w, int file, int flags, enum fvd_io_lock lock,
		     struct fvd_io **io, struct fvd_error *err)
{
	struct cw_file *f = &w->file[file];
	struct world_io *wio;
	int ret;

	pthread_mutex_lock(&w->lock);
	ret = take_lock(f, lock, err);
	pthread_mutex_unlock(&w->lock);
	if (ret < 0)
		return -1;
	wio = must(calloc(1, sizeof(*wio)));
	wio->io.ops = f->block_device ? &device_ops : &file_ops;
	wio->io.name = must(strdup(f->name));
	wio->io.readonly = !(flags & (FVD_IO_WRITE | FVD_IO_CREATE));
	wio->io.block_device = f->block_device;
	wio->io.id = (struct fvd_io_identity){ true, 1, (uint64_t)file + 1, 0 };
	wio->w = w;
	wio->file = file;
	wio->lock = lock;
	*io = &wio->io;
	return 0;
}

static int world_open(struct fvd_opener *self, const char *name, int flags,
		      enum fvd_io_lock lock, struct fvd_io **io, struct fvd_error *err)
{
	struct cw *w = (struct cw *)self;
	int file = cw_find(w, name), errnum;
	struct cw_call c = { CW_OPEN, file, 0, 0, 0 };

	errnum = ask(w, &c);
	if (!errnum && (flags & FVD_IO_CREATE))
		errnum = file >= 0 ? EEXIST : 0;
	else if (!errnum && file < 0)
		errnum = ENOENT;
	if (errnum)
		return fvd_error_sys(err, errnum, "%s: cannot open", name);
	if (file < 0)
		file = cw_add(w, name, 0);
	told(w, &c);
	return open_file(w, file, flags, lock, io, err);
}

struct cw *cw_new(void)
{
	struct cw *w = must(calloc(1, sizeof(*w)));

	w->opener.open = world_open;
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

void cw_clear_log(struct cw *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		free(w->op[i].after);
		free(w->op[i].hole);
	}
	w->ops = 0;
}

void cw_free(struct cw *w)
{
	if (!w)
		return;
	cw_clear_log(w);
	free(w->op);
	for (int i = 0; i < w->files; i++) {
		if (w->file[i].borrowed)
			continue;
		free(w->file[i].data);
		free(w->file[i].hole);
	}
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int cw_add(struct cw *w, const char *name, uint64_t len)
{
	struct cw_file *f = &w->file[w->files];

	if (w->files == CW_FILES)
		abort();
	*f = (struct cw_file){ .max_len = UINT64_C(1) << 40 };
	snprintf(f->name, sizeof(f->name), "%s", name);
	cw_resize(f, fvd_max(len, 1));
	f->len = len;
	return w->files++;
}

int cw_find(const struct cw *w, const char *name)
{
	if (strncmp(name, "./", 2) == 0)
		name += 2;
	for (int i = 0; i < w->files; i++) {
		if (strcmp(w->file[i].name, name) == 0)
			return i;
	}
	return -1;
}

void cw_poke(struct cw *w, int file, const void *buf, uint64_t len, uint64_t off)
{
	/* An iovec has no const; nothing writes through this one. */
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	if (len > 0)
		store(&w->file[file], &iov, len, off);
}

unsigned cw_open_count(const struct cw *w)
{
	unsigned n = 0;

	for (int i = 0; i < w->files; i++)
		n += w->file[i].opens;
	return n;
}

void cw_borrow(struct cw *dst, const struct cw *src, int file)
{
	const struct cw_file *from = &src->file[file];
	struct cw_file *f = &dst->file[file];

	if (!f->borrowed) {
		free(f->data);
		free(f->hole);
	}
	*f = *from;
	f->borrowed = true;
	f->readers = f->writers = f->opens = 0;
	if (dst->files <= file)
		dst->files = file + 1;
}
