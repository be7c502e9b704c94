/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The image header of both revisions <-> struct fvd_header. Pure: bytes in, struct
 * out. FORMAT 2 (revision 2), 9 (revision 1), 8 (nothing is trusted).
 */
#ifndef FVD_FORMAT_HEADER_H
#define FVD_FORMAT_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/disk.h"
#include "util/error.h"

/* All sizes and offsets in bytes. Names that the format gives in other units say so. */
struct fvd_header {
	int revision;			/* 1 or 2 */
	uint64_t virtual_size;
	/* rev 1: metadata_size rounded down to 512, 0 with a data_file */
	uint64_t data_offset;
	char data_file[1025], data_file_fmt[17];
	char base_img[1025], base_img_fmt[17];
	uint64_t base_size;		/* base_img_size */
	uint64_t bitmap_offset, bitmap_size, block_size;
	uint64_t table_offset, table_size, chunk_size;	/* rev 1: table_size computed */
	uint64_t grow_unit;
	char add_storage_cmd[2049];	/* shown, never run */
	uint64_t journal_offset, journal_size;
	uint64_t stable_epoch;		/* rev 1: 0 */
	uint32_t clean_shutdown;	/* 1 = clean; any other value is dirty */
	bool copy_on_read, fully_prefetched, need_zero_init;
	uint64_t max_outstanding_cor;
	int64_t prefetch_start_delay;	/* seconds */
	uint32_t prefetch_slots;
	uint64_t bytes_per_prefetch;
	uint64_t prefetch_min_read_kbps, prefetch_max_read_kbps;
	uint64_t prefetch_min_write_kbps, prefetch_max_write_kbps;
	uint64_t prefetch_throttle_ms, prefetch_read_measure_ms, prefetch_write_measure_ms;
	uint64_t metadata_size;		/* rev 1 only, as stored */
	uint8_t reserved[4096];		/* extensions, rev 2 */
};

/*
 * Is @buf (at least 8 bytes) the start of an FVD image?  0 no, 1 or 2 the revision.
 * Looks at the magic alone.
 */
int fvd_header_probe(const void *buf, size_t len);

/*
 * Decode @buf, FVD_HEADER_REGION bytes, into @h. Only what makes fields meaningless is
 * an error here: FORMAT for an unknown magic ("not an FVD image") or version
 * ("unsupported version N"), CORRUPT for a string without a NUL. All other judgement
 * is _validate's, so that check can look at a damaged header.
 */
int fvd_header_decode(const void *buf, size_t len, struct fvd_header *h, struct fvd_error *err);

/*
 * Every rule of FORMAT 2 (and 1, 9) that the header alone can break: sizes multiple of
 * 512, absent and present regions, alignment, overflow, table and bitmap large enough,
 * overlapping regions, 2^63-1, journal size, epoch, data_file_fmt, chunk count. Calls
 * @found for each problem (text as fvd_error's). Returns how many. Fields of absent
 * regions are ignored.
 */
typedef void (*fvd_problem_fn)(void *opaque, const char *text);
int fvd_header_problems(const struct fvd_header *h, fvd_problem_fn found, void *opaque);
/* The first of them as an error CORRUPT; 0 when there is none. */
int fvd_header_validate(const struct fvd_header *h, struct fvd_error *err);

/* Encode a revision-2 header region: @buf is FVD_HEADER_REGION bytes, all written. */
void fvd_header_encode(const struct fvd_header *h, void *buf);

/*
 * Patch the state fields of @h (stable_epoch, clean_shutdown, fully_prefetched; for
 * revision 1 clean_shutdown and all_data_in_fvd_img) into @region, a copy of the whole header
 * region as on disk; every other byte stays. *off, *len: the one sector to write.
 */
void fvd_header_patch_state(const struct fvd_header *h, void *region, uint64_t *off, size_t *len);

/* FORMAT 1: what this image has. A bitmap without a base is ignored. */
static inline bool fvd_header_has_base(const struct fvd_header *h)
{
	return h->base_img[0] != '\0' && h->base_size > 0;	/* prefetched or not */
}

static inline bool fvd_header_needs_base(const struct fvd_header *h)
{
	return fvd_header_has_base(h) && !h->fully_prefetched;
}

static inline bool fvd_header_has_bitmap(const struct fvd_header *h)
{
	return fvd_header_has_base(h) && h->bitmap_size > 0;
}

static inline bool fvd_header_has_table(const struct fvd_header *h)
{
	return h->table_size > 0;
}

static inline bool fvd_header_has_journal(const struct fvd_header *h)
{
	return h->journal_size > 0;
}

/* Blocks of the base (bits that count); chunks of the disk (entries that count). */
uint64_t fvd_header_block_count(const struct fvd_header *h);
uint64_t fvd_header_chunk_count(const struct fvd_header *h);

#endif
