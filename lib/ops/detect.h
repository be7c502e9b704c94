/* SPDX-License-Identifier: BSD-2-Clause */
/* Zero detection for a new image: blocks of the base that read as zero become local. FORMAT 5. */
#ifndef FVD_OPS_DETECT_H
#define FVD_OPS_DETECT_H

#include "image/base.h"
#include "util/progress.h"

/*
 * Set the bits of all blocks of @base, below h->base_size, that read as zero, in the bitmap that
 * @h places on @io; it must read as zeros. What the base's file map shows as a hole is
 * not read. Without a table on a block device the storage below these bits is zeroed.
 * *found: whether any bit was set. Memory: bounded. Errors: CANCELLED; the backends'.
 */
int fvd_detect_zeroes(struct fvd_base *base, const struct fvd_header *h, struct fvd_io *io,
		      struct fvd_progress *progress, bool *found, struct fvd_error *err);

#endif
