/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files a source consists of: an output must be none of them. */
#ifndef FVD_OPS_CHAIN_H
#define FVD_OPS_CHAIN_H

#include "image/image.h"

/* What the name @name is now; unknown when there is no such file. */
struct fvd_io_identity fvd_name_identity(const char *name);

bool fvd_same_identity(const struct fvd_io_identity *a, const struct fvd_io_identity *b);

/* @id is @io (NULL is fine), or a file of @img (NULL is fine) or of any image below it. */
bool fvd_chain_has(struct fvd_image *img, struct fvd_io *io, const struct fvd_io_identity *id);

#endif
