/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes <-> struct fvd_header. The judgement of what was read is in header_check.c. */
#include <inttypes.h>
#include <string.h>

#include "format/disk_header.h"
#include "format/header.h"
#include "util/num.h"

static_assert(FVD_STATE_SECTOR_REV2 <= offsetof(struct fvd_disk_header2, stable_journal_epoch) &&
	      offsetof(struct fvd_disk_header2, num_prefetch_slots) <=
	      FVD_STATE_SECTOR_REV2 + FVD_SECTOR, "the state fields share one sector");
static_assert(offsetof(struct fvd_disk_header1, clean_shutdown) / FVD_SECTOR ==
	      FVD_STATE_SECTOR_REV1 / FVD_SECTOR, "the clean mark lies in the state sector");

static uint32_t get_magic(const void *buf)
{
	fvd_le32 magic;

	memcpy(&magic, buf, sizeof(magic));
	return fvd_get_le32(magic);
}

int fvd_header_probe(const void *buf, size_t len)
{
	if (len < 8)
		return 0;
	switch (get_magic(buf)) {
	case FVD_MAGIC_REV2:
		return 2;
	case FVD_MAGIC_REV1:
		return 1;
	default:
		return 0;
	}
}

/* @dst has room for the NUL that @src, @size bytes, should hold itself. */
static int get_string(char *dst, const char *src, size_t size, const char *name,
		      struct fvd_error *err)
{
	if (!memchr(src, '\0', size))
		return fvd_error_set(err, FVD_ERR_CORRUPT, "header: %s has no NUL in its %zu bytes",
				     name, size);
	/* What follows the NUL is nobody's business. */
	memset(dst, 0, size + 1);
	memcpy(dst, src, strlen(src));
	return 0;
}

static uint64_t get_signed(fvd_le32 v)
{
	return (uint64_t)(int64_t)(int32_t)fvd_get_le32(v);
}

static bool get_bool(fvd_le32 v)
{
	return fvd_get_le32(v) != 0;
}

static int decode_strings2(const struct fvd_disk_header2 *d, struct fvd_header *h,
			   struct fvd_error *err)
{
	if (get_string(h->data_file, d->data_file, sizeof(d->data_file), "data_file", err) < 0 ||
	    get_string(h->data_file_fmt, d->data_file_fmt, sizeof(d->data_file_fmt),
		       "data_file_fmt", err) < 0 ||
	    get_string(h->base_img, d->base_img, sizeof(d->base_img), "base_img", err) < 0 ||
	    get_string(h->base_img_fmt, d->base_img_fmt, sizeof(d->base_img_fmt),
		       "base_img_fmt", err) < 0)
		return -1;
	return get_string(h->add_storage_cmd, d->add_storage_cmd, sizeof(d->add_storage_cmd),
			  "add_storage_cmd", err);
}

