/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk to read from, raw or FVD with its chain, as extents that say where data is stored. */
#ifndef FVD_OPS_SOURCE_H
#define FVD_OPS_SOURCE_H

#include "image/base.h"

struct fvd_source {
	struct fvd_image *img;	/* NULL: raw */
	struct fvd_io *io;	/* raw; else NULL */
	uint64_t size;		/* bytes, rounded up to a sector */
	uint64_t length;	/* raw: what is really there */
	bool borrowed;
};

/*
 * Open @name. @flags: enum fvd_open_flags; FORCE_SHARE and NO_LOCK take no lock on a raw
 * file either. @raw: its bytes as they are, else an FVD image.
 */
int fvd_source_open(struct fvd_source *s, const char *name, bool raw, unsigned flags,
		    struct fvd_opener *opener, struct fvd_error *err);
/* Look at @base as at a source; @base stays the caller's. */
void fvd_source_from_base(struct fvd_source *s, struct fvd_base *base);
void fvd_source_close(struct fvd_source *s);

/* Past the size: zeros. */
int fvd_source_read(struct fvd_source *s, void *buf, size_t len, uint64_t off,
		    struct fvd_error *err);
/* The run at @off: DATA with its place, or ZERO; holes of files are ZERO. */
int fvd_source_extent(struct fvd_source *s, uint64_t off, uint64_t max, struct fvd_extent *ext,
		      struct fvd_error *err);

#endif
