/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving blocks back to the base. FORMAT 3: bits only ever go to 1 while an image is in
 * use, and BITMAP records carry no epoch, so every step below is synced before the next:
 *
 *   state clean  ->  journal zero  ->  bits cleared  ->  (TABLE records, punching: caller's)
 *
 * A cleared bit, alone or not, changes no byte of the disk: the block equals the base.
 */
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "image/relocate.h"
#include "image/update_data.h"
#include "util/buf.h"

/* Both sides of [off, off + len) are known to be zero, from the maps alone. */
static int both_zero(struct fvd_image *img, uint64_t off, uint64_t len, bool *zero,
		     struct fvd_error *err)
{
	unsigned flags = FVD_EXTENT_RECURSE | FVD_EXTENT_HOLES;
	struct fvd_extent ext;

	*zero = false;
	if (fvd_image_extent(img, off, len, flags, &ext, err) < 0)
		return -1;
	if (ext.kind != FVD_EXTENT_ZERO || ext.len < len)
		return 0;
	if (fvd_base_extent(img->base, off, len, flags, &ext, err) < 0)
		return -1;
	*zero = ext.kind == FVD_EXTENT_ZERO && ext.len >= len;
	return 0;
}

/* Does the local block [off, off + len) equal the base? @buf is shared by both halves. */
static int same_block(struct fvd_image *img, uint64_t off, uint64_t len, uint8_t *buf, bool *same,
		      struct fvd_error *err)
{
	size_t half = FVD_RELOCATE_BUFFER / 2, n;

	if (both_zero(img, off, len, same, err) < 0)
		return -1;
	if (*same)
		return 0;
	for (*same = true; len > 0 && *same; off += n, len -= n) {
		n = (size_t)fvd_min(len, half);
		if (fvd_image_read(img, buf, n, off, err) < 0 ||
		    fvd_base_read(img->base, buf + half, n, off, err) < 0)
			return -1;
		*same = memcmp(buf, buf + half, n) == 0;
	}
	return 0;
}

/* Several small blocks with one read of either side. */
static int compare_blocks(struct fvd_image *img, uint64_t block, uint64_t count, uint8_t *buf,
			  uint8_t *equal, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t off = block * h->block_size, half = FVD_RELOCATE_BUFFER / 2;
	uint64_t len = fvd_min(count * h->block_size, h->base_size - off), at, n;
	bool zero;

	if (both_zero(img, off, len, &zero, err) < 0)
		return -1;
	if (zero) {
		fvd_bitmap_set(equal, block, count);
		return 0;
	}
	if (fvd_image_read(img, buf, len, off, err) < 0 ||
	    fvd_base_read(img->base, buf + half, len, off, err) < 0)
		return -1;
	for (at = 0; at < len; at += n, block++) {
		n = fvd_min(h->block_size, len - at);
		if (memcmp(buf + at, buf + half + at, n) == 0)
			fvd_bitmap_set(equal, block, 1);
	}
	return 0;
}

int fvd_relocate_compare(struct fvd_image *img, uint64_t first, uint64_t count, void *buf,
			 uint8_t *equal, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t end = fvd_min(first + count, img->m.block_count), run, off;
	uint64_t most = FVD_RELOCATE_BUFFER / 2 / h->block_size;
	bool local, same;

	for (; first < end; first += run) {
		run = fvd_bitmap_run(img->m.bitmap, first, end, &local);
		if (!local)
			continue;
		run = fvd_min(run, fvd_max(most, 1));
		if (most > 0) {
			if (compare_blocks(img, first, run, buf, equal, err) < 0)
				return -1;
			continue;
		}
		off = first * h->block_size;
		if (same_block(img, off, fvd_min(h->block_size, h->base_size - off), buf, &same,
			       err) < 0)
			return -1;
		if (same)
			fvd_bitmap_set(equal, first, 1);
	}
	return 0;
}

int fvd_relocate_clear(struct fvd_image *img, const uint8_t *equal, uint64_t *dropped,
		       struct fvd_error *err)
{
	struct fvd_meta *m = &img->m;
	uint64_t run;
	bool set;

	*dropped = fvd_bitmap_count(equal, m->block_count);
	if (*dropped == 0)
		return 0;
	if (img->writable && fvd_io_flush(img->io, err) < 0)
		return -1;
	/* rule 14 (tests): the order of FORMAT 3 is not kept */
	if (img->writable && img->has_journal && FVD_RULE(img, 14) &&
	    fvd_state_void_journal(img, err) < 0)
		return -1;
	for (uint64_t b = 0; b < m->block_count; b += run) {
		run = fvd_bitmap_run(equal, b, m->block_count, &set);
		if (set)
			fvd_meta_clear_bits(m, b, run);
	}
	if (!img->writable)
		return 0;
	if (fvd_meta_write_bitmap(img->io, m, err) < 0)
		return -1;
	return fvd_io_flush(img->io, err);
}
