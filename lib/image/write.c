/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest writes: in place where data is local and allocated, else an update: chunks are
 * taken, partial blocks filled from the base, data written, and only then bits and entries
 * change. FORMAT 3, 6.2.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "format/table.h"
#include "image/update_data.h"
#include "util/buf.h"
#include "util/zero.h"

#define STEP (64 * FVD_MIB)	/* one update at most, so that others get their turn */
#define FILL_BUFFER (256 * FVD_KIB)

static bool any_in_base(const struct fvd_image *img, uint64_t off, uint64_t end)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t first, count;
	bool local;

	if (!img->uses_base || off >= h->base_size)
		return false;
	first = off / h->block_size;
	count = (fvd_min(end, h->base_size) - 1) / h->block_size + 1 - first;
	return fvd_bitmap_run(img->m.bitmap, first, first + count, &local) < count || !local;
}

/* Does writing [off, end) change a bit or an entry? Lock held. */
static bool needs_update(const struct fvd_image *img, uint64_t off, uint64_t end)
{
	uint64_t last;

	if (any_in_base(img, off, end))
		return true;
	if (!img->has_table)
		return false;
	last = (end - 1) / img->m.h.chunk_size;
	for (uint64_t c = off / img->m.h.chunk_size; c <= last; c++)
		if (img->m.table[c] == FVD_UNALLOCATED)
			return true;
	return false;
}

/* Lock held: begin a write of [off, end) as what it has to be. */
static enum fvd_request_kind begin(struct fvd_image *img, struct fvd_request *req, uint64_t off,
				   uint64_t end)
{
	for (;;) {
		enum fvd_request_kind kind = FVD_REQ_WRITE;
		uint64_t lo = off, hi = end;

		if (needs_update(img, off, end)) {
			kind = FVD_REQ_UPDATE;
			fvd_request_widen(img, &lo, &hi);
		}
		if (!fvd_request_conflicts(img, kind, lo, hi)) {
			fvd_request_begin(img, req, kind, lo, hi);
			return kind;
		}
		fvd_engine_wait(img);
	}
}

/* All of it is local and allocated, and stays so while the request lasts. */
static int write_mapped(struct fvd_image *img, const uint8_t *buf, uint64_t len, uint64_t off,
			struct fvd_error *err)
{
	struct fvd_extent ext;
	int rc = 0;

	while (len > 0 && rc == 0) {
		pthread_mutex_lock(&img->lock);
		rc = fvd_map_run(img, off, len, &ext, err);
		img->stats.data_writes++;
		pthread_mutex_unlock(&img->lock);
		if (rc == 0)
			rc = fvd_update_store(img->data, buf, ext.len, ext.io_off, err);
		if (buf)
			buf += ext.len;
		off += ext.len;
		len -= ext.len;
	}
	return rc;
}

int fvd_update_store(struct fvd_io *io, const void *buf, uint64_t len, uint64_t off,
		     struct fvd_error *err)
{
	return buf ? fvd_io_pwrite(io, buf, len, off, err) : fvd_io_zero(io, off, len, err);
}

/* ---- an update ---- */

int fvd_update_data_init(struct fvd_image *img, struct fvd_update_data *d,
			 const struct fvd_request *req, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	struct fvd_update *u = &d->u;

	*d = (struct fvd_update_data){ .img = img };
	if (!img->has_table)
		return 0;
	u->chunk = req->lo / h->chunk_size;
	u->chunk_count = (req->hi - 1) / h->chunk_size + 1 - u->chunk;
	u->entries = fvd_alloc_array(u->chunk_count, sizeof(*u->entries), "an update", err);
	d->reused = fvd_alloc_array(u->chunk_count, 1, "an update", err);
	if (!u->entries || !d->reused) {
		free(u->entries);	/* nothing was planned that could be given back */
		u->entries = NULL;
		return -1;
	}
	memcpy(u->entries, img->m.table + u->chunk, u->chunk_count * sizeof(*u->entries));
	return 0;
}

void fvd_update_data_fini(struct fvd_update_data *d)
{
	free(d->u.entries);
	free(d->reused);
}

