/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem_opener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_mem.h"

#define MAX_FILES 64

struct file {
	char *name;
	struct fvd_io *io;
	unsigned shared, exclusive, opened;
};

struct mem_opener {
	struct fvd_opener opener;
	struct file files[MAX_FILES];
	unsigned count;
};

struct handle {
	struct fvd_io io;
	struct file *file;
	enum fvd_io_lock lock;
};

static struct fvd_io *inner(struct fvd_io *io)
{
	return ((struct handle *)(void *)io)->file->io;
}

static int h_preadv(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		    struct fvd_error *err)
{
	return fvd_io_preadv(inner(io), iov, n, off, err);
}

static int h_pwritev(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		     struct fvd_error *err)
{
	return fvd_io_pwritev(inner(io), iov, n, off, err);
}

static int h_flush(struct fvd_io *io, struct fvd_error *err)
{
	return fvd_io_flush(inner(io), err);
}

static int h_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	return fvd_io_length(inner(io), len, err);
}

static int h_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	return fvd_io_truncate(inner(io), len, err);
}

static int h_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	bool punched;

	if (fvd_io_punch(inner(io), off, len, &punched, err) < 0)
		return -1;
	return punched ? 0 : 1;
}

static int h_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
		    struct fvd_error *err)
{
	return fvd_io_extent(inner(io), off, (uint64_t)INT64_MAX - off, ext, err);
}

static void h_close(struct fvd_io *io)
{
	struct handle *h = (struct handle *)(void *)io;

	h->file->shared -= h->lock == FVD_LOCK_SHARED;
	h->file->exclusive -= h->lock == FVD_LOCK_EXCLUSIVE;
	free(h->io.name);
	free(h);
}

static const struct fvd_io_ops handle_ops = {
	.name = "memory",
	.preadv = h_preadv,
	.pwritev = h_pwritev,
	.flush = h_flush,
	.length = h_length,
	.truncate = h_truncate,
	.punch = h_punch,
	.extent = h_extent,
	.close = h_close,
};

static struct file *find(struct mem_opener *o, const char *name)
{
	if (strncmp(name, "./", 2) == 0)
		name += 2;
	for (unsigned i = 0; i < o->count; i++) {
		if (strcmp(o->files[i].name, name) == 0)
			return &o->files[i];
	}
	return NULL;
}

static int take_lock(struct file *f, enum fvd_io_lock lock, struct fvd_error *err)
{
	if ((lock == FVD_LOCK_SHARED && f->exclusive > 0) ||
	    (lock == FVD_LOCK_EXCLUSIVE && f->exclusive + f->shared > 0))
		return fvd_error_set(err, FVD_ERR_LOCKED, "%s: in use", f->name);
	f->shared += lock == FVD_LOCK_SHARED;
	f->exclusive += lock == FVD_LOCK_EXCLUSIVE;
	return 0;
}

static int mem_open(struct fvd_opener *self, const char *name, int flags, enum fvd_io_lock lock,
		    struct fvd_io **io, struct fvd_error *err)
{
	struct mem_opener *o = (struct mem_opener *)(void *)self;
	struct file *f = find(o, name);
	struct handle *h;

	if (f != NULL && (flags & FVD_IO_CREATE))
		return fvd_error_sys(err, EEXIST, "%s", name);
	if (f == NULL && !(flags & FVD_IO_CREATE))
		return fvd_error_sys(err, ENOENT, "%s", name);
	if (f == NULL) {
		mem_opener_add(self, name, fvd_io_mem_new(name, 0, NULL));
		f = find(o, name);
	}
	if (take_lock(f, lock, err) < 0)
		return -1;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		abort();
	h->io.ops = &handle_ops;
	h->io.name = strdup(name);
	h->io.readonly = (flags & (FVD_IO_WRITE | FVD_IO_CREATE)) == 0;
	h->io.block_device = f->io->block_device;
	h->io.id = f->io->id;
	h->file = f;
	h->lock = lock;
	f->opened++;
	*io = &h->io;
	return 0;
}

struct fvd_opener *mem_opener_new(void)
{
	struct mem_opener *o = calloc(1, sizeof(*o));

	if (o == NULL)
		abort();
	o->opener.open = mem_open;
	return &o->opener;
}

void mem_opener_free(struct fvd_opener *opener)
{
	struct mem_opener *o = (struct mem_opener *)(void *)opener;

	for (unsigned i = 0; i < o->count; i++) {
		free(o->files[i].name);
		fvd_io_close(o->files[i].io);
	}
	free(o);
}

void mem_opener_add(struct fvd_opener *opener, const char *name, struct fvd_io *io)
{
	struct mem_opener *o = (struct mem_opener *)(void *)opener;
	struct file *f = find(o, name);

	if (f == NULL) {
		if (o->count == MAX_FILES)
			abort();
		f = &o->files[o->count++];
		f->name = strdup(strncmp(name, "./", 2) == 0 ? name + 2 : name);
	} else {
		fvd_io_close(f->io);
	}
	f->io = io;
	f->opened = 0;
	/* Identity for cycle detection: one number per file. */
	f->io->id = (struct fvd_io_identity){ true, 1, (uint64_t)(f - o->files) + 1, 0 };
}

struct fvd_io *mem_opener_get(struct fvd_opener *opener, const char *name)
{
	struct file *f = find((struct mem_opener *)(void *)opener, name);

	return f != NULL ? f->io : NULL;
}

unsigned mem_opener_opened(struct fvd_opener *opener, const char *name)
{
	struct file *f = find((struct mem_opener *)(void *)opener, name);

	return f != NULL ? f->opened : 0;
}
