/* SPDX-License-Identifier: BSD-2-Clause */
/* The words and limits of the format that more than one module needs. FORMAT 1-4, 6. */
#ifndef FVD_FORMAT_DISK_H
#define FVD_FORMAT_DISK_H

#include <stdint.h>

#define FVD_SECTOR 512u
#define FVD_PAGE 4096u
#define FVD_HEADER_REGION 8192u

#define FVD_MAGIC_REV2 UINT32_C(0x00445646)	/* "FVD\0" */
#define FVD_MAGIC_REV1 UINT32_C(0x5143F5A9)

#define FVD_UNALLOCATED UINT32_C(0xFFFFFFFF)
#define FVD_ENTRY_MASK UINT32_C(0x7FFFFFFF)
#define FVD_ENTRY_DIRTY UINT32_C(0x80000000)
#define FVD_ENTRY_DAMAGED UINT32_C(0x7FFFFFFF)	/* a number that is never used */
#define FVD_MAX_CHUNKS UINT64_C(0x7FFFFFFF)
#define FVD_MAX_EPOCH ((uint64_t)INT64_MAX)

/* The sector that holds epoch, clean mark, prefetched mark and generation (FORMAT 2). */
#define FVD_STATE_SECTOR_REV2 3072u
#define FVD_STATE_SECTOR_REV1 4096u

#define FVD_DEFAULT_BLOCK (64u * 1024)
#define FVD_DEFAULT_CHUNK (1024u * 1024)
#define FVD_DEFAULT_JOURNAL (16u * 1024 * 1024)
#define FVD_DEFAULT_GROW (100u * 1024 * 1024)
#define FVD_MAX_CHAIN 64

#endif
