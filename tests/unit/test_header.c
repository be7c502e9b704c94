/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/header.h"
#include "format/layout.h"
#include "util/endian.h"
#include "util/num.h"

#define HOSTILE_ROUNDS 20000

static uint8_t region[FVD_HEADER_REGION];

static void put32(size_t off, uint32_t v)
{
	fvd_le32 d = fvd_to_le32(v);

	memcpy(region + off, &d, sizeof(d));
}

static void put64(size_t off, uint64_t v)
{
	fvd_le64 d = fvd_to_le64(v);

	memcpy(region + off, &d, sizeof(d));
}

/* Copy-on-write and compact: every region is there. */
static void plan(struct fvd_header *h)
{
	memset(h, 0, sizeof(*h));
	h->revision = 2;
	h->virtual_size = 64 * FVD_MIB;
	strcpy(h->base_img, "base.raw");
	h->base_size = 32 * FVD_MIB;
	h->block_size = FVD_DEFAULT_BLOCK;
	h->chunk_size = FVD_DEFAULT_CHUNK;
	h->grow_unit = FVD_DEFAULT_GROW;
	h->journal_size = FVD_DEFAULT_JOURNAL;
	h->stable_epoch = 1;
	h->clean_shutdown = 1;
	assert_int_equal(fvd_layout_plan(h, NULL), 0);
	assert_int_equal(fvd_header_validate(h, NULL), 0);
}

static void test_rev2_offsets(void **state)
{
	struct fvd_header h;

	(void)state;
	memset(region, 0, sizeof(region));
	memcpy(region, "FVD\0\1\0\0\0", 8);
	put64(8, 1000);
	put64(16, 1001);
	strcpy((char *)region + 24, "data");
	strcpy((char *)region + 1048, "raw");
	strcpy((char *)region + 1064, "base");
	strcpy((char *)region + 2088, "fvd");
	for (unsigned i = 0; i < 8; i++)
		put64(2104 + 8 * i, 1010 + i);
	strcpy((char *)region + 2168, "cmd");
	put64(3192, 1020);
	put64(3200, 1021);
	put64(3208, 1022);
	put32(3216, 1023);
	put32(3220, 2);
	put64(3224, 1024);
	put64(3232, UINT64_MAX);
	put32(3244, 1025);
	for (unsigned i = 0; i < 8; i++)
		put64(3248 + 8 * i, 1030 + i);
	put32(3312, 1);
	region[3316] = 0xAB;
	region[3316 + 4095] = 0xCD;
	assert_int_equal(fvd_header_decode(region, sizeof(region), &h, NULL), 0);
	assert_int_equal(h.revision, 2);
	assert_int_equal(h.virtual_size, 1000);
	assert_int_equal(h.data_offset, 1001);
	assert_string_equal(h.data_file, "data");
	assert_string_equal(h.data_file_fmt, "raw");
	assert_string_equal(h.base_img, "base");
	assert_string_equal(h.base_img_fmt, "fvd");
	assert_int_equal(h.base_size, 1010);
	assert_int_equal(h.bitmap_offset, 1011);
	assert_int_equal(h.bitmap_size, 1012);
	assert_int_equal(h.block_size, 1013);
	assert_int_equal(h.table_offset, 1014);
	assert_int_equal(h.table_size, 1015);
	assert_int_equal(h.chunk_size, 1016);
	assert_int_equal(h.grow_unit, 1017);
	assert_string_equal(h.add_storage_cmd, "cmd");
	assert_int_equal(h.journal_offset, 1020);
	assert_int_equal(h.journal_size, 1021);
	assert_int_equal(h.stable_epoch, 1022);
	assert_int_equal(h.clean_shutdown, 1023);
	assert_true(h.copy_on_read);
	assert_int_equal(h.max_outstanding_cor, 1024);
	assert_true(h.prefetch_start_delay == -1);
	assert_false(h.fully_prefetched);
	assert_int_equal(h.prefetch_slots, 1025);
	assert_int_equal(h.bytes_per_prefetch, 1030);
	assert_int_equal(h.prefetch_min_read_kbps, 1031);
	assert_int_equal(h.prefetch_max_read_kbps, 1032);
	assert_int_equal(h.prefetch_min_write_kbps, 1033);
	assert_int_equal(h.prefetch_max_write_kbps, 1034);
	assert_int_equal(h.prefetch_throttle_ms, 1035);
	assert_int_equal(h.prefetch_read_measure_ms, 1036);
	assert_int_equal(h.prefetch_write_measure_ms, 1037);
	assert_true(h.need_zero_init);
	assert_int_equal(h.reserved[0], 0xAB);
	assert_int_equal(h.reserved[4095], 0xCD);
}

