/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/jrecord.h"
#include "util/num.h"

#define HOSTILE_ROUNDS 200000

/* The worked example of FORMAT 6. */
static const uint8_t example[48] = {
	0xac, 0xf7, 0xe6, 0xb4, 0x07, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0x03, 0, 0, 0,
	0, 0, 0, 0, 0x01, 0, 0, 0,
	0xed, 0xb8, 0x2a, 0x3f, 0, 0x10, 0, 0, 0, 0x18, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0,
};

static uint8_t sector[512];
static struct fvd_jsector s;

static void put32(size_t off, uint32_t v)
{
	fvd_le32 d = fvd_to_le32(v);

	memcpy(sector + off, &d, sizeof(d));
}

static struct fvd_jbounds bounds(int revision)
{
	struct fvd_jbounds b = { .revision = revision, .virtual_size = 16 * FVD_MIB,
				 .has_bitmap = true, .has_table = true, .chunk_count = 16 };

	b.geometry.data_offset = FVD_MIB;
	b.geometry.chunk_size = FVD_MIB;
	b.geometry.limit = FVD_MAX_OFF;
	b.geometry.region_count = 1;
	b.geometry.region[0].off = 40 * FVD_MIB;
	b.geometry.region[0].len = 4096;
	return b;
}

static void test_example_encode(void **state)
{
	const uint32_t entries[2] = { 0, FVD_ENTRY_DIRTY | 1 };
	size_t used = 0;

	(void)state;
	memset(sector, 0, sizeof(sector));
	assert_true(fvd_jsector_put_table(sector, &used, 7, 3, entries, 2));
	assert_true(fvd_jsector_put_bitmap(sector, &used, 6144, 4096));
	assert_int_equal(used, 44);
	assert_memory_equal(sector, example, sizeof(example));
}

static void test_example_decode(void **state)
{
	struct fvd_jbounds b = bounds(2);

	(void)state;
	/* The rest of the sector is anything after the EMPTY word. */
	memset(sector, 0xEE, sizeof(sector));
	memcpy(sector, example, sizeof(example));
	fvd_jsector_decode(sector, 2, &s);
	fvd_jsector_validate(&s, &b);
	assert_false(s.damaged);
	assert_int_equal(s.count, 2);
	assert_true(s.has_table);
	assert_int_equal(s.max_epoch, 7);
	assert_int_equal(s.rec[0].kind, FVD_JREC_KIND_TABLE);
	assert_int_equal(s.rec[0].epoch, 7);
	assert_int_equal(s.rec[0].first_chunk, 3);
	assert_int_equal(s.rec[0].entry_count, 2);
	assert_int_equal(fvd_jrec_entry(&s.rec[0], 0), 0);
	assert_int_equal(fvd_jrec_entry(&s.rec[0], 1), 1);
	assert_int_equal(s.rec[1].kind, FVD_JREC_KIND_BITMAP);
	assert_int_equal(s.rec[1].pos, 28);
	assert_int_equal(s.rec[1].first_sector, 6144);
	assert_int_equal(s.rec[1].sector_count, 4096);
	assert_false(fvd_jsector_void(&s, 2, 7));
	assert_true(fvd_jsector_void(&s, 2, 8));
	assert_false(fvd_jsector_void(&s, 1, 8));
}

static void test_put_limits(void **state)
{
	uint32_t entries[124] = { 0 };
	size_t used = 0;

	(void)state;
	memset(sector, 0, sizeof(sector));
	assert_false(fvd_jsector_put_table(sector, &used, 1, 0, entries, 0));
	assert_false(fvd_jsector_put_table(sector, &used, 1, 0, entries, 124));
	assert_false(fvd_jsector_put_bitmap(sector, &used, 0, 0));
	assert_int_equal(used, 0);
	assert_true(fvd_jsector_put_table(sector, &used, 1, 0, entries, 119));
	assert_int_equal(used, 496);
	assert_false(fvd_jsector_put_table(sector, &used, 1, 0, entries, 1));
	assert_true(fvd_jsector_put_bitmap(sector, &used, 0, 1));
	assert_int_equal(used, 512);
	assert_false(fvd_jsector_put_bitmap(sector, &used, 0, 1));
	fvd_jsector_decode(sector, 2, &s);
	assert_int_equal(s.count, 2);
	assert_false(s.damaged);

	memset(sector, 0, sizeof(sector));
	used = 0;
	assert_true(fvd_jsector_put_table(sector, &used, 1, 0, entries, 123));
	assert_int_equal(used, 512);
	fvd_jsector_decode(sector, 2, &s);
	assert_false(s.damaged);
	assert_int_equal(s.rec[0].entry_count, 123);

	memset(sector, 0, sizeof(sector));
	used = 0;
	for (unsigned i = 0; i < 32; i++)
		assert_true(fvd_jsector_put_bitmap(sector, &used, i, 1));
	fvd_jsector_decode(sector, 2, &s);
	assert_int_equal(s.count, 32);
	assert_false(s.damaged || s.has_table);
	assert_false(fvd_jsector_void(&s, 2, UINT64_MAX));
}

