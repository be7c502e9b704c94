/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a header alone can do wrong. After a header has passed, no sum or product that
 * FORMAT 2 allows overflows, nothing divides by zero, and the bits and entries that count
 * lie inside their regions.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/header.h"
#include "util/buf.h"
#include "util/num.h"

struct judge {
	const struct fvd_header *h;
	fvd_problem_fn found;
	void *opaque;
	int count;
};

static void problem(struct judge *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void problem(struct judge *j, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	j->count++;
	if (j->found)
		j->found(j->opaque, text);
}

/* At most 2^63-1; revision 1 has signed fields, where more is a negative number. */
static bool judge_bound(struct judge *j, const char *name, uint64_t value)
{
	if (value <= FVD_MAX_OFF)
		return true;
	if (j->h->revision == 1)
		problem(j, "header: %s is negative (%" PRId64 ")", name, (int64_t)value);
	else
		problem(j, "header: %s %" PRIu64 " is above 2^63-1", name, value);
	return false;
}

static bool judge_multiple(struct judge *j, const char *name, uint64_t value, uint64_t unit)
{
	if (!judge_bound(j, name, value))
		return false;
	if (value % unit == 0)
		return true;
	problem(j, "header: %s %" PRIu64 " is not a multiple of %" PRIu64, name, value, unit);
	return false;
}

static bool judge_unit(struct judge *j, const char *name, uint64_t value)
{
	if (value == 0) {
		problem(j, "header: %s is 0", name);
		return false;
	}
	return judge_multiple(j, name, value, FVD_SECTOR);
}

static void judge_base(struct judge *j)
{
	const struct fvd_header *h = j->h;

	if (!fvd_header_has_base(h))
		return;
	judge_multiple(j, "base_img_size", h->base_size, FVD_SECTOR);
	if (h->base_size > h->virtual_size)
		problem(j, "header: base_img_size %" PRIu64 " is above the virtual size %" PRIu64,
			h->base_size, h->virtual_size);
	if (!h->fully_prefetched && h->bitmap_size == 0)
		problem(j, "header: a base image that is needed, and no bitmap (bitmap_size 0)");
}

static void judge_bitmap(struct judge *j)
{
	const struct fvd_header *h = j->h;
	uint64_t blocks;

	if (!fvd_header_has_bitmap(h))
		return;
	/* Revision 1 never promised a rounded size. */
	judge_multiple(j, "bitmap_size", h->bitmap_size, h->revision == 1 ? 1 : FVD_SECTOR);
	if (!judge_unit(j, "block_size", h->block_size))
		return;
	blocks = fvd_header_block_count(h);
	if (h->bitmap_size < fvd_div_up(blocks, 8))
		problem(j, "header: bitmap_size %" PRIu64 " is too small for %" PRIu64 " blocks",
			h->bitmap_size, blocks);
}

static void judge_table(struct judge *j)
{
	const struct fvd_header *h = j->h;
	uint64_t chunks, end;

	if (!fvd_header_has_table(h))
		return;
	judge_multiple(j, "table_size", h->table_size, FVD_SECTOR);
	judge_bound(j, "storage_grow_unit", h->grow_unit);
	if (!judge_unit(j, "chunk_size", h->chunk_size))
		return;
	chunks = fvd_header_chunk_count(h);
	if (chunks > FVD_MAX_CHUNKS)
		problem(j, "header: %" PRIu64 " chunks of %" PRIu64 " bytes, at most %" PRIu64
			" can be", chunks, h->chunk_size, FVD_MAX_CHUNKS);
	else if (h->table_size < chunks * 4)
		problem(j, "header: table_size %" PRIu64 " is too small for %" PRIu64 " chunks",
			h->table_size, chunks);
	if (h->data_offset <= FVD_MAX_OFF &&
	    (!fvd_add(h->data_offset, h->chunk_size, &end) || end > FVD_MAX_OFF))
		problem(j, "header: the first chunk, %" PRIu64 " bytes at %" PRIu64
			", passes 2^63-1", h->chunk_size, h->data_offset);
}

static void judge_data(struct judge *j)
{
	const struct fvd_header *h = j->h;
	char shown[72];

	/* Without a table the data is a region like the others. */
	if (fvd_header_has_table(h))
		judge_multiple(j, "data_offset", h->data_offset, FVD_SECTOR);
	if (h->data_file[0] && h->data_offset != 0)
		problem(j, "header: data_offset %" PRIu64 " with a data_file, where it is 0",
			h->data_offset);
	if (h->data_file_fmt[0] && strcmp(h->data_file_fmt, "raw") != 0)
		problem(j, "header: data_file_fmt '%s' is not 'raw'",
			fvd_text_escape(h->data_file_fmt, shown, sizeof(shown)));
}

struct span {
	const char *name;
	uint64_t off, len;
};

static bool judge_span(struct judge *j, const struct span *s)
{
	uint64_t end;

	if (!judge_multiple(j, s->name, s->off, FVD_SECTOR))
		return false;
	if (s->len > FVD_MAX_OFF || !fvd_add(s->off, s->len, &end) || end > FVD_MAX_OFF) {
		problem(j, "header: %s %" PRIu64 " and its size %" PRIu64 " pass 2^63-1", s->name,
			s->off, s->len);
		return false;
	}
	return true;
}

/* Each region inside 2^63-1, and no two in the same place. */
static void judge_regions(struct judge *j)
{
	const struct fvd_header *h = j->h;
	struct span spans[5] = { { "the header", 0, FVD_HEADER_REGION } };
	unsigned n = 1;

	if (fvd_header_has_bitmap(h))
		spans[n++] = (struct span){ "bitmap_offset", h->bitmap_offset, h->bitmap_size };
	if (fvd_header_has_table(h))
		spans[n++] = (struct span){ "table_offset", h->table_offset, h->table_size };
	if (fvd_header_has_journal(h))
		spans[n++] = (struct span){ "journal_offset", h->journal_offset, h->journal_size };
	for (unsigned i = 1; i < n; i++)
		if (!judge_span(j, &spans[i]))
			spans[i].len = 0;
	/* With a table the data region has no end: it is judged chunk by chunk. */
	if (!fvd_header_has_table(h)) {
		struct span data = { "data_offset", h->data_offset, h->virtual_size };

		if (judge_span(j, &data) && !h->data_file[0])
			spans[n++] = data;
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = i + 1; k < n; k++)
			if (spans[i].len && spans[k].len &&
			    spans[i].off < spans[k].off + spans[k].len &&
			    spans[k].off < spans[i].off + spans[i].len)
				problem(j, "header: %s %" PRIu64 " (%" PRIu64 " bytes) overlaps"
					" %s %" PRIu64 " (%" PRIu64 " bytes)", spans[k].name,
					spans[k].off, spans[k].len, spans[i].name, spans[i].off,
					spans[i].len);
}

int fvd_header_problems(const struct fvd_header *h, fvd_problem_fn found, void *opaque)
{
	struct judge j = { h, found, opaque, 0 };

	judge_unit(&j, "virtual_disk_size", h->virtual_size);
	judge_base(&j);
	judge_bitmap(&j);
	judge_data(&j);
	judge_table(&j);
	if (fvd_header_has_journal(h))
		judge_multiple(&j, "journal_size", h->journal_size,
			       h->revision == 1 ? FVD_SECTOR : FVD_PAGE);
	if (h->stable_epoch > FVD_MAX_EPOCH)
		problem(&j, "header: stable_journal_epoch %" PRIu64 " is above 2^63-1",
			h->stable_epoch);
	judge_regions(&j);
	return j.count;
}

static void keep_first(void *opaque, const char *text)
{
	char **first = opaque;

	if (*first) {
		snprintf(*first, 320, "%s", text);
		*first = NULL;
	}
}

int fvd_header_validate(const struct fvd_header *h, struct fvd_error *err)
{
	char text[320], *room = text;

	if (fvd_header_problems(h, keep_first, &room) == 0)
		return 0;
	return fvd_error_set(err, FVD_ERR_CORRUPT, "%s", text);
}
