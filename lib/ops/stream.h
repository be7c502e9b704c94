/* SPDX-License-Identifier: BSD-2-Clause */
/* Conversions from and to a pipe, in order. */
#ifndef FVD_OPS_STREAM_H
#define FVD_OPS_STREAM_H

#include "ops/copy.h"

/* Bytes from the present position to the end of a regular file; false for a pipe and so on. */
bool fvd_stream_length(int fd, uint64_t *length);

/*
 * Write all of @c->src, and zeros up to @c->size, to @fd. @name: for messages. @c's sink
 * is not used.
 */
int fvd_stream_out(struct fvd_copy *c, int fd, const char *name, struct fvd_error *err);

/*
 * Read @fd up to its end into @c->sink. @limit: more than this is INVALID. @c->size: how large the
 * disk is now; when more comes, the sink is made larger, up to @limit. @base_len: of the
 * base, 0 without. *length: what is expected, 0 when unknown; then what came; behind it,
 * to the end of its sector, and with a base of its block, are zeros. Base blocks of up to
 * 8 MiB.
 */
int fvd_stream_in(struct fvd_copy *c, int fd, const char *name, uint64_t limit, uint64_t base_len,
		  uint64_t *length, struct fvd_error *err);

#endif
