/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where bytes live. A struct fvd_io is an open file, block device, piece of memory
 * (and later URL, archive entry, NBD export). Callers use the wrappers below, which
 * check ranges (off + len <= 2^63-1), read-only and missing operations.
 *
 * Threads: every operation may be called from several threads at once; only close
 * must be alone.
 *
 * Messages begin with io->name ("disk.fvd: cannot read 4096 bytes at offset 8192: ..."), so
 * callers do not put it before them again.
 */
#ifndef FVD_IO_IO_H
#define FVD_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

struct fvd_io;

enum fvd_io_lock { FVD_LOCK_NONE, FVD_LOCK_SHARED, FVD_LOCK_EXCLUSIVE };

struct fvd_io_extent {
	uint64_t len;		/* > 0 */
	bool hole;		/* reads as zero and takes no storage, or is beyond the end */
};

/* What a file is, for cycle detection and validators. */
struct fvd_io_identity {
	bool known;
	uint64_t dev, ino;
	int64_t mtime_ns;	/* modification time, nanoseconds since 1970 */
};

struct fvd_io_ops {
	const char *name;	/* "file", "memory" */
	/* Transfer all of it or fail. What lies beyond the end reads as zeros. */
	int (*preadv)(struct fvd_io *, const struct iovec *, int iovcnt, uint64_t off,
		      struct fvd_error *);
	int (*pwritev)(struct fvd_io *, const struct iovec *, int iovcnt, uint64_t off,
		       struct fvd_error *);
	/* All writes that returned before this call are on stable storage. */
	int (*flush)(struct fvd_io *, struct fvd_error *);
	int (*length)(struct fvd_io *, uint64_t *, struct fvd_error *);
	/* NULL where the length is fixed (block devices). */
	int (*truncate)(struct fvd_io *, uint64_t len, struct fvd_error *);
	/* [off, off+len) reads as zero afterwards and gives storage back where possible;
	 * the length stays, and the wrappers cut the range there. 1 when that is not possible
	 * here, with nothing changed. NULL: never possible. */
	int (*punch)(struct fvd_io *, uint64_t off, uint64_t len, struct fvd_error *);
	/* The run that starts at @off. NULL: all data. Beyond the end: a hole of any length. */
	int (*extent)(struct fvd_io *, uint64_t off, struct fvd_io_extent *, struct fvd_error *);
	/* Copy inside one file or from another without passing through us, as far as the
	 * system can: *done may be short, 0 = cannot (caller reads and writes). */
	int (*copy)(struct fvd_io *src, uint64_t src_off, struct fvd_io *dst, uint64_t dst_off,
		    uint64_t len, uint64_t *done, struct fvd_error *);
	/* Start writing dirty pages back, wait for nothing. A hint; NULL is fine. */
	void (*writeback)(struct fvd_io *, uint64_t off, uint64_t len);
	void (*close)(struct fvd_io *);
};

struct fvd_io {
	const struct fvd_io_ops *ops;
	char *name;		/* for messages, owned; escaped by whoever prints it */
	bool readonly;
	bool block_device;	/* fixed length; no hole is ever "never written" */
	struct fvd_io_identity id;
};

/* off + len beyond 2^63-1 is INVALID. len 0 does nothing. */
int fvd_io_pread(struct fvd_io *io, void *buf, size_t len, uint64_t off, struct fvd_error *err);
int fvd_io_pwrite(struct fvd_io *io, const void *buf, size_t len, uint64_t off,
		  struct fvd_error *err);
int fvd_io_preadv(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		  struct fvd_error *err);
int fvd_io_pwritev(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		   struct fvd_error *err);
/* A read-only io may be flushed too: it syncs what others wrote (FORMAT 6.5). */
int fvd_io_flush(struct fvd_io *io, struct fvd_error *err);
int fvd_io_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err);
/* UNSUPPORTED on a block device, unless the length is already that. */
int fvd_io_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err);
/*
 * [off, off+len) reads as zero afterwards: punched, else written. Beyond the end of a
 * regular file nothing has to be done and the length stays.
 */
int fvd_io_zero(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err);
/*
 * The same, but only where storage can be given back: *punched false, and nothing
 * changed, where the backend cannot punch.
 */
int fvd_io_punch(struct fvd_io *io, uint64_t off, uint64_t len, bool *punched,
		 struct fvd_error *err);
/* The run at @off, cut to @max (> 0) bytes. */
int fvd_io_extent(struct fvd_io *io, uint64_t off, uint64_t max, struct fvd_io_extent *ext,
		  struct fvd_error *err);
/* Copy all of [src_off, +len), by the system's copy where it can, else through a buffer. */
int fvd_io_copy(struct fvd_io *src, uint64_t src_off, struct fvd_io *dst, uint64_t dst_off,
		uint64_t len, struct fvd_error *err);
void fvd_io_writeback(struct fvd_io *io, uint64_t off, uint64_t len);
/* Sum of data bytes in [off, off+len) by the file map: storage in use. */
int fvd_io_allocated(struct fvd_io *io, uint64_t off, uint64_t len, uint64_t *bytes,
		     struct fvd_error *err);
/* NULL is fine. Flush first: close cannot fail. */
void fvd_io_close(struct fvd_io *io);

#endif
