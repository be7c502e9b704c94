/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunk numbers: which are free, which were never written, and when a freed one may be used
 * again. FORMAT 4, 6.2 (J5, J6).
 *
 *   free ----take----> in use ----freed----> waiting ----reclaim----> free
 *                        \------untake (no record names it)----------/
 *
 * "waiting" ends when the record that freed the chunk is synced and no request that began
 * before it still overlaps the chunk. A number that was handed out once since the opening is
 * never "never written" again: what it holds is zeroed around the next write.
 *
 * There is a bit for one number a virtual chunk, a reserve for those that wait, and those
 * that other regions cover. When all are taken, an allocation waits for those that wait.
 * Higher numbers, which only images of other writers have, are used where they are and not
 * handed out again.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "format/table.h"
#include "image/engine.h"
#include "util/buf.h"

#define RESERVE 1024

static uint64_t count_numbers(const struct fvd_image *img)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	uint64_t n = img->m.chunk_count + RESERVE, fit;

	for (unsigned i = 0; i < g->region_count; i++)
		n += g->region[i].len / g->chunk_size + 2;
	fit = g->limit > g->data_offset ? (g->limit - g->data_offset) / g->chunk_size : 0;
	return fvd_min(fvd_min(n, fit), FVD_MAX_CHUNKS);
}

/*
 * The lowest free number from @n on. Numbers whose place another region takes are never free; they
 * are passed over here, not marked: a header may speak of regions so large that the marks would
 * fill the memory.
 */
static uint64_t next_free(const struct fvd_image *img, uint64_t n)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	uint64_t first, end;

	n = fvd_bitset_next_clear(&img->a.used, n);
	for (unsigned i = 0; i < g->region_count; i++) {
		end = g->region[i].off + g->region[i].len;
		if (end <= g->data_offset)
			continue;
		first = g->region[i].off > g->data_offset ?
			(g->region[i].off - g->data_offset) / g->chunk_size : 0;
		end = fvd_div_up(end - g->data_offset, g->chunk_size);
		if (n >= first && n < end)
			n = fvd_bitset_next_clear(&img->a.used, end);
	}
	return n;
}

int fvd_alloc_open(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;
	uint64_t n;

	if (a->ready)
		return 0;
	if (fvd_io_length(img->data, &a->length, err) < 0)
		return -1;
	n = count_numbers(img);
	fvd_bitset_fini(&a->used);
	if (fvd_bitset_init(&a->used, n, err) < 0 || fvd_bitset_init(&a->handed, n, err) < 0)
		return -1;
	a->first_length = a->length;
	for (uint64_t c = 0; c < img->m.chunk_count; c++)
		if (img->m.table[c] < n)
			fvd_bitset_set(&a->used, img->m.table[c]);
	/* Freed before anything was taken: no entry names them, but they wait all the same. */
	for (size_t i = 0; i < a->freed_count; i++)
		if (a->freed[i].number < n)
			fvd_bitset_set(&a->used, a->freed[i].number);
	a->ready = true;
	return 0;
}

void fvd_alloc_fini(struct fvd_image *img)
{
	fvd_bitset_fini(&img->a.used);
	fvd_bitset_fini(&img->a.handed);
	free(img->a.freed);
}

/* Is the storage of @number durably a hole? Asks the file's map, and remembers the last hole. */
static int is_hole(struct fvd_image *img, uint32_t number, bool *hole, struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;
	uint64_t size = img->m.h.chunk_size;
	uint64_t off = fvd_entry_offset(&img->m.bounds.geometry, number);
	struct fvd_io_extent ext;

	if (!(off >= a->hole_lo && off + size <= a->hole_hi)) {
		if (fvd_io_extent(img->data, off, FVD_MAX_OFF - off, &ext, err) < 0)
			return -1;
		a->hole_lo = off;
		a->hole_hi = ext.hole ? off + ext.len : off;
	}
	*hole = off + size <= a->hole_hi;
	return 0;
}

