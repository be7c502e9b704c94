/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packing records into sectors. FORMAT 6 (records), 6.1, 6.2 J2, J10.
 *
 * Only the last sector of a buffer takes records. last_table and last_bitmap are where its last
 * records of either kind begin; a record is only ever changed while it is the last one that
 * could name what it names, so that merging equals appending.
 */
#include <stdlib.h>
#include <string.h>

#include "format/jrecord.h"
#include "image/journal_buf.h"
#include "util/buf.h"
#include "util/endian.h"

#define NONE SIZE_MAX

struct fvd_jbuf *fvd_jbuf_new(uint64_t seq, uint64_t sector, size_t cap, struct fvd_error *err)
{
	struct fvd_jbuf *b = fvd_alloc_array(1, sizeof(*b), "a journal buffer", err);

	if (!b)
		return NULL;
	b->seq = seq;
	b->sector = sector;
	b->cap = cap;
	b->bytes = fvd_alloc_io(cap * FVD_SECTOR, err);
	if (!b->bytes) {
		free(b);
		return NULL;
	}
	memset(b->bytes, 0, cap * FVD_SECTOR);
	b->last_table = b->last_bitmap = NONE;
	return b;
}

void fvd_jbuf_free(struct fvd_jbuf *b)
{
	if (!b)
		return;
	free(b->bytes);
	free(b);
}

static uint32_t get32(const uint8_t *p)
{
	fvd_le32 v;

	memcpy(v.b, p, sizeof(v.b));
	return fvd_get_le32(v);
}

static void put32(uint8_t *p, uint32_t value)
{
	fvd_le32 v = fvd_to_le32(value);

	memcpy(p, v.b, sizeof(v.b));
}

static uint64_t get64(const uint8_t *p)
{
	fvd_le64 v;

	memcpy(v.b, p, sizeof(v.b));
	return fvd_get_le64(v);
}

/* Fields of a revision-2 TABLE record, by the offsets of FORMAT 6. */
static uint32_t rec_count(const uint8_t *rec) { return get32(rec + 12); }
static uint32_t rec_first(const uint8_t *rec) { return get32(rec + 16); }

static uint8_t *last_sector(const struct fvd_jbuf *b)
{
	return b->bytes + (b->sectors - 1) * FVD_SECTOR;
}

/* The sector's last TABLE record says all that @p says of entries. */
static bool table_covers(const struct fvd_jbuf *b, const struct fvd_piece *p)
{
	const uint8_t *rec;
	uint64_t first;

	if (p->chunk_count == 0)
		return true;
	if (b->last_table == NONE)
		return false;
	rec = last_sector(b) + b->last_table;
	first = rec_first(rec);
	if (p->chunk < first || p->chunk + p->chunk_count > first + rec_count(rec))
		return false;
	for (uint32_t i = 0; i < p->chunk_count; i++)
		if (get32(rec + 20 + 4 * (p->chunk - first + i)) != p->entries[i])
			return false;
	return true;
}

/*
 * Append the entries of @p to the last record, when that is a TABLE record that ends before
 * them.
 */
static bool extend_table(struct fvd_jbuf *b, const struct fvd_piece *p)
{
	uint8_t *sec = last_sector(b), *rec;
	uint32_t count;

	if (b->last_table == NONE || (b->last_bitmap != NONE && b->last_bitmap > b->last_table))
		return false;
	rec = sec + b->last_table;
	count = rec_count(rec);
	if (rec_first(rec) + (uint64_t)count != p->chunk ||
	    b->used + 4 * (size_t)p->chunk_count > FVD_SECTOR)
		return false;
	for (uint32_t i = 0; i < p->chunk_count; i++)
		put32(sec + b->used + 4 * i, p->entries[i]);
	put32(rec + 12, count + p->chunk_count);
	b->used += 4 * (size_t)p->chunk_count;
	return true;
}

/* Change the one entry of @p where the last record of the sector names its chunk already. */
static bool replace_entry(struct fvd_jbuf *b, const struct fvd_piece *p)
{
	uint8_t *rec;
	uint64_t first;

	if (p->chunk_count != 1 || b->last_table == NONE ||
	    (b->last_bitmap != NONE && b->last_bitmap > b->last_table))
		return false;
	rec = last_sector(b) + b->last_table;
	first = rec_first(rec);
	if (p->chunk < first || p->chunk >= first + rec_count(rec))
		return false;
	put32(rec + 20 + 4 * (p->chunk - first), p->entries[0]);
	return true;
}

