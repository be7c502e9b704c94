/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An undo file: what a repair is about to overwrite, kept so that it can be put back.
 *
 * fvd_io_undo_new wraps an open io: before the first change of any byte (write, punch,
 * truncate) the old content is appended to the undo file and synced; then the change goes
 * through. A range is saved once, rounded out to 4096 bytes; what was beyond the original
 * end needs no saving. Layout of the file (all little-endian):
 *
 *	head, 512 bytes:
 *	  0  8  "FVDUNDO1"
 *	  8  8  original length of the image, at most 2^63-1
 *	 16  8  length of the image's name, at most 65535
 *	 24  4  CRC-32C of the first 8192 bytes of the image as it was
 *	 28 480 the name, cut at 480 bytes, the rest zero; for people
 *	508  4  CRC-32C of the bytes before
 *	entries, each at a multiple of 64, filled up with zeros:
 *	  0  4  magic 0x4F444E55 ("UNDO")
 *	  4  4  kind: 1 data, 2 hole, 3 becomes
 *	  8  8  offset in the image
 *	 16  8  length > 0, data at most 1 MiB, inside the original length
 *	 24  4  distance from the entry before / 64; 0 for the first
 *	 28  4  CRC-32C of the data; 0 for a hole
 *	 32 28  zero
 *	 60  4  CRC-32C of the 60 bytes before
 *	 64     the data; a hole has none; "becomes" (offset 0, length 64): the CRC-32C of each of
 *	        the first 16 sectors as the change that follows will leave it
 *
 * Each sector of those 16 must be in a state that "becomes" names, or as it was at first,
 * else the undo file belongs to another image: the saved pages alone cannot tell, for they
 * hold all that makes one image differ from another of the same shape.
 *
 * Each entry is synced before the next one, so a crash can damage the last one alone: cut
 * short, or its head still zero. That one is ignored, for its change was never made.
 */
#ifndef FVD_IO_IO_UNDO_H
#define FVD_IO_IO_UNDO_H

#include "io/io.h"

/*
 * Owns @inner after success (close closes both). @undo was opened new (FVD_IO_CREATE) by the
 * caller and is owned too (its directory entry is the caller's to sync). Reads, extents,
 * length pass through. When the undo file cannot be written, nothing can be changed any more.
 */
struct fvd_io *fvd_io_undo_new(struct fvd_io *inner, struct fvd_io *undo, struct fvd_error *err);

/*
 * Put the content back: entries from the last to the first, then the length, then flush.
 * Everything is validated before the first write, also that it leads back to the first 8192
 * bytes it was made with: the undo file of another image, or of one written to since beyond
 * what the repair did, is refused. *bytes: how many were restored. May be done again.
 * Errors: FORMAT "not an undo file"; CORRUPT on a bad CRC in the middle; INVALID when it
 * does not belong to @image.
 */
int fvd_undo_apply(struct fvd_io *undo, struct fvd_io *image, uint64_t *bytes,
		   struct fvd_error *err);

#endif
