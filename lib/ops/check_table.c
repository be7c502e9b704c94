/* SPDX-License-Identifier: BSD-2-Clause */
/* Table and bitmap: entries, owners, slack. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "format/table.h"
#include "ops/check_private.h"
#include "util/buf.h"
#include "util/num.h"
#include "util/zero.h"

#define PIECE (1024u * 1024)

/* A table can hold 2^31 of these: only the first are put in words. */
static int tell_damage(struct check *c, uint64_t i, const char *why, struct fvd_error *err)
{
	if (c->damaged_entries++ >= CHECK_DETAILED) {
		check_count_more(c, FVD_DAMAGE, "table-entry-damaged", 1);
		return 0;
	}
	return check_find(c, FVD_DAMAGE, "table-entry-damaged", CHECK_FIX_ALL, err,
			  "table entry %" PRIu64 " (%" PRIu32 ") %s; mending makes it "
			  "unallocated, its %" PRIu64 " bytes are lost", i, c->m->table[i], why,
			  c->m->h.chunk_size);
}

static int look_damage(struct check *c, struct fvd_error *err)
{
	const struct fvd_meta *m = c->m;
	uint64_t safe = fvd_meta_safe_entries(m), i = 0;

	while ((i = fvd_meta_next_allocated(m, i)) < m->chunk_count) {
		uint32_t e = m->table[i];
		const char *why = e < safe ? NULL : fvd_entry_damage(&m->bounds.geometry, e);

		c->report->chunks_allocated++;
		if (why == NULL)
			c->end = fvd_max(c->end, (uint64_t)e + 1);
		else if (tell_damage(c, i, why, err) < 0)
			return -1;
		i++;
	}
	return 0;
}

struct duplicate {
	uint64_t second, first;
	uint32_t number;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = ((const struct duplicate *)a)->number;
	uint32_t y = ((const struct duplicate *)b)->number;

	return x < y ? -1 : x > y;
}

static int by_second(const void *a, const void *b)
{
	uint64_t x = ((const struct duplicate *)a)->second;
	uint64_t y = ((const struct duplicate *)b)->second;

	return x < y ? -1 : x > y;
}

/* The first entry that names each of the numbers; entries before @stop only. */
static void find_owners(const struct fvd_meta *m, struct duplicate *d, size_t n, uint64_t stop)
{
	uint64_t i = 0;

	qsort(d, n, sizeof(*d), by_number);
	while ((i = fvd_meta_next_allocated(m, i)) < stop) {
		struct duplicate key = { .number = m->table[i] };
		struct duplicate *hit = bsearch(&key, d, n, sizeof(*d), by_number);

		for (; hit != NULL && hit > d && hit[-1].number == key.number;)
			hit--;
		for (; hit != NULL && hit < d + n && hit->number == key.number; hit++)
			hit->first = fvd_min(hit->first, i);
		i++;
	}
	qsort(d, n, sizeof(*d), by_second);
}

static int tell_duplicates(struct check *c, struct duplicate *d, size_t n, struct fvd_error *err)
{
	if (n > 0)
		find_owners(c->m, d, n, d[n - 1].second);
	for (size_t i = 0; i < n; i++) {
		if (check_find(c, FVD_DAMAGE, "table-duplicate",
			       c->storage ? CHECK_FIX_ALL : CHECK_UNFIXABLE, err,
			       "table entries %" PRIu64 " and %" PRIu64 " both name chunk %" PRIu32
			       "; mending gives the second a copy of its own%s", d[i].first,
			       d[i].second, d[i].number,
			       c->storage ? "" : ", and needs the data file (--follow)") < 0)
			return -1;
	}
	check_count_more(c, FVD_DAMAGE, "table-duplicate", c->duplicates - n);
	return 0;
}

static int look_owners(struct check *c, struct fvd_error *err)
{
	struct duplicate d[CHECK_DETAILED];
	const struct fvd_meta *m = c->m;
	uint64_t safe = fvd_meta_safe_entries(m), i = 0;
	size_t n = 0;

	if (fvd_bitset_init(&c->used, fvd_max(c->end, 1), err) < 0)
		return -1;
	while ((i = fvd_meta_next_allocated(m, i)) < m->chunk_count) {
		uint32_t e = m->table[i];

		if (e >= safe && fvd_entry_damage(&m->bounds.geometry, e) != NULL) {
			i++;
			continue;
		}
		if (!fvd_bitset_test(&c->used, e)) {
			fvd_bitset_set(&c->used, e);
		} else {
			c->duplicates++;
			if (n < CHECK_DETAILED)
				d[n++] = (struct duplicate){ i, UINT64_MAX, e };
		}
		i++;
	}
	return tell_duplicates(c, d, n, err);
}

static bool is_marked(const uint8_t *raw)
{
	fvd_le32 le;
	uint32_t v;

	memcpy(&le, raw, 4);
	v = fvd_get_le32(le);
	return (v & FVD_ENTRY_DIRTY) != 0 && v != FVD_UNALLOCATED;
}

