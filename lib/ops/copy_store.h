/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to lib/ops/copy*.c. */
#ifndef FVD_OPS_COPY_STORE_H
#define FVD_OPS_COPY_STORE_H

#include "ops/copy.h"

/* Write what is not zero. */
int fvd_store_plain(struct fvd_copy *c, const uint8_t *buf, size_t len, uint64_t off,
		    struct fvd_error *err);
/* @off is at a block: write the blocks that differ from @base, the same range of the base. */
int fvd_store_differing(struct fvd_copy *c, const uint8_t *buf, const uint8_t *base, size_t len,
			uint64_t off, struct fvd_error *err);

#endif
