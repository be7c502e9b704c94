/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The base image below an image: raw through a struct fvd_io, or another FVD image. Knows
 * backends, never a protocol. FORMAT 2, 5, 7 (type 3), 8.
 */
#ifndef FVD_IMAGE_BASE_H
#define FVD_IMAGE_BASE_H

#include "image/image.h"

struct fvd_base;

/*
 * Open the base that @h (of the image called @image_name) names: relative to that image's
 * directory, in the format the header says ("" is raw, never probed). @depth: 1 below the
 * top image. @seen: identities of the files above, for cycles. Policy and flags from @opts.
 * Errors: BASE (missing, cycle, more than 64 levels, unknown format), BASE_CHANGED when
 * @validator does not match.
 */
struct fvd_seen {
	const struct fvd_seen *above;
	struct fvd_io_identity id;
	const char *name;
};
int fvd_base_open(const char *image_name, const struct fvd_header *h, const char *validator,
		  const struct fvd_open_opts *opts, const struct fvd_seen *seen, int depth,
		  struct fvd_base **base, struct fvd_error *err);
/* Open a base by name and format for creating an image on it: no header yet, no validator. */
int fvd_base_open_name(const char *name, const char *format, const struct fvd_open_opts *opts,
		       struct fvd_base **base, struct fvd_error *err);
void fvd_base_close(struct fvd_base *base);	/* NULL is fine */

/* Bytes beyond the base's end read as zero. */
int fvd_base_read(struct fvd_base *base, void *buf, size_t len, uint64_t off,
		  struct fvd_error *err);
uint64_t fvd_base_length(const struct fvd_base *base);	/* virtual bytes */
/* As fvd_image_extent with RECURSE; depth counts from 1. */
int fvd_base_extent(struct fvd_base *base, uint64_t off, uint64_t max, unsigned flags,
		    struct fvd_extent *ext, struct fvd_error *err);
struct fvd_image *fvd_base_image(struct fvd_base *base);
struct fvd_io *fvd_base_io(struct fvd_base *base);
/*
 * What the base looks like now, for FORMAT 7 type 3: "mtime-ns:..." or
 * "fvd:UUID:GENERATION"; "" when it has none.
 */
void fvd_base_validator(struct fvd_base *base, char *out, size_t cap);

#endif