static void test_rev1(void **state)
{
	struct fvd_jbounds b = bounds(1);

	(void)state;
	memset(sector, 0xDD, sizeof(sector));
	put32(0, FVD_JREC_TABLE);
	put32(4, 3);
	put32(8, 2);
	put32(12, FVD_ENTRY_DIRTY | 5);
	put32(16, FVD_UNALLOCATED);
	put32(20, 0);
	fvd_jsector_decode(sector, 1, &s);
	fvd_jsector_validate(&s, &b);
	assert_false(s.damaged);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.rec[0].first_chunk, 3);
	assert_int_equal(s.rec[0].entry_count, 2);
	assert_int_equal(fvd_jrec_entry(&s.rec[0], 0), 5);
	assert_true(fvd_jrec_entry(&s.rec[0], 1) == FVD_UNALLOCATED);
	/* 125 entries fill the sector to its end. */
	memset(sector, 0, sizeof(sector));
	put32(0, FVD_JREC_TABLE);
	put32(8, 125);
	fvd_jsector_decode(sector, 1, &s);
	assert_false(s.damaged);
	assert_int_equal(s.rec[0].entry_count, 125);
	put32(8, 126);
	fvd_jsector_decode(sector, 1, &s);
	assert_true(s.damaged);
}

static void table(uint32_t n, uint32_t first, uint64_t epoch)
{
	put32(28, FVD_JREC_TABLE);
	put32(32, (uint32_t)epoch);
	put32(36, (uint32_t)(epoch >> 32));
	put32(40, n);
	put32(44, first);
}

static void bitmap(uint32_t count, uint64_t first)
{
	put32(28, FVD_JREC_BITMAP);
	put32(32, count);
	put32(36, (uint32_t)first);
	put32(40, (uint32_t)(first >> 32));
}

/* A good TABLE record, then what the caller puts at byte 28. */
static void begin(void)
{
	const uint32_t entries[2] = { 0, 1 };
	size_t used = 0;

	memset(sector, 0, sizeof(sector));
	assert_true(fvd_jsector_put_table(sector, &used, 7, 3, entries, 2));
}

static void damaged(const char *why)
{
	fvd_jsector_decode(sector, 2, &s);
	assert_true(s.damaged);
	assert_int_equal(s.count, 1);
	assert_non_null(strstr(s.damage, "record at byte 28: "));
	if (!strstr(s.damage, why))
		fail_msg("\"%s\" does not say \"%s\"", s.damage, why);
}

static void test_framing_damage(void **state)
{
	(void)state;
	begin();
	put32(28, 0x12345678);
	damaged("unknown type 0x12345678");
	table(0, 0, 1);
	damaged("n = 0");
	table(117, 0, 1);
	damaged("n = 117 runs over the end");
	table(UINT32_MAX, 0, 1);
	damaged("runs over the end");
	table(1, 0, UINT64_C(1) << 63);
	damaged("epoch 9223372036854775808");
	table(2, 0x7FFFFFFE, 1);
	damaged("pass the last possible chunk");
	table(2, UINT32_MAX, 1);
	damaged("pass the last possible chunk");
	bitmap(0, 5);
	damaged("0 sectors");
	bitmap(5, (uint64_t)-1);
	damaged("negative first sector -1");
	bitmap(5, INT64_MAX);
	damaged("pass 2^63-1");
	bitmap(1, FVD_MAX_OFF / 512);
	damaged("pass 2^63-1");
	table(116, 0, 1);
	fvd_jsector_decode(sector, 2, &s);
	assert_false(s.damaged);
	bitmap(1, FVD_MAX_OFF / 512 - 1);
	fvd_jsector_decode(sector, 2, &s);
	assert_false(s.damaged);
}

