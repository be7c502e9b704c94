/* SPDX-License-Identifier: BSD-2-Clause */
/* Judgement of a whole table: one pass for damage, one with a bit per chunk number. */
#include <inttypes.h>
#include <stdlib.h>

#include "format/table.h"
#include "image/meta.h"
#include "util/num.h"

uint64_t fvd_meta_safe_entries(const struct fvd_meta *m)
{
	const struct fvd_chunk_geometry *g = &m->bounds.geometry;

	for (unsigned i = 0; i < g->region_count; i++) {
		uint64_t end;

		if (!fvd_add(g->region[i].off, g->region[i].len, &end) || end > g->data_offset)
			return 0;
	}
	if (g->limit < g->data_offset)
		return 0;
	return fvd_min((g->limit - g->data_offset) / g->chunk_size, FVD_ENTRY_DAMAGED);
}

uint64_t fvd_meta_next_allocated(const struct fvd_meta *m, uint64_t i)
{
	const uint32_t *table = m->table;
	uint64_t count = m->chunk_count;

	/* Tables are mostly long runs of either kind. */
	while (i < count && table[i] == FVD_UNALLOCATED) {
		while (count - i > 8 &&
		       (table[i] & table[i + 1] & table[i + 2] & table[i + 3] & table[i + 4] &
			table[i + 5] & table[i + 6] & table[i + 7]) == FVD_UNALLOCATED)
			i += 8;
		if (table[i] == FVD_UNALLOCATED)
			i++;
	}
	return i;
}

static int judge_entries(const struct fvd_meta *m, uint64_t *end, struct fvd_error *err)
{
	uint64_t safe = fvd_meta_safe_entries(m), i = 0, top = 0;

	while ((i = fvd_meta_next_allocated(m, i)) < m->chunk_count) {
		uint32_t e = m->table[i];
		const char *why = e < safe ? NULL : fvd_entry_damage(&m->bounds.geometry, e);

		if (why != NULL)
			return fvd_error_set(err, FVD_ERR_CORRUPT,
					     "table entry %" PRIu64 " (%" PRIu32 ") %s", i, e,
					     why);
		top = fvd_max(top, (uint64_t)e + 1);
		i++;
	}
	*end = top;
	return 0;
}

static int report_duplicate(const struct fvd_meta *m, uint64_t second, struct fvd_error *err)
{
	uint64_t first = 0;

	while (m->table[first] != m->table[second])
		first++;
	return fvd_error_set(err, FVD_ERR_CORRUPT, "table entries %" PRIu64 " and %" PRIu64
			     " both name chunk %" PRIu32, first, second, m->table[second]);
}

int fvd_meta_judge_table(const struct fvd_meta *m, uint64_t *end, struct fvd_error *err)
{
	struct fvd_bitset seen;
	uint64_t top = 0, i = 0;
	int ret = 0;

	if (m->table != NULL && judge_entries(m, &top, err) < 0)
		return -1;
	if (end != NULL)
		*end = top;
	if (top == 0)
		return 0;
	/* Numbers far apart leave most of it untouched, so it costs what is in use. */
	if (fvd_bitset_init(&seen, top, err) < 0)
		return -1;
	while ((i = fvd_meta_next_allocated(m, i)) < m->chunk_count) {
		if (fvd_bitset_test(&seen, m->table[i])) {
			ret = report_duplicate(m, i, err);
			break;
		}
		fvd_bitset_set(&seen, m->table[i]);
		i++;
	}
	fvd_bitset_fini(&seen);
	return ret;
}
