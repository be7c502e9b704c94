/* SPDX-License-Identifier: BSD-2-Clause */
/* The base below an image. FORMAT 2, 5, 7 (type 3), 8. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/engine.h"
#include "image/policy.h"
#include "util/buf.h"
#include "util/uuid.h"

struct fvd_base {
	struct fvd_image *image;	/* fvd */
	struct fvd_io *io;		/* raw */
	uint64_t length;
};

void fvd_base_close(struct fvd_base *base)
{
	if (!base)
		return;
	fvd_image_drop(base->image);
	fvd_io_close(base->io);
	free(base);
}

/* A name from an image is followed only as far as the caller's policy goes. */
static int check_policy(const char *name, const struct fvd_open_opts *opts, struct fvd_error *err)
{
	char shown[512];

	if (!(opts->flags & FVD_OPEN_INSIDE_DIR) || fvd_name_inside(name))
		return 0;
	return fvd_error_set(err, FVD_ERR_POLICY, "base \"%s\" lies outside the image's directory",
			     fvd_text_escape(name, shown, sizeof(shown)));
}

static enum fvd_io_lock base_lock(const struct fvd_open_opts *opts)
{
	return opts->flags & (FVD_OPEN_FORCE_SHARE | FVD_OPEN_NO_LOCK) ? FVD_LOCK_NONE
									: FVD_LOCK_SHARED;
}

static int open_raw(const char *path, const struct fvd_open_opts *opts,
		    const struct fvd_seen *seen, struct fvd_base *base, struct fvd_error *err)
{
	struct fvd_opener *opener = opts->opener ? opts->opener : fvd_opener_files();

	if (opener->open(opener, path, 0, base_lock(opts), &base->io, err) < 0)
		return -1;
	for (; seen; seen = seen->above)
		if (seen->id.known && base->io->id.known && seen->id.dev == base->io->id.dev &&
		    seen->id.ino == base->io->id.ino)
			return fvd_error_set(err, FVD_ERR_BASE, "%s: is its own base image", path);
	return fvd_io_length(base->io, &base->length, err);
}

static int open_fvd(const char *path, const struct fvd_open_opts *opts,
		    const struct fvd_seen *seen, int depth, struct fvd_base *base,
		    struct fvd_error *err)
{
	struct fvd_open_opts below = *opts;

	if (depth >= FVD_MAX_CHAIN)
		return fvd_error_set(err, FVD_ERR_BASE, "%s: more than %d images above it in the"
				     " chain", path, FVD_MAX_CHAIN);
	below.data_file = NULL;
	below.flags &= ~(unsigned)(FVD_OPEN_GIVEN_DATA | FVD_OPEN_WRITE | FVD_OPEN_BULK |
				   FVD_OPEN_ACCEPT_UNCLEAN);
	if (fvd_image_open_chain(path, &below, seen, depth, &base->image, err) < 0)
		return -1;
	base->length = base->image->m.h.virtual_size;
	return 0;
}

static int open_path(const char *path, const char *format, const struct fvd_open_opts *opts,
		     const struct fvd_seen *seen, int depth, struct fvd_base **out,
		     struct fvd_error *err)
{
	struct fvd_base *base = fvd_alloc_array(1, sizeof(*base), "a base image", err);
	char shown[64];
	int rc;

	if (!base)
		return -1;
	if (!format || format[0] == '\0' || strcmp(format, "raw") == 0)
		rc = open_raw(path, opts, seen, base, err);
	else if (strcmp(format, "fvd") == 0)
		rc = open_fvd(path, opts, seen, depth, base, err);
	else
		rc = fvd_error_set(err, FVD_ERR_BASE, "%s: base format \"%s\" is not one of raw,"
				   " fvd", path, fvd_text_escape(format, shown, sizeof(shown)));
	if (rc < 0) {
		fvd_base_close(base);
		return -1;
	}
	*out = base;
	return 0;
}

/* Does @line (of @len bytes) speak of the kind of base that @now describes, and differ? */
static bool differs(const char *line, size_t len, const char *now)
{
	const char *colon = strchr(now, ':');
	size_t kind = colon ? (size_t)(colon - now) + 1 : 0;

	if (kind == 0 || len < kind || memcmp(line, now, kind) != 0)
		return false;
	return strlen(now) != len || memcmp(line, now, len) != 0;
}

static int check_validator(const struct fvd_base *base, const char *path, const char *validator,
			   struct fvd_error *err)
{
	char now[128], was[128];
	size_t len;