static int decode2(const struct fvd_disk_header2 *d, struct fvd_header *h, struct fvd_error *err)
{
	h->revision = 2;
	h->virtual_size = fvd_get_le64(d->virtual_disk_size);
	h->data_offset = fvd_get_le64(d->data_offset);
	h->base_size = fvd_get_le64(d->base_img_size);
	h->bitmap_offset = fvd_get_le64(d->bitmap_offset);
	h->bitmap_size = fvd_get_le64(d->bitmap_size);
	h->block_size = fvd_get_le64(d->block_size);
	h->table_offset = fvd_get_le64(d->table_offset);
	h->table_size = fvd_get_le64(d->table_size);
	h->chunk_size = fvd_get_le64(d->chunk_size);
	h->grow_unit = fvd_get_le64(d->storage_grow_unit);
	h->journal_offset = fvd_get_le64(d->journal_offset);
	h->journal_size = fvd_get_le64(d->journal_size);
	h->stable_epoch = fvd_get_le64(d->stable_journal_epoch);
	h->clean_shutdown = fvd_get_le32(d->clean_shutdown);
	h->copy_on_read = get_bool(d->copy_on_read);
	h->fully_prefetched = get_bool(d->base_img_fully_prefetched);
	h->need_zero_init = get_bool(d->need_zero_init);
	h->max_outstanding_cor = fvd_get_le64(d->max_outstanding_cor);
	h->prefetch_start_delay = (int64_t)fvd_get_le64(d->prefetch_start_delay);
	h->prefetch_slots = fvd_get_le32(d->num_prefetch_slots);
	h->bytes_per_prefetch = fvd_get_le64(d->bytes_per_prefetch);
	h->prefetch_min_read_kbps = fvd_get_le64(d->prefetch_min_read);
	h->prefetch_max_read_kbps = fvd_get_le64(d->prefetch_max_read);
	h->prefetch_min_write_kbps = fvd_get_le64(d->prefetch_min_write);
	h->prefetch_max_write_kbps = fvd_get_le64(d->prefetch_max_write);
	h->prefetch_throttle_ms = fvd_get_le64(d->prefetch_throttle_time);
	h->prefetch_read_measure_ms = fvd_get_le64(d->prefetch_read_measure);
	h->prefetch_write_measure_ms = fvd_get_le64(d->prefetch_write_measure);
	memcpy(h->reserved, d->reserved, sizeof(h->reserved));
	return decode_strings2(d, h, err);
}

static int decode_strings1(const struct fvd_disk_header1 *d, struct fvd_header *h,
			   struct fvd_error *err)
{
	if (get_string(h->data_file, d->data_file, sizeof(d->data_file), "data_file", err) < 0 ||
	    get_string(h->data_file_fmt, d->data_file_fmt, sizeof(d->data_file_fmt),
		       "data_file_fmt", err) < 0 ||
	    get_string(h->base_img, d->base_img, sizeof(d->base_img), "base_img", err) < 0 ||
	    get_string(h->base_img_fmt, d->base_img_fmt, sizeof(d->base_img_fmt),
		       "base_img_fmt", err) < 0)
		return -1;
	return get_string(h->add_storage_cmd, d->add_storage_cmd, sizeof(d->add_storage_cmd),
			  "add_storage_cmd", err);
}

/*
 * Revision 1 stores no table size. Never 0, which would mean "no table": a chunk size or a
 * disk size that is out of its bounds is for _validate to see.
 */
static uint64_t table_size1(uint64_t virtual_size, uint64_t chunk_size)
{
	uint64_t count = chunk_size ? fvd_div_up(virtual_size, chunk_size) : 1;

	if (count == 0)
		count = 1;
	if (count > FVD_MAX_OFF / 8)
		return FVD_MAX_OFF + 1;
	return fvd_round_up(count * 4, FVD_SECTOR);
}