/* The blocks that [off, end) makes local, and what of their rest comes from the base. */
static void plan_blocks(struct fvd_update_data *d, uint64_t off, uint64_t end)
{
	const struct fvd_image *img = d->img;
	const struct fvd_header *h = &img->m.h;
	uint64_t first, last, stop;

	d->lo = off;
	d->hi = end;
	if (!any_in_base(img, off, end))
		return;
	first = off / h->block_size;
	last = (fvd_min(end, h->base_size) - 1) / h->block_size;
	if (!fvd_bitmap_get(img->m.bitmap, first))
		d->lo = first * h->block_size;
	stop = fvd_min((last + 1) * h->block_size, h->base_size);
	if (!fvd_bitmap_get(img->m.bitmap, last) && stop > end)
		d->hi = stop;
	d->u.block = first;
	d->u.block_count = last - first + 1;
}

/* A chunk for each unallocated one that [d->lo, d->hi) touches. */
static int take_chunks(struct fvd_update_data *d, struct fvd_error *err)
{
	struct fvd_update *u = &d->u;
	uint64_t size = d->img->m.h.chunk_size;
	bool fresh;

	for (uint64_t c = d->lo / size; c <= (d->hi - 1) / size; c++) {
		uint64_t i = c - u->chunk;

		if (u->entries[i] != FVD_UNALLOCATED)
			continue;
		if (fvd_alloc_take(d->img, &u->entries[i], &fresh, err) < 0)
			return -1;
		d->reused[i] = !fresh;
		u->needs_sync |= !fresh;
	}
	return 0;
}

/* Nothing names the chunks that were taken: they are free again. */
static void give_back(struct fvd_update_data *d)
{
	for (uint64_t i = 0; i < d->u.chunk_count; i++) {
		uint32_t now = d->img->m.table[d->u.chunk + i];

		if (d->u.entries[i] != now && d->u.entries[i] != FVD_UNALLOCATED)
			fvd_alloc_untake(d->img, d->u.entries[i]);
	}
}

/*
 * The storage of guest byte @off as the update will map it; *run: contiguous bytes, at most
 * @max.
 */
static uint64_t place(const struct fvd_update_data *d, uint64_t off, uint64_t max, uint64_t *run)
{
	const struct fvd_chunk_geometry *g = &d->img->m.bounds.geometry;
	const struct fvd_update *u = &d->u;
	uint64_t first, c, last;

	*run = max;
	if (!d->img->has_table)
		return d->img->m.h.data_offset + off;
	first = off / g->chunk_size;
	last = (off + max - 1) / g->chunk_size;
	for (c = first + 1; c <= last && u->entries[c - u->chunk] ==
	     u->entries[first - u->chunk] + (c - first); c++)
		;
	*run = fvd_min(max, c * g->chunk_size - off);
	return fvd_entry_offset(g, u->entries[first - u->chunk]) + off % g->chunk_size;
}

/* J5: a chunk with a past is zeroed around what will be written. */
static int zero_around(struct fvd_update_data *d, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &d->img->m.bounds.geometry;

	for (uint64_t i = 0; i < d->u.chunk_count; i++) {
		uint64_t lo = (d->u.chunk + i) * g->chunk_size, hi = lo + g->chunk_size;
		uint64_t at;

		if (!d->reused[i] || !FVD_RULE(d->img, 5))
			continue;
		at = fvd_entry_offset(g, d->u.entries[i]);
		if (lo < d->lo && fvd_io_zero(d->img->data, at, d->lo - lo, err) < 0)
			return -1;
		if (d->hi < hi && fvd_io_zero(d->img->data, at + (d->hi - lo), hi - d->hi, err) < 0)
			return -1;
	}
	return 0;
}

/* Copy-on-write: [off, end) from the base to its new place. */
static int fill(struct fvd_update_data *d, uint64_t off, uint64_t end, struct fvd_error *err)
{
	struct fvd_image *img = d->img;
	uint64_t at, run;
	uint8_t *buf;
	int rc = 0;

	if (off >= end)
		return 0;
	if (!img->base)
		return fvd_error_set(err, FVD_ERR_BASE, "%s: the block at %" PRIu64 " is in the base"
				     " image, which was not opened", img->name, off);
	buf = fvd_alloc_io(FILL_BUFFER, err);
	if (!buf)
		return -1;
	for (; off < end && rc == 0; off += run) {
		at = place(d, off, fvd_min(end - off, FILL_BUFFER), &run);
		rc = fvd_base_read(img->base, buf, run, off, err);
		if (rc == 0)
			rc = fvd_update_store(img->data, fvd_is_zero(buf, run) ? NULL : buf, run,
					      at, err);
		d->cow_bytes += run;
	}
	free(buf);
	return rc;
}