/* Make the file long enough, by the header's unit, so that most allocations change no length. */
static int grow(struct fvd_image *img, uint32_t number, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &img->m.bounds.geometry;
	struct fvd_alloc *a = &img->a;
	uint64_t end = fvd_entry_offset(g, number) + g->chunk_size, most, length;

	if (img->bulk || img->data->block_device || end <= a->length)
		return 0;
	if (!fvd_mul(a->used.bits, g->chunk_size, &most) || !fvd_add(most, g->data_offset, &most))
		most = FVD_MAX_OFF;
	if (!fvd_add(a->length, img->m.h.grow_unit, &length))
		length = FVD_MAX_OFF;
	length = fvd_max(end, fvd_min(length, most));
	if (fvd_io_truncate(img->data, length, err) < 0)
		return -1;
	a->length = length;
	return 0;
}

static int hand_out(struct fvd_image *img, uint64_t n, uint32_t *number, bool *fresh,
		    struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;
	bool hole = false;

	if (grow(img, (uint32_t)n, err) < 0)
		return -1;
	if (img->bulk)
		hole = !img->data->block_device;
	else if (!img->data->block_device && !fvd_bitset_test(&a->handed, n) &&
		 is_hole(img, (uint32_t)n, &hole, err) < 0)
		return -1;
	fvd_bitset_set(&a->used, n);
	fvd_bitset_set(&a->handed, n);
	a->hint = n + 1;
	*number = (uint32_t)n;
	*fresh = hole;
	return 0;
}

/* Is a freed chunk only waiting for reads to end? Reads wait for nobody. */
static bool reads_hold(const struct fvd_image *img)
{
	for (const struct fvd_request *r = img->requests; r; r = r->next)
		if (r->kind == FVD_REQ_READ && r->serial < img->a.freed[0].serial)
			return true;
	return false;
}

static bool any_unsynced(const struct fvd_image *img)
{
	for (size_t i = 0; i < img->a.freed_count; i++)
		if (img->a.freed[i].seq > img->j.synced_seq)
			return true;
	return false;
}

/* No number is free: wait for one that will be, or say that there is none. */
static int wait_for_number(struct fvd_image *img, unsigned *stuck, struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;

	if (fvd_engine_alive(img, err) < 0)
		return -1;
	if (a->punching == 0 && a->freed_count == 0)
		return fvd_error_set(err, FVD_ERR_NOSPACE, "%s: no free chunk: all %" PRIu64
				     " that fit are in use", img->data->name, a->used.bits);
	if (a->punching > 0)
		fvd_engine_wait(img);
	else if (any_unsynced(img))
		return fvd_journal_flush(img, err);
	else if (reads_hold(img))
		fvd_engine_wait(img);
	else
		(*stuck)++;
	fvd_alloc_reclaim(img);
	/* held by a request that waits itself, which rule J8 rules out */
	if (*stuck > 1)
		return fvd_error_set(err, FVD_ERR_NOSPACE, "%s: no free chunk: %zu freed ones are"
				     " still in use", img->data->name, a->freed_count);
	return 0;
}

int fvd_alloc_take(struct fvd_image *img, uint32_t *number, bool *fresh, struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;
	unsigned stuck = 0;
	uint64_t n;

	if (fvd_alloc_open(img, err) < 0)
		return -1;
	for (;;) {
		n = next_free(img, a->hint);
		if (n < a->used.bits)
			return hand_out(img, n, number, fresh, err);
		if (wait_for_number(img, &stuck, err) < 0)
			return -1;
	}
}

int fvd_alloc_take_below(struct fvd_image *img, uint32_t below, uint32_t *number, bool *fresh,
			 struct fvd_error *err)
{
	uint64_t n;

	if (fvd_alloc_open(img, err) < 0)
		return -1;
	n = next_free(img, img->a.hint);
	if (n < img->a.used.bits && n < below)
		return hand_out(img, n, number, fresh, err);
	*number = FVD_UNALLOCATED;
	return 0;
}

static void make_free(struct fvd_image *img, uint32_t number)
{
	if (number >= img->a.used.bits)
		return;
	fvd_bitset_clear(&img->a.used, number);
	if (number < img->a.hint)
		img->a.hint = number;
}

void fvd_alloc_untake(struct fvd_image *img, uint32_t number)
{
	make_free(img, number);
}

