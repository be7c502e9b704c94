/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/meta.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "format/table.h"
#include "util/buf.h"
#include "util/num.h"

#define HEADER_LEN_REV1 4336u
#define HEADER_LEN_REV2 7412u
#define EXT_OFFSET 3316u
#define PAGE_ENTRIES (FVD_PAGE / 4)
#define WRITE_PAGES 64u		/* pages encoded and written at once */

int fvd_meta_load_header(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	uint64_t len, want;
	int revision;

	if (fvd_io_length(io, &len, err) < 0)
		return -1;
	if (fvd_io_pread(io, m->region, sizeof(m->region), 0, err) < 0)
		return -1;
	revision = fvd_header_probe(m->region, sizeof(m->region));
	want = revision == 1 ? HEADER_LEN_REV1 : HEADER_LEN_REV2;
	if (revision != 0 && len < want)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "file of %" PRIu64
				     " bytes is shorter than a header (%" PRIu64 ")", len, want);
	if (fvd_header_decode(m->region, sizeof(m->region), &m->h, err) < 0)
		return -1;
	memset(&m->ext, 0, sizeof(m->ext));
	if (m->h.revision == 2)
		fvd_ext_decode(m->h.reserved, &m->ext);
	return 0;
}

/* The @need bytes that count of a region, judged before memory is asked for. */
static int region_readable(struct fvd_io *io, const char *what, uint64_t off, uint64_t size,
			   uint64_t need, struct fvd_error *err)
{
	uint64_t len;

	if (fvd_io_length(io, &len, err) < 0)
		return -1;
	if (need > size)
		return fvd_error_set(err, FVD_ERR_CORRUPT,
				     "%s of %" PRIu64 " bytes is smaller than the %" PRIu64
				     " it must hold", what, size, need);
	if (!fvd_in_range(off, need, len))
		return fvd_error_set(err, FVD_ERR_CORRUPT,
				     "%s at %" PRIu64 ", %" PRIu64 " bytes, passes the end of the "
				     "file (%" PRIu64 ")", what, off, need, len);
	return 0;
}

/* Read [off, off + len) into zeroed memory, data extents only: holes cost neither time
 * nor pages. */
static int read_sparse(struct fvd_io *io, uint8_t *buf, uint64_t len, uint64_t off,
		       struct fvd_error *err)
{
	uint64_t done = 0;

	while (done < len) {
		struct fvd_io_extent ext;

		if (fvd_io_extent(io, off + done, len - done, &ext, err) < 0)
			return -1;
		if (!ext.hole && fvd_io_pread(io, buf + done, ext.len, off + done, err) < 0)
			return -1;
		done += ext.len;
	}
	return 0;
}

static int load_bitmap(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	uint64_t need = fvd_div_up(m->block_count, 8);
	uint64_t cap = fvd_round_up(fvd_max(need, 1), FVD_PAGE);

	if (region_readable(io, "bitmap", m->h.bitmap_offset, m->h.bitmap_size, need, err) < 0)
		return -1;
	m->bitmap = fvd_alloc_array(cap, 1, "bitmap", err);
	if (m->bitmap == NULL || fvd_bitset_init(&m->dirty_bitmap, cap / FVD_PAGE, err) < 0)
		return -1;
	if (read_sparse(io, m->bitmap, need, m->h.bitmap_offset, err) < 0)
		return -1;
	/* Slack is ignored when read and zero when written. */
	if (m->block_count % 8 != 0)
		m->bitmap[need - 1] &= (uint8_t)((1u << (m->block_count % 8)) - 1);
	return 0;
}

