/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "ops/detect.h"
#include "util/buf.h"
#include "util/num.h"
#include "util/zero.h"

#define READ_SIZE (1024u * 1024)
#define MAP_SIZE (64u * 1024)
#define MAP_BITS (MAP_SIZE * UINT64_C(8))

struct scan {
	struct fvd_base *base;
	const struct fvd_header *h;
	struct fvd_io *io;
	struct fvd_progress *progress;
	uint8_t *buf;
	/* The part of the bitmap being filled: a 64 TiB base has 128 MiB of it. */
	uint8_t *map;
	uint64_t map_no;
	bool map_dirty, found;
};

static int flush_map(struct scan *s, struct fvd_error *err)
{
	uint64_t off = s->map_no * MAP_SIZE;
	size_t len = (size_t)fvd_min(MAP_SIZE, s->h->bitmap_size - off);

	if (!s->map_dirty)
		return 0;
	if (fvd_io_pwrite(s->io, s->map, len, s->h->bitmap_offset + off, err) < 0)
		return -1;
	memset(s->map, 0, MAP_SIZE);
	s->map_dirty = false;
	return 0;
}

/* Ranges come in ascending order. */
static int mark(struct scan *s, uint64_t off, uint64_t len, struct fvd_error *err)
{
	uint64_t first = off / s->h->block_size;
	uint64_t end = fvd_div_up(off + len, s->h->block_size);

	s->found = true;
	while (first < end) {
		uint64_t no = first / MAP_BITS;
		uint64_t n = fvd_min(end, (no + 1) * MAP_BITS) - first;

		if (no != s->map_no && flush_map(s, err) < 0)
			return -1;
		s->map_no = no;
		fvd_bitmap_set(s->map, first - no * MAP_BITS, n);
		s->map_dirty = true;
		first += n;
	}
	if (!fvd_header_has_table(s->h) && !s->h->data_file[0] && s->io->block_device)
		return fvd_io_zero(s->io, s->h->data_offset + off, len, err);
	return 0;
}

/* A block that is larger than the buffer: *len is what was looked at. */
static int scan_large_block(struct scan *s, uint64_t off, uint64_t len, struct fvd_error *err)
{
	uint64_t done = 0;
	bool zero = true;

	while (zero && done < len) {
		size_t n = (size_t)fvd_min(READ_SIZE, len - done);

		if (fvd_base_read(s->base, s->buf, n, off + done, err) < 0 ||
		    fvd_progress_add(s->progress, n, err) < 0)
			return -1;
		zero = fvd_is_zero(s->buf, n);
		done += n;
	}
	if (zero)
		return mark(s, off, len, err);
	return fvd_progress_add(s->progress, len - done, err);
}

/* Whole blocks of the base, or up to its end, that fit in the buffer. */
static int scan_blocks(struct scan *s, uint64_t off, size_t len, struct fvd_error *err)
{
	size_t unit = (size_t)s->h->block_size, run;
	bool zero;

	if (fvd_base_read(s->base, s->buf, len, off, err) < 0)
		return -1;
	for (size_t pos = 0; pos < len; pos += run) {
		run = fvd_zero_run(s->buf + pos, len - pos, unit, &zero);
		if (zero && mark(s, off + pos, run, err) < 0)
			return -1;
	}
	return fvd_progress_add(s->progress, len, err);
}

/* The blocks from @off; *len: how many bytes were dealt with. */
static int scan_step(struct scan *s, uint64_t off, uint64_t *len, struct fvd_error *err)
{
	uint64_t block = s->h->block_size, left = s->h->base_size - off, whole;
	struct fvd_extent ext;

	if (fvd_base_extent(s->base, off, left, FVD_EXTENT_RECURSE | FVD_EXTENT_HOLES, &ext,
			    err) < 0)
		return -1;
	whole = ext.len == left ? left : fvd_round_down(ext.len, block);
	if (ext.kind == FVD_EXTENT_ZERO && whole > 0) {
		*len = whole;
		if (mark(s, off, whole, err) < 0)
			return -1;
		return fvd_progress_add(s->progress, whole, err);
	}
	if (block > READ_SIZE) {
		*len = fvd_min(block, left);
		return scan_large_block(s, off, *len, err);
	}
	/* A run of data; a block that is data only in part is looked at alone. */
	*len = fvd_min(fvd_max(whole, block), fvd_round_down(READ_SIZE, block));
	*len = fvd_min(*len, left);
	return scan_blocks(s, off, (size_t)*len, err);
}

int fvd_detect_zeroes(struct fvd_base *base, const struct fvd_header *h, struct fvd_io *io,
		      struct fvd_progress *progress, bool *found, struct fvd_error *err)
{
	struct scan s = { .base = base, .h = h, .io = io, .progress = progress };
	uint64_t len;
	int ret = -1;

	s.buf = fvd_alloc_io(READ_SIZE, err);
	s.map = fvd_alloc_io(MAP_SIZE, err);
	if (!s.buf || !s.map)
		goto out;
	memset(s.map, 0, MAP_SIZE);
	fvd_progress_start(progress, "scan", h->base_size);
	for (uint64_t off = 0; off < h->base_size; off += len) {
		if (scan_step(&s, off, &len, err) < 0)
			goto out;
	}
	ret = flush_map(&s, err);
	fvd_progress_finish(progress);
out:
	*found = s.found;
	free(s.buf);
	free(s.map);
	return ret;
}
