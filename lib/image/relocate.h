/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What making an image smaller needs from the engine: looking at storage, taking entries away,
 * moving chunks, clearing bits. The image is open, and no guest reads or writes go on meanwhile.
 * FORMAT 3 (clearing bits), 6.2 (J4-J6).
 *
 * A unit is a chunk, or, without a table, a piece of 1 MiB of the disk.
 */
#ifndef FVD_IMAGE_RELOCATE_H
#define FVD_IMAGE_RELOCATE_H

#include "image/image.h"

#define FVD_RELOCATE_BUFFER (1024u * 1024)
#define FVD_RELOCATE_BLOCK 4096u	/* storage is given back in blocks of this size */

uint64_t fvd_relocate_units(const struct fvd_image *img);
/* False for a chunk without entry. *len: bytes of the disk it stands for. */
bool fvd_relocate_unit(const struct fvd_image *img, uint64_t unit, uint64_t *len);

struct fvd_scan {
	uint64_t used;		/* bytes of storage in use by the file map */
	uint64_t needed;	/* of them, in blocks that hold a byte that is local and not zero */
	uint64_t punched;	/* given back just now */
	bool empty;		/* nothing local in it but zeros: the entry can go */
};

/*
 * Look at the storage of @unit. With @punch, give back its blocks that hold only zeros, or
 * what no bit makes local; but nothing of a chunk that is empty as a whole. @buf:
 * FVD_RELOCATE_BUFFER bytes of the caller's. May run in several threads, on different
 * units.
 */
int fvd_relocate_scan(struct fvd_image *img, uint64_t unit, bool punch, void *buf,
		      struct fvd_scan *out, struct fvd_error *err);

/* Take the entry of @chunk away (a TABLE record). Its storage is punched after the next flush. */
int fvd_relocate_unmap(struct fvd_image *img, uint64_t chunk, struct fvd_error *err);
/* Freed storage is kept as it is (--no-punch). */
void fvd_relocate_keep_freed(struct fvd_image *img);

/*
 * Copy @chunk to the lowest free place below its own, and change its entry. *moved false:
 * there is none. *copied: bytes. The old place is free after the next flush.
 */
int fvd_relocate_move(struct fvd_image *img, uint64_t chunk, bool *moved, uint64_t *copied,
		      struct fvd_error *err);
/* The entry of @chunk now; FVD_UNALLOCATED without. */
uint32_t fvd_relocate_entry(const struct fvd_image *img, uint64_t chunk);

/*
 * Find the local blocks among [first, first + count) that equal the base, and set their
 * bits in @equal (a bitmap as large as the image's). @buf: FVD_RELOCATE_BUFFER bytes.
 * Threads as above, on ranges that do not share a byte of @equal.
 */
int fvd_relocate_compare(struct fvd_image *img, uint64_t first, uint64_t count, void *buf,
			 uint8_t *equal, struct fvd_error *err);
/*
 * Clear these bits, in the order of FORMAT 3: the image is clean and unchanged since its
 * opening. On a read-only image only memory changes. *dropped: how many.
 */
int fvd_relocate_clear(struct fvd_image *img, const uint8_t *equal, uint64_t *dropped,
		       struct fvd_error *err);

/*
 * Storage of chunk numbers that nothing refers to, and what lies behind the last chunk:
 * counted into *used; with @punch, given back. Nothing is known of an image that is not
 * _simple, or has no table.
 */
/* No region lies behind chunk 0, or there is no table. */
bool fvd_relocate_simple(const struct fvd_image *img);
int fvd_relocate_unused(struct fvd_image *img, bool punch, uint64_t *used, struct fvd_error *err);

/* Everything is flushed: cut the file behind the last chunk. Where the end is, or would be. */
uint64_t fvd_relocate_file_end(struct fvd_image *img, uint64_t chunks);
int fvd_relocate_truncate(struct fvd_image *img, struct fvd_error *err);

/*
 * Orderly close; then, the image being clean, the storage of its journal is given back.
 * Frees @img.
 */
int fvd_relocate_close(struct fvd_image *img, bool punch_journal, struct fvd_error *err);

#endif