static int load_table(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	uint64_t cap = fvd_round_up(fvd_max(m->chunk_count, 1), PAGE_ENTRIES);
	uint64_t need = m->chunk_count * 4, off = 0;

	if (region_readable(io, "table", m->h.table_offset, m->h.table_size, need, err) < 0)
		return -1;
	m->table = fvd_alloc_array(cap, 4, "table", err);
	if (m->table == NULL || fvd_bitset_init(&m->dirty_table, cap / PAGE_ENTRIES, err) < 0)
		return -1;
	/* Decoded piece by piece, while it is in the cache; a hole is entries of 0 already. */
	while (off < need) {
		struct fvd_io_extent ext;
		uint64_t len = fvd_min(need - off, FVD_MIB);

		if (fvd_io_extent(io, m->h.table_offset + off, len, &ext, err) < 0)
			return -1;
		len = ext.len == len ? len : fvd_min(len, fvd_round_up(ext.len, 4));
		if (!ext.hole || ext.len % 4 != 0) {
			if (fvd_io_pread(io, (uint8_t *)m->table + off, len,
					 m->h.table_offset + off, err) < 0)
				return -1;
			fvd_table_decode(m->table + off / 4, m->table + off / 4, len / 4);
		}
		off += len;
	}
	for (uint64_t i = m->chunk_count; i < cap; i++)
		m->table[i] = FVD_UNALLOCATED;
	return 0;
}

static int fill_bounds(struct fvd_io *data, struct fvd_meta *m, struct fvd_error *err)
{
	bool has_bitmap = fvd_header_has_bitmap(&m->h), has_table = fvd_header_has_table(&m->h);
	uint64_t limit = UINT64_MAX;

	if (has_bitmap && m->h.block_size == 0)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "block size is 0");
	if (has_table && m->h.chunk_size == 0)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "chunk size is 0");
	m->block_count = has_bitmap ? fvd_header_block_count(&m->h) : 0;
	m->chunk_count = has_table ? fvd_header_chunk_count(&m->h) : 0;
	if (m->chunk_count > FVD_MAX_CHUNKS)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%" PRIu64 " chunks are more than the "
				     "format has numbers for (%" PRIu64 ")", m->chunk_count,
				     FVD_MAX_CHUNKS);
	if (data != NULL && data->block_device && fvd_io_length(data, &limit, err) < 0)
		return -1;
	m->bounds.revision = m->h.revision;
	m->bounds.virtual_size = m->h.virtual_size;
	m->bounds.has_bitmap = has_bitmap;
	m->bounds.has_table = has_table;
	m->bounds.chunk_count = m->chunk_count;
	fvd_chunk_geometry_init(&m->bounds.geometry, &m->h, limit);
	return 0;
}

int fvd_meta_load(struct fvd_io *io, struct fvd_io *data, unsigned flags, struct fvd_meta *m,
		  struct fvd_error *err)
{
	memset(m, 0, sizeof(*m));
	if (fvd_meta_load_header(io, m, err) < 0)
		return -1;
	if (!(flags & FVD_META_LENIENT) && fvd_header_validate(&m->h, err) < 0)
		return -1;
	if (fill_bounds(data, m, err) < 0)
		return -1;
	if (flags & FVD_META_HEADER_ONLY)
		return 0;
	if ((m->bounds.has_bitmap && load_bitmap(io, m, err) < 0) ||
	    (m->bounds.has_table && load_table(io, m, err) < 0)) {
		fvd_meta_fini(m);
		return -1;
	}
	return 0;
}

void fvd_meta_fini(struct fvd_meta *m)
{
	free(m->bitmap);
	free(m->table);
	fvd_bitset_fini(&m->dirty_bitmap);
	fvd_bitset_fini(&m->dirty_table);
	m->bitmap = NULL;
	m->table = NULL;
	memset(&m->dirty_bitmap, 0, sizeof(m->dirty_bitmap));
	memset(&m->dirty_table, 0, sizeof(m->dirty_table));
}

static void mark_bits(struct fvd_meta *m, uint64_t first, uint64_t count)
{
	uint64_t page = first / 8 / FVD_PAGE, last = (first + count - 1) / 8 / FVD_PAGE;

	fvd_bitset_set_range(&m->dirty_bitmap, page, last - page + 1);
}

void fvd_meta_set_bits(struct fvd_meta *m, uint64_t first_block, uint64_t count)
{
	if (count == 0)
		return;
	fvd_bitmap_set(m->bitmap, first_block, count);
	mark_bits(m, first_block, count);
}

void fvd_meta_clear_bits(struct fvd_meta *m, uint64_t first_block, uint64_t count)
{
	if (count == 0)
		return;
	fvd_bitmap_clear(m->bitmap, first_block, count);
	mark_bits(m, first_block, count);
}