static void test_rev2_round_trip(void **state)
{
	struct fvd_header h, back;

	(void)state;
	plan(&h);
	strcpy(h.data_file_fmt, "raw");
	strcpy(h.add_storage_cmd, "lvextend");
	memset(h.base_img, 'x', 1023);
	h.prefetch_start_delay = -5;
	h.prefetch_slots = 3;
	h.prefetch_write_measure_ms = 9;
	h.fully_prefetched = h.copy_on_read = h.need_zero_init = true;
	memset(h.reserved, 0x5A, sizeof(h.reserved));
	memset(region, 0xFF, sizeof(region));
	fvd_header_encode(&h, region);
	assert_int_equal(fvd_header_decode(region, sizeof(region), &back, NULL), 0);
	assert_memory_equal(&h, &back, sizeof(h));
	for (size_t i = 7412; i < sizeof(region); i++)
		assert_int_equal(region[i], 0);
	/* What does not fit with its NUL is cut, not written over the next field. */
	memset(h.base_img, 'x', 1024);
	fvd_header_encode(&h, region);
	assert_int_equal(fvd_header_decode(region, sizeof(region), &back, NULL), 0);
	assert_int_equal(strlen(back.base_img), 1023);
}

static void decode_fails(enum fvd_error_class class, const char *why)
{
	struct fvd_error err = { .text = "" };
	struct fvd_header h;

	assert_int_equal(fvd_header_decode(region, sizeof(region), &h, &err), -1);
	assert_int_equal(err.class, class);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void test_decode_refuses(void **state)
{
	static const struct { size_t off, len; const char *name; } strings[] = {
		{ 24, 1024, "data_file" }, { 1048, 16, "data_file_fmt" },
		{ 1064, 1024, "base_img" }, { 2088, 16, "base_img_fmt" },
		{ 2168, 1024, "add_storage_cmd" },
	};
	struct fvd_error err;
	struct fvd_header h;

	(void)state;
	memset(region, 0, sizeof(region));
	decode_fails(FVD_ERR_FORMAT, "not an FVD image");
	memcpy(region, "QFI\xfb\0\0\0\3", 8);
	assert_int_equal(fvd_header_probe(region, sizeof(region)), 0);
	decode_fails(FVD_ERR_FORMAT, "not an FVD image");
	memcpy(region, "FVD\0\2\0\0\0", 8);
	assert_int_equal(fvd_header_probe(region, sizeof(region)), 2);
	decode_fails(FVD_ERR_FORMAT, "unsupported version 2");
	memcpy(region, "\xA9\xF5\x43\x51\0\0\0\0", 8);
	assert_int_equal(fvd_header_probe(region, sizeof(region)), 1);
	decode_fails(FVD_ERR_FORMAT, "unsupported version 0");
	assert_int_equal(fvd_header_probe(region, 7), 0);
	for (unsigned i = 0; i < 5; i++) {
		memset(region, 0, sizeof(region));
		memcpy(region, "FVD\0\1\0\0\0", 8);
		memset(region + strings[i].off, 'a', strings[i].len);
		decode_fails(FVD_ERR_CORRUPT, strings[i].name);
	}
	memset(region, 0, sizeof(region));
	memcpy(region, "FVD\0\1\0\0\0", 8);
	assert_int_equal(fvd_header_decode(region, 7411, &h, &err), -1);
	assert_int_equal(err.class, FVD_ERR_CORRUPT);
	assert_int_equal(fvd_header_decode(region, 7412, &h, &err), 0);
}

static void make_rev1(void)
{
	memset(region, 0, sizeof(region));
	memcpy(region, "\xA9\xF5\x43\x51\1\0\0\0", 8);
	put64(12, 7341568);		/* virtual_disk_size */
	put64(20, 33000);		/* metadata_size, not a whole sector */
	strcpy((char *)region + 28, "base.raw");
	put64(1068, 6292992);		/* base_img_size */
	put64(1076, 8192);		/* bitmap_offset */
	put64(1084, 4096);
	put32(1092, 5120);		/* block_size */
	put32(2148, (uint32_t)-1);	/* prefetch_start_delay */
	put32(2208, 1);			/* compact_image */
	put64(2212, 12288);		/* table_offset */
	put64(2220, 20480);		/* chunk_size */
	put64(2228, 65536);
	strcpy((char *)region + 2236, "cmd");
	put64(4284, 16384);		/* journal_offset */
	put64(4292, 16500);		/* journal_size, not a whole sector */
	put32(4300, 1);
	put32(4304, 1);
}

static void test_rev1(void **state)
{
	struct fvd_header h;
	struct fvd_error err;

	(void)state;
	make_rev1();
	assert_int_equal(fvd_header_decode(region, sizeof(region), &h, NULL), 0);
	assert_int_equal(h.revision, 1);
	assert_int_equal(h.virtual_size, 7341568);
	assert_int_equal(h.metadata_size, 33000);
	assert_int_equal(h.data_offset, 32768);
	assert_int_equal(h.base_size, 6292992);
	assert_int_equal(h.block_size, 5120);
	assert_int_equal(h.chunk_size, 20480);
	assert_int_equal(h.journal_size, 16384);
	assert_true(h.prefetch_start_delay == -1);
	assert_int_equal(fvd_header_block_count(&h), 1230);
	assert_int_equal(fvd_header_chunk_count(&h), 359);
	assert_true(h.table_size >= 4 * 359 && h.table_size < 4096);
	assert_true(h.need_zero_init && fvd_header_needs_base(&h) && h.stable_epoch == 0);
	assert_string_equal(h.add_storage_cmd, "cmd");
	if (fvd_header_validate(&h, &err) < 0)
		fail_msg("%s", err.text);
	strcpy((char *)region + 1108, "data");
	put32(8, 1);
	put32(2208, 0);
	assert_int_equal(fvd_header_decode(region, sizeof(region), &h, NULL), 0);
	assert_int_equal(h.data_offset, 0);
	assert_false(fvd_header_needs_base(&h) || fvd_header_has_table(&h));
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
}

static void test_rev1_refuses(void **state)
{
	static const struct { size_t off; uint64_t value; bool narrow; const char *why; } bad[] = {
		{ 12, (uint64_t)-512, false, "virtual_disk_size is negative (-512)" },
		{ 12, 0, false, "virtual_disk_size is 0" },
		{ 12, 7341569, false, "not a multiple" },
		{ 20, (uint64_t)-4096, false, "data_offset is negative" },
		{ 1068, (uint64_t)-512, false, "base_img_size is negative" },
		{ 1076, (uint64_t)-512, false, "bitmap_offset is negative" },
		{ 1084, (uint64_t)-512, false, "bitmap_size is negative" },
		{ 1084, 153, false, "too small for 1230 blocks" },
		{ 1084, 0, false, "no bitmap" },
		{ 1092, (uint32_t)-512, true, "block_size is negative (-512)" },
		{ 1092, 0, true, "block_size is 0" },
		{ 2212, 12287, false, "table_offset" },
		{ 2212, 8192, false, "overlaps" },
		{ 2220, 0, false, "chunk_size is 0" },
		{ 2220, (uint64_t)-512, false, "chunk_size is negative" },
		{ 4284, (uint64_t)INT64_MIN, false, "journal_offset is negative" },
		{ 4292, (uint64_t)INT64_MIN, false, "journal_size is negative" },
	};
	struct fvd_error err;
	struct fvd_header h;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make_rev1();
		if (bad[i].narrow)
			put32(bad[i].off, (uint32_t)bad[i].value);
		else
			put64(bad[i].off, bad[i].value);
		assert_int_equal(fvd_header_decode(region, sizeof(region), &h, NULL), 0);
		err.text[0] = '\0';
		assert_int_equal(fvd_header_validate(&h, &err), -1);
		assert_int_equal(err.class, FVD_ERR_CORRUPT);
		if (!strstr(err.text, bad[i].why))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, bad[i].why);
	}
}

