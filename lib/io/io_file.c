/* SPDX-License-Identifier: BSD-2-Clause */
/* Regular files and block devices, and the opener of both. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_lock.h"
#include "io/io_open.h"
#include "util/num.h"

#define PART_IOV 16
#define COPY_PIECE FVD_GIB

#define RUNS 8		/* threads that read and punch in different places */

struct file {
	struct fvd_io io;
	int fd;
	atomic_bool no_punch;		/* the file system said so */
	atomic_int flush_error;		/* errno of a flush that failed */
	/*
	 * Runs of data the map has shown. On tmpfs SEEK_HOLE walks every page up to the next
	 * hole, so asking again for each piece of a long run would be quadratic; elsewhere it
	 * waits for whoever punches.
	 */
	pthread_mutex_t run_lock;
	struct run { uint64_t off, end; } run[RUNS];
	uint64_t run_changes;		/* punches and truncates: what was asked before is void */
};

static struct file *to_file(struct fvd_io *io)
{
	return (struct file *)io;
}

/* What is left of a caller's iovec, which is not ours to change. */
struct cursor {
	const struct iovec *iov;
	int count;
	size_t skip;		/* bytes of iov[0] that are done */
};

static void cursor_advance(struct cursor *c, size_t n)
{
	while (c->count > 0 && n >= c->iov->iov_len - c->skip) {
		n -= c->iov->iov_len - c->skip;
		c->skip = 0;
		c->iov++;
		c->count--;
	}
	c->skip += n;
}

static uint64_t cursor_left(const struct cursor *c)
{
	uint64_t left = 0;

	for (int i = 0; i < c->count; i++)
		left += c->iov[i].iov_len;
	return left - c->skip;
}

/* The next vector for the system: the caller's own, or a shifted copy of its start. */
static const struct iovec *cursor_next(const struct cursor *c, struct iovec part[PART_IOV],
				       int *count)
{
	if (c->skip == 0) {
		*count = c->count < IOV_MAX ? c->count : IOV_MAX;
		return c->iov;
	}
	*count = c->count < PART_IOV ? c->count : PART_IOV;
	memcpy(part, c->iov, (size_t)*count * sizeof(*part));
	part[0].iov_base = (char *)part[0].iov_base + c->skip;
	part[0].iov_len -= c->skip;
	return part;
}

static void cursor_zero(const struct cursor *c)
{
	for (int i = 0; i < c->count; i++) {
		size_t skip = i == 0 ? c->skip : 0;

		if (c->iov[i].iov_len > skip)
			memset((char *)c->iov[i].iov_base + skip, 0, c->iov[i].iov_len - skip);
	}
}

static int file_preadv(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		       struct fvd_error *err)
{
	struct cursor c = { iov, iovcnt, 0 };

	while (cursor_advance(&c, 0), c.count > 0) {
		struct iovec part[PART_IOV];
		int count;
		const struct iovec *v = cursor_next(&c, part, &count);
		ssize_t n = preadv(to_file(io)->fd, v, count, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fvd_error_sys(err, errno, "%s: cannot read %" PRIu64
					     " bytes at offset %" PRIu64, io->name,
					     cursor_left(&c), off);
		if (n == 0) {
			cursor_zero(&c);
			return 0;
		}
		cursor_advance(&c, (size_t)n);
		off += (uint64_t)n;
	}
	return 0;
}

static int file_pwritev(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
			struct fvd_error *err)
{
	struct cursor c = { iov, iovcnt, 0 };

	while (cursor_advance(&c, 0), c.count > 0) {
		struct iovec part[PART_IOV];
		int count;
		const struct iovec *v = cursor_next(&c, part, &count);
		ssize_t n = pwritev(to_file(io)->fd, v, count, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fvd_error_sys(err, n < 0 ? errno : EIO, "%s: cannot write %" PRIu64
					     " bytes at offset %" PRIu64, io->name,
					     cursor_left(&c), off);
		cursor_advance(&c, (size_t)n);
		off += (uint64_t)n;
	}
	return 0;
}

/*
 * Linux reports a lost write once and calls the pages clean: a second fdatasync() would
 * succeed over data that is gone. So one failure holds for as long as the file is open.
 */
static int file_flush(struct fvd_io *io, struct fvd_error *err)
{
	struct file *f = to_file(io);
	int errnum = atomic_load(&f->flush_error);

	while (errnum == 0 && fdatasync(f->fd) < 0) {
		if (errno == EINTR)
			continue;
		errnum = errno;
		atomic_store(&f->flush_error, errnum);
	}
	return errnum ? fvd_error_sys(err, errnum, "%s: cannot flush", io->name) : 0;
}

static int file_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	struct stat st;

	if (fstat(to_file(io)->fd, &st) < 0)
		return fvd_error_sys(err, errno, "%s: cannot get the length", io->name);
	*len = (uint64_t)st.st_size;
	return 0;
}

static int block_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	if (ioctl(to_file(io)->fd, BLKGETSIZE64, len) < 0)
		return fvd_error_sys(err, errno, "%s: cannot get the length", io->name);
	return 0;
}