/* @len is a multiple of 4. Runs of unallocated entries go by 8 at a time. */
static void mark_piece(struct check *c, const uint8_t *buf, uint64_t len, uint64_t first,
		       void (*mark)(struct check *c, uint64_t chunk))
{
	for (uint64_t i = 0; i < len; i += 4) {
		uint64_t w[4];

		while (len - i > sizeof(w)) {
			memcpy(w, buf + i, sizeof(w));
			if ((w[0] & w[1] & w[2] & w[3]) != UINT64_MAX)
				break;
			i += sizeof(w);
		}
		if (is_marked(buf + i))
			mark(c, first + i / 4);
	}
}

/* Entries on disk that carry bit 31. */
int check_each_mark(struct check *c, void (*mark)(struct check *c, uint64_t chunk),
		    struct fvd_error *err)
{
	uint64_t need = c->m->chunk_count * 4, off = 0;
	uint8_t *buf = fvd_alloc_io(PIECE, err);
	int ret = buf == NULL ? -1 : 0;

	while (ret == 0 && off < need) {
		uint64_t len = fvd_min(PIECE, need - off), at = c->m->h.table_offset + off;
		struct fvd_io_extent ext;

		ret = fvd_io_extent(c->io, at, need - off, &ext, err);
		if (ret == 0 && ext.hole && ext.len >= 4) {
			off += fvd_round_down(ext.len, 4);
			continue;
		}
		if (ret == 0)
			ret = fvd_io_pread(c->io, buf, len, at, err);
		if (ret == 0)
			mark_piece(c, buf, len, off / 4, mark);
		off += len;
	}
	free(buf);
	return ret;
}

static void count_mark(struct check *c, uint64_t chunk)
{
	(void)chunk;
	c->dirty_marks++;
}

/* What lies between the last entry (or bit) that counts and the end of its page. */
static int read_slack(struct check *c, uint64_t region, uint64_t size, uint64_t need,
		      uint8_t *page, uint64_t *len, struct fvd_error *err)
{
	uint64_t stop = fvd_min(fvd_round_up(need, FVD_PAGE), size);

	*len = stop > need ? stop - need : 0;
	return fvd_io_pread(c->io, page, *len, region + need, err);
}

static int look_table_slack(struct check *c, struct fvd_error *err)
{
	uint8_t page[FVD_PAGE];
	uint64_t len, need = c->m->chunk_count * 4;

	if (read_slack(c, c->m->h.table_offset, c->m->h.table_size, need, page, &len, err) < 0)
		return -1;
	for (uint64_t i = 0; i < len; i++)
		c->table_slack |= page[i] != 0xFF;
	if (c->table_slack &&
	    check_find(c, FVD_NOTE, "table-slack", CHECK_FIX_ALL, err,
		       "table: entries behind the last one (%" PRIu64 ") are not 0xffffffff",
		       c->m->chunk_count - 1) < 0)
		return -1;
	if (check_each_mark(c, count_mark, err) < 0)
		return -1;
	if (c->dirty_marks == 0)
		return 0;
	return check_find(c, FVD_NOTE, "table-dirty-mark", CHECK_FIX_ALL, err,
			  "table: %" PRIu64 " entries carry the in-memory mark, bit 31",
			  c->dirty_marks);
}

int check_look_table(struct check *c, struct fvd_error *err)
{
	c->report->chunk_count = c->m->chunk_count;
	c->report->chunks_allocated = 0;
	if (c->m->table == NULL)
		return 0;
	if (look_damage(c, err) < 0 || look_owners(c, err) < 0)
		return -1;
	/* The original driver leaves both as they come. */
	return c->m->h.revision == 1 || c->unmendable ? 0 : look_table_slack(c, err);
}

static int look_bitmap_slack(struct check *c, struct fvd_error *err)
{
	uint8_t page[FVD_PAGE], last = 0;
	uint64_t blocks = c->m->block_count, len, need = fvd_div_up(blocks, 8);
	const struct fvd_header *h = &c->m->h;

	if (read_slack(c, h->bitmap_offset, h->bitmap_size, need, page, &len, err) < 0)
		return -1;
	if (blocks % 8 != 0 &&
	    fvd_io_pread(c->io, &last, 1, h->bitmap_offset + need - 1, err) < 0)
		return -1;
	c->bitmap_slack = !fvd_is_zero(page, len) || last >> (blocks % 8) != 0;
	if (!c->bitmap_slack)
		return 0;
	return check_find(c, FVD_NOTE, "bitmap-slack", CHECK_FIX_ALL, err,
			  "bitmap: bits are set behind the last block of the base (%" PRIu64 ")",
			  blocks - 1);
}

int check_look_bitmap(struct check *c, struct fvd_error *err)
{
	const struct fvd_meta *m = c->m;
	uint64_t local;

	c->report->block_count = m->block_count;
	if (m->bitmap == NULL)
		return 0;
	local = fvd_bitmap_count(m->bitmap, m->block_count);
	c->report->blocks_local = local;
	if (m->h.fully_prefetched && local < m->block_count) {
		c->prefetched_wrong = true;
		if (check_find(c, FVD_DAMAGE, "prefetched-mark", CHECK_FIX_ALL, err,
			       "header: base_img_fully_prefetched is set, but %" PRIu64 " of %"
			       PRIu64 " blocks are still in the base; mending clears the mark",
			       m->block_count - local, m->block_count) < 0)
			return -1;
	}
	return m->h.revision == 1 || c->unmendable ? 0 : look_bitmap_slack(c, err);
}
