/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/jrecord.h"
#include "util/num.h"

/* FORMAT 6, BITMAP record. */
struct disk_bitmap_rec {
	fvd_le32 type;		/* 0  FVD_JREC_BITMAP */
	fvd_le32 sector_count;	/* 4 */
	fvd_le64 first_sector;	/* 8  signed */
};

/* FORMAT 6, TABLE record of revision 2; entries follow. */
struct disk_table_rec2 {
	fvd_le32 type;		/*  0  FVD_JREC_TABLE */
	fvd_le64 epoch;		/*  4 */
	fvd_le32 entry_count;	/* 12 */
	fvd_le32 first_chunk;	/* 16 */
};

/* FORMAT 6, TABLE record of revision 1; entries follow. */
struct disk_table_rec1 {
	fvd_le32 type;		/* 0  FVD_JREC_TABLE */
	fvd_le32 first_chunk;	/* 4 */
	fvd_le32 entry_count;	/* 8 */
};

static_assert(sizeof(struct disk_bitmap_rec) == FVD_JREC_BITMAP_SIZE, "FORMAT 6");
static_assert(sizeof(struct disk_table_rec2) == FVD_JREC_TABLE_HEAD_REV2, "FORMAT 6");
static_assert(sizeof(struct disk_table_rec1) == FVD_JREC_TABLE_HEAD_REV1, "FORMAT 6");
/* The shortest record, so that no sector holds more than rec[] does. */
static_assert(FVD_JREC_TABLE_HEAD_REV1 + 4 >= FVD_SECTOR / FVD_JREC_MAX_PER_SECTOR &&
	      FVD_JREC_BITMAP_SIZE >= FVD_SECTOR / FVD_JREC_MAX_PER_SECTOR, "FORMAT 6");

uint32_t fvd_jrec_entry(const struct fvd_jrec *rec, uint32_t i)
{
	fvd_le32 raw;

	memcpy(&raw, rec->entries + 4 * (size_t)i, sizeof(raw));
	return fvd_entry_decode(fvd_get_le32(raw));
}

