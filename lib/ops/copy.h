/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copying itself: a cursor walks the extents of the source (and of a base, or of a target to
 * be verified) and hands out pieces; workers read a piece, look for zeros, and write. A
 * piece is worked through in steps of a buffer that stays in a core's own cache between reading,
 * looking and writing. Pieces begin in order and end in any.
 *
 * When workers fail, the error of the lowest offset is the one told; pieces below it are
 * finished first, so a difference that is found is the first there is.
 */
#ifndef FVD_OPS_COPY_H
#define FVD_OPS_COPY_H

#include "ops/sink.h"
#include "ops/source.h"
#include "util/progress.h"

#define FVD_COPY_BUFFER (256u * 1024)

struct fvd_copy {
	struct fvd_source *src;
	struct fvd_source *base;	/* NULL: store all that is not zero */
	struct fvd_sink *sink;
	uint64_t size;			/* of the disk to be written */
	uint64_t base_size, block_size;	/* with a base: what to compare, in which units */
	uint64_t sparse;		/* 0: only the source's holes are left out */
	unsigned threads;
	struct fvd_progress *progress;
	_Atomic uint64_t read_bytes, zero_bytes, written_bytes, same_bytes;
};

/* Errors: CANCELLED; what source, base and sink say. */
int fvd_copy_run(struct fvd_copy *c, struct fvd_error *err);

/*
 * Compare @c->src with @target, up to c->size. DIFFERENT names the first offset that
 * differs. @c's sink, base and counters are not touched.
 */
int fvd_copy_verify(struct fvd_copy *c, struct fvd_source *target, struct fvd_error *err);

/*
 * For a source that is no file: put @len bytes at @off, which the caller has read into
 * @buf, where they belong. @other: as large as @buf, for the base. With a base @off is a
 * multiple of the block size, and @len too, save at the end of the disk.
 */
int fvd_copy_store(struct fvd_copy *c, const void *buf, void *other, size_t len, uint64_t off,
		   struct fvd_error *err);

#endif
