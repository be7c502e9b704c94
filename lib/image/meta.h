/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metadata of one image in memory: header, extensions, bitmap, table, and which pages
 * of them differ from the disk. Knows no base, no data, no locking of its own.
 * FORMAT 2-4, 7, 8.
 */
#ifndef FVD_IMAGE_META_H
#define FVD_IMAGE_META_H

#include "format/ext.h"
#include "format/header.h"
#include "format/jrecord.h"
#include "io/io.h"
#include "util/bitset.h"

struct fvd_meta {
	struct fvd_header h;
	struct fvd_ext ext;
	uint8_t region[FVD_HEADER_REGION];	/* the header region as on disk */
	struct fvd_jbounds bounds;		/* geometry, counts: what records are judged by */
	uint64_t block_count, chunk_count;	/* 0 where the structure is absent */
	uint8_t *bitmap;	/* block_count bits, then zeros to a whole page; NULL without */
	uint32_t *table;	/* chunk_count entries, decoded, then FVD_UNALLOCATED to a whole
				 * page of 1024; NULL without */
	struct fvd_bitset dirty_bitmap, dirty_table;	/* 4096-byte pages to write in place */
};

enum fvd_meta_flags {
	FVD_META_HEADER_ONLY = 1,	/* no bitmap, no table */
	FVD_META_LENIENT = 2,		/* check: a header that does not validate still loads when
					 * bitmap and table can be read at all; caller has run
					 * fvd_header_problems itself */
};

/* The header region of @io, decoded (FORMAT on a wrong magic; CORRUPT on a file shorter than
 * a header). */
int fvd_meta_load_header(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err);

/*
 * Load from @io. @data: where chunks live (the image itself or its data_file), for the
 * limit of a block device; may be NULL (limit of a regular file is assumed).
 * Bounded: bitmap and table must lie inside the file (CORRUPT else) before anything of their
 * size is allocated; holes of the file cost no reads, and none for the bitmap in memory.
 * Entries are decoded, not judged: fvd_entry_damage before each use, or _judge_table.
 */
int fvd_meta_load(struct fvd_io *io, struct fvd_io *data, unsigned flags, struct fvd_meta *m,
		  struct fvd_error *err);
void fvd_meta_fini(struct fvd_meta *m);

/* Change memory and mark the pages. Bits [first, first + count); one entry. */
void fvd_meta_set_bits(struct fvd_meta *m, uint64_t first_block, uint64_t count);
void fvd_meta_clear_bits(struct fvd_meta *m, uint64_t first_block, uint64_t count);
void fvd_meta_set_entry(struct fvd_meta *m, uint64_t chunk, uint32_t entry);

/*
 * Judge all entries: the first damaged one, or the first two that name the same chunk, as
 * CORRUPT naming both. Memory: one bit per chunk number up to the highest in use.
 * *end: 1 + the highest chunk number in use, 0 when none (NULL is fine).
 */
int fvd_meta_judge_table(const struct fvd_meta *m, uint64_t *end, struct fvd_error *err);

/* The first entry at or after @from that is not FVD_UNALLOCATED; chunk_count when none. */
uint64_t fvd_meta_next_allocated(const struct fvd_meta *m, uint64_t from);
/* Entries below this are fine without fvd_entry_damage (0 where that cannot be said). */
uint64_t fvd_meta_safe_entries(const struct fvd_meta *m);

/*
 * Write the dirty pages of the table (bitmap) in place, in runs, and mark them clean.
 * Orders nothing: the caller syncs before and after. FORMAT J11, J12.
 */
int fvd_meta_write_table(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err);
int fvd_meta_write_bitmap(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err);

/*
 * Write m->h's state fields (stable_epoch, clean_shutdown, fully_prefetched) as one sector,
 * and the same into m->region. Not synced. FORMAT 2 (state sector).
 */
int fvd_meta_write_state(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err);
/* Raise the content generation by one (FORMAT 7, type 4), as one sector write; nothing without
 * one. */
int fvd_meta_write_generation(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err);

/* File offset just behind the last thing a regular file must hold: regions, and with a
 * table the end of chunk @end - 1 when data lives in the image itself. */
uint64_t fvd_meta_file_end(const struct fvd_meta *m, uint64_t end);

#endif