static bool damage(struct fvd_jsector *s, size_t pos, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool damage(struct fvd_jsector *s, size_t pos, const char *fmt, ...)
{
	int n = snprintf(s->damage, sizeof(s->damage), "record at byte %zu: ", pos);
	va_list ap;

	s->damaged = true;
	va_start(ap, fmt);
	vsnprintf(s->damage + n, sizeof(s->damage) - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* The decoders of one record: *pos goes behind it; false after damage. */
static bool decode_bitmap(const uint8_t *sector, size_t *pos, struct fvd_jsector *s)
{
	struct fvd_jrec *rec = &s->rec[s->count];
	struct disk_bitmap_rec d;
	uint64_t end;

	if (FVD_SECTOR - *pos < sizeof(d))
		return damage(s, *pos, "runs over the end of the sector");
	memcpy(&d, sector + *pos, sizeof(d));
	*rec = (struct fvd_jrec){ .kind = FVD_JREC_KIND_BITMAP, .pos = (uint16_t)*pos,
				  .first_sector = (int64_t)fvd_get_le64(d.first_sector),
				  .sector_count = fvd_get_le32(d.sector_count) };
	if (rec->sector_count == 0)
		return damage(s, *pos, "0 sectors");
	if (rec->first_sector < 0)
		return damage(s, *pos, "negative first sector %" PRId64, rec->first_sector);
	if (!fvd_add((uint64_t)rec->first_sector, rec->sector_count, &end) ||
	    end > FVD_MAX_OFF / FVD_SECTOR)
		return damage(s, *pos, "%" PRIu32 " sectors from %" PRId64 " pass 2^63-1 bytes",
			      rec->sector_count, rec->first_sector);
	*pos += sizeof(d);
	s->count++;
	return true;
}

/* Of both revisions; the result's head size, 0 when it runs over the end. */
static size_t decode_table_head(const uint8_t *p, size_t room, int revision, struct fvd_jrec *rec)
{
	struct disk_table_rec2 two;
	struct disk_table_rec1 one;

	if (revision == 1) {
		if (room < sizeof(one))
			return 0;
		memcpy(&one, p, sizeof(one));
		rec->first_chunk = fvd_get_le32(one.first_chunk);
		rec->entry_count = fvd_get_le32(one.entry_count);
		return sizeof(one);
	}
	if (room < sizeof(two))
		return 0;
	memcpy(&two, p, sizeof(two));
	rec->epoch = fvd_get_le64(two.epoch);
	rec->first_chunk = fvd_get_le32(two.first_chunk);
	rec->entry_count = fvd_get_le32(two.entry_count);
	return sizeof(two);
}

static bool decode_table(const uint8_t *sector, size_t *pos, int revision, struct fvd_jsector *s)
{
	struct fvd_jrec *rec = &s->rec[s->count];
	size_t room = FVD_SECTOR - *pos, head;

	*rec = (struct fvd_jrec){ .kind = FVD_JREC_KIND_TABLE, .pos = (uint16_t)*pos };
	head = decode_table_head(sector + *pos, room, revision, rec);
	if (!head)
		return damage(s, *pos, "runs over the end of the sector");
	if (rec->entry_count == 0)
		return damage(s, *pos, "n = 0");
	if (rec->entry_count > (room - head) / 4)
		return damage(s, *pos, "n = %" PRIu32 " runs over the end of the sector, which has"
			      " room for %zu", rec->entry_count, (room - head) / 4);
	if (rec->epoch > FVD_MAX_EPOCH)
		return damage(s, *pos, "epoch %" PRIu64 " is above 2^63-1", rec->epoch);
	if ((uint64_t)rec->first_chunk + rec->entry_count > FVD_MAX_CHUNKS)
		return damage(s, *pos, "%" PRIu32 " chunks from %" PRIu32 " pass the last possible"
			      " chunk", rec->entry_count, rec->first_chunk);
	rec->entries = sector + *pos + head;
	s->has_table = true;
	s->max_epoch = fvd_max(s->max_epoch, rec->epoch);
	*pos += head + 4 * (size_t)rec->entry_count;
	s->count++;
	return true;
}

void fvd_jsector_decode(const uint8_t *sector, int revision, struct fvd_jsector *out)
{
	bool good = true;
	size_t pos = 0;

	/* Not the records: this runs for every sector of a journal, most of them empty. */
	out->count = 0;
	out->has_table = out->damaged = false;
	out->max_epoch = 0;
	out->damage[0] = '\0';
	while (good && pos < FVD_SECTOR) {
		fvd_le32 raw;
		uint32_t type;

		memcpy(&raw, sector + pos, sizeof(raw));
		type = fvd_get_le32(raw);
		if (type == FVD_JREC_EMPTY)
			return;
		if (type == FVD_JREC_BITMAP)
			good = decode_bitmap(sector, &pos, out);
		else if (type == FVD_JREC_TABLE)
			good = decode_table(sector, &pos, revision, out);
		else
			good = damage(out, pos, "unknown type 0x%08" PRIx32, type);
	}
}

static bool validate_table(struct fvd_jsector *s, const struct fvd_jrec *rec,
			   const struct fvd_jbounds *b)
{
	if (!b->has_table)
		return damage(s, rec->pos, "TABLE, and the image has no table");
	if (!fvd_in_range(rec->first_chunk, rec->entry_count, b->chunk_count))
		return damage(s, rec->pos, "%" PRIu32 " chunks from %" PRIu32
			      ", and the disk has %" PRIu64, rec->entry_count, rec->first_chunk,
			      b->chunk_count);
	for (uint32_t i = 0; i < rec->entry_count; i++) {
		uint32_t entry = fvd_jrec_entry(rec, i);
		const char *why = fvd_entry_damage(&b->geometry, entry);

		if (why)
			return damage(s, rec->pos, "entry 0x%08" PRIx32 " of chunk %" PRIu32 " %s",
				      entry, rec->first_chunk + i, why);
	}
	return true;
}

static bool validate_bitmap(struct fvd_jsector *s, const struct fvd_jrec *rec,
			    const struct fvd_jbounds *b)
{
	uint64_t sectors = b->virtual_size / FVD_SECTOR;

	if (!b->has_bitmap)
		return damage(s, rec->pos, "BITMAP, and the image has no bitmap");
	if (!fvd_in_range((uint64_t)rec->first_sector, rec->sector_count, sectors))
		return damage(s, rec->pos, "%" PRIu32 " sectors from %" PRId64
			      ", and the disk has %" PRIu64, rec->sector_count, rec->first_sector,
			      sectors);
	return true;
}

void fvd_jsector_validate(struct fvd_jsector *s, const struct fvd_jbounds *bounds)
{
	bool good = !s->damaged;

	for (unsigned i = 0; good && i < s->count; i++)
		good = s->rec[i].kind == FVD_JREC_KIND_TABLE ?
			validate_table(s, &s->rec[i], bounds) :
			validate_bitmap(s, &s->rec[i], bounds);
}

bool fvd_jsector_void(const struct fvd_jsector *s, int revision, uint64_t stable)
{
	if (revision == 1)
		return false;
	for (unsigned i = 0; i < s->count; i++)
		if (s->rec[i].kind == FVD_JREC_KIND_TABLE && s->rec[i].epoch < stable)
			return true;
	return false;
}

bool fvd_jsector_put_table(uint8_t *sector, size_t *used, uint64_t epoch, uint32_t first_chunk,
			   const uint32_t *entries, uint32_t count)
{
	struct disk_table_rec2 d = { fvd_to_le32(FVD_JREC_TABLE), fvd_to_le64(epoch),
				     fvd_to_le32(count), fvd_to_le32(first_chunk) };

	if (count == 0 || count > FVD_JREC_MAX_ENTRIES || *used > FVD_SECTOR ||
	    FVD_SECTOR - *used < sizeof(d) + 4 * (size_t)count)
		return false;
	memcpy(sector + *used, &d, sizeof(d));
	fvd_table_encode(sector + *used + sizeof(d), entries, count);
	*used += sizeof(d) + 4 * (size_t)count;
	return true;
}

bool fvd_jsector_put_bitmap(uint8_t *sector, size_t *used, uint64_t first_sector,
			    uint32_t sector_count)
{
	struct disk_bitmap_rec d = { fvd_to_le32(FVD_JREC_BITMAP), fvd_to_le32(sector_count),
				     fvd_to_le64(first_sector) };

	if (sector_count == 0 || *used > FVD_SECTOR || FVD_SECTOR - *used < sizeof(d))
		return false;
	memcpy(sector + *used, &d, sizeof(d));
	*used += sizeof(d);
	return true;
}