/* Lock held. In the place of the shortest, if longer. */
static void keep_run(struct file *f, uint64_t off, uint64_t end)
{
	struct run *least = &f->run[0];

	for (unsigned i = 1; i < RUNS; i++)
		if (f->run[i].end - f->run[i].off < least->end - least->off)
			least = &f->run[i];
	if (end > off && end - off > least->end - least->off)
		*least = (struct run){ off, end };
}

/* [off, end) may be a hole now: what is known of either side stays. */
static void cut_runs(struct fvd_io *io, uint64_t off, uint64_t end)
{
	struct file *f = to_file(io);
	struct run r;

	pthread_mutex_lock(&f->run_lock);
	for (unsigned i = 0; i < RUNS; i++) {
		r = f->run[i];
		if (off >= r.end || r.off >= end)
			continue;
		f->run[i] = (struct run){ 0 };
		keep_run(f, fvd_min(end, r.end), r.end);
		keep_run(f, r.off, fvd_max(off, r.off));
	}
	f->run_changes++;
	pthread_mutex_unlock(&f->run_lock);
}

/* How much of a known run lies behind @off; 0 when it is in none. */
static uint64_t known_run(struct file *f, uint64_t off, uint64_t *changes)
{
	uint64_t len = 0;

	pthread_mutex_lock(&f->run_lock);
	for (unsigned i = 0; i < RUNS; i++)
		if (off >= f->run[i].off && off < f->run[i].end)
			len = fvd_max(len, f->run[i].end - off);
	*changes = f->run_changes;
	pthread_mutex_unlock(&f->run_lock);
	return len;
}

/* One that ends where a known one ends begins before it, and takes its place. */
static void learn_run(struct file *f, uint64_t off, uint64_t len, uint64_t changes)
{
	pthread_mutex_lock(&f->run_lock);
	if (changes == f->run_changes) {
		for (unsigned i = 0; i < RUNS; i++)
			if (f->run[i].end == off + len)
				f->run[i] = (struct run){ 0 };
		keep_run(f, off, off + len);
	}
	pthread_mutex_unlock(&f->run_lock);
}

static int file_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	while (ftruncate(to_file(io)->fd, (off_t)len) < 0) {
		if (errno != EINTR)
			return fvd_error_sys(err, errno, "%s: cannot set the length to %" PRIu64,
					     io->name, len);
	}
	cut_runs(io, len, UINT64_MAX);
	return 0;
}

/* 0, or the errno. */
static int allocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
	while (fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) < 0) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int punch_failed(struct fvd_io *io, int errnum, uint64_t off, uint64_t len,
			struct fvd_error *err)
{
	return fvd_error_sys(err, errnum, "%s: cannot punch %" PRIu64 " bytes at offset %" PRIu64,
			     io->name, len, off);
}

static int file_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	struct file *f = to_file(io);
	int errnum;

	if (atomic_load_explicit(&f->no_punch, memory_order_relaxed))
		return 1;
	errnum = allocate(f, FALLOC_FL_PUNCH_HOLE, off, len);
	cut_runs(io, off, off + len);
	if (errnum == 0)
		return 0;
	if (errnum != EOPNOTSUPP && errnum != ENOSYS)
		return punch_failed(io, errnum, off, len, err);
	atomic_store_explicit(&f->no_punch, true, memory_order_relaxed);
	return 1;
}

