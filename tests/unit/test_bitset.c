/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "util/bitset.h"

/* Both kinds of bit map against one bool per bit. */

#define BITS 1000u
#define ROUNDS 3000

static bool model[BITS];

static uint64_t rnd(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (*seed >> 33) % below;
}

static void change_model(uint64_t first, uint64_t count, bool value)
{
	for (uint64_t i = first; i < first + count; i++)
		model[i] = value;
}

static uint64_t next_in_model(uint64_t from, bool value)
{
	while (from < BITS && model[from] != value)
		from++;
	return from;
}

static uint64_t count_model(uint64_t below)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < below; i++)
		n += model[i];
	return n;
}

static void test_bitset(void **state)
{
	struct fvd_bitset s;
	uint64_t seed = 1;

	(void)state;
	memset(model, 0, sizeof(model));
	assert_int_equal(fvd_bitset_init(&s, BITS, NULL), 0);
	assert_int_equal(fvd_bitset_next_set(&s, 0), BITS);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t first = rnd(&seed, BITS), at = rnd(&seed, BITS + 1);
		uint64_t count = rnd(&seed, BITS - first + 1);
		bool value = rnd(&seed, 2);

		if (round % 2)
			count = count > 70 ? 70 : count;
		change_model(first, count, value);
		if (value)
			fvd_bitset_set_range(&s, first, count);
		else
			fvd_bitset_clear_range(&s, first, count);
		assert_int_equal(fvd_bitset_next_set(&s, at), next_in_model(at, true));
		assert_int_equal(fvd_bitset_next_clear(&s, at), next_in_model(at, false));
		assert_int_equal(fvd_bitset_count(&s), count_model(BITS));
	}
	fvd_bitset_set_range(&s, 0, BITS);
	assert_int_equal(fvd_bitset_next_clear(&s, 0), BITS);
	assert_int_equal(fvd_bitset_count(&s), BITS);
	fvd_bitset_clear(&s, 64);
	assert_false(fvd_bitset_test(&s, 64));
	assert_int_equal(fvd_bitset_next_clear(&s, 0), 64);
	fvd_bitset_set(&s, 64);
	assert_true(fvd_bitset_test(&s, 64));
	fvd_bitset_fini(&s);
}

static void test_bitset_empty(void **state)
{
	struct fvd_bitset s;

	(void)state;
	assert_int_equal(fvd_bitset_init(&s, 0, NULL), 0);
	assert_int_equal(fvd_bitset_next_set(&s, 0), 0);
	assert_int_equal(fvd_bitset_next_clear(&s, 0), 0);
	assert_int_equal(fvd_bitset_count(&s), 0);
	fvd_bitset_fini(&s);
}

static void test_bitmap(void **state)
{
	/* Exactly as long as it has to be: a read past the end shows under ASan. */
	uint8_t *map = calloc(1, (BITS + 7) / 8);
	uint64_t seed = 2;

	(void)state;
	assert_non_null(map);
	memset(model, 0, sizeof(model));
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t first = rnd(&seed, BITS), at = rnd(&seed, BITS);
		uint64_t count = rnd(&seed, BITS - first + 1), end, run, want;
		bool value = rnd(&seed, 2), got;

		if (round % 2)
			count = count > 20 ? 20 : count;
		change_model(first, count, value);
		if (value)
			fvd_bitmap_set(map, first, count);
		else
			fvd_bitmap_clear(map, first, count);
		end = at + 1 + rnd(&seed, BITS - at);
		run = fvd_bitmap_run(map, at, end, &got);
		want = next_in_model(at, !model[at]);
		assert_int_equal(got, model[at]);
		assert_int_equal(run, (want < end ? want : end) - at);
		assert_int_equal(fvd_bitmap_count(map, at), count_model(at));
	}
	for (uint64_t i = 0; i < BITS; i++)
		assert_int_equal(fvd_bitmap_get(map, i), model[i]);
	free(map);
}

static void test_bitmap_bit_order(void **state)
{
	uint8_t map[3] = { 0, 0, 0 };

	(void)state;
	fvd_bitmap_set(map, 0, 1);
	fvd_bitmap_set(map, 10, 1);
	fvd_bitmap_set(map, 23, 1);
	assert_int_equal(map[0], 0x01);
	assert_int_equal(map[1], 0x04);
	assert_int_equal(map[2], 0x80);
	fvd_bitmap_set(map, 0, 0);
	fvd_bitmap_clear(map, 3, 0);
	assert_int_equal(map[0], 0x01);
	fvd_bitmap_set(map, 6, 4);
	assert_int_equal(map[0], 0xC1);
	assert_int_equal(map[1], 0x07);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bitset),
		cmocka_unit_test(test_bitset_empty),
		cmocka_unit_test(test_bitmap),
		cmocka_unit_test(test_bitmap_bit_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
