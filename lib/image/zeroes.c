/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write-zeroes and discard: whole chunks lose their entry, whole blocks become local and read as
 * zero, what is left of allocated chunks is punched. FORMAT 3, 5, 6.2 (J3, J4, J6).
 *
 * Only a block that is partly zeroed and still in the base needs copy-on-write: those edges
 * go through the ordinary write.
 */
#include "format/bitmap.h"
#include "format/table.h"
#include "image/update_data.h"

#define BATCH_CHUNKS 4096u
#define BATCH_BYTES (4 * FVD_GIB)

/* The end of the block of the base that @off is in, as far as the base goes. */
static uint64_t block_end(const struct fvd_header *h, uint64_t off)
{
	return fvd_min(fvd_round_down(off, h->block_size) + h->block_size, h->base_size);
}

static bool is_local(struct fvd_image *img, uint64_t off)
{
	bool local;

	pthread_mutex_lock(&img->lock);
	local = fvd_bitmap_get(img->m.bitmap, off / img->m.h.block_size);
	pthread_mutex_unlock(&img->lock);
	return local;
}

/*
 * Zero by writing those parts of blocks at either edge that are in the base, and cut them off
 * [*off, *end). A bit that turns 1 meanwhile does no harm: the write looks again.
 */
static int zero_edges(struct fvd_image *img, uint64_t *off, uint64_t *end, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t stop, start;

	if (!img->uses_base)
		return 0;
	if (*off < h->base_size && *off % h->block_size != 0 && !is_local(img, *off)) {
		stop = fvd_min(block_end(h, *off), *end);
		if (fvd_write_range(img, NULL, stop - *off, *off, err) < 0)
			return -1;
		*off = stop;
	}
	if (*off < *end && *end < h->base_size && *end % h->block_size != 0 &&
	    !is_local(img, *end - 1)) {
		start = fvd_max(fvd_round_down(*end, h->block_size), *off);
		if (fvd_write_range(img, NULL, *end - start, start, err) < 0)
			return -1;
		*end = start;
	}
	return 0;
}

/* [off, end) is all of chunk @c, as far as the disk goes. */
static bool covers(const struct fvd_header *h, uint64_t c, uint64_t off, uint64_t end)
{
	uint64_t lo = c * h->chunk_size;

	return off <= lo && fvd_min(lo + h->chunk_size, h->virtual_size) <= end;
}

/* The blocks in [off, end) that are 0; edges have been dealt with, so all of them are whole. */
static bool plan_blocks(struct fvd_update *u, const struct fvd_image *img, uint64_t off,
			uint64_t end)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t first, last, run;
	bool local;

	if (!img->uses_base || off >= h->base_size)
		return false;
	first = off / h->block_size;
	last = (fvd_min(end, h->base_size) - 1) / h->block_size + 1;
	run = fvd_bitmap_run(img->m.bitmap, first, last, &local);
	if (local)
		first += run;
	u->block = first;
	u->block_count = last - first;
	return first < last;
}

static bool plan_chunks(struct fvd_update *u, const struct fvd_image *img, uint64_t off,
			uint64_t end)
{
	const struct fvd_header *h = &img->m.h;
	bool any = false;

	if (!img->has_table)
		return false;
	for (uint64_t c = off / h->chunk_size; c <= (end - 1) / h->chunk_size; c++) {
		uint32_t *entry = &u->entries[c - u->chunk];

		if (*entry != FVD_UNALLOCATED && covers(h, c, off, end)) {
			*entry = FVD_UNALLOCATED;
			any = true;
		}
	}
	return any;
}

/* Zero the storage of [off, end) that keeps its place. Lock not held. */
static int zero_storage(struct fvd_image *img, const struct fvd_update *u, uint64_t off,
			uint64_t end, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	uint64_t c, stop;
	uint32_t entry;

	if (!img->has_table)
		return fvd_io_zero(img->data, img->m.h.data_offset + off, end - off, err);
	for (; off < end; off = stop) {
		c = off / g->chunk_size;
		stop = fvd_min((c + 1) * g->chunk_size, end);
		entry = u->entries[c - u->chunk];
		if (entry == FVD_UNALLOCATED)
			continue;
		if (fvd_entry_damage(g, entry))
			return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: a damaged table entry; see"
					     " \"fvdtool check\"", img->name);
		if (fvd_io_zero(img->data, fvd_entry_offset(g, entry) + off % g->chunk_size,
				stop - off, err) < 0)
			return -1;
	}
	return 0;
}

/* One batch, no partial block of the base in it. */
static int zero_batch(struct fvd_image *img, uint64_t off, uint64_t end, struct fvd_error *err)
{
	struct fvd_update_data d;
	struct fvd_request req;
	uint64_t lo = off, hi = end;
	bool change;
	int rc;

	pthread_mutex_lock(&img->lock);
	rc = fvd_state_before_content(img, err);
	if (rc < 0) {
		pthread_mutex_unlock(&img->lock);
		return -1;
	}
	fvd_request_widen(img, &lo, &hi);
	fvd_request_begin(img, &req, FVD_REQ_UPDATE, lo, hi);
	rc = fvd_update_data_init(img, &d, &req, err);
	if (rc == 0) {
		change = plan_blocks(&d.u, img, off, end);
		change |= plan_chunks(&d.u, img, off, end);
		pthread_mutex_unlock(&img->lock);
		rc = zero_storage(img, &d.u, off, end, err);
		pthread_mutex_lock(&img->lock);
		if (rc == 0 && change)
			rc = fvd_update_commit(img, &d.u, err);
	}
	fvd_update_data_fini(&d);
	fvd_request_end(img, &req);
	pthread_mutex_unlock(&img->lock);
	return rc;
}

/* A good place to cut behind @off: on chunk and block boundaries when they nest. */
static uint64_t batch_end(const struct fvd_image *img, uint64_t off, uint64_t end)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t most = BATCH_BYTES, cut;

	if (img->has_table && !fvd_mul(h->chunk_size, BATCH_CHUNKS, &most))
		most = FVD_MAX_OFF;
	if (end - off <= most)
		return end;
	cut = off + most;
	if (img->has_table)
		cut = fvd_round_down(cut, h->chunk_size);
	if (img->uses_base && cut < h->base_size && fvd_round_down(cut, h->block_size) > off)
		cut = fvd_round_down(cut, h->block_size);
	return cut > off ? cut : end;
}

int fvd_image_write_zeroes(struct fvd_image *img, uint64_t len, uint64_t off,
			   struct fvd_error *err)
{
	uint64_t end, stop, from;

	if (fvd_write_check(img, len, off, "write-zeroes", err) < 0)
		return -1;
	for (end = off + len; off < end; off = stop) {
		uint64_t to = stop = batch_end(img, off, end);

		from = off;
		if (zero_edges(img, &from, &to, err) < 0 ||
		    (from < to && zero_batch(img, from, to, err) < 0))
			return -1;
	}
	return 0;
}

int fvd_image_discard(struct fvd_image *img, uint64_t len, uint64_t off, struct fvd_error *err)
{
	return fvd_image_write_zeroes(img, len, off, err);
}
