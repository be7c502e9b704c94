/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One journal sector: framing, judgement, and building. FORMAT 6, 6.4, 9.
 */
#ifndef FVD_FORMAT_JRECORD_H
#define FVD_FORMAT_JRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/disk.h"
#include "format/table.h"
#include "util/error.h"

#define FVD_JREC_BITMAP UINT32_C(0x3F2AB8ED)
#define FVD_JREC_TABLE UINT32_C(0xB4E6F7AC)
#define FVD_JREC_EMPTY UINT32_C(0)

#define FVD_JREC_BITMAP_SIZE 16u
#define FVD_JREC_TABLE_HEAD_REV2 20u
#define FVD_JREC_TABLE_HEAD_REV1 12u
#define FVD_JREC_MAX_ENTRIES 123u	/* (512 - 20) / 4, revision 2 */
#define FVD_JREC_MAX_PER_SECTOR 32u

enum fvd_jrec_kind { FVD_JREC_KIND_BITMAP, FVD_JREC_KIND_TABLE };

struct fvd_jrec {
	enum fvd_jrec_kind kind;
	uint16_t pos;			/* byte in the sector */
	/* TABLE */
	uint64_t epoch;			/* revision 2 */
	uint32_t first_chunk, entry_count;
	const uint8_t *entries;		/* raw, in the sector given to decode */
	/* BITMAP, in 512-byte sectors as stored */
	int64_t first_sector;
	uint32_t sector_count;
};

struct fvd_jsector {
	struct fvd_jrec rec[FVD_JREC_MAX_PER_SECTOR];
	unsigned count;
	bool has_table;
	uint64_t max_epoch;		/* of its TABLE records, 0 without */
	bool damaged;
	char damage[160];		/* why, when damaged: "record at byte 40: n = 0" */
};

/* Entry @i of a TABLE record, bit 31 off. */
uint32_t fvd_jrec_entry(const struct fvd_jrec *rec, uint32_t i);

/*
 * Split @sector (512 bytes, which must outlive @out) into records until EMPTY or the
 * end. Judges framing only: unknown type, a record over the end, n = 0, zero sectors,
 * negative or overflowing first, an epoch above 2^63-1. @out->damaged says so; records before the
 * damage are kept in @out.
 */
void fvd_jsector_decode(const uint8_t *sector, int revision, struct fvd_jsector *out);

/* What records are judged against. */
struct fvd_jbounds {
	int revision;
	uint64_t virtual_size;
	bool has_bitmap, has_table;
	uint64_t chunk_count;
	struct fvd_chunk_geometry geometry;
};

/* Judge ranges, kinds and entries of a sector that is not void; sets s->damaged. */
void fvd_jsector_validate(struct fvd_jsector *s, const struct fvd_jbounds *bounds);

/* Void: a revision-2 sector with a TABLE record whose epoch is below @stable. */
bool fvd_jsector_void(const struct fvd_jsector *s, int revision, uint64_t stable);

/*
 * Building (revision 2). @sector is 512 zeroed bytes; @used counts what records fill.
 * Each returns false, and changes nothing, when the record does not fit.
 */
bool fvd_jsector_put_table(uint8_t *sector, size_t *used, uint64_t epoch, uint32_t first_chunk,
			   const uint32_t *entries, uint32_t count);
bool fvd_jsector_put_bitmap(uint8_t *sector, size_t *used, uint64_t first_sector,
			    uint32_t sector_count);

#endif
