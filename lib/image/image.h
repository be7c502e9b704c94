/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open FVD image: guest reads and writes, copy-on-write, allocation, the buffered
 * journal. The only mutable state of the library. FORMAT 5, 6.
 *
 * Threads: every function but open, close and drop may be called from several threads at once
 * on one image. Data is read and written in parallel; metadata changes are serialised.
 *
 * Durability: a write is in the file when the call returns, and survives a power cut once a
 * _flush called after it has returned 0. After a failed journal write, sync, state write
 * or recycling step the image refuses every later write that needs metadata, and every flush, with
 * the first error; reads go on; the next opening replays (J13).
 */
#ifndef FVD_IMAGE_IMAGE_H
#define FVD_IMAGE_IMAGE_H

#include "format/ext.h"
#include "format/header.h"
#include "io/io_open.h"

struct fvd_image;

enum fvd_open_flags {
	FVD_OPEN_WRITE = 1 << 0,	/* exclusive lock; replays a dirty image on disk */
	FVD_OPEN_FORCE_SHARE = 1 << 1,	/* read beside a writer: no lock, FORMAT 6.5 */
	FVD_OPEN_NO_BASE = 1 << 2,	/* never open the base; touching it is an error BASE */
	FVD_OPEN_IGNORE_BASE_CHANGE = 1 << 3,
	FVD_OPEN_INSIDE_DIR = 1 << 4,	/* base or data file outside its directory: POLICY */
	FVD_OPEN_ACCEPT_UNCLEAN = 1 << 5,	/* write to a dirty one without journal (6.6) */
	/*
	 * Filling an image that was just created and that nobody needs after a crash: no
	 * journal and no state changes; close writes bitmap and table. Any failure: throw
	 * the file away.
	 */
	FVD_OPEN_BULK = 1 << 6,
	FVD_OPEN_NO_LOCK = 1 << 7,	/* the caller holds the lock already */
	FVD_OPEN_GIVEN_DATA = 1 << 8,	/* a data file is opened only when .data_file names it */
};

#define FVD_COMMIT_ON_DEMAND UINT32_MAX	/* only full buffers and flushes: no thread, no clock */

struct fvd_open_opts {
	unsigned flags;
	struct fvd_opener *opener;	/* NULL: fvd_opener_files() */
	/*
	 * As the image has it: may be written wherever it is (image/policy.h). NULL: inside
	 * only.
	 */
	const char *data_file;
	uint32_t commit_interval_ms;	/* 0: write-through; default 1000 */
	size_t journal_buffer;		/* bytes, multiple of 512; 0: 64 KiB */
	uint32_t broken_rules;		/* builds with FVD_TEST_HOOKS: bit n switches rule Jn off */
};

#define FVD_OPEN_OPTS_INIT { .commit_interval_ms = 1000 }

/*
 * Open @name. The base chain is opened below it (read-only, shared locks, each replayed in memory).
 * Nothing is written by a read-only opening. A writable one replays a dirty journal first, and
 * only after everything else that can fail (base, data file, locks) has succeeded.
 * Errors: LOCKED, FORMAT, CORRUPT, DIRTY (no journal to replay), BASE, BASE_CHANGED, POLICY,
 * UNSUPPORTED (writing revision 1), IO... each prefixed by the name of the file it is about.
 */
int fvd_image_open(const char *name, const struct fvd_open_opts *opts, struct fvd_image **img,
		   struct fvd_error *err);

/*
 * Orderly close: buffer sent, sync, bitmap and table in place, sync, state clean, sync
 * (FORMAT 6.3); a read-only image only closes. Frees @img whatever happens; an error means
 * that the last writes may not be durable and that the next opening replays.
 */
int fvd_image_close(struct fvd_image *img, struct fvd_error *err);
/* Let go without writing anything more, as a crash would. NULL is fine. */
void fvd_image_drop(struct fvd_image *img);

