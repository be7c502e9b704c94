/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a conversion writes to: a new raw file or device, or a new FVD image that is
 * filled without a journal. What has not been written reads as zero. Writing may be done
 * from several threads at once.
 */
#ifndef FVD_OPS_SINK_H
#define FVD_OPS_SINK_H

#include <pthread.h>

#include "image/image.h"
#include "ops/create.h"
#include "ops/target.h"

struct fvd_sink {
	struct fvd_target *target;
	struct fvd_image *img;	/* NULL: raw */
	struct fvd_io *io;	/* raw: the target; FVD: where chunks live */
	bool device;		/* does not read as zero: zeros must be written too */
	pthread_mutex_t lock;	/* of what follows: written, not yet sent to the disk */
	uint64_t first, end, pending;
	bool has_lock;
};

/* Raw, @size bytes long (a device at least that). */
int fvd_sink_open_raw(struct fvd_sink *s, const char *name, uint64_t size, struct fvd_error *err);
/* A new image as @opts says. */
int fvd_sink_open_fvd(struct fvd_sink *s, const char *name, const struct fvd_create_opts *opts,
		      struct fvd_error *err);
/*
 * Change the virtual size of the image being filled, up to what opts->reserve left room
 * for; @base_len: of the base, 0 without one. A raw file's length. What lies above a
 * smaller size must not have been written, save in a block that begins below it.
 */
int fvd_sink_resize(struct fvd_sink *s, uint64_t size, uint64_t base_len, struct fvd_error *err);

int fvd_sink_write(struct fvd_sink *s, const void *buf, size_t len, uint64_t off,
		   struct fvd_error *err);
/* Copy from @src without looking at it. */
int fvd_sink_copy(struct fvd_sink *s, struct fvd_io *src, uint64_t src_off, uint64_t len,
		  uint64_t off, struct fvd_error *err);
/* Zeros over a base (whole blocks, or to its end), or on a device. Else nothing has to be done. */
int fvd_sink_zero(struct fvd_sink *s, uint64_t off, uint64_t len, struct fvd_error *err);

/* All is written: metadata goes to the file, which can be read then. */
int fvd_sink_finish(struct fvd_sink *s, struct fvd_error *err);
/* Sync, rename. The sink is gone in any case. */
int fvd_sink_commit(struct fvd_sink *s, bool no_sync, struct fvd_error *err);
/* Leave nothing behind. After a failed open, and after commit, it does nothing. */
void fvd_sink_abort(struct fvd_sink *s);

#endif
