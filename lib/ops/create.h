/* SPDX-License-Identifier: BSD-2-Clause */
/* Lay out and write a new revision-2 image. FORMAT 1, 2, 7. */
#ifndef FVD_OPS_CREATE_H
#define FVD_OPS_CREATE_H

#include "io/io_open.h"
#include "util/progress.h"

struct fvd_create_opts {
	uint64_t size;			/* bytes; 0: the base's length, rounded up to 512 */
	uint64_t reserve;		/* the layout has room to grow to this size; 0: none */
	const char *base, *base_format;	/* NULL: none; format NULL: see below */
	uint64_t chunk_size;		/* 0: fvd_layout_default_chunk() */
	bool no_table;
	uint64_t block_size;		/* 0: 64 KiB */
	uint64_t journal_size;		/* FVD_CREATE_DEFAULT: 16 MiB; 0: no journal */
	uint64_t grow_unit;		/* 0: 100 MiB */
	const char *data_file;		/* NULL: chunks live in the image; must not exist */
	bool detect_zeroes;		/* the base's holes and zero blocks become local */
	bool copy_on_read;
	int64_t prefetch_delay;		/* seconds, -1: none */
	bool no_base_check;		/* the base need not exist; then size is needed */
	bool no_sync;
	bool replace;			/* an existing file is replaced; else IO/EEXIST */
	struct fvd_opener *opener;	/* for the base; NULL: files */
	struct fvd_progress *progress;	/* for detect_zeroes */
};

#define FVD_CREATE_DEFAULT UINT64_MAX
#define FVD_CREATE_OPTS_INIT { .journal_size = FVD_CREATE_DEFAULT, .prefetch_delay = -1 }

/*
 * Create @name. Written under a temporary name beside it, synced, renamed (block devices: in
 * place). base_img is stored as given, and opened relative to the directory of @name.
 * base_format NULL means raw, never probed; but a base that has the magic of FVD is
 * refused then, with "-F fvd" or "-F raw" as what to type. Stores UUID, creator,
 * generation 1 and the base validator (FORMAT 7). @h: the header written (may be NULL).
 * Errors: INVALID naming option, value, bound; BASE; IO. Leaves nothing behind on an
 * error.
 */
struct fvd_header;
int fvd_create(const char *name, const struct fvd_create_opts *opts, struct fvd_header *h,
	       struct fvd_error *err);

/*
 * The same onto an open, empty io (memory in tests; convert's temporary file) that will
 * be known as @name. Neither syncs nor renames; opts->data_file is stored, not created.
 */
int fvd_create_on(struct fvd_io *io, const char *name, const struct fvd_create_opts *opts,
		  struct fvd_header *h, struct fvd_error *err);

#endif
