/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "format/header.h"
#include "format/table.h"
#include "util/num.h"

/* Kept sorted by offset. */
static void add_region(struct fvd_chunk_geometry *g, uint64_t off, uint64_t len)
{
	unsigned i = g->region_count++;

	for (; i > 0 && g->region[i - 1].off > off; i--)
		g->region[i] = g->region[i - 1];
	g->region[i].off = off;
	g->region[i].len = len;
}

void fvd_chunk_geometry_init(struct fvd_chunk_geometry *g, const struct fvd_header *h,
			     uint64_t limit)
{
	memset(g, 0, sizeof(*g));
	g->data_offset = h->data_offset;
	g->chunk_size = h->chunk_size;
	g->limit = fvd_min(limit, FVD_MAX_OFF);
	if (h->data_file[0])
		return;
	add_region(g, 0, FVD_HEADER_REGION);
	if (fvd_header_has_bitmap(h))
		add_region(g, h->bitmap_offset, h->bitmap_size);
	if (fvd_header_has_table(h))
		add_region(g, h->table_offset, h->table_size);
	if (fvd_header_has_journal(h))
		add_region(g, h->journal_offset, h->journal_size);
}

const char *fvd_entry_damage(const struct fvd_chunk_geometry *g, uint32_t entry)
{
	uint64_t off, end;

	if (entry == FVD_UNALLOCATED)
		return NULL;
	if (entry >= FVD_ENTRY_DAMAGED)
		return "names chunk 2147483647, a number that is never used";
	if (!fvd_mul(entry, g->chunk_size, &off) || !fvd_add(off, g->data_offset, &off) ||
	    !fvd_add(off, g->chunk_size, &end) || end > FVD_MAX_OFF)
		return "names a chunk that passes 2^63-1";
	if (end > g->limit)
		return "names a chunk beyond the end of the device, or too far beyond the file";
	for (unsigned i = 0; i < g->region_count; i++)
		if (off < g->region[i].off + g->region[i].len && g->region[i].off < end)
			return "names a chunk that overlaps the image's metadata";
	return NULL;
}

void fvd_table_decode(uint32_t *dst, const void *src, size_t count)
{
	const uint8_t *p = src;

	for (size_t i = 0; i < count; i++) {
		fvd_le32 raw;

		memcpy(&raw, p + 4 * i, sizeof(raw));
		dst[i] = fvd_entry_decode(fvd_get_le32(raw));
	}
}

void fvd_table_encode(void *dst, const uint32_t *src, size_t count)
{
	uint8_t *p = dst;

	for (size_t i = 0; i < count; i++) {
		fvd_le32 raw = fvd_to_le32(fvd_entry_decode(src[i]));

		memcpy(p + 4 * i, &raw, sizeof(raw));
	}
}