static int decode1(const struct fvd_disk_header1 *d, struct fvd_header *h, struct fvd_error *err)
{
	h->revision = 1;
	if (decode_strings1(d, h, err) < 0)
		return -1;
	h->fully_prefetched = get_bool(d->all_data_in_fvd_img);
	h->virtual_size = fvd_get_le64(d->virtual_disk_size);
	h->metadata_size = fvd_get_le64(d->metadata_size);
	h->data_offset = h->data_file[0] ? 0 : fvd_round_down(h->metadata_size, FVD_SECTOR);
	h->base_size = fvd_get_le64(d->base_img_size);
	h->bitmap_offset = fvd_get_le64(d->bitmap_offset);
	h->bitmap_size = fvd_get_le64(d->bitmap_size);
	h->block_size = get_signed(d->block_size);
	h->copy_on_read = get_bool(d->copy_on_read);
	h->max_outstanding_cor = fvd_get_le64(d->max_outstanding_cor);
	h->prefetch_start_delay = (int64_t)get_signed(d->prefetch_start_delay);
	h->prefetch_slots = fvd_get_le32(d->num_prefetch_slots);
	h->bytes_per_prefetch = fvd_get_le32(d->bytes_per_prefetch);
	h->prefetch_read_measure_ms = fvd_get_le32(d->prefetch_read_measure);
	h->prefetch_write_measure_ms = fvd_get_le32(d->prefetch_write_measure);
	h->prefetch_min_read_kbps = fvd_get_le32(d->prefetch_min_read);
	h->prefetch_min_write_kbps = fvd_get_le32(d->prefetch_min_write);
	h->prefetch_max_read_kbps = fvd_get_le32(d->prefetch_max_read);
	h->prefetch_max_write_kbps = fvd_get_le32(d->prefetch_max_write);
	h->prefetch_throttle_ms = fvd_get_le32(d->prefetch_throttle_time);
	h->table_offset = fvd_get_le64(d->table_offset);
	h->chunk_size = fvd_get_le64(d->chunk_size);
	if (get_bool(d->compact_image))
		h->table_size = table_size1(h->virtual_size, h->chunk_size);
	h->grow_unit = fvd_get_le64(d->storage_grow_unit);
	h->journal_offset = fvd_get_le64(d->journal_offset);
	/* A tail that is not a whole sector holds no record. */
	h->journal_size = fvd_round_down(fvd_get_le64(d->journal_size), FVD_SECTOR);
	h->clean_shutdown = fvd_get_le32(d->clean_shutdown);
	h->need_zero_init = get_bool(d->need_zero_init);
	return 0;
}

int fvd_header_decode(const void *buf, size_t len, struct fvd_header *h, struct fvd_error *err)
{
	union {
		struct fvd_disk_header2 rev2;
		struct fvd_disk_header1 rev1;
	} disk;
	int revision = fvd_header_probe(buf, len);
	size_t need = revision == 2 ? sizeof(disk.rev2) : sizeof(disk.rev1);
	fvd_le32 version;

	memset(h, 0, sizeof(*h));
	if (!revision)
		return fvd_error_set(err, FVD_ERR_FORMAT, "not an FVD image");
	memcpy(&version, (const uint8_t *)buf + 4, sizeof(version));
	if (fvd_get_le32(version) != 1)
		return fvd_error_set(err, FVD_ERR_FORMAT, "unsupported version %" PRIu32,
				     fvd_get_le32(version));
	if (len < need)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "header: ends after %zu of %zu bytes",
				     len, need);
	memcpy(&disk, buf, need);
	return revision == 2 ? decode2(&disk.rev2, h, err) : decode1(&disk.rev1, h, err);
}

/* @dst is zeroed and keeps its NUL. */
static void put_string(char *dst, size_t size, const char *src)
{
	memcpy(dst, src, strnlen(src, size - 1));
}

