/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a guest byte is: in the base, nowhere, or at an offset of the data file. FORMAT 5. */
#include <inttypes.h>

#include "format/bitmap.h"
#include "format/table.h"
#include "image/engine.h"

/* How far one look goes: keeps repeated looks at long runs linear. */
#define LOOK_BLOCKS (UINT64_C(1) << 20)
#define LOOK_CHUNKS (UINT64_C(1) << 16)

int fvd_map_check(const struct fvd_image *img, uint64_t len, uint64_t off, const char *what,
		  struct fvd_error *err)
{
	if (fvd_in_range(off, len, img->m.h.virtual_size))
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "%s: %s of %" PRIu64 " bytes at %" PRIu64
			     " passes the end of the disk (%" PRIu64 ")", img->name, what, len, off,
			     img->m.h.virtual_size);
}

/* True when @off is in the base; *max is cut to the run of equal bits. */
static bool in_base(const struct fvd_image *img, uint64_t off, uint64_t *max)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t first, end, run;
	bool local;

	if (!img->uses_base || off >= h->base_size)
		return false;
	first = off / h->block_size;
	end = (fvd_min(off + *max, h->base_size) - 1) / h->block_size + 1;
	end = fvd_min(end, first + LOOK_BLOCKS);
	run = fvd_bitmap_run(img->m.bitmap, first, end, &local);
	if (first + run == img->m.block_count) {
		/* behind the base everything is local */
		if (!local)
			*max = fvd_min(*max, h->base_size - off);
	} else {
		*max = fvd_min(*max, (first + run) * h->block_size - off);
	}
	return !local;
}

static int damaged_entry(uint64_t chunk, uint32_t entry, const char *why, struct fvd_error *err)
{
	return fvd_error_set(err, FVD_ERR_CORRUPT, "table entry %" PRIu64 " (0x%08" PRIx32 "): %s;"
			     " see \"fvdtool check\"", chunk, entry, why);
}

/* The run of chunks at @off that are all unallocated, or stored one behind the other. */
static int map_chunks(struct fvd_image *img, uint64_t off, uint64_t max, struct fvd_extent *ext,
		      struct fvd_error *err)
{
	const struct fvd_meta *m = &img->m;
	uint64_t chunk = off / m->h.chunk_size, in_chunk = off % m->h.chunk_size;
	uint64_t last = fvd_min((off + max - 1) / m->h.chunk_size, chunk + LOOK_CHUNKS - 1);
	uint32_t entry = m->table[chunk];
	const char *why;
	uint64_t c;

	if (entry == FVD_UNALLOCATED) {
		for (c = chunk + 1; c <= last && m->table[c] == FVD_UNALLOCATED; c++)
			;
		ext->kind = FVD_EXTENT_ZERO;
	} else {
		why = fvd_entry_damage(&m->bounds.geometry, entry);
		if (why)
			return damaged_entry(chunk, entry, why, err);
		for (c = chunk + 1; c <= last && m->table[c] == entry + (c - chunk) &&
		     !fvd_entry_damage(&m->bounds.geometry, m->table[c]); c++)
			;
		ext->kind = FVD_EXTENT_DATA;
		ext->io = img->data;
		ext->io_off = fvd_entry_offset(&m->bounds.geometry, entry) + in_chunk;
	}
	ext->len = fvd_min(max, (c - chunk) * m->h.chunk_size - in_chunk);
	return 0;
}

int fvd_map_run(struct fvd_image *img, uint64_t off, uint64_t max, struct fvd_extent *ext,
		struct fvd_error *err)
{
	*ext = (struct fvd_extent){ .off = off };
	if (in_base(img, off, &max)) {
		ext->kind = FVD_EXTENT_BASE;
		ext->len = max;
		return 0;
	}
	if (img->has_table)
		return map_chunks(img, off, max, ext, err);
	ext->kind = FVD_EXTENT_DATA;
	ext->len = max;
	ext->io = img->data;
	ext->io_off = img->m.h.data_offset + off;
	return 0;
}