#define FIELD(name) offsetof(struct fvd_header, name)

static void test_rev2_refuses(void **state)
{
	static const struct { size_t field; uint64_t value; const char *why; } bad[] = {
		{ FIELD(virtual_size), 0, "virtual_disk_size is 0" },
		{ FIELD(virtual_size), 64 * FVD_MIB - 1, "not a multiple of 512" },
		{ FIELD(virtual_size), UINT64_C(1) << 63, "above 2^63-1" },
		{ FIELD(virtual_size), 16 * FVD_MIB, "above the virtual size" },
		{ FIELD(virtual_size), UINT64_C(1) << 52, "at most 2147483647" },
		{ FIELD(virtual_size), 2 * FVD_GIB, "table_size 4096 is too small" },
		{ FIELD(data_offset), 513, "data_offset 513 is not a multiple" },
		{ FIELD(data_offset), UINT64_MAX, "data_offset" },
		{ FIELD(data_offset), FVD_MAX_OFF - 511, "passes 2^63-1" },
		{ FIELD(base_size), 1023, "base_img_size 1023 is not a multiple" },
		{ FIELD(base_size), 128 * FVD_MIB, "above the virtual size" },
		{ FIELD(bitmap_offset), 0, "overlaps the header" },
		{ FIELD(bitmap_offset), 4096, "overlaps the header" },
		{ FIELD(bitmap_offset), 8193, "not a multiple" },
		{ FIELD(bitmap_offset), FVD_MAX_OFF - 511, "pass 2^63-1" },
		{ FIELD(bitmap_size), 0, "no bitmap" },
		{ FIELD(bitmap_size), 100, "not a multiple" },
		{ FIELD(bitmap_size), FVD_MAX_OFF - 511, "pass 2^63-1" },
		{ FIELD(block_size), 0, "block_size is 0" },
		{ FIELD(block_size), 700, "not a multiple" },
		{ FIELD(block_size), 512, "too small for 65536 blocks" },
		{ FIELD(block_size), UINT64_MAX - 511, "above 2^63-1" },
		{ FIELD(table_offset), 8192, "overlaps" },
		{ FIELD(table_offset), UINT64_MAX - 511, "above 2^63-1" },
		{ FIELD(table_size), 100, "not a multiple" },
		{ FIELD(table_size), UINT64_MAX - 511, "above 2^63-1" },
		{ FIELD(chunk_size), 0, "chunk_size is 0" },
		{ FIELD(chunk_size), 4095, "not a multiple" },
		{ FIELD(chunk_size), 512, "too small for 131072 chunks" },
		{ FIELD(chunk_size), FVD_MAX_OFF - 511, "passes 2^63-1" },
		{ FIELD(grow_unit), UINT64_MAX, "storage_grow_unit" },
		{ FIELD(journal_offset), 0, "overlaps the header" },
		{ FIELD(journal_offset), 12289, "not a multiple" },
		{ FIELD(journal_size), 512, "journal_size 512 is not a multiple of 4096" },
		{ FIELD(journal_size), FVD_MAX_OFF - 4095, "pass 2^63-1" },
		{ FIELD(stable_epoch), UINT64_C(1) << 63, "stable_journal_epoch" },
	};
	struct fvd_error err;
	struct fvd_header h;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		plan(&h);
		memcpy((uint8_t *)&h + bad[i].field, &bad[i].value, 8);
		err.text[0] = '\0';
		if (fvd_header_validate(&h, &err) == 0)
			fail_msg("case %zu (%s) passed", i, bad[i].why);
		assert_int_equal(err.class, FVD_ERR_CORRUPT);
		if (!strstr(err.text, bad[i].why))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, bad[i].why);
	}
	plan(&h);
	strcpy(h.data_file_fmt, "fvd");
	assert_int_equal(fvd_header_validate(&h, &err), -1);
	assert_non_null(strstr(err.text, "data_file_fmt 'fvd'"));
}