	fvd_base_validator((struct fvd_base *)(uintptr_t)base, now, sizeof(now));
	for (const char *line = validator; *line; line += len + (line[len] == '\n')) {
		len = strcspn(line, "\n");
		if (!differs(line, len, now))
			continue;
		snprintf(was, sizeof(was), "%.*s", (int)(len < 100 ? len : 100), line);
		return fvd_error_set(err, FVD_ERR_BASE_CHANGED, "base image %s has changed since the"
				     " image was made (was %s, is %s); --ignore-base-change opens it"
				     " all the same", path, was, now);
	}
	return 0;
}

int fvd_base_open(const char *image_name, const struct fvd_header *h, const char *validator,
		  const struct fvd_open_opts *opts, const struct fvd_seen *seen, int depth,
		  struct fvd_base **base, struct fvd_error *err)
{
	char *path;
	int rc;

	if (check_policy(h->base_img, opts, err) < 0)
		return -1;
	path = fvd_name_resolve(image_name, h->base_img, err);
	if (!path)
		return -1;
	rc = open_path(path, h->base_img_fmt, opts, seen, depth, base, err);
	if (rc == 0 && !(opts->flags & FVD_OPEN_IGNORE_BASE_CHANGE)) {
		rc = check_validator(*base, path, validator, err);
		if (rc < 0) {
			fvd_base_close(*base);
			*base = NULL;
		}
	}
	free(path);
	if (rc < 0 && err && err->class == FVD_ERR_IO)
		err->class = FVD_ERR_BASE;
	return rc < 0 ? fvd_error_prefix(err, "base of %s", image_name) : 0;
}

int fvd_base_open_name(const char *name, const char *format, const struct fvd_open_opts *opts,
		       struct fvd_base **base, struct fvd_error *err)
{
	return open_path(name, format, opts, NULL, 1, base, err);
}

int fvd_base_read(struct fvd_base *base, void *buf, size_t len, uint64_t off,
		  struct fvd_error *err)
{
	uint64_t have = off < base->length ? fvd_min(len, base->length - off) : 0;

	if (have < len)
		memset((uint8_t *)buf + have, 0, len - have);
	if (have == 0)
		return 0;
	return base->image ? fvd_image_read(base->image, buf, have, off, err)
			   : fvd_io_pread(base->io, buf, have, off, err);
}

uint64_t fvd_base_length(const struct fvd_base *base)
{
	return base->length;
}

static int raw_extent(struct fvd_base *base, uint64_t off, uint64_t max, unsigned flags,
		      struct fvd_extent *ext, struct fvd_error *err)
{
	struct fvd_io_extent run = { .len = max, .hole = false };

	if ((flags & FVD_EXTENT_HOLES) && fvd_io_extent(base->io, off, max, &run, err) < 0)
		return -1;
	ext->len = run.len;
	if (run.hole)
		return 0;
	ext->kind = FVD_EXTENT_DATA;
	ext->io = base->io;
	ext->io_off = off;
	return 0;
}

int fvd_base_extent(struct fvd_base *base, uint64_t off, uint64_t max, unsigned flags,
		    struct fvd_extent *ext, struct fvd_error *err)
{
	*ext = (struct fvd_extent){ .off = off, .len = max, .kind = FVD_EXTENT_ZERO, .depth = 1 };
	if (off >= base->length)
		return 0;
	max = fvd_min(max, base->length - off);
	if (!base->image)
		return raw_extent(base, off, max, flags, ext, err);
	if (fvd_image_extent(base->image, off, max, flags | FVD_EXTENT_RECURSE, ext, err) < 0)
		return -1;
	ext->depth++;
	return 0;
}

struct fvd_image *fvd_base_image(struct fvd_base *base)
{
	return base->image;
}

struct fvd_io *fvd_base_io(struct fvd_base *base)
{
	return base->io;
}

void fvd_base_validator(struct fvd_base *base, char *out, size_t cap)
{
	char uuid[37];

	out[0] = '\0';
	if (base->image && base->image->m.ext.has_uuid && base->image->m.ext.has_generation)
		snprintf(out, cap, "fvd:%s:%" PRIu64, fvd_uuid_format(base->image->m.ext.uuid, uuid),
			 base->image->m.ext.generation);
	else if (!base->image && base->io->id.known)
		snprintf(out, cap, "mtime-ns:%" PRId64, base->io->id.mtime_ns);
}