static int store(struct fvd_update_data *d, const uint8_t *buf, uint64_t off, uint64_t end,
		 struct fvd_error *err)
{
	uint64_t at, run;

	for (; off < end; off += run) {
		at = place(d, off, end - off, &run);
		if (fvd_update_store(d->img->data, buf, run, at, err) < 0)
			return -1;
		if (buf)
			buf += run;
		d->writes++;
	}
	return 0;
}

static int write_data(struct fvd_update_data *d, const uint8_t *buf, uint64_t off, uint64_t end,
		      struct fvd_error *err)
{
	if (d->reused && zero_around(d, err) < 0)
		return -1;
	if (fill(d, d->lo, off, err) < 0 || fill(d, end, d->hi, err) < 0)
		return -1;
	return store(d, buf, off, end, err);
}

/* Lock held, request begun: everything of an update in the order of J7. */
static int update(struct fvd_image *img, const struct fvd_request *req, const uint8_t *buf,
		  uint64_t off, uint64_t end, struct fvd_error *err)
{
	struct fvd_update_data d;
	int rc = fvd_update_data_init(img, &d, req, err);
	bool data_last = !FVD_RULE(img, 7);

	if (rc == 0) {
		plan_blocks(&d, off, end);
		rc = img->has_table ? take_chunks(&d, err) : 0;
	}
	if (rc == 0 && data_last)
		rc = fvd_update_commit(img, &d.u, err);
	if (rc == 0) {
		pthread_mutex_unlock(&img->lock);
		rc = write_data(&d, buf, off, end, err);
		pthread_mutex_lock(&img->lock);
		img->stats.data_writes += d.writes;
		img->stats.cow_bytes += d.cow_bytes;
	}
	if (rc == 0 && !data_last)
		rc = fvd_update_commit(img, &d.u, err);
	if (rc < 0 && d.u.entries && !img->failed)
		give_back(&d);
	fvd_update_data_fini(&d);
	return rc;
}

/* One step of a write; @buf NULL writes zeros. */
static int write_step(struct fvd_image *img, const uint8_t *buf, uint64_t len, uint64_t off,
		      struct fvd_error *err)
{
	struct fvd_request req;
	int rc;

	pthread_mutex_lock(&img->lock);
	rc = fvd_state_before_content(img, err);
	if (rc == 0) {
		if (begin(img, &req, off, off + len) == FVD_REQ_UPDATE) {
			rc = update(img, &req, buf, off, off + len, err);
		} else {
			pthread_mutex_unlock(&img->lock);
			rc = write_mapped(img, buf, len, off, err);
			pthread_mutex_lock(&img->lock);
		}
		fvd_request_end(img, &req);
	}
	pthread_mutex_unlock(&img->lock);
	return rc;
}

int fvd_write_range(struct fvd_image *img, const void *buf, uint64_t len, uint64_t off,
		    struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t unit = fvd_max(img->has_table ? h->chunk_size : 1,
				img->uses_base ? h->block_size : 1);
	const uint8_t *from = buf;
	uint64_t n, cut;

	while (len > 0) {
		n = fvd_min(len, STEP);
		cut = fvd_round_down(off + n, unit);
		if (n < len && cut > off)
			n = cut - off;
		if (write_step(img, from, n, off, err) < 0)
			return -1;
		if (from)
			from += n;
		off += n;
		len -= n;
	}
	return 0;
}

int fvd_write_check(const struct fvd_image *img, uint64_t len, uint64_t off, const char *what,
		    struct fvd_error *err)
{
	if (!img->writable)
		return fvd_error_set(err, FVD_ERR_READONLY, "%s: %s: the image is open read-only",
				     img->name, what);
	return fvd_map_check(img, len, off, what, err);
}

int fvd_image_write(struct fvd_image *img, const void *buf, size_t len, uint64_t off,
		    struct fvd_error *err)
{
	if (fvd_write_check(img, len, off, "write", err) < 0)
		return -1;
	return fvd_write_range(img, buf, len, off, err);
}
