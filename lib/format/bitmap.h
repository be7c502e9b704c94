/* SPDX-License-Identifier: BSD-2-Clause */
/* The copy-on-write bitmap as bytes in memory: bit b & 7 of byte b >> 3. FORMAT 3. */
#ifndef FVD_FORMAT_BITMAP_H
#define FVD_FORMAT_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

static inline bool fvd_bitmap_get(const uint8_t *map, uint64_t block)
{
	return map[block >> 3] >> (block & 7) & 1;
}

/* Set (clear) @count bits from @first. Word-wise in the middle. */
void fvd_bitmap_set(uint8_t *map, uint64_t first, uint64_t count);
void fvd_bitmap_clear(uint8_t *map, uint64_t first, uint64_t count);
/* Length of the run of equal bits that starts at @from, never past @end (> @from);
 * *value is their value. Word-wise. */
uint64_t fvd_bitmap_run(const uint8_t *map, uint64_t from, uint64_t end, bool *value);
/* How many of the bits [0, @count) are 1. */
uint64_t fvd_bitmap_count(const uint8_t *map, uint64_t count);

#endif