/* Lengthen the last record, a BITMAP that ends where @p begins. */
static bool extend_bitmap(struct fvd_jbuf *b, uint64_t first, uint64_t count)
{
	uint8_t *rec;
	uint64_t end;

	if (b->last_bitmap == NONE || (b->last_table != NONE && b->last_table > b->last_bitmap))
		return false;
	rec = last_sector(b) + b->last_bitmap;
	end = get64(rec + 8) + get32(rec + 4);
	if (end != first || get32(rec + 4) + count > UINT32_MAX)
		return false;
	put32(rec + 4, (uint32_t)(get32(rec + 4) + count));
	return true;
}

/* The range of a BITMAP record, in 512-byte sectors, cut at the end of the disk. */
static void bitmap_range(const struct fvd_image *img, const struct fvd_piece *p, uint64_t *first,
			 uint64_t *count)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t end = (p->block + p->block_count) * h->block_size;

	*first = p->block * h->block_size / FVD_SECTOR;
	/* one block may be larger than a record can say: it covers what it touches */
	*count = fvd_min(fvd_min(end, h->virtual_size) / FVD_SECTOR - *first, UINT32_MAX);
}

/* Into the last sector as it is; false when something does not fit (nothing changed). */
static bool put_here(struct fvd_image *img, struct fvd_jbuf *b, const struct fvd_piece *p)
{
	size_t need = p->block_count ? FVD_JREC_BITMAP_SIZE : 0, at;
	bool with_table = p->chunk_count > 0 &&
			  !(p->block_count > 0 && table_covers(b, p));
	uint64_t first, count;

	if (with_table)
		need += FVD_JREC_TABLE_HEAD_REV2 + 4 * (size_t)p->chunk_count;
	if (b->used + need > FVD_SECTOR)
		return false;
	at = b->used;
	if (with_table) {
		fvd_jsector_put_table(last_sector(b), &b->used, img->j.next_epoch++,
				      (uint32_t)p->chunk, p->entries, p->chunk_count);
		b->last_table = at;
	}
	if (p->block_count > 0) {
		bitmap_range(img, p, &first, &count);
		at = b->used;
		fvd_jsector_put_bitmap(last_sector(b), &b->used, first, (uint32_t)count);
		b->last_bitmap = at;
	}
	return true;
}

static bool merge(struct fvd_image *img, struct fvd_jbuf *b, const struct fvd_piece *p)
{
	uint64_t first, count;

	if (p->block_count == 0)
		return extend_table(b, p) || replace_entry(b, p);
	bitmap_range(img, p, &first, &count);
	return table_covers(b, p) && extend_bitmap(b, first, count);
}

#ifdef FVD_TEST_HOOKS
/* Rule J10 off: merge into the first record of the buffer that names the chunk. */
static bool merge_anywhere(struct fvd_jbuf *b, const struct fvd_piece *p)
{
	struct fvd_jsector s;

	for (size_t i = 0; p->chunk_count == 1 && p->block_count == 0 && i < b->sectors; i++) {
		fvd_jsector_decode(b->bytes + i * FVD_SECTOR, 2, &s);
		for (unsigned k = 0; k < s.count; k++) {
			const struct fvd_jrec *r = &s.rec[k];

			if (r->kind == FVD_JREC_KIND_TABLE && p->chunk >= r->first_chunk &&
			    p->chunk - r->first_chunk < r->entry_count) {
				put32(b->bytes + i * FVD_SECTOR + r->pos + 20 +
				      4 * (p->chunk - r->first_chunk), p->entries[0]);
				return true;
			}
		}
	}
	return false;
}
#endif

bool fvd_jbuf_put(struct fvd_image *img, struct fvd_jbuf *b, const struct fvd_piece *p)
{
#ifdef FVD_TEST_HOOKS
	if (!FVD_RULE(img, 10) && merge_anywhere(b, p))
		return true;
#endif
	if (!(b->sectors > 0 && (merge(img, b, p) || put_here(img, b, p)))) {
		if (b->sectors == b->cap)
			return false;
		b->sectors++;
		b->used = 0;
		b->last_table = b->last_bitmap = NONE;
		put_here(img, b, p);	/* a piece fits an empty sector (J3) */
	}
	b->needs_sync |= p->needs_sync || p->block_count > 0;
	return true;
}