static void test_record_at_sector_end(void **state)
{
	size_t used = 0;

	(void)state;
	for (unsigned type = 0; type < 2; type++)
		for (size_t at = 500; at < 512; at += 4) {
			uint32_t entries[123] = { 0 };

			memset(sector, 0, sizeof(sector));
			used = 0;
			assert_true(fvd_jsector_put_table(sector, &used, 1, 0, entries,
							  (uint32_t)(at - 20) / 4));
			put32(at, type ? FVD_JREC_TABLE : FVD_JREC_BITMAP);
			fvd_jsector_decode(sector, 2, &s);
			assert_true(s.damaged);
			assert_non_null(strstr(s.damage, "runs over the end"));
		}
}

static void invalid(const struct fvd_jbounds *b, const char *why)
{
	fvd_jsector_decode(sector, 2, &s);
	assert_false(s.damaged);
	fvd_jsector_validate(&s, b);
	assert_true(s.damaged);
	if (!strstr(s.damage, why))
		fail_msg("\"%s\" does not say \"%s\"", s.damage, why);
}

static void test_validate(void **state)
{
	struct fvd_jbounds b = bounds(2);

	(void)state;
	begin();
	bitmap(1, 16 * FVD_MIB / 512 - 1);
	fvd_jsector_decode(sector, 2, &s);
	fvd_jsector_validate(&s, &b);
	assert_false(s.damaged);
	bitmap(2, 16 * FVD_MIB / 512 - 1);
	invalid(&b, "2 sectors from 32767, and the disk has 32768");
	table(1, 16, 9);
	invalid(&b, "1 chunks from 16, and the disk has 16");
	table(1, 15, 9);
	put32(48, FVD_ENTRY_DAMAGED);
	invalid(&b, "never used");
	put32(48, 39);
	invalid(&b, "entry 0x00000027 of chunk 15 names a chunk that overlaps");
	put32(48, 38);
	fvd_jsector_decode(sector, 2, &s);
	fvd_jsector_validate(&s, &b);
	assert_false(s.damaged);
	b.has_table = false;
	invalid(&b, "no table");
	begin();
	bitmap(1, 0);
	b = bounds(2);
	b.has_bitmap = false;
	invalid(&b, "no bitmap");
}

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void test_hostile(void **state)
{
	static const uint32_t words[] = { FVD_JREC_TABLE, FVD_JREC_BITMAP, 0, 1, 2, 3, 123, 125,
					  UINT32_MAX, 0x7FFFFFFF, 0x80000000 };
	uint64_t seed = UINT64_C(0x5EED), sink = 0;
	unsigned sound = 0;

	(void)state;
	for (int round = 0; round < HOSTILE_ROUNDS; round++) {
		int revision = 1 + (round & 1);
		struct fvd_jbounds b = bounds(revision);
		unsigned some = 1 + (unsigned)(rnd(&seed) % 4);

		for (size_t i = 0; i < 512; i += 4)
			put32(i, rnd(&seed) % 5 < some ? words[rnd(&seed) % 11] :
				 (uint32_t)rnd(&seed));
		if (round % 4 < 2)
			put32(0, words[rnd(&seed) & 1]);
		fvd_jsector_decode(sector, revision, &s);
		assert_true(s.count <= FVD_JREC_MAX_PER_SECTOR);
		assert_int_equal(s.damaged, s.damage[0] != '\0');
		for (unsigned r = 0; r < s.count; r++)
			for (uint32_t i = 0; s.rec[r].kind == FVD_JREC_KIND_TABLE &&
			     i < s.rec[r].entry_count; i++)
				sink += fvd_jrec_entry(&s.rec[r], i);
		fvd_jsector_validate(&s, &b);
		for (unsigned r = 0; !s.damaged && r < s.count; r++)
			if (s.rec[r].kind == FVD_JREC_KIND_TABLE)
				assert_true((uint64_t)s.rec[r].first_chunk +
					    s.rec[r].entry_count <= b.chunk_count);
			else
				assert_true((uint64_t)s.rec[r].first_sector +
					    s.rec[r].sector_count <= b.virtual_size / 512);
		sound += !s.damaged && s.count > 0;
	}
	assert_true(sink > 0);
	assert_true(sound > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example_encode),
		cmocka_unit_test(test_example_decode),
		cmocka_unit_test(test_put_limits),
		cmocka_unit_test(test_rev1),
		cmocka_unit_test(test_framing_damage),
		cmocka_unit_test(test_record_at_sector_end),
		cmocka_unit_test(test_validate),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
