/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the regions of a new image go. FORMAT 1, 2. */
#ifndef FVD_FORMAT_LAYOUT_H
#define FVD_FORMAT_LAYOUT_H

#include "format/header.h"

/*
 * Fill in the offsets and region sizes of @h (revision 2) from virtual_size, base_img,
 * base_size, block_size, chunk_size (0 = no table), journal_size, data_file; other
 * fields are the caller's. Header | Bitmap | Journal | Table | Data; regions on page
 * boundaries, data on a chunk boundary with a table (0 in a data file).
 * Bounds: virtual_size > 0, multiple of 512, at most 2^63-1; block_size power of
 * two >= 512; chunk_size power of two >= 4096; block_size <= 64 * chunk_size;
 * journal_size multiple of 4096 or 0; chunks <= 2^31-1. No journal where none is
 * needed (neither base nor table): journal_size becomes 0.
 * Errors: INVALID naming value and bound, and which option to change.
 */
int fvd_layout_plan(struct fvd_header *h, struct fvd_error *err);

/* The default chunk for a disk: 1 MiB, doubled until the table is at most 512 KiB. */
uint64_t fvd_layout_default_chunk(uint64_t virtual_size);

#endif