static void test_absent_is_ignored(void **state)
{
	struct fvd_header h;

	(void)state;
	plan(&h);
	h.base_img[0] = '\0';
	h.base_size = h.bitmap_offset = h.block_size = UINT64_MAX;
	h.journal_size = 0;
	h.journal_offset = 77;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	h.table_size = 0;
	h.table_offset = h.chunk_size = h.grow_unit = UINT64_MAX;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	assert_int_equal(fvd_header_block_count(&h), 0);
	assert_int_equal(fvd_header_chunk_count(&h), 0);
	/* A finished prefetch needs neither base nor bitmap. */
	plan(&h);
	h.bitmap_size = 0;
	assert_int_equal(fvd_header_validate(&h, NULL), -1);
	h.fully_prefetched = true;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
}

static void test_region_order(void **state)
{
	struct fvd_header h;
	struct fvd_error err;

	(void)state;
	/* With a table data may begin below other regions: chunks are judged one by one. */
	plan(&h);
	h.data_offset = FVD_HEADER_REGION;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	/* Journal, table, bitmap far behind the data. */
	h.journal_offset = FVD_GIB;
	h.table_offset = 2 * FVD_GIB;
	h.bitmap_offset = 3 * FVD_GIB;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	/* Without a table it is one region. */
	h.table_size = 0;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	h.journal_offset = FVD_HEADER_REGION + h.virtual_size - 512;
	assert_int_equal(fvd_header_validate(&h, &err), -1);
	assert_non_null(strstr(err.text, "data_offset 8192 (67108864 bytes) overlaps "
			       "journal_offset"));
	h.journal_offset += 512;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	h.data_offset = 512;
	assert_int_equal(fvd_header_validate(&h, NULL), -1);
	/* In a file of its own it overlaps nothing. */
	strcpy(h.data_file, "d");
	h.data_offset = 0;
	h.journal_offset = FVD_HEADER_REGION;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	h.data_offset = 512;
	assert_int_equal(fvd_header_validate(&h, NULL), -1);
}

