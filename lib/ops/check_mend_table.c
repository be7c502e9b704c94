/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mending the table, in memory: the caller syncs and writes it afterwards. A copy goes to a chunk
 * that no entry names, so a cut at any point leaves what was there before.
 */
#include <inttypes.h>

#include "format/table.h"
#include "ops/check_private.h"
#include "util/num.h"

static void drop_damaged(struct check *c)
{
	struct fvd_meta *m = c->m;
	uint64_t i = 0;

	while ((i = fvd_meta_next_allocated(m, i)) < m->chunk_count) {
		if (fvd_entry_damage(&m->bounds.geometry, m->table[i]) != NULL)
			fvd_meta_set_entry(m, i, FVD_UNALLOCATED);
		i++;
	}
}

/* A number that no entry names and whose place is legal, at or after *@cursor. */
static int free_number(const struct check *c, uint64_t *cursor, struct fvd_error *err)
{
	uint64_t n = *cursor;

	for (;;) {
		if (n < c->end)
			n = fvd_bitset_next_clear(&c->used, n);
		if (n >= FVD_ENTRY_DAMAGED)
			break;
		if (fvd_entry_damage(&c->m->bounds.geometry, (uint32_t)n) == NULL) {
			*cursor = n;
			return 0;
		}
		if (fvd_entry_offset(&c->m->bounds.geometry, (uint32_t)n) >
		    c->m->bounds.geometry.limit)
			break;
		n++;
	}
	return fvd_error_set(err, FVD_ERR_NOSPACE, "%s: no chunk is free to copy a shared one to",
			     c->storage->name);
}

static int copy_chunk(struct check *c, uint32_t from, uint32_t to, struct fvd_error *err)
{
	const struct fvd_chunk_geometry *g = &c->m->bounds.geometry;
	uint64_t src = fvd_entry_offset(g, from), dst = fvd_entry_offset(g, to), done = 0;

	if (fvd_io_zero(c->storage, dst, g->chunk_size, err) < 0)
		return -1;
	while (done < g->chunk_size) {
		struct fvd_io_extent ext;

		if (fvd_io_extent(c->storage, src + done, g->chunk_size - done, &ext, err) < 0)
			return -1;
		if (!ext.hole && fvd_io_copy(c->storage, src + done, c->storage, dst + done,
					     ext.len, err) < 0)
			return -1;
		done += ext.len;
	}
	return fvd_progress_add(c->opts->progress, g->chunk_size, err);
}

static int split_duplicates(struct check *c, struct fvd_error *err)
{
	struct fvd_meta *m = c->m;
	struct fvd_bitset seen;
	uint64_t cursor = 0, i = 0;
	int ret = 0;

	if (fvd_bitset_init(&seen, fvd_max(c->end, 1), err) < 0)
		return -1;
	while (ret == 0 && (i = fvd_meta_next_allocated(m, i)) < m->chunk_count) {
		uint32_t e = m->table[i];

		if (e < c->end && fvd_bitset_test(&seen, e)) {
			ret = free_number(c, &cursor, err);
			if (ret == 0)
				ret = copy_chunk(c, e, (uint32_t)cursor, err);
			if (ret == 0)
				fvd_meta_set_entry(m, i, (uint32_t)cursor++);
		} else if (e < c->end) {
			fvd_bitset_set(&seen, e);
		}
		i++;
	}
	fvd_bitset_fini(&seen);
	return ret;
}

static void rewrite(struct check *c, uint64_t chunk)
{
	fvd_meta_set_entry(c->m, chunk, c->m->table[chunk]);
}

int check_mend_table(struct check *c, struct fvd_error *err)
{
	struct fvd_meta *m = c->m;

	if (c->damaged_entries > 0)
		drop_damaged(c);
	if (c->duplicates > 0 && c->storage != NULL &&
	    (split_duplicates(c, err) < 0 || fvd_io_flush(c->storage, err) < 0))
		return -1;
	if (c->dirty_marks > 0 && check_each_mark(c, rewrite, err) < 0)
		return -1;
	/* Memory has no slack: writing the page again is enough. */
	if (c->table_slack)
		fvd_bitset_set(&m->dirty_table, m->dirty_table.bits - 1);
	if (c->bitmap_slack)
		fvd_bitset_set(&m->dirty_bitmap, m->dirty_bitmap.bits - 1);
	return 0;
}
