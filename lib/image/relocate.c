/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving and unmapping chunks. FORMAT 6.2.
 *
 * | power goes...                     | what is found                                           |
 * |-----------------------------------|---------------------------------------------------------|
 * | while zeros are punched           | the same bytes, from storage or from a hole             |
 * | between copy and record           | the old entry, the old place untouched; the copy leaks  |
 * | record written, not synced        | old or new entry: both places hold the same bytes (J4)  |
 * | after the sync                    | the new entry; the old place is free, punched or leaks  |
 */
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "format/table.h"
#include "image/relocate.h"
#include "image/update_data.h"
#include "util/zero.h"

#define PIECE FVD_MIB	/* a unit without a table */

uint64_t fvd_relocate_units(const struct fvd_image *img)
{
	return img->has_table ? img->m.chunk_count : fvd_div_up(img->m.h.virtual_size, PIECE);
}

static uint64_t unit_size(const struct fvd_image *img)
{
	return img->has_table ? img->m.h.chunk_size : PIECE;
}

bool fvd_relocate_unit(const struct fvd_image *img, uint64_t unit, uint64_t *len)
{
	uint64_t size = unit_size(img);

	*len = fvd_min(size, img->m.h.virtual_size - unit * size);
	return !img->has_table || img->m.table[unit] != FVD_UNALLOCATED;
}

/* ---- looking at storage ---- */

struct scan {
	struct fvd_image *img;
	struct fvd_scan *out;
	uint64_t guest, storage, end;	/* the unit: where it is on the disk and in the file */
	uint64_t waste;			/* not needed from here on, not yet punched */
	bool punch;
	uint8_t *buf;
};

/* Bytes of [guest, guest + len) that are in the base: whatever storage holds there is nobody's. */
static void clear_foreign(const struct fvd_image *img, uint8_t *buf, uint64_t guest, uint64_t len)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t end, first, last, stop;
	bool local;

	if (guest >= h->virtual_size) {
		memset(buf, 0, len);
		return;
	}
	if (guest + len > h->virtual_size)
		memset(buf + (h->virtual_size - guest), 0, guest + len - h->virtual_size);
	end = img->uses_base ? fvd_min(guest + len, h->base_size) : 0;
	for (uint64_t at = guest; at < end; at = stop) {
		first = at / h->block_size;
		last = (end - 1) / h->block_size + 1;
		first += fvd_bitmap_run(img->m.bitmap, first, last, &local);
		stop = fvd_min(first * h->block_size, end);
		if (!local)
			memset(buf + (at - guest), 0, stop - at);
	}
}

/* Give back [s->waste, to). */
static int punch_waste(struct scan *s, uint64_t to, struct fvd_error *err)
{
	uint64_t from = s->waste;
	bool punched;

	s->waste = UINT64_MAX;
	if (!s->punch || from >= to)
		return 0;
	if (fvd_io_punch(s->img->data, from, to - from, &punched, err) < 0)
		return -1;
	s->out->punched += punched ? to - from : 0;
	return 0;
}

/* One piece of data in storage, file offsets; in blocks of the file, not of the unit. */
static int scan_piece(struct scan *s, uint64_t off, uint64_t len, struct fvd_error *err)
{
	uint64_t at = 0, n;

	if (fvd_io_pread(s->img->data, s->buf, len, off, err) < 0)
		return -1;
	clear_foreign(s->img, s->buf, s->guest + (off - s->storage), len);
	for (; at < len; at += n) {
		uint64_t first = FVD_RELOCATE_BLOCK - (off + at) % FVD_RELOCATE_BLOCK;
		bool zero;

		if (first < FVD_RELOCATE_BLOCK) {
			n = fvd_min(first, len - at);
			zero = fvd_is_zero(s->buf + at, n);
		} else {
			n = fvd_zero_run(s->buf + at, len - at, FVD_RELOCATE_BLOCK, &zero);
		}
		if (zero && s->waste == UINT64_MAX)
			s->waste = off + at;
		if (zero)
			continue;
		s->out->needed += n;
		s->out->empty = false;
		if (s->waste != UINT64_MAX && punch_waste(s, off + at, err) < 0)
			return -1;
	}
	return 0;
}