static void count_problem(void *opaque, const char *text)
{
	assert_non_null(strstr(text, "header: "));
	++*(int *)opaque;
}

static void test_all_problems(void **state)
{
	struct fvd_header h;
	int calls = 0;

	(void)state;
	plan(&h);
	h.chunk_size = 0;
	h.block_size = 0;
	h.journal_offset = h.table_offset;
	h.stable_epoch = UINT64_MAX;
	assert_int_equal(fvd_header_problems(&h, count_problem, &calls), 4);
	assert_int_equal(calls, 4);
	assert_int_equal(fvd_header_problems(&h, NULL, NULL), 4);
}

static void test_patch_state(void **state)
{
	uint8_t before[FVD_HEADER_REGION];
	struct fvd_header h, back;
	uint64_t off;
	size_t len;

	(void)state;
	plan(&h);
	memset(h.reserved, 0x77, sizeof(h.reserved));
	fvd_header_encode(&h, region);
	put32(3220, 9);			/* a true of another writer */
	put32(3240, 5);
	memcpy(before, region, sizeof(region));
	h.stable_epoch = UINT64_C(0x1122334455667788);
	h.clean_shutdown = 0;
	h.fully_prefetched = true;
	fvd_header_patch_state(&h, region, &off, &len);
	assert_int_equal(off, 3072);
	assert_int_equal(len, 512);
	for (size_t i = 0; i < sizeof(region); i++)
		if (i < 3208 || i >= 3220)
			assert_int_equal(region[i], before[i]);
	assert_int_equal(fvd_header_decode(region, sizeof(region), &back, NULL), 0);
	assert_true(back.stable_epoch == h.stable_epoch);
	assert_int_equal(back.clean_shutdown, 0);
	h.fully_prefetched = false;
	fvd_header_patch_state(&h, region, &off, &len);
	assert_int_equal(region[3240], 0);

	make_rev1();
	memcpy(before, region, sizeof(region));
	assert_int_equal(fvd_header_decode(region, sizeof(region), &h, NULL), 0);
	h.clean_shutdown = 0;
	fvd_header_patch_state(&h, region, &off, &len);
	assert_int_equal(off, 4096);
	for (size_t i = 0; i < sizeof(region); i++)
		assert_int_equal(region[i], i == 4300 ? 0 : before[i]);
}

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Values that sit on the edges of what arithmetic can do. */
static uint64_t nasty(uint64_t *seed)
{
	uint64_t r = rnd(seed);

	switch (r >> 8 & 7) {
	case 0: return 0;
	case 1: return UINT64_MAX - (r & 0x7FF);
	case 2: return (UINT64_C(1) << 63) - 512 + (r & 1023);
	case 3: return UINT64_C(1) << (r & 63);
	case 4: return (r >> 20 & 0xFFFFF) * 512;
	case 5: return (r >> 20) & ~UINT64_C(4095);
	default: return r >> (r & 63);
	}
}