int fvd_alloc_freed(struct fvd_image *img, uint64_t chunk, uint32_t number,
		    struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;
	struct fvd_freed *more;

	if (!FVD_RULE(img, 6)) {
		if (number < a->handed.bits)
			fvd_bitset_set(&a->handed, number);
		make_free(img, number);
		return 0;
	}
	if (a->freed_count == a->freed_cap) {
		size_t cap = a->freed_cap ? a->freed_cap * 2 : 64;

		more = realloc(a->freed, cap * sizeof(*more));
		if (!more)
			return fvd_error_set(err, FVD_ERR_NOMEM, "no memory for %zu freed chunks",
					     cap);
		a->freed = more;
		a->freed_cap = cap;
	}
	a->freed[a->freed_count++] = (struct fvd_freed){
		.chunk = chunk, .number = number, .seq = fvd_journal_seq(img),
		.serial = img->next_serial,
	};
	return 0;
}

static bool still_used(const struct fvd_image *img, const struct fvd_freed *f)
{
	uint64_t lo = f->chunk * img->m.h.chunk_size, hi = lo + img->m.h.chunk_size;

	for (const struct fvd_request *r = img->requests; r; r = r->next)
		if (r->serial < f->serial && r->lo < hi && lo < r->hi)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	const struct fvd_freed *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Give the storage of sorted chunks back, neighbours in one call. Lock not held. */
static void punch(struct fvd_image *img, const struct fvd_freed *f, size_t count)
{
	uint64_t size = img->m.h.chunk_size;
	bool punched = true;
	size_t i, n;

	for (i = 0; i < count && punched; i += n) {
		for (n = 1; i + n < count && f[i + n].number == f[i].number + n; n++)
			;
		if (fvd_io_punch(img->data, fvd_entry_offset(&img->m.bounds.geometry, f[i].number),
				 n * size, &punched, NULL) < 0)
			return;
	}
}

/* Take those out of the waiting list that may be used again. */
static size_t take_ready(struct fvd_image *img, struct fvd_freed *ready)
{
	struct fvd_alloc *a = &img->a;
	size_t count = 0, left = 0;

	for (size_t i = 0; i < a->freed_count; i++) {
		const struct fvd_freed *f = &a->freed[i];

		if (f->seq <= img->j.synced_seq && !still_used(img, f))
			ready[count++] = *f;
		else
			a->freed[left++] = *f;
	}
	a->freed_count = left;
	return count;
}

void fvd_alloc_reclaim(struct fvd_image *img)
{
	struct fvd_alloc *a = &img->a;
	struct fvd_freed *ready;
	size_t count;

	/*
	 * opened first: a number on its way from waiting to free must not look free to an
	 * opening
	 */
	if (a->freed_count == 0 || fvd_alloc_open(img, NULL) < 0)
		return;
	ready = fvd_alloc_array(a->freed_count, sizeof(*ready), "freed chunks", NULL);
	if (!ready)
		return;		/* they wait for the next flush */
	count = take_ready(img, ready);
	if (count > 0 && !a->keep_freed) {
		qsort(ready, count, sizeof(*ready), by_number);
		a->punching++;
		pthread_mutex_unlock(&img->lock);
		punch(img, ready, count);
		pthread_mutex_lock(&img->lock);
		a->punching--;
		pthread_cond_broadcast(&img->cond);
	}
	for (size_t i = 0; i < count; i++) {
		if (ready[i].number < a->handed.bits)
			fvd_bitset_set(&a->handed, ready[i].number);
		make_free(img, ready[i].number);
	}
	free(ready);
}

uint64_t fvd_alloc_end(struct fvd_image *img)
{
	uint64_t end = 0;

	for (uint64_t c = 0; c < img->m.chunk_count; c++)
		if (img->m.table[c] != FVD_UNALLOCATED)
			end = fvd_max(end, (uint64_t)img->m.table[c] + 1);
	return end;
}

int fvd_alloc_trim(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_alloc *a = &img->a;
	uint64_t end;

	if (!img->has_table || img->data->block_device)
		return 0;
	if (!img->bulk && (!a->ready || a->length <= a->first_length))
		return 0;
	if (img->data == img->io)
		end = fvd_meta_file_end(&img->m, fvd_alloc_end(img));
	else
		end = fvd_alloc_end(img) * img->m.h.chunk_size + img->m.h.data_offset;
	return fvd_io_truncate(img->data, img->bulk ? end : fvd_max(end, a->first_length), err);
}