int fvd_relocate_scan(struct fvd_image *img, uint64_t unit, bool punch, void *buf,
		      struct fvd_scan *out, struct fvd_error *err)
{
	struct scan s = { .img = img, .out = out, .punch = punch, .buf = buf,
			  .guest = unit * unit_size(img), .waste = UINT64_MAX };
	struct fvd_io_extent ext;
	uint64_t off, n;

	*out = (struct fvd_scan){ .empty = true };
	s.storage = img->has_table ?
		fvd_entry_offset(&img->m.bounds.geometry, img->m.table[unit]) :
		img->m.h.data_offset + s.guest;
	n = img->has_table ? unit_size(img) : fvd_min(PIECE, img->m.h.virtual_size - s.guest);
	s.end = s.storage + n;
	for (off = s.storage; off < s.end; off += ext.len) {
		if (fvd_io_extent(img->data, off, s.end - off, &ext, err) < 0)
			return -1;
		if (ext.hole)
			continue;
		ext.len = fvd_min(ext.len, FVD_RELOCATE_BUFFER);
		out->used += ext.len;
		if (scan_piece(&s, off, ext.len, err) < 0)
			return -1;
	}
	/* an empty chunk loses its entry instead; without a table there is none */
	if (s.waste != UINT64_MAX && (!out->empty || !img->has_table))
		return punch_waste(&s, s.end, err);
	return 0;
}

/* ---- entries ---- */

int fvd_relocate_unmap(struct fvd_image *img, uint64_t chunk, struct fvd_error *err)
{
	uint32_t none = FVD_UNALLOCATED;
	struct fvd_update u = { .chunk = chunk, .chunk_count = 1, .entries = &none };
	uint64_t size = img->m.h.chunk_size;
	struct fvd_request req;
	int rc;

	pthread_mutex_lock(&img->lock);
	img->changed = true;
	fvd_request_begin(img, &req, FVD_REQ_UPDATE, chunk * size, (chunk + 1) * size);
	rc = fvd_update_commit(img, &u, err);
	fvd_request_end(img, &req);
	pthread_mutex_unlock(&img->lock);
	return rc;
}

void fvd_relocate_keep_freed(struct fvd_image *img)
{
	img->a.keep_freed = true;
}

/*
 * Copy what is data. A new place with a past is overwritten where it stands, and zeroed
 * only where the old one has holes: cheaper than giving its storage back and taking new.
 */
static int copy_chunk(struct fvd_image *img, uint32_t from, uint32_t to, bool fresh,
		      uint64_t *copied, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	uint64_t src = fvd_entry_offset(g, from), dst = fvd_entry_offset(g, to);
	struct fvd_io_extent ext;

	for (uint64_t at = 0; at < g->chunk_size; at += ext.len) {
		if (fvd_io_extent(img->data, src + at, g->chunk_size - at, &ext, err) < 0)
			return -1;
		if (ext.hole) {
			if (!fresh && fvd_io_zero(img->data, dst + at, ext.len, err) < 0)
				return -1;
			continue;
		}
		if (fvd_io_copy(img->data, src + at, img->data, dst + at, ext.len, err) < 0)
			return -1;
		*copied += ext.len;
	}
	return 0;
}

int fvd_relocate_move(struct fvd_image *img, uint64_t chunk, bool *moved, uint64_t *copied,
		      struct fvd_error *err)
{
	struct fvd_update u = { .chunk = chunk, .chunk_count = 1, .needs_sync = true };
	uint64_t size = img->m.h.chunk_size;
	struct fvd_request req;
	uint32_t old, now;
	bool fresh = false;
	int rc;