void fvd_header_encode(const struct fvd_header *h, void *buf)
{
	struct fvd_disk_header2 d;

	memset(&d, 0, sizeof(d));
	d.magic = fvd_to_le32(FVD_MAGIC_REV2);
	d.version = fvd_to_le32(1);
	d.virtual_disk_size = fvd_to_le64(h->virtual_size);
	d.data_offset = fvd_to_le64(h->data_offset);
	put_string(d.data_file, sizeof(d.data_file), h->data_file);
	put_string(d.data_file_fmt, sizeof(d.data_file_fmt), h->data_file_fmt);
	put_string(d.base_img, sizeof(d.base_img), h->base_img);
	put_string(d.base_img_fmt, sizeof(d.base_img_fmt), h->base_img_fmt);
	d.base_img_size = fvd_to_le64(h->base_size);
	d.bitmap_offset = fvd_to_le64(h->bitmap_offset);
	d.bitmap_size = fvd_to_le64(h->bitmap_size);
	d.block_size = fvd_to_le64(h->block_size);
	d.table_offset = fvd_to_le64(h->table_offset);
	d.table_size = fvd_to_le64(h->table_size);
	d.chunk_size = fvd_to_le64(h->chunk_size);
	d.storage_grow_unit = fvd_to_le64(h->grow_unit);
	put_string(d.add_storage_cmd, sizeof(d.add_storage_cmd), h->add_storage_cmd);
	d.journal_offset = fvd_to_le64(h->journal_offset);
	d.journal_size = fvd_to_le64(h->journal_size);
	d.stable_journal_epoch = fvd_to_le64(h->stable_epoch);
	d.clean_shutdown = fvd_to_le32(h->clean_shutdown);
	d.copy_on_read = fvd_to_le32(h->copy_on_read);
	d.max_outstanding_cor = fvd_to_le64(h->max_outstanding_cor);
	d.prefetch_start_delay = fvd_to_le64((uint64_t)h->prefetch_start_delay);
	d.base_img_fully_prefetched = fvd_to_le32(h->fully_prefetched);
	d.num_prefetch_slots = fvd_to_le32(h->prefetch_slots);
	d.bytes_per_prefetch = fvd_to_le64(h->bytes_per_prefetch);
	d.prefetch_min_read = fvd_to_le64(h->prefetch_min_read_kbps);
	d.prefetch_max_read = fvd_to_le64(h->prefetch_max_read_kbps);
	d.prefetch_min_write = fvd_to_le64(h->prefetch_min_write_kbps);
	d.prefetch_max_write = fvd_to_le64(h->prefetch_max_write_kbps);
	d.prefetch_throttle_time = fvd_to_le64(h->prefetch_throttle_ms);
	d.prefetch_read_measure = fvd_to_le64(h->prefetch_read_measure_ms);
	d.prefetch_write_measure = fvd_to_le64(h->prefetch_write_measure_ms);
	d.need_zero_init = fvd_to_le32(h->need_zero_init);
	memcpy(d.reserved, h->reserved, sizeof(d.reserved));
	memset(buf, 0, FVD_HEADER_REGION);
	memcpy(buf, &d, sizeof(d));
}

/* A true mark of another writer need not be 1; what says the same already stays. */
static void patch_bool(uint8_t *at, bool value)
{
	fvd_le32 v;

	memcpy(&v, at, sizeof(v));
	if (get_bool(v) == value)
		return;
	v = fvd_to_le32(value);
	memcpy(at, &v, sizeof(v));
}

void fvd_header_patch_state(const struct fvd_header *h, void *region, uint64_t *off, size_t *len)
{
	fvd_le32 clean = fvd_to_le32(h->clean_shutdown);
	fvd_le64 epoch = fvd_to_le64(h->stable_epoch);
	uint8_t *p = region;

	*len = FVD_SECTOR;
	if (h->revision == 1) {
		/*
		 * all_data_in_fvd_img lies in another sector: replay and repair, all that is
		 * done to this revision, never change it.
		 */
		memcpy(p + offsetof(struct fvd_disk_header1, clean_shutdown), &clean,
		       sizeof(clean));
		patch_bool(p + offsetof(struct fvd_disk_header1, all_data_in_fvd_img),
			   h->fully_prefetched);
		*off = FVD_STATE_SECTOR_REV1;
		return;
	}
	memcpy(p + offsetof(struct fvd_disk_header2, stable_journal_epoch), &epoch, sizeof(epoch));
	memcpy(p + offsetof(struct fvd_disk_header2, clean_shutdown), &clean, sizeof(clean));
	patch_bool(p + offsetof(struct fvd_disk_header2, base_img_fully_prefetched),
		   h->fully_prefetched);
	*off = FVD_STATE_SECTOR_REV2;
}

uint64_t fvd_header_block_count(const struct fvd_header *h)
{
	if (!fvd_header_has_base(h) || h->block_size == 0)
		return 0;
	return fvd_div_up(h->base_size, h->block_size);
}

uint64_t fvd_header_chunk_count(const struct fvd_header *h)
{
	if (!fvd_header_has_table(h) || h->chunk_size == 0)
		return 0;
	return fvd_div_up(h->virtual_size, h->chunk_size);
}
