/* SPDX-License-Identifier: BSD-2-Clause */
/* Table entries. FORMAT 4. In memory: host-endian uint32_t, bit 31 masked off. */
#ifndef FVD_FORMAT_TABLE_H
#define FVD_FORMAT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/disk.h"
#include "util/endian.h"

/* What every judgement of an entry needs; filled once per image. */
struct fvd_chunk_geometry {
	uint64_t data_offset;
	uint64_t chunk_size;
	uint64_t limit;		/* chunks must end at or below: 2^63-1, a device's size */
	/* Other regions of the same file, none when data lives in a data_file. A chunk that
	 * overlaps one is damage. Sorted by offset. */
	struct { uint64_t off, len; } region[4];
	unsigned region_count;
};

struct fvd_header;
/* @limit: UINT64_MAX for regular files (2^63-1 is applied), else the device's size. */
void fvd_chunk_geometry_init(struct fvd_chunk_geometry *g, const struct fvd_header *h,
			     uint64_t limit);

/* Entry as read: bit 31 off unless FVD_UNALLOCATED. */
static inline uint32_t fvd_entry_decode(uint32_t raw)
{
	return raw == FVD_UNALLOCATED ? raw : raw & FVD_ENTRY_MASK;
}

/* Where an (allocated, checked) chunk is stored. */
static inline uint64_t fvd_entry_offset(const struct fvd_chunk_geometry *g, uint32_t entry)
{
	return g->data_offset + (uint64_t)entry * g->chunk_size;
}

/* NULL when @entry (decoded) is fine, else why it is damage (static text). */
const char *fvd_entry_damage(const struct fvd_chunk_geometry *g, uint32_t entry);

/* @count raw little-endian entries -> decoded; the other way for writing in place.
 * @dst and @src may be the same memory. */
void fvd_table_decode(uint32_t *dst, const void *src, size_t count);
void fvd_table_encode(void *dst, const uint32_t *src, size_t count);

#endif
