/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to lib/io: the bytes of an undo file, as io_undo.h describes them. */
#ifndef FVD_IO_IO_UNDO_DISK_H
#define FVD_IO_IO_UNDO_DISK_H

#include <assert.h>
#include <stddef.h>

#include "util/crc32c.h"
#include "util/endian.h"
#include "util/num.h"

#define FVD_UNDO_MAGIC "FVDUNDO1"
#define FVD_UNDO_ENTRY_MAGIC 0x4F444E55u
#define FVD_UNDO_DATA 1u
#define FVD_UNDO_HOLE 2u
#define FVD_UNDO_BECOMES 3u
#define FVD_UNDO_ALIGN 64
#define FVD_UNDO_MAX_DATA FVD_MIB
#define FVD_UNDO_MAX_NAME 65535
#define FVD_UNDO_SAMPLE 8192	/* bytes of the image that the head has a CRC of */
#define FVD_UNDO_SAMPLE_SECTORS (FVD_UNDO_SAMPLE / 512)

struct fvd_disk_undo_head {
	char magic[8];
	fvd_le64 len, name_len;
	fvd_le32 sample_crc;
	char name[480];
	fvd_le32 crc;
};
static_assert(sizeof(struct fvd_disk_undo_head) == 512, "one sector");

struct fvd_disk_undo_entry {
	fvd_le32 magic, kind;
	fvd_le64 off, len;
	fvd_le32 back, data_crc;
	uint8_t zero[28];
	fvd_le32 crc;
};
static_assert(sizeof(struct fvd_disk_undo_entry) == FVD_UNDO_ALIGN, "no sector parts a head");

/* The data of a "becomes" entry. */
struct fvd_disk_undo_becomes {
	fvd_le32 crc[FVD_UNDO_SAMPLE_SECTORS];
};

static inline void fvd_undo_becomes_set(struct fvd_disk_undo_becomes *b, const uint8_t *sample)
{
	for (unsigned i = 0; i < FVD_UNDO_SAMPLE_SECTORS; i++)
		b->crc[i] = fvd_to_le32(fvd_crc32c(0, sample + 512 * i, 512));
}

static inline uint32_t fvd_undo_head_crc(const struct fvd_disk_undo_head *h)
{
	return fvd_crc32c(0, h, offsetof(struct fvd_disk_undo_head, crc));
}

static inline uint32_t fvd_undo_entry_crc(const struct fvd_disk_undo_entry *e)
{
	return fvd_crc32c(0, e, offsetof(struct fvd_disk_undo_entry, crc));
}

#endif