void fvd_meta_set_entry(struct fvd_meta *m, uint64_t chunk, uint32_t entry)
{
	m->table[chunk] = entry;
	fvd_bitset_set(&m->dirty_table, chunk / PAGE_ENTRIES);
}

int fvd_meta_write_bitmap(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	const struct fvd_bitset *dirty = &m->dirty_bitmap;
	uint64_t page = 0, end;

	if (m->bitmap == NULL)
		return 0;
	while ((page = fvd_bitset_next_set(dirty, page)) < dirty->bits) {
		uint64_t off = page * FVD_PAGE, stop;

		end = fvd_bitset_next_clear(dirty, page);
		/* A region that is no whole number of pages (revision 1) has a neighbour. */
		stop = fvd_min(end * FVD_PAGE, m->h.bitmap_size);
		if (fvd_io_pwrite(io, m->bitmap + off, stop - off, m->h.bitmap_offset + off,
				  err) < 0)
			return -1;
		page = end;
	}
	fvd_bitset_clear_range(&m->dirty_bitmap, 0, dirty->bits);
	return 0;
}

static int write_table_pages(struct fvd_io *io, const struct fvd_meta *m, void *buf,
			     uint64_t page, uint64_t end, struct fvd_error *err)
{
	while (page < end) {
		uint64_t n = fvd_min(end - page, WRITE_PAGES), off = page * FVD_PAGE;
		uint64_t stop = fvd_min((page + n) * FVD_PAGE, m->h.table_size);

		fvd_table_encode(buf, m->table + page * PAGE_ENTRIES, n * PAGE_ENTRIES);
		if (fvd_io_pwrite(io, buf, stop - off, m->h.table_offset + off, err) < 0)
			return -1;
		page += n;
	}
	return 0;
}

int fvd_meta_write_table(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	const struct fvd_bitset *dirty = &m->dirty_table;
	uint64_t page = 0, end;
	void *buf;

	if (m->table == NULL || fvd_bitset_next_set(dirty, 0) >= dirty->bits)
		return 0;
	buf = fvd_alloc_io((size_t)WRITE_PAGES * FVD_PAGE, err);
	if (buf == NULL)
		return -1;
	while ((page = fvd_bitset_next_set(dirty, page)) < dirty->bits) {
		end = fvd_bitset_next_clear(dirty, page);
		if (write_table_pages(io, m, buf, page, end, err) < 0) {
			free(buf);
			return -1;
		}
		page = end;
	}
	free(buf);
	fvd_bitset_clear_range(&m->dirty_table, 0, dirty->bits);
	return 0;
}

int fvd_meta_write_state(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	uint64_t off;
	size_t len;

	fvd_header_patch_state(&m->h, m->region, &off, &len);
	return fvd_io_pwrite(io, m->region + off, len, off, err);
}

int fvd_meta_write_generation(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	uint64_t next = m->ext.generation + 1;

	if (m->ext.state != FVD_EXT_OK || !m->ext.has_generation)
		return 0;
	if (!fvd_ext_set_generation(m->region + EXT_OFFSET, next))
		return fvd_error_set(err, FVD_ERR_CORRUPT, "extension area: the generation cannot "
				     "be raised in one sector");
	memcpy(m->h.reserved, m->region + EXT_OFFSET, sizeof(m->h.reserved));
	m->ext.generation = next;
	return fvd_io_pwrite(io, m->region + FVD_STATE_SECTOR_REV2, FVD_SECTOR,
			  FVD_STATE_SECTOR_REV2, err);
}

uint64_t fvd_meta_file_end(const struct fvd_meta *m, uint64_t end)
{
	const struct fvd_header *h = &m->h;
	uint64_t last = FVD_HEADER_REGION;

	if (m->bounds.has_bitmap)
		last = fvd_max(last, h->bitmap_offset + h->bitmap_size);
	if (m->bounds.has_table)
		last = fvd_max(last, h->table_offset + h->table_size);
	if (fvd_header_has_journal(h))
		last = fvd_max(last, h->journal_offset + h->journal_size);
	if (m->bounds.has_table && h->data_file[0] == '\0' && end > 0)
		last = fvd_max(last, h->data_offset + end * h->chunk_size);
	return last;
}
