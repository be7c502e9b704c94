/* SPDX-License-Identifier: BSD-2-Clause */
/* The data side of an update: what a write and a zeroing share. FORMAT 6.2 (J4-J8). */
#ifndef FVD_IMAGE_UPDATE_DATA_H
#define FVD_IMAGE_UPDATE_DATA_H

#include "image/engine.h"

struct fvd_update_data {
	struct fvd_image *img;
	struct fvd_update u;
	uint8_t *reused;	/* by entry of u: taken now, and not "never written" */
	uint64_t lo, hi;	/* guest bytes that will be stored: the write and its fills */
	uint64_t writes, cow_bytes;
};

/*
 * Lock held: room for all chunks of @req, filled with the present entries. _fini after an
 * error too.
 */
int fvd_update_data_init(struct fvd_image *img, struct fvd_update_data *d,
			 const struct fvd_request *req, struct fvd_error *err);
void fvd_update_data_fini(struct fvd_update_data *d);

/* Write @buf, or zeros when NULL, to storage. */
int fvd_update_store(struct fvd_io *io, const void *buf, uint64_t len, uint64_t off,
		     struct fvd_error *err);

/* The common front of every guest change: writable, in range. */
int fvd_write_check(const struct fvd_image *img, uint64_t len, uint64_t off, const char *what,
		    struct fvd_error *err);
/* Lock not held. Write @buf (NULL: zeros that take storage) in steps. */
int fvd_write_range(struct fvd_image *img, const void *buf, uint64_t len, uint64_t off,
		    struct fvd_error *err);

#endif