/* EINVAL is about alignment to the device's sectors: it holds for this range alone. */
static int block_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	struct file *f = to_file(io);
	int errnum;

	if (atomic_load_explicit(&f->no_punch, memory_order_relaxed))
		return 1;
	errnum = allocate(f, FALLOC_FL_PUNCH_HOLE, off, len);
	if (errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EINVAL)
		errnum = allocate(f, FALLOC_FL_ZERO_RANGE, off, len);
	if (errnum == 0)
		return 0;
	if (errnum == EOPNOTSUPP || errnum == ENOSYS)
		atomic_store_explicit(&f->no_punch, true, memory_order_relaxed);
	else if (errnum != EINVAL)
		return punch_failed(io, errnum, off, len, err);
	return 1;
}

static int map_failed(struct fvd_io *io, uint64_t off, struct fvd_error *err)
{
	return fvd_error_sys(err, errno, "%s: cannot map the holes at offset %" PRIu64, io->name,
			     off);
}

/* A file system without a map of holes: data up to the end. */
static int extent_all_data(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
			   struct fvd_error *err)
{
	uint64_t end;

	if (fvd_io_length(io, &end, err) < 0)
		return -1;
	ext->hole = off >= end;
	ext->len = ext->hole ? UINT64_MAX : end - off;
	return 0;
}

static int file_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
		       struct fvd_error *err)
{
	struct file *f = to_file(io);
	int fd = f->fd;
	uint64_t changes;
	off_t at;

	ext->hole = false;
	ext->len = known_run(f, off, &changes);
	if (ext->len > 0)
		return 0;
	at = lseek(fd, (off_t)off, SEEK_DATA);

	if (at < 0 && (errno == EINVAL || errno == EOPNOTSUPP))
		return extent_all_data(io, off, ext, err);
	if (at < 0 && errno != ENXIO)
		return map_failed(io, off, err);
	if (at < 0 || (uint64_t)at > off) {
		ext->hole = true;
		ext->len = at < 0 ? UINT64_MAX : (uint64_t)at - off;
		return 0;
	}
	at = lseek(fd, (off_t)off, SEEK_HOLE);
	if (at < 0 && errno != ENXIO)
		return map_failed(io, off, err);
	/* Punched or cut off between the two calls by somebody else. */
	if (at < 0 || (uint64_t)at <= off)
		return extent_all_data(io, off, ext, err);
	ext->hole = false;
	ext->len = (uint64_t)at - off;
	learn_run(f, off, ext->len, changes);
	return 0;
}

