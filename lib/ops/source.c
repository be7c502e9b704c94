/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <string.h>

#include "ops/source.h"
#include "util/num.h"

static int open_raw(struct fvd_source *s, const char *name, unsigned flags,
		    struct fvd_opener *opener, struct fvd_error *err)
{
	bool unlocked = flags & (FVD_OPEN_FORCE_SHARE | FVD_OPEN_NO_LOCK);

	if (opener->open(opener, name, 0, unlocked ? FVD_LOCK_NONE : FVD_LOCK_SHARED, &s->io,
			 err) < 0)
		return -1;
	if (fvd_io_length(s->io, &s->length, err) < 0)
		return -1;
	if (s->length > FVD_MAX_OFF - FVD_SECTOR)
		return fvd_error_set(err, FVD_ERR_INVALID, "%s: %" PRIu64
				     " bytes: a disk has at most 2^63-1", name, s->length);
	s->size = fvd_round_up(s->length, FVD_SECTOR);
	return 0;
}

int fvd_source_open(struct fvd_source *s, const char *name, bool raw, unsigned flags,
		    struct fvd_opener *opener, struct fvd_error *err)
{
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;

	memset(s, 0, sizeof(*s));
	if (raw) {
		if (open_raw(s, name, flags, opener ? opener : fvd_opener_files(), err) == 0)
			return 0;
		fvd_source_close(s);
		return -1;
	}
	opts.flags = flags;
	opts.opener = opener;
	if (fvd_image_open(name, &opts, &s->img, err) < 0) {
		s->img = NULL;
		return -1;
	}
	s->size = fvd_image_header(s->img)->virtual_size;
	return 0;
}

void fvd_source_from_base(struct fvd_source *s, struct fvd_base *base)
{
	memset(s, 0, sizeof(*s));
	s->img = fvd_base_image(base);
	s->io = s->img ? NULL : fvd_base_io(base);
	s->length = fvd_base_length(base);
	s->size = fvd_round_up(fvd_min(s->length, FVD_MAX_OFF - FVD_SECTOR), FVD_SECTOR);
	s->borrowed = true;
}

void fvd_source_close(struct fvd_source *s)
{
	if (!s->borrowed) {
		fvd_image_drop(s->img);
		fvd_io_close(s->io);
	}
	memset(s, 0, sizeof(*s));
}

int fvd_source_read(struct fvd_source *s, void *buf, size_t len, uint64_t off,
		    struct fvd_error *err)
{
	size_t n = off < s->size ? (size_t)fvd_min(len, s->size - off) : 0;

	memset((uint8_t *)buf + n, 0, len - n);
	if (n == 0)
		return 0;
	if (s->img)
		return fvd_image_read(s->img, buf, n, off, err);
	return fvd_io_pread(s->io, buf, n, off, err);
}

static int raw_extent(struct fvd_source *s, uint64_t off, uint64_t max, struct fvd_extent *ext,
		      struct fvd_error *err)
{
	struct fvd_io_extent run;

	if (fvd_io_extent(s->io, off, max, &run, err) < 0)
		return -1;
	ext->len = run.len;
	/* The last sector may be there in part: whole, it is data. */
	if (!run.hole && off + run.len >= s->length)
		ext->len = fvd_min(max, s->size - off);
	ext->kind = run.hole ? FVD_EXTENT_ZERO : FVD_EXTENT_DATA;
	ext->io = s->io;
	ext->io_off = off;
	return 0;
}

int fvd_source_extent(struct fvd_source *s, uint64_t off, uint64_t max, struct fvd_extent *ext,
		      struct fvd_error *err)
{
	memset(ext, 0, sizeof(*ext));
	ext->off = off;
	if (off >= s->size) {
		ext->len = max;
		ext->kind = FVD_EXTENT_ZERO;
		return 0;
	}
	max = fvd_min(max, s->size - off);
	if (s->img)
		return fvd_image_extent(s->img, off, max, FVD_EXTENT_RECURSE | FVD_EXTENT_HOLES,
					ext, err);
	return raw_extent(s, off, max, ext, err);
}
