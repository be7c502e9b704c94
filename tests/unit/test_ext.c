/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "format/ext.h"
#include "util/crc32c.h"
#include "util/endian.h"

#define HOSTILE_ROUNDS 50000

static uint8_t area[FVD_EXT_AREA];
static struct fvd_ext x;

/* Frame @len bytes of entries as the writer would. */
static void frame(const void *entries, uint32_t len)
{
	fvd_le32 size = fvd_to_le32(len), crc = fvd_to_le32(fvd_crc32c(0, entries, len));

	memset(area, 0, sizeof(area));
	memcpy(area, "FVDX", 4);
	memcpy(area + 4, &size, 4);
	memcpy(area + 8, &crc, 4);
	memcpy(area + 12, entries, len);
}

static struct fvd_ext sample(void)
{
	struct fvd_ext e = { .has_uuid = true, .has_generation = true,
			     .generation = UINT64_C(0x1122334455667788) };

	for (unsigned i = 0; i < 16; i++)
		e.uuid[i] = (uint8_t)(i + 1);
	strcpy(e.creator, "fvdtool 1.0");
	strcpy(e.validator, "etag:\"a\"\nlast-modified:b");
	return e;
}

static void test_round_trip(void **state)
{
	struct fvd_ext e = sample();

	(void)state;
	memset(area, 0xFF, sizeof(area));
	assert_int_equal(fvd_ext_encode(&e, area, NULL), 0);
	/* FORMAT 7: magic, length, CRC, then the generation, which is the first entry. */
	assert_memory_equal(area, "FVDX", 4);
	assert_memory_equal(area + 12, "\4\0\x08\0\x88\x77\x66\x55\x44\x33\x22\x11", 12);
	assert_memory_equal(area + 24, "\1\0\x10\0\1\2\3", 7);
	fvd_ext_decode(area, &x);
	e.state = FVD_EXT_OK;
	assert_memory_equal(&x, &e, sizeof(e));
}

static void test_absent(void **state)
{
	static const uint8_t zeros[FVD_EXT_AREA];
	struct fvd_ext none = { .state = FVD_EXT_OK };

	(void)state;
	memset(area, 0xFF, sizeof(area));
	assert_int_equal(fvd_ext_encode(&none, area, NULL), 0);
	assert_memory_equal(area, zeros, sizeof(area));
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_ABSENT);
	assert_false(fvd_ext_set_generation(area, 5));
	assert_memory_equal(area, zeros, sizeof(area));
	/* An area without entries is sound. */
	frame("", 0);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
}

static void is_damaged(const char *why)
{
	uint8_t before[FVD_EXT_AREA];

	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_DAMAGED);
	assert_false(x.has_uuid || x.has_generation || x.creator[0] || x.validator[0]);
	if (!strstr(x.damage, why))
		fail_msg("\"%s\" does not say \"%s\"", x.damage, why);
	memcpy(before, area, sizeof(area));
	assert_false(fvd_ext_set_generation(area, 5));
	assert_memory_equal(before, area, sizeof(area));
}

static void test_damage(void **state)
{
	struct fvd_ext e = sample();

	(void)state;
	assert_int_equal(fvd_ext_encode(&e, area, NULL), 0);
	area[20] ^= 1;
	is_damaged("checksum");
	area[20] ^= 1;
	area[FVD_EXT_AREA - 1] = 1;
	is_damaged("after the entries");
	area[FVD_EXT_AREA - 1] = 0;
	area[5] = 0xFF;
	is_damaged("above 4084");
	frame("\1\0\x0F\0xxxxxxxxxxxxxxx", 19);
	is_damaged("type 1 has 15 bytes");
	frame("\4\0\7\0xxxxxxx", 11);
	is_damaged("type 4 has 7 bytes");
	frame("\2\0\5\0xxxx", 8);
	is_damaged("runs over the end");
	frame("\2\0\1\0x\2\0", 7);
	is_damaged("runs over the end");
	frame("\2\0\3\0a\0b", 7);
	is_damaged("NUL");
	frame("\2\0\1\0x\4\0\x08\0xxxxxxxx", 17);
	is_damaged("not the first entry");
}

