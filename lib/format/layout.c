/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>

#include "format/layout.h"
#include "util/num.h"

/* The table of a default image is at most this. */
#define DEFAULT_TABLE_BYTES (512 * FVD_KIB)

static int bad_unit(const char *name, uint64_t value, uint64_t least, struct fvd_error *err)
{
	return fvd_error_set(err, FVD_ERR_INVALID,
			     "%s size %" PRIu64 " is not a power of two of at least %" PRIu64, name,
			     value, least);
}

static int check_table(const struct fvd_header *h, struct fvd_error *err)
{
	uint64_t chunks;

	if (!fvd_is_pow2(h->chunk_size) || h->chunk_size < FVD_PAGE || h->chunk_size > FVD_MAX_OFF)
		return bad_unit("chunk", h->chunk_size, FVD_PAGE, err);
	chunks = fvd_div_up(h->virtual_size, h->chunk_size);
	if (chunks > FVD_MAX_CHUNKS)
		return fvd_error_set(err, FVD_ERR_INVALID, "virtual size %" PRIu64 " needs %" PRIu64
				     " chunks of %" PRIu64 " bytes, at most %" PRIu64
				     " can be: use a larger chunk size", h->virtual_size, chunks,
				     h->chunk_size, FVD_MAX_CHUNKS);
	return 0;
}

static int check_base(const struct fvd_header *h, struct fvd_error *err)
{
	uint64_t most;

	if (h->base_size % FVD_SECTOR || h->base_size > h->virtual_size)
		return fvd_error_set(err, FVD_ERR_INVALID, "base size %" PRIu64
				     " is not a multiple of %u up to the virtual size %" PRIu64,
				     h->base_size, FVD_SECTOR, h->virtual_size);
	if (!fvd_is_pow2(h->block_size) || h->block_size < FVD_SECTOR ||
	    h->block_size > FVD_MAX_OFF)
		return bad_unit("block", h->block_size, FVD_SECTOR, err);
	if (!h->chunk_size)
		return 0;
	if (!fvd_mul(h->chunk_size, 64, &most))
		most = UINT64_MAX;
	if (h->block_size > most)
		return fvd_error_set(err, FVD_ERR_INVALID, "block size %" PRIu64
				     " is above 64 chunks (%" PRIu64 "): use a smaller block size"
				     " or a larger chunk size", h->block_size, most);
	return 0;
}

static int check(const struct fvd_header *h, struct fvd_error *err)
{
	if (h->virtual_size == 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "virtual size is 0");
	if (h->virtual_size > FVD_MAX_OFF)
		return fvd_error_set(err, FVD_ERR_INVALID, "virtual size %" PRIu64
				     " is above the limit of 2^63-1 bytes", h->virtual_size);
	if (h->virtual_size % FVD_SECTOR)
		return fvd_error_set(err, FVD_ERR_INVALID, "virtual size %" PRIu64
				     " is not a multiple of %u", h->virtual_size, FVD_SECTOR);
	if (h->journal_size % FVD_PAGE || h->journal_size > FVD_MAX_OFF)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "journal size %" PRIu64 " is not a multiple of %u",
				     h->journal_size, FVD_PAGE);
	if (h->chunk_size && check_table(h, err) < 0)
		return -1;
	return fvd_header_has_base(h) ? check_base(h, err) : 0;
}

/* The next region starts at *end; false when it would pass 2^63-1. */
static bool place(uint64_t size, uint64_t *off, uint64_t *end)
{
	*off = size ? *end : 0;
	return fvd_add(*end, size, end) && *end <= FVD_MAX_OFF;
}

/* Whether data of @end bytes and more metadata in front of it can be addressed. */
static bool place_data(struct fvd_header *h, uint64_t end)
{
	uint64_t unit = h->chunk_size ? h->chunk_size : FVD_PAGE;
	uint64_t span = h->virtual_size, pad;

	if (h->chunk_size && !fvd_mul(fvd_header_chunk_count(h), h->chunk_size, &span))
		return false;
	h->data_offset = 0;
	if (!h->data_file[0]) {
		pad = end % unit ? unit - end % unit : 0;
		if (!fvd_add(end, pad, &h->data_offset))
			return false;
	}
	return fvd_add(h->data_offset, span, &span) && span <= FVD_MAX_OFF;
}

int fvd_layout_plan(struct fvd_header *h, struct fvd_error *err)
{
	uint64_t end = FVD_HEADER_REGION, blocks;
	bool fits;

	if (check(h, err) < 0)
		return -1;
	h->bitmap_size = 0;
	h->table_size = 0;
	if (fvd_header_has_base(h)) {
		blocks = fvd_header_block_count(h);
		h->bitmap_size = fvd_round_up(fvd_div_up(blocks, 8), FVD_PAGE);
	}
	if (h->chunk_size)
		h->table_size = fvd_round_up(4 * fvd_div_up(h->virtual_size, h->chunk_size),
					     FVD_PAGE);
	if (!h->bitmap_size && !h->table_size)
		h->journal_size = 0;
	fits = place(h->bitmap_size, &h->bitmap_offset, &end) &&
	       place(h->journal_size, &h->journal_offset, &end) &&
	       place(h->table_size, &h->table_offset, &end) && place_data(h, end);
	if (!fits)
		return fvd_error_set(err, FVD_ERR_INVALID, "virtual size %" PRIu64
				     " with its metadata passes 2^63-1: use a smaller size",
				     h->virtual_size);
	return 0;
}

uint64_t fvd_layout_default_chunk(uint64_t virtual_size)
{
	uint64_t chunk = FVD_DEFAULT_CHUNK;

	while (fvd_div_up(virtual_size, chunk) > DEFAULT_TABLE_BYTES / 4)
		chunk *= 2;
	return chunk;
}
