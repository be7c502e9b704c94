/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Little-endian integers of the disk format: byte arrays, so that they have
 * alignment 1 and no arithmetic by accident.
 */
#ifndef FVD_UTIL_ENDIAN_H
#define FVD_UTIL_ENDIAN_H

#include <stdint.h>

typedef struct { uint8_t b[2]; } fvd_le16;
typedef struct { uint8_t b[4]; } fvd_le32;
typedef struct { uint8_t b[8]; } fvd_le64;

static inline uint16_t fvd_get_le16(fvd_le16 v)
{
	return (uint16_t)(v.b[0] | (unsigned)v.b[1] << 8);
}

static inline uint32_t fvd_get_le32(fvd_le32 v)
{
	return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 |
	       (uint32_t)v.b[3] << 24;
}

static inline uint64_t fvd_get_le64(fvd_le64 v)
{
	uint64_t lo = (uint64_t)v.b[0] | (uint64_t)v.b[1] << 8 | (uint64_t)v.b[2] << 16 |
		      (uint64_t)v.b[3] << 24;
	uint64_t hi = (uint64_t)v.b[4] | (uint64_t)v.b[5] << 8 | (uint64_t)v.b[6] << 16 |
		      (uint64_t)v.b[7] << 24;

	return lo | hi << 32;
}

static inline fvd_le16 fvd_to_le16(uint16_t v)
{
	return (fvd_le16){ { (uint8_t)v, (uint8_t)(v >> 8) } };
}

static inline fvd_le32 fvd_to_le32(uint32_t v)
{
	return (fvd_le32){ { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			     (uint8_t)(v >> 24) } };
}

static inline fvd_le64 fvd_to_le64(uint64_t v)
{
	fvd_le32 lo = fvd_to_le32((uint32_t)v), hi = fvd_to_le32((uint32_t)(v >> 32));

	return (fvd_le64){ { lo.b[0], lo.b[1], lo.b[2], lo.b[3],
			     hi.b[0], hi.b[1], hi.b[2], hi.b[3] } };
}

#endif