	*copied = 0;
	pthread_mutex_lock(&img->lock);
	img->changed = true;
	fvd_request_begin(img, &req, FVD_REQ_UPDATE, chunk * size, (chunk + 1) * size);
	old = img->m.table[chunk];
	rc = fvd_alloc_take_below(img, old, &now, &fresh, err);
	*moved = rc == 0 && now != FVD_UNALLOCATED;
	if (*moved) {
		pthread_mutex_unlock(&img->lock);
		rc = copy_chunk(img, old, now, fresh, copied, err);
		pthread_mutex_lock(&img->lock);
		u.entries = &now;
		if (rc == 0)
			rc = fvd_update_commit(img, &u, err);
		if (rc < 0 && !img->failed && img->m.table[chunk] != now)
			fvd_alloc_untake(img, now);
	}
	fvd_request_end(img, &req);
	pthread_mutex_unlock(&img->lock);
	return rc;
}

uint32_t fvd_relocate_entry(const struct fvd_image *img, uint64_t chunk)
{
	return img->m.table[chunk];
}

/* ---- storage that nothing refers to ---- */

/* Data in [off, end) of the file. */
static int unused_run(struct fvd_image *img, uint64_t off, uint64_t end, bool punch,
		      uint64_t *used, struct fvd_error *err)
{
	struct fvd_io_extent ext;
	bool punched;

	for (; off < end; off += ext.len) {
		if (fvd_io_extent(img->data, off, end - off, &ext, err) < 0)
			return -1;
		if (ext.hole)
			continue;
		*used += ext.len;
		if (punch && fvd_io_punch(img->data, off, ext.len, &punched, err) < 0)
			return -1;
	}
	return 0;
}

bool fvd_relocate_simple(const struct fvd_image *img)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;

	for (unsigned i = 0; img->has_table && i < g->region_count; i++)
		if (g->region[i].off + g->region[i].len > img->m.h.data_offset)
			return false;
	return true;
}

int fvd_relocate_unused(struct fvd_image *img, bool punch, uint64_t *used, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	uint64_t first, next, last, length, off;
	int rc;

	*used = 0;
	if (!img->has_table || !fvd_relocate_simple(img))
		return 0;
	pthread_mutex_lock(&img->lock);
	rc = fvd_alloc_open(img, err);
	pthread_mutex_unlock(&img->lock);
	if (rc < 0 || fvd_io_length(img->data, &length, err) < 0)
		return -1;
	last = fvd_alloc_end(img);
	for (first = 0; first < img->a.used.bits && first < last; first = next) {
		first = fvd_bitset_next_clear(&img->a.used, first);
		next = fvd_min(fvd_bitset_next_set(&img->a.used, first), last);
		if (first < next && unused_run(img, g->data_offset + first * g->chunk_size,
					       g->data_offset + next * g->chunk_size, punch, used,
					       err) < 0)
			return -1;
	}
	off = g->data_offset + last * g->chunk_size;
	return off < length ? unused_run(img, off, length, punch, used, err) : 0;
}

uint64_t fvd_relocate_file_end(struct fvd_image *img, uint64_t chunks)
{
	if (!img->has_table)
		return UINT64_MAX;
	if (img->data == img->io)
		return fvd_meta_file_end(&img->m, chunks);
	return img->m.h.data_offset + chunks * img->m.h.chunk_size;
}

int fvd_relocate_truncate(struct fvd_image *img, struct fvd_error *err)
{
	uint64_t end = fvd_relocate_file_end(img, fvd_alloc_end(img)), length;

	if (!img->has_table || img->data->block_device)
		return 0;
	if (fvd_io_length(img->data, &length, err) < 0)
		return -1;
	if (length <= end)
		return 0;
	img->a.length = img->a.first_length = end;
	return fvd_io_truncate(img->data, end, err);
}

int fvd_relocate_close(struct fvd_image *img, bool punch_journal, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	bool punched;
	int rc;

	pthread_mutex_lock(&img->lock);
	rc = fvd_state_close(img, err);
	if (rc == 0 && punch_journal && img->has_journal && h->clean_shutdown == 1)
		rc = fvd_io_punch(img->io, h->journal_offset, h->journal_size, &punched, err);
	if (rc == 0)
		rc = fvd_journal_sync(img, err);
	pthread_mutex_unlock(&img->lock);
	fvd_image_drop(img);
	return rc;
}