static int file_copy(struct fvd_io *src, uint64_t src_off, struct fvd_io *dst, uint64_t dst_off,
		     uint64_t len, uint64_t *done, struct fvd_error *err)
{
	off_t from = (off_t)src_off, to = (off_t)dst_off;
	size_t cap = (size_t)fvd_min(len, COPY_PIECE);
	ssize_t n;

	do {
		n = copy_file_range(to_file(src)->fd, &from, to_file(dst)->fd, &to, cap, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
		return fvd_error_sys(err, errno, "%s: cannot copy %zu bytes at offset %" PRIu64
				     " to offset %" PRIu64 " of %s", src->name, cap, src_off,
				     dst_off, dst->name);
	*done = n < 0 ? 0 : (uint64_t)n;
	return 0;
}

static void file_writeback(struct fvd_io *io, uint64_t off, uint64_t len)
{
	sync_file_range(to_file(io)->fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

static void file_close(struct fvd_io *io)
{
	struct file *f = to_file(io);

	close(f->fd);
	pthread_mutex_destroy(&f->run_lock);
	free(io->name);
	free(f);
}

static const struct fvd_io_ops file_ops = {
	.name = "file",
	.preadv = file_preadv,
	.pwritev = file_pwritev,
	.flush = file_flush,
	.length = file_length,
	.truncate = file_truncate,
	.punch = file_punch,
	.extent = file_extent,
	.copy = file_copy,
	.writeback = file_writeback,
	.close = file_close,
};

static const struct fvd_io_ops block_ops = {
	.name = "block device",
	.preadv = file_preadv,
	.pwritev = file_pwritev,
	.flush = file_flush,
	.length = block_length,
	.punch = block_punch,
	.writeback = file_writeback,
	.close = file_close,
};

static int sys_error(struct fvd_error *err, int errnum, const char *name, const char *what)
{
	return fvd_error_sys(err, errnum, "%s: cannot %s", name, what);
}

static int check_type(const char *name, mode_t mode, struct fvd_error *err)
{
	const char *is = S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a FIFO" :
			 S_ISSOCK(mode) ? "a socket" : S_ISCHR(mode) ? "a character device" :
			 "a special file";

	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	if (S_ISLNK(mode)) {
		fvd_error_set(err, FVD_ERR_IO, "%s: is a symbolic link", name);
		if (err)
			err->errnum = ELOOP;
		return -1;
	}
	return fvd_error_set(err, FVD_ERR_UNSUPPORTED,
			     "%s: is %s, not a regular file or block device", name, is);
}

/*
 * Looked at before it is opened: opening a FIFO wakes its writer, and opening some
 * devices makes them act. O_NONBLOCK is for one put there in between.
 */
static int open_fd(const char *name, int flags, struct stat *st, struct fvd_error *err)
{
	int how = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd;

	if (flags & FVD_IO_NOFOLLOW)
		how |= O_NOFOLLOW;
	if (flags & FVD_IO_CREATE) {
		how |= O_RDWR | O_CREAT | O_EXCL;
	} else {
		how |= flags & FVD_IO_WRITE ? O_RDWR : O_RDONLY;
		if (fstatat(AT_FDCWD, name, st, how & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) < 0)
			return sys_error(err, errno, name, "open");
		if (check_type(name, st->st_mode, err) < 0)
			return -1;
	}
	do {
		fd = open(name, how, 0666);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return sys_error(err, errno, name, flags & FVD_IO_CREATE ? "create" : "open");
	if (fstat(fd, st) < 0)
		sys_error(err, errno, name, "open");
	else if (check_type(name, st->st_mode, err) == 0)
		return fd;
	close(fd);
	return -1;
}

static struct fvd_io *wrap_fd(int fd, const char *name, bool readonly, const struct stat *st,
			      struct fvd_error *err)
{
	struct file *f = calloc(1, sizeof(*f));
	char *copy = strdup(name);

	if (!f || !copy) {
		fvd_error_set(err, FVD_ERR_NOMEM, "%s: cannot open: no memory", name);
		free(f);
		free(copy);
		return NULL;
	}
	f->fd = fd;
	f->io.name = copy;
	f->io.readonly = readonly;
	f->io.block_device = S_ISBLK(st->st_mode);
	f->io.ops = f->io.block_device ? &block_ops : &file_ops;
	atomic_init(&f->no_punch, false);
	atomic_init(&f->flush_error, 0);
	pthread_mutex_init(&f->run_lock, NULL);
	f->io.id.known = true;
	/* Two nodes of one device are one file; no regular file has inode 0. */
	f->io.id.dev = f->io.block_device ? st->st_rdev : st->st_dev;
	f->io.id.ino = f->io.block_device ? 0 : st->st_ino;
	f->io.id.mtime_ns = (int64_t)((uint64_t)st->st_mtim.tv_sec * 1000000000 +
				      (uint64_t)st->st_mtim.tv_nsec);
	return &f->io;
}

static int files_open(struct fvd_opener *self, const char *name, int flags,
		      enum fvd_io_lock lock, struct fvd_io **io, struct fvd_error *err)
{
	bool readonly = !(flags & (FVD_IO_WRITE | FVD_IO_CREATE));
	struct stat st;
	size_t n;
	int fd;

	(void)self;
	*io = NULL;
	if (fvd_name_has_scheme(name, &n))
		return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "%s: \"%.*s:\" is not supported; "
				     "write ./NAME for a file of that name", name, (int)n, name);
	if (lock == FVD_LOCK_EXCLUSIVE && readonly)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "%s: a write lock wants a file opened for writing", name);
	fd = open_fd(name, flags, &st, err);
	if (fd < 0)
		return -1;
	if (fvd_lock_fd(fd, name, lock, err) == 0)
		*io = wrap_fd(fd, name, readonly, &st, err);
	if (*io)
		return 0;
	if (flags & FVD_IO_CREATE)
		unlink(name);
	close(fd);
	return -1;
}

struct fvd_opener *fvd_opener_files(void)
{
	/* Only here because the interface hands out a pointer that is not const. */
	static struct fvd_opener files = { files_open };

	return &files;
}
