/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a change of bits and entries to pieces of one journal sector, each consistent alone.
 * FORMAT 6.2, J2 and J3.
 *
 * A piece that sets bits carries the present entry of every chunk its blocks touch, so it may
 * land without its neighbours. Pieces are cut at block boundaries. A block that touches more
 * chunks than a sector has room for goes in two steps with a sync between.
 */
#include "format/jrecord.h"
#include "image/engine.h"

/* Beside a BITMAP record: (512 - 16 - 20) / 4. */
#define ENTRIES_WITH_BITMAP 119u
#define MAX_SECTORS UINT64_C(0xFFFFFFFF)

static const uint32_t *entries_at(const struct fvd_update *u, uint64_t chunk)
{
	return u->entries + (chunk - u->chunk);
}

/* The changed entries of [chunk, end), in runs of at most one record. */
static int put_entries(struct fvd_image *img, const struct fvd_update *u, uint64_t chunk,
		       uint64_t end, struct fvd_error *err)
{
	const uint32_t *table = img->m.table;

	while (chunk < end) {
		struct fvd_piece p = { .chunk = chunk, .needs_sync = u->needs_sync };

		if (*entries_at(u, chunk) == table[chunk]) {
			chunk++;
			continue;
		}
		while (chunk < end && p.chunk_count < FVD_JREC_MAX_ENTRIES &&
		       *entries_at(u, chunk) != table[chunk]) {
			p.chunk_count++;
			chunk++;
		}
		p.entries = entries_at(u, p.chunk);
		if (fvd_journal_put(img, &p, err) < 0)
			return -1;
	}
	return 0;
}

/* The last chunk that block @block touches. */
static uint64_t last_chunk(const struct fvd_image *img, uint64_t block)
{
	const struct fvd_header *h = &img->m.h;
	uint64_t end = fvd_min((block + 1) * h->block_size, h->virtual_size);

	return (end - 1) / h->chunk_size;
}

/* One block that needs more entries than fit beside its bit (J3). */
static int put_large_block(struct fvd_image *img, const struct fvd_update *u, uint64_t block,
			   struct fvd_error *err)
{
	struct fvd_piece bit = { .block = block, .block_count = 1, .needs_sync = true };
	uint64_t first = block * img->m.h.block_size / img->m.h.chunk_size;

	if (put_entries(img, u, first, last_chunk(img, block) + 1, err) < 0)
		return -1;
	if (FVD_RULE(img, 3) && fvd_journal_flush(img, err) < 0)
		return -1;
	return fvd_journal_put(img, &bit, err);
}

/* How many blocks from @block on fit one sector with the entries they touch; 0: not even one. */
static uint64_t blocks_that_fit(const struct fvd_image *img, uint64_t block, uint64_t end)
{
	uint64_t size = img->m.h.block_size, chunk = img->m.h.chunk_size;
	uint64_t most = fvd_min(end - block, fvd_max(MAX_SECTORS / (size / FVD_SECTOR), 1));
	uint64_t first, room;

	if (!img->has_table)
		return most;
	first = block * size / chunk;
	/* the last whole block that ends inside the chunks a record has room for */
	room = (first + ENTRIES_WITH_BITMAP) * chunk / size;
	if (room >= block + most || last_chunk(img, block + most - 1) - first < ENTRIES_WITH_BITMAP)
		return most;
	return room > block ? room - block : 0;
}

static int put_blocks(struct fvd_image *img, const struct fvd_update *u, struct fvd_error *err)
{
	uint64_t block = u->block, end = u->block + u->block_count, n;

	while (block < end) {
		struct fvd_piece p = { .block = block, .needs_sync = true };

		n = blocks_that_fit(img, block, end);
		if (n == 0) {
			if (put_large_block(img, u, block, err) < 0)
				return -1;
			block++;
			continue;
		}
		p.block_count = n;
		if (img->has_table) {
			p.chunk = block * img->m.h.block_size / img->m.h.chunk_size;
			p.chunk_count = (uint32_t)(last_chunk(img, block + n - 1) - p.chunk + 1);
			p.entries = entries_at(u, p.chunk);
		}
		if (fvd_journal_put(img, &p, err) < 0)
			return -1;
		block += n;
	}
	return 0;
}

/*
 * Rule J3 off: a bit is journalled with the first entries of its block only, the rest
 * follows alone.
 */
static int put_split_anywhere(struct fvd_image *img, const struct fvd_update *u,
			      struct fvd_error *err)
{
	for (uint64_t b = u->block; b < u->block + u->block_count; b++) {
		struct fvd_piece p = { .block = b, .block_count = 1, .needs_sync = true };

		p.chunk = b * img->m.h.block_size / img->m.h.chunk_size;
		p.chunk_count = 1;
		p.entries = entries_at(u, p.chunk);
		if (fvd_journal_put(img, &p, err) < 0)
			return -1;
	}
	return put_entries(img, u, u->chunk, u->chunk + u->chunk_count, err);
}

/* Rule J2 off: entries first, then bits, wherever their records come to lie. */
static int put_apart(struct fvd_image *img, const struct fvd_update *u, struct fvd_error *err)
{
	struct fvd_piece p = { .block = u->block, .block_count = u->block_count,
			       .needs_sync = true };

	if (put_entries(img, u, u->chunk, u->chunk + u->chunk_count, err) < 0)
		return -1;
	return fvd_journal_put(img, &p, err);
}

int fvd_update_commit(struct fvd_image *img, const struct fvd_update *u, struct fvd_error *err)
{
	if (!FVD_RULE(img, 2) && img->has_table && u->block_count > 0)
		return put_apart(img, u, err);
	if (!FVD_RULE(img, 3) && img->has_table && u->block_count > 0)
		return put_split_anywhere(img, u, err);
	if (u->block_count > 0 && put_blocks(img, u, err) < 0)
		return -1;
	return img->has_table ? put_entries(img, u, u->chunk, u->chunk + u->chunk_count, err) : 0;
}