/*
 * Copy the guest bytes [@off, @off + @len) into @buf.
 * Units: bytes, any alignment. Errors: INVALID past the virtual size; CORRUPT on a bad table
 * entry; else the backend's. @buf is undefined after an error.  FORMAT 5.
 */
int fvd_image_read(struct fvd_image *img, void *buf, size_t len, uint64_t off,
		   struct fvd_error *err);
/* Write guest bytes. On an error any part of the range may be old or new. FORMAT 6.2. */
int fvd_image_write(struct fvd_image *img, const void *buf, size_t len, uint64_t off,
		    struct fvd_error *err);
/*
 * The range reads as zero afterwards; whole chunks are unmapped and their storage becomes
 * re-usable, the rest is punched or written. Discard is the same promise here, named for
 * its intent.
 */
int fvd_image_write_zeroes(struct fvd_image *img, uint64_t len, uint64_t off,
			   struct fvd_error *err);
int fvd_image_discard(struct fvd_image *img, uint64_t len, uint64_t off, struct fvd_error *err);
/* Everything written before this call is durable when it returns 0. */
int fvd_image_flush(struct fvd_image *img, struct fvd_error *err);

enum fvd_extent_kind {
	FVD_EXTENT_BASE,	/* comes from the base (only without _RECURSE) */
	FVD_EXTENT_DATA,
	FVD_EXTENT_ZERO,	/* reads as zero, known without reading */
};

struct fvd_extent {
	uint64_t off, len;	/* guest bytes */
	enum fvd_extent_kind kind;
	int depth;		/* 0 this image, 1 its base, ... */
	/* DATA: where it is stored, valid while the image is open and nobody changes it. */
	struct fvd_io *io;
	uint64_t io_off;
};

enum fvd_extent_flags {
	FVD_EXTENT_RECURSE = 1,	/* look into the base, so BASE never comes back */
	FVD_EXTENT_HOLES = 2,	/* ask the file's map too: holes in storage are ZERO */
};

/*
 * The run that starts at @off, at most @max (> 0) bytes: of one kind and depth, and for DATA
 * contiguous in storage. Reads no data.
 */
int fvd_image_extent(struct fvd_image *img, uint64_t off, uint64_t max, unsigned flags,
		     struct fvd_extent *ext, struct fvd_error *err);

/*
 * BULK only: make [@off, @off + @len) local and allocated, and say where it is stored:
 * *phys in fvd_image_data(img), contiguous for *run bytes (<= len). The storage reads as
 * zero, but not without a table on a block device: there the caller writes zeros too. Else
 * it writes what is not zero. Whole range inside one call's *run only; call again for the
 * rest. The caller takes whole blocks below the base's size, or fills the rest of the block
 * itself.
 */
int fvd_image_bulk_place(struct fvd_image *img, uint64_t off, uint64_t len, uint64_t *phys,
			 uint64_t *run, struct fvd_error *err);
/*
 * BULK only, image with base: [@off, +@len) (whole blocks, or to the base's end) reads as
 * zero, not as the base.
 */
int fvd_image_bulk_zero(struct fvd_image *img, uint64_t off, uint64_t len, struct fvd_error *err);

const struct fvd_header *fvd_image_header(const struct fvd_image *img);
struct fvd_io *fvd_image_io(struct fvd_image *img);	/* the image file */
struct fvd_io *fvd_image_data(struct fvd_image *img);	/* where chunks live; often the same */
struct fvd_image *fvd_image_base(struct fvd_image *img);	/* NULL: none, or raw */
struct fvd_io *fvd_image_base_io(struct fvd_image *img);	/* raw; NULL: none, or fvd */

/* Counted since opening. For bench, tests and --stats. */
struct fvd_image_stats {
	uint64_t journal_writes, journal_bytes, table_updates, bitmap_updates;
	uint64_t data_writes, data_syncs, syncs, recycles, state_writes, cow_bytes;
};
void fvd_image_stats(struct fvd_image *img, struct fvd_image_stats *out);

#endif
