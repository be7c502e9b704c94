/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "format/bitmap.h"
#include "util/endian.h"
#include "util/num.h"

/* Give @count bits from @first the value of @byte's bits, which are all equal. */
static void fill(uint8_t *map, uint64_t first, uint64_t count, uint8_t byte)
{
	uint64_t head = fvd_min(-first & 7, count), bytes;
	unsigned mask;

	if (head) {
		mask = ((1u << head) - 1) << (first & 7);
		map[first >> 3] = (uint8_t)((map[first >> 3] & ~mask) | (byte & mask));
		first += head;
		count -= head;
	}
	bytes = count >> 3;
	memset(map + (first >> 3), byte, (size_t)bytes);
	first += bytes * 8;
	if (count & 7) {
		mask = (1u << (count & 7)) - 1;
		map[first >> 3] = (uint8_t)((map[first >> 3] & ~mask) | (byte & mask));
	}
}

void fvd_bitmap_set(uint8_t *map, uint64_t first, uint64_t count)
{
	if (count)
		fill(map, first, count, 0xFF);
}

void fvd_bitmap_clear(uint8_t *map, uint64_t first, uint64_t count)
{
	if (count)
		fill(map, first, count, 0);
}

static uint64_t load_word(const uint8_t *map, uint64_t bit)
{
	fvd_le64 v;

	memcpy(&v, map + (bit >> 3), sizeof(v));
	return fvd_get_le64(v);
}

uint64_t fvd_bitmap_run(const uint8_t *map, uint64_t from, uint64_t end, bool *value)
{
	bool want = fvd_bitmap_get(map, from);
	uint64_t flip = want ? UINT64_MAX : 0, at = from + 1, diff;

	*value = want;
	for (; at < end && at & 7; at++)
		if (fvd_bitmap_get(map, at) != want)
			return at - from;
	/* Bit numbers grow with the value of a little-endian word's bits. */
	for (; at < end && end - at >= 64; at += 64) {
		diff = load_word(map, at) ^ flip;
		if (diff)
			return at + (unsigned)__builtin_ctzll(diff) - from;
	}
	for (; at < end; at++)
		if (fvd_bitmap_get(map, at) != want)
			break;
	return at - from;
}

uint64_t fvd_bitmap_count(const uint8_t *map, uint64_t count)
{
	uint64_t ones = 0, at = 0;

	for (; count - at >= 64; at += 64) {
		uint64_t word = load_word(map, at);

		if (word == UINT64_MAX)
			ones += 64;
		else if (word)
			ones += (unsigned)__builtin_popcountll(word);
	}
	for (; at < count; at++)
		ones += fvd_bitmap_get(map, at);
	return ones;
}