/* What _validate lets pass keeps the promises that the layers above rely on. */
static void check_promises(const struct fvd_header *h)
{
	assert_true(h->virtual_size > 0 && h->virtual_size <= FVD_MAX_OFF);
	if (fvd_header_has_table(h)) {
		assert_true(fvd_header_chunk_count(h) <= FVD_MAX_CHUNKS);
		assert_true(fvd_header_chunk_count(h) * 4 <= h->table_size);
		assert_true(h->table_offset + h->table_size <= FVD_MAX_OFF);
		assert_true(h->chunk_size >= 512 && h->data_offset + h->chunk_size <= FVD_MAX_OFF);
	} else {
		assert_true(h->data_offset + h->virtual_size <= FVD_MAX_OFF);
	}
	if (fvd_header_needs_base(h))
		assert_true(fvd_header_has_bitmap(h));
	if (fvd_header_has_bitmap(h)) {
		assert_true(h->block_size >= 512 && h->base_size <= h->virtual_size);
		assert_true(fvd_header_block_count(h) <= h->bitmap_size * 8);
		assert_true(h->bitmap_offset >= FVD_HEADER_REGION);
		assert_true(h->bitmap_offset + h->bitmap_size <= FVD_MAX_OFF);
	}
	if (fvd_header_has_journal(h)) {
		assert_true(h->journal_offset >= FVD_HEADER_REGION);
		assert_true(h->journal_offset + h->journal_size <= FVD_MAX_OFF);
	}
}

static void test_hostile(void **state)
{
	static const unsigned rev2[] = { 8, 16, 2104, 2112, 2120, 2128, 2136, 2144, 2152, 2160,
					 3192, 3200, 3208, 3240 };
	static const unsigned rev1[] = { 8, 12, 20, 1068, 1076, 1084, 1092, 2208, 2212, 2220,
					 2228, 4284, 4292 };
	uint64_t seed = UINT64_C(0x20110201);
	unsigned passed = 0;
	struct fvd_header h;

	(void)state;
	for (int round = 0; round < HOSTILE_ROUNDS; round++) {
		bool two = round & 1;

		if (round % 8 < 2) {
			for (size_t i = 8; i < sizeof(region); i += 8)
				put64(i, rnd(&seed));
			memcpy(region, two ? "FVD\0\1\0\0\0" : "\xA9\xF5\x43\x51\1\0\0\0", 8);
		} else if (two) {
			plan(&h);
			fvd_header_encode(&h, region);
		} else {
			make_rev1();
		}
		for (unsigned n = (unsigned)(rnd(&seed) % 4); n > 0; n--)
			put64(two ? rev2[rnd(&seed) % 14] : rev1[rnd(&seed) % 13], nasty(&seed));
		if (fvd_header_decode(region, sizeof(region), &h, NULL) == 0 &&
		    fvd_header_validate(&h, NULL) == 0) {
			check_promises(&h);
			passed++;
		}
	}
	assert_true(passed > HOSTILE_ROUNDS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rev2_offsets),
		cmocka_unit_test(test_rev2_round_trip),
		cmocka_unit_test(test_decode_refuses),
		cmocka_unit_test(test_rev1),
		cmocka_unit_test(test_rev1_refuses),
		cmocka_unit_test(test_rev2_refuses),
		cmocka_unit_test(test_absent_is_ignored),
		cmocka_unit_test(test_region_order),
		cmocka_unit_test(test_all_problems),
		cmocka_unit_test(test_patch_state),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
