/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storage against the table: what is in use and nothing refers to, and what is referred to and
 * not there. Walks the file map from one unused chunk to the next, never the chunks themselves;
 * pieces are cut to whole pages, since a file system block may be shared with a neighbour.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ops/check_private.h"
#include "util/num.h"
#include "util/size.h"

/* The end of the region that covers @pos, or @pos; *next: where the next region begins. */
static uint64_t skip_region(const struct check *c, uint64_t pos, uint64_t *next)
{
	const struct fvd_chunk_geometry *g = &c->m->bounds.geometry;

	*next = UINT64_MAX;
	for (unsigned i = 0; c->storage == c->io && i < g->region_count; i++) {
		uint64_t end = g->region[i].off + g->region[i].len;

		if (pos >= g->region[i].off && pos < end)
			return end;
		if (g->region[i].off > pos)
			*next = fvd_min(*next, g->region[i].off);
	}
	return pos;
}

/* The unused piece at or after @pos, whole pages of it; false when there is none. */
static bool next_unused(const struct check *c, uint64_t *pos, uint64_t *end)
{
	uint64_t base = c->m->h.data_offset, size = c->m->h.chunk_size, chunk, next;

	while (*pos < c->use_end) {
		chunk = fvd_bitset_next_clear(&c->used, (*pos - base) / size);
		*pos = fvd_max(*pos, base + chunk * size);
		if (chunk >= c->end || skip_region(c, *pos, &next) != *pos) {
			*pos = chunk >= c->end ? c->use_end : skip_region(c, *pos, &next);
			continue;
		}
		next = fvd_min(next, base + fvd_bitset_next_set(&c->used, chunk) * size);
		next = fvd_min(next, c->use_end);
		*pos = fvd_round_up(*pos, FVD_PAGE);
		*end = fvd_round_down(next, FVD_PAGE);
		if (*pos < *end)
			return true;
		*pos = fvd_max(*pos, next);
	}
	return false;
}

int check_each_leak(struct check *c, check_leak_fn leak, struct fvd_error *err)
{
	uint64_t stop = fvd_min(c->use_end, c->length);
	uint64_t pos = c->m->h.data_offset, end;

	if (c->m->table == NULL || c->end == 0)
		return 0;
	while (next_unused(c, &pos, &end) && pos < stop) {
		struct fvd_io_extent ext;
		uint64_t len;

		/* A hole may reach over many used chunks: ask for all of it. */
		if (fvd_io_extent(c->storage, pos, stop - pos, &ext, err) < 0)
			return -1;
		if (ext.hole) {
			pos += ext.len;
			continue;
		}
		len = fvd_min(ext.len, end - pos);
		if (leak(c, pos, len, err) < 0)
			return -1;
		pos += len;
	}
	return 0;
}

static int count_leak(struct check *c, uint64_t off, uint64_t len, struct fvd_error *err)
{
	(void)off;
	(void)err;
	c->leaked_inside += len;
	return 0;
}

static int find_leak(struct check *c, const char *code, int fixable, uint64_t bytes,
		     const char *where, struct fvd_error *err)
{
	struct fvd_finding f = { .code = code, .bytes = bytes };
	char size[32];

	/* Beside a writer these may be chunks on their way into the journal. */
	f.severity = c->opts->force_share ? FVD_NOTE : FVD_LEAK;
	f.fixable_safe = fixable == CHECK_FIX_SAFE;
	f.fixable = fixable != CHECK_UNFIXABLE;
	snprintf(f.text, sizeof(f.text),
		 "%" PRIu64 " bytes (%s) of storage %s that nothing refers to", bytes,
		 fvd_size_format(bytes, size, sizeof(size)), where);
	return check_add(c, &f, err);
}

/* Data by the file map in the whole pages behind @from. */
static int tail_bytes(struct fvd_io *io, uint64_t from, uint64_t *bytes, struct fvd_error *err)
{
	uint64_t len, start = fvd_round_up(from, FVD_PAGE);

	*bytes = 0;
	if (fvd_io_length(io, &len, err) < 0)
		return -1;
	return len > start ? fvd_io_allocated(io, start, len - start, bytes, err) : 0;
}

static int look_leaks(struct check *c, struct fvd_error *err)
{
	if (c->storage->block_device)
		return 0;	/* all of it is always in use */
	if (check_each_leak(c, count_leak, err) < 0 ||
	    tail_bytes(c->storage, c->use_end, &c->leaked_tail, err) < 0)
		return -1;
	if (c->storage != c->io &&
	    tail_bytes(c->io, fvd_meta_file_end(c->m, 0), &c->own_tail, err) < 0)
		return -1;
	c->report->leaked_bytes = c->leaked_inside + c->leaked_tail + c->own_tail;
	if (c->leaked_inside > 0 && find_leak(c, "leak-inside", CHECK_FIX_ALL, c->leaked_inside,
					      "between chunks", err) < 0)
		return -1;
	if (c->leaked_tail > 0 && find_leak(c, "leak-tail", CHECK_FIX_SAFE, c->leaked_tail,
					    "behind the last chunk", err) < 0)
		return -1;
	if (c->own_tail > 0 && find_leak(c, "leak-tail", CHECK_FIX_SAFE, c->own_tail,
					 "behind the metadata", err) < 0)
		return -1;
	return 0;
}

/* Legal after a crash, which is why replay extends; a clean image had its chance. */
static int look_length(struct check *c, struct fvd_error *err)
{
	uint64_t want = c->storage == c->io ? fvd_meta_file_end(c->m, c->end) : c->use_end;
	struct fvd_finding f = { .severity = FVD_DAMAGE, .code = "file-short" };

	if (c->m->h.revision == 1 || c->storage->block_device || c->dirty ||
	    c->m->table == NULL || c->length >= want || c->opts->force_share)
		return 0;
	c->file_short = true;
	f.fixable_safe = f.fixable = true;
	f.bytes = want - c->length;
	snprintf(f.text, sizeof(f.text), "file of %" PRIu64 " bytes ends before its last chunk "
		 "does (%" PRIu64 "): what is missing reads as zeros", c->length, want);
	return check_add(c, &f, err);
}

int check_look_storage(struct check *c, struct fvd_error *err)
{
	const struct fvd_header *h = &c->m->h;

	if (c->storage == NULL)
		return check_find(c, FVD_NOTE, "data-file-not-checked", CHECK_UNFIXABLE, err,
				  "chunks are in the data file, which was not opened (--follow)");
	if (fvd_io_length(c->storage, &c->length, err) < 0)
		return -1;
	c->use_end = h->data_offset + (c->m->table ? c->end * h->chunk_size : h->virtual_size);
	if (c->storage == c->io)
		c->use_end = fvd_max(c->use_end, fvd_meta_file_end(c->m, c->end));
	c->report->file_length = c->length;
	c->report->data_end = c->use_end;
	if (look_leaks(c, err) < 0)
		return -1;
	return look_length(c, err);
}
