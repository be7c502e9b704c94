/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest reads and extents. FORMAT 5. */
#include <inttypes.h>
#include <string.h>

#include "image/engine.h"
#include "util/buf.h"

static int no_base(const struct fvd_image *img, uint64_t off, struct fvd_error *err)
{
	char shown[512];

	return fvd_error_set(err, FVD_ERR_BASE, "%s: the data at %" PRIu64 " is in the base image"
			     " \"%s\", which was not opened", img->name, off,
			     fvd_text_escape(img->m.h.base_img, shown, sizeof(shown)));
}

static int map_locked(struct fvd_image *img, uint64_t off, uint64_t max, struct fvd_extent *ext,
		      struct fvd_error *err)
{
	int rc;

	pthread_mutex_lock(&img->lock);
	rc = fvd_map_run(img, off, max, ext, err);
	pthread_mutex_unlock(&img->lock);
	return rc < 0 ? fvd_error_name(err, img->name) : 0;
}

static int read_run(struct fvd_image *img, uint8_t *buf, const struct fvd_extent *ext,
		    struct fvd_error *err)
{
	switch (ext->kind) {
	case FVD_EXTENT_ZERO:
		memset(buf, 0, ext->len);
		return 0;
	case FVD_EXTENT_BASE:
		if (!img->base)
			return no_base(img, ext->off, err);
		return fvd_base_read(img->base, buf, ext->len, ext->off, err);
	default:
		return fvd_io_pread(ext->io, buf, ext->len, ext->io_off, err);
	}
}

int fvd_image_read(struct fvd_image *img, void *buf, size_t len, uint64_t off,
		   struct fvd_error *err)
{
	struct fvd_request req;
	struct fvd_extent ext;
	uint8_t *to = buf;
	int rc = 0;

	if (fvd_map_check(img, len, off, "read", err) < 0)
		return -1;
	if (len == 0)
		return 0;
	pthread_mutex_lock(&img->lock);
	fvd_request_begin(img, &req, FVD_REQ_READ, off, off + len);
	pthread_mutex_unlock(&img->lock);
	while (len > 0 && rc == 0) {
		rc = map_locked(img, off, len, &ext, err);
		if (rc == 0)
			rc = read_run(img, to, &ext, err);
		if (rc == 0) {
			to += ext.len;
			off += ext.len;
			len -= ext.len;
		}
	}
	pthread_mutex_lock(&img->lock);
	fvd_request_end(img, &req);
	pthread_mutex_unlock(&img->lock);
	return rc;
}

static int ask_file_map(struct fvd_extent *ext, struct fvd_error *err)
{
	struct fvd_io_extent io_ext;

	if (fvd_io_extent(ext->io, ext->io_off, ext->len, &io_ext, err) < 0)
		return -1;
	ext->len = io_ext.len;
	if (io_ext.hole)
		ext->kind = FVD_EXTENT_ZERO;
	return 0;
}

int fvd_image_extent(struct fvd_image *img, uint64_t off, uint64_t max, unsigned flags,
		     struct fvd_extent *ext, struct fvd_error *err)
{
	if (max == 0 || off >= img->m.h.virtual_size)
		return fvd_map_check(img, max ? max : 1, off, "extent", err);
	max = fvd_min(max, img->m.h.virtual_size - off);
	if (map_locked(img, off, max, ext, err) < 0)
		return -1;
	if (ext->kind == FVD_EXTENT_BASE && (flags & FVD_EXTENT_RECURSE)) {
		if (!img->base)
			return no_base(img, off, err);
		max = ext->len;
		return fvd_base_extent(img->base, off, max, flags, ext, err);
	}
	if (ext->kind == FVD_EXTENT_DATA && (flags & FVD_EXTENT_HOLES))
		return ask_file_map(ext, err);
	return 0;
}
