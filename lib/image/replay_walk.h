/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to replay*.c: every journal sector that can hold something, in order. */
#ifndef FVD_IMAGE_REPLAY_WALK_H
#define FVD_IMAGE_REPLAY_WALK_H

#include "image/meta.h"

/*
 * Call @visit for each sector of the journal that lies in a data extent and does not start with
 * EMPTY. @sector is NULL, and @err text says why, for one that cannot be read. Stops at the first
 * non-zero answer of @visit and returns it.
 */
typedef int (*fvd_journal_visit)(void *opaque, uint64_t index, const uint8_t *sector,
				 const char *why, struct fvd_error *err);
int fvd_journal_walk(struct fvd_io *io, const struct fvd_header *h, fvd_journal_visit visit,
		     void *opaque, struct fvd_error *err);

#endif