static void test_unknown_and_repeated(void **state)
{
	(void)state;
	frame("\x55\x7F\2\0zz\2\0\1\0a\2\0\1\0b", 16);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(x.unknown_required, 0);
	assert_string_equal(x.creator, "a");
	frame("\2\0\0\0\2\0\1\0b\1\x80\0\0\2\x80\0\0", 17);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(x.unknown_required, 0x8001);
	assert_string_equal(x.creator, "");
}

static void test_long_texts(void **state)
{
	static uint8_t entries[4084];
	struct fvd_ext e = { 0 };
	struct fvd_error err;

	(void)state;
	/* 254 letters and a character of two bytes that would cross the end. */
	memset(entries, 'c', sizeof(entries));
	memcpy(entries, "\2\0\x2C\1", 4);
	memcpy(entries + 4 + 254, "\xC3\xBC", 2);
	frame(entries, 304);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(strlen(x.creator), 254);
	/* A validator is cut between lines. */
	memcpy(entries, "\3\0\xF0\x0F", 4);
	memset(entries + 4, 'v', 4080);
	entries[4 + 1000] = '\n';
	entries[4 + 3000] = '\n';
	frame(entries, 4084);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(strlen(x.validator), 1000);

	memset(e.creator, 'c', sizeof(e.creator));
	assert_int_equal(fvd_ext_encode(&e, area, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
	e = sample();
	memset(e.creator, 'c', sizeof(e.creator) - 1);
	memset(e.validator, 'v', sizeof(e.validator) - 1);
	assert_int_equal(fvd_ext_encode(&e, area, NULL), 0);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_string_equal(x.validator, e.validator);
}

static void test_set_generation(void **state)
{
	struct fvd_ext e = sample();
	uint8_t before[FVD_EXT_AREA];

	(void)state;
	assert_int_equal(fvd_ext_encode(&e, area, NULL), 0);
	memcpy(before, area, sizeof(area));
	assert_true(fvd_ext_set_generation(area, e.generation + 1));
	/* The area starts at byte 3316, its state sector ends at 3584. */
	assert_memory_equal(area + 268, before + 268, sizeof(area) - 268);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_true(x.generation == e.generation + 1);
	assert_string_equal(x.validator, e.validator);
	e.has_generation = false;
	assert_int_equal(fvd_ext_encode(&e, area, NULL), 0);
	assert_false(fvd_ext_set_generation(area, 2));
}

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* With a right checksum, so that the entries are really walked. */
static void test_hostile(void **state)
{
	static uint8_t entries[FVD_EXT_MAX_PAYLOAD];
	uint64_t seed = UINT64_C(0xE47);
	unsigned good = 0;

	(void)state;
	for (int round = 0; round < HOSTILE_ROUNDS; round++) {
		uint32_t len = (uint32_t)(rnd(&seed) % (round % 16 ? 120 : sizeof(entries) + 1));

		for (uint32_t i = 0; i < len; i++) {
			uint64_t r = rnd(&seed);

			entries[i] = (uint8_t)(r & 0x700 ? r % 5 : r >> 16);
		}
		frame(entries, len);
		if (round % 64 == 0)
			for (size_t i = 4; i < sizeof(area); i++)
				area[i] = (uint8_t)rnd(&seed);
		fvd_ext_decode(area, &x);
		assert_non_null(memchr(x.creator, 0, sizeof(x.creator)));
		assert_non_null(memchr(x.validator, 0, sizeof(x.validator)));
		assert_int_equal(x.state == FVD_EXT_DAMAGED, x.damage[0] != '\0');
		fvd_ext_set_generation(area, rnd(&seed));
		good += x.state == FVD_EXT_OK && len > 0;
	}
	assert_true(good > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_unknown_and_repeated),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_set_generation),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
