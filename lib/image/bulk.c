/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling an image that was just created: places are handed out, the caller writes straight to
 * storage, bitmap and table are written by close. No crash has to be survived.
 */
#include <inttypes.h>

#include "format/table.h"
#include "image/engine.h"

static int check(const struct fvd_image *img, uint64_t len, uint64_t off, struct fvd_error *err)
{
	if (img->bulk && len > 0 && fvd_in_range(off, len, img->m.h.virtual_size))
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "%s: cannot place %" PRIu64 " bytes at %" PRIu64
			     ": not an image being filled, or past its end (%" PRIu64 ")",
			     img->name, len, off, img->m.h.virtual_size);
}

static void set_local(struct fvd_image *img, uint64_t off, uint64_t len)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t first, end;

	if (!img->uses_base || off >= h->base_size)
		return;
	first = off / h->block_size;
	end = (fvd_min(off + len, h->base_size) - 1) / h->block_size + 1;
	fvd_meta_set_bits(&img->m, first, end - first);
}

/* The entry of chunk @c, taken when it has none. */
static int place_chunk(struct fvd_image *img, uint64_t c, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	uint32_t number;
	bool fresh;

	if (img->m.table[c] != FVD_UNALLOCATED)
		return 0;
	if (fvd_alloc_take(img, &number, &fresh, err) < 0)
		return -1;
	if (!fresh && fvd_io_zero(img->data, fvd_entry_offset(g, number), g->chunk_size, err) < 0)
		return -1;
	fvd_meta_set_entry(&img->m, c, number);
	return 0;
}

int fvd_image_bulk_place(struct fvd_image *img, uint64_t off, uint64_t len, uint64_t *phys,
			 uint64_t *run, struct fvd_error *err)
{
	struct fvd_extent ext;
	uint64_t size = img->m.h.chunk_size;
	int rc = 0;

	if (check(img, len, off, err) < 0)
		return -1;
	pthread_mutex_lock(&img->lock);
	if (img->has_table)
		for (uint64_t c = off / size; c <= (off + len - 1) / size && rc == 0; c++)
			rc = place_chunk(img, c, err);
	if (rc == 0) {
		set_local(img, off, len);
		rc = fvd_map_run(img, off, len, &ext, err);
	}
	pthread_mutex_unlock(&img->lock);
	if (rc < 0)
		return -1;
	*phys = ext.io_off;
	*run = ext.len;
	return 0;
}

int fvd_image_bulk_zero(struct fvd_image *img, uint64_t off, uint64_t len, struct fvd_error *err)
{
	if (check(img, len, off, err) < 0)
		return -1;
	pthread_mutex_lock(&img->lock);
	set_local(img, off, len);
	pthread_mutex_unlock(&img->lock);
	return 0;
}
