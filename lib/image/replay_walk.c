/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/replay_walk.h"

#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/num.h"

#define WINDOW (256u * 1024)

struct walk {
	struct fvd_io *io;
	uint64_t offset;
	uint8_t *buf;
	fvd_journal_visit visit;
	void *opaque;
};

static bool starts_empty(const uint8_t *sector)
{
	return (sector[0] | sector[1] | sector[2] | sector[3]) == 0;
}

static int visit_window(const struct walk *w, uint64_t first, uint64_t count,
			struct fvd_error *err)
{
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *sector = w->buf + i * FVD_SECTOR;
		int ret = starts_empty(sector) ? 0 :
			  w->visit(w->opaque, first + i, sector, "", err);

		if (ret != 0)
			return ret;
	}
	return 0;
}

/* A bad spot must not hide its neighbours: one sector at a time. */
static int visit_singly(const struct walk *w, uint64_t first, uint64_t count,
			struct fvd_error *err)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = w->offset + (first + i) * FVD_SECTOR;
		struct fvd_error bad = { 0 };
		int ret = 0;

		if (fvd_io_pread(w->io, w->buf, FVD_SECTOR, off, &bad) < 0)
			ret = w->visit(w->opaque, first + i, NULL, bad.text, err);
		else if (!starts_empty(w->buf))
			ret = w->visit(w->opaque, first + i, w->buf, "", err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int visit_range(const struct walk *w, uint64_t first, uint64_t end, struct fvd_error *err)
{
	while (first < end) {
		uint64_t n = fvd_min(end - first, WINDOW / FVD_SECTOR);
		uint64_t off = w->offset + first * FVD_SECTOR;
		int ret;

		if (fvd_io_pread(w->io, w->buf, n * FVD_SECTOR, off, NULL) < 0)
			ret = visit_singly(w, first, n, err);
		else
			ret = visit_window(w, first, n, err);
		if (ret != 0)
			return ret;
		first += n;
	}
	return 0;
}

int fvd_journal_walk(struct fvd_io *io, const struct fvd_header *h, fvd_journal_visit visit,
		     void *opaque, struct fvd_error *err)
{
	struct walk w = { io, h->journal_offset, NULL, visit, opaque };
	uint64_t len = fvd_round_down(h->journal_size, FVD_SECTOR), off = 0, next = 0;
	int ret = 0;

	w.buf = fvd_alloc_io(WINDOW, err);
	if (w.buf == NULL)
		return -1;
	while (ret == 0 && off < len) {
		struct fvd_io_extent ext;
		uint64_t end;

		ret = fvd_io_extent(io, w.offset + off, len - off, &ext, err);
		if (ret < 0)
			break;
		/* Extents need not begin and end on our sectors; each is visited once. */
		end = fvd_div_up(off + ext.len, FVD_SECTOR);
		if (!ext.hole) {
			ret = visit_range(&w, fvd_max(next, off / FVD_SECTOR), end, err);
			next = end;
		}
		off += ext.len;
	}
	free(w.buf);
	return ret;
}
