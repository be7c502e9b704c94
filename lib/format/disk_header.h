/* SPDX-License-Identifier: BSD-2-Clause */
/* The headers as they lie on disk. FORMAT 2 (revision 2), 9 (revision 1). */
#ifndef FVD_FORMAT_DISK_HEADER_H
#define FVD_FORMAT_DISK_HEADER_H

#include <assert.h>
#include <stddef.h>

#include "util/endian.h"

/* FORMAT 2. */
struct fvd_disk_header2 {
	fvd_le32 magic;				/*    0  FVD_MAGIC_REV2 */
	fvd_le32 version;			/*    4  1 */
	fvd_le64 virtual_disk_size;		/*    8 */
	fvd_le64 data_offset;			/*   16 */
	char data_file[1024];			/*   24 */
	char data_file_fmt[16];			/* 1048 */
	char base_img[1024];			/* 1064 */
	char base_img_fmt[16];			/* 2088 */
	fvd_le64 base_img_size;			/* 2104 */
	fvd_le64 bitmap_offset;			/* 2112 */
	fvd_le64 bitmap_size;			/* 2120 */
	fvd_le64 block_size;			/* 2128 */
	fvd_le64 table_offset;			/* 2136 */
	fvd_le64 table_size;			/* 2144 */
	fvd_le64 chunk_size;			/* 2152 */
	fvd_le64 storage_grow_unit;		/* 2160 */
	char add_storage_cmd[1024];		/* 2168 */
	fvd_le64 journal_offset;		/* 3192 */
	fvd_le64 journal_size;			/* 3200 */
	fvd_le64 stable_journal_epoch;		/* 3208 */
	fvd_le32 clean_shutdown;		/* 3216 */
	fvd_le32 copy_on_read;			/* 3220 */
	fvd_le64 max_outstanding_cor;		/* 3224 */
	fvd_le64 prefetch_start_delay;		/* 3232  signed */
	fvd_le32 base_img_fully_prefetched;	/* 3240 */
	fvd_le32 num_prefetch_slots;		/* 3244 */
	fvd_le64 bytes_per_prefetch;		/* 3248 */
	fvd_le64 prefetch_min_read;		/* 3256  KB/s */
	fvd_le64 prefetch_max_read;		/* 3264 */
	fvd_le64 prefetch_min_write;		/* 3272 */
	fvd_le64 prefetch_max_write;		/* 3280 */
	fvd_le64 prefetch_throttle_time;	/* 3288  milliseconds */
	fvd_le64 prefetch_read_measure;		/* 3296 */
	fvd_le64 prefetch_write_measure;	/* 3304 */
	fvd_le32 need_zero_init;		/* 3312 */
	uint8_t reserved[4096];			/* 3316  FORMAT 7 */
};

static_assert(sizeof(struct fvd_disk_header2) == 7412, "FORMAT 2");
static_assert(offsetof(struct fvd_disk_header2, base_img_size) == 2104, "FORMAT 2");
static_assert(offsetof(struct fvd_disk_header2, journal_offset) == 3192, "FORMAT 2");
static_assert(offsetof(struct fvd_disk_header2, stable_journal_epoch) == 3208, "FORMAT 2");
static_assert(offsetof(struct fvd_disk_header2, base_img_fully_prefetched) == 3240, "FORMAT 2");
static_assert(offsetof(struct fvd_disk_header2, reserved) == 3316, "FORMAT 2");

/* FORMAT 9. */
struct fvd_disk_header1 {
	fvd_le32 magic;				/*    0  FVD_MAGIC_REV1 */
	fvd_le32 version;			/*    4  1 */
	fvd_le32 all_data_in_fvd_img;		/*    8 */
	fvd_le64 virtual_disk_size;		/*   12 */
	fvd_le64 metadata_size;			/*   20 */
	char base_img[1024];			/*   28 */
	char base_img_fmt[16];			/* 1052 */
	fvd_le64 base_img_size;			/* 1068 */
	fvd_le64 bitmap_offset;			/* 1076 */
	fvd_le64 bitmap_size;			/* 1084 */
	fvd_le32 block_size;			/* 1092 */
	fvd_le32 copy_on_read;			/* 1096 */
	fvd_le64 max_outstanding_cor;		/* 1100 */
	char data_file[1024];			/* 1108 */
	char data_file_fmt[16];			/* 2132 */
	fvd_le32 prefetch_start_delay;		/* 2148  signed */
	fvd_le64 prefetch_profile_offset;	/* 2152 */
	fvd_le64 prefetch_profile_entries;	/* 2160 */
	fvd_le32 num_prefetch_slots;		/* 2168 */
	fvd_le32 bytes_per_prefetch;		/* 2172 */
	fvd_le32 prefetch_read_measure;		/* 2176  milliseconds */
	fvd_le32 prefetch_write_measure;	/* 2180 */
	fvd_le32 prefetch_perf_calc_alpha;	/* 2184 */
	fvd_le32 prefetch_min_read;		/* 2188  KB/s */
	fvd_le32 prefetch_min_write;		/* 2192 */
	fvd_le32 prefetch_max_read;		/* 2196 */
	fvd_le32 prefetch_max_write;		/* 2200 */
	fvd_le32 prefetch_throttle_time;	/* 2204  milliseconds */
	fvd_le32 compact_image;			/* 2208 */
	fvd_le64 table_offset;			/* 2212 */
	fvd_le64 chunk_size;			/* 2220 */
	fvd_le64 storage_grow_unit;		/* 2228 */
	char add_storage_cmd[2048];		/* 2236 */
	fvd_le64 journal_offset;		/* 4284 */
	fvd_le64 journal_size;			/* 4292 */
	fvd_le32 clean_shutdown;		/* 4300 */
	fvd_le32 need_zero_init;		/* 4304 */
	fvd_le32 generate_prefetch_profile;	/* 4308 */
	fvd_le32 prefetch_profile_unit;		/* 4312 */
	fvd_le32 profile_prefetch_delay;	/* 4316 */
	char write_updates_base_img[16];	/* 4320 */
};

static_assert(sizeof(struct fvd_disk_header1) == 4336, "FORMAT 9");
static_assert(offsetof(struct fvd_disk_header1, base_img_size) == 1068, "FORMAT 9");
static_assert(offsetof(struct fvd_disk_header1, data_file) == 1108, "FORMAT 9");
static_assert(offsetof(struct fvd_disk_header1, prefetch_start_delay) == 2148, "FORMAT 9");
static_assert(offsetof(struct fvd_disk_header1, compact_image) == 2208, "FORMAT 9");
static_assert(offsetof(struct fvd_disk_header1, journal_offset) == 4284, "FORMAT 9");
static_assert(offsetof(struct fvd_disk_header1, clean_shutdown) == 4300, "FORMAT 9");

#endif
