/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An undo file: what a repair is about to overwrite, kept so that it can be put back.
 *
 * fvd_io_undo_new wraps an open io: before the first change of any byte (write, punch, truncate)
 * the old content is appended to the undo file and synced; then the change goes through. Holes are
 * recorded as holes. Layout of the file (all little-endian): a head sector {"FVDUNDO1", u64
 * original length, u64 length of the image's name, u32 CRC-32C of the first 8192 bytes of the
 * image as it was}, then entries {u32 magic, u32 kind (1 data, 2 hole), u64 off, u64 len,
 * u32 CRC-32C of this head and data, data}. A last entry cut short by a crash is ignored: its change
 * was never made.
 */
#ifndef FVD_IO_IO_UNDO_H
#define FVD_IO_IO_UNDO_H

#include "io/io.h"

/*
 * Owns @inner after success (close closes both). @undo was opened new (FVD_IO_CREATE) by the
 * caller and is owned too. Reads, extents, length pass through.
 */
struct fvd_io *fvd_io_undo_new(struct fvd_io *inner, struct fvd_io *undo, struct fvd_error *err);

/*
 * Put the content back: entries from the last to the first, then the length, then flush.
 * Everything is validated before the first write. *bytes: how many were restored.
 * Errors: FORMAT "not an undo file"; CORRUPT on a bad CRC in the middle.
 */
int fvd_undo_apply(struct fvd_io *undo, struct fvd_io *image, uint64_t *bytes,
		   struct fvd_error *err);

#endif
