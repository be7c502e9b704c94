/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "format/layout.h"
#include "format/table.h"
#include "util/num.h"

static struct fvd_header request(uint64_t size, uint64_t base, uint64_t chunk)
{
	struct fvd_header h;

	memset(&h, 0, sizeof(h));
	h.revision = 2;
	h.virtual_size = size;
	h.base_size = base;
	if (base)
		strcpy(h.base_img, "base");
	h.block_size = FVD_DEFAULT_BLOCK;
	h.chunk_size = chunk;
	h.journal_size = FVD_DEFAULT_JOURNAL;
	h.stable_epoch = 1;
	return h;
}

static void refuses(struct fvd_header h, const char *why)
{
	struct fvd_error err = { .text = "" };

	assert_int_equal(fvd_layout_plan(&h, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void test_full(void **state)
{
	struct fvd_header h = request(FVD_GIB, FVD_GIB, FVD_MIB);

	(void)state;
	assert_int_equal(fvd_layout_plan(&h, NULL), 0);
	assert_int_equal(h.bitmap_offset, 8192);
	assert_int_equal(h.bitmap_size, 4096);
	assert_int_equal(h.journal_offset, 12288);
	assert_int_equal(h.journal_size, FVD_DEFAULT_JOURNAL);
	assert_int_equal(h.table_offset, 12288 + 16 * FVD_MIB);
	assert_int_equal(h.table_size, 4096);
	assert_int_equal(h.data_offset, 17 * FVD_MIB);
}

static void test_raw(void **state)
{
	struct fvd_header h = request(FVD_GIB, 0, 0);

	(void)state;
	assert_int_equal(fvd_layout_plan(&h, NULL), 0);
	assert_int_equal(h.bitmap_size + h.table_size + h.journal_size, 0);
	assert_int_equal(h.data_offset, 8192);
	strcpy(h.data_file, "d");
	assert_int_equal(fvd_layout_plan(&h, NULL), 0);
	assert_int_equal(h.data_offset, 0);
}

/* Every shape that is planned is one that a reader accepts. */
static void test_all_validate(void **state)
{
	static const uint64_t sizes[] = { 512, 4096, FVD_MIB + 512, 10 * FVD_GIB, 64 * FVD_TIB };
	static const uint64_t chunks[] = { 0, 4096, 65536, FVD_MIB, 512 * FVD_MIB };
	static const uint64_t blocks[] = { 512, 4096, 65536, 32 * FVD_MIB };
	unsigned planned = 0;

	(void)state;
	for (unsigned i = 0; i < 5 * 5 * 4 * 3 * 2; i++) {
		uint64_t size = sizes[i % 5], chunk = chunks[i / 5 % 5];
		uint64_t base = i / 100 % 3 == 0 ? 0 : i / 100 % 3 == 1 ? 512 : size;
		struct fvd_header h = request(size, base, chunk);
		struct fvd_error err;

		h.block_size = blocks[i / 25 % 4];
		if (i / 300)
			strcpy(h.data_file, "data");
		if (fvd_layout_plan(&h, &err) < 0)
			continue;
		planned++;
		if (fvd_header_validate(&h, &err) < 0)
			fail_msg("case %u: %s", i, err.text);
		assert_int_equal(h.bitmap_offset % 4096 + h.bitmap_size % 4096, 0);
		assert_int_equal(h.table_offset % 4096 + h.table_size % 4096, 0);
		assert_int_equal(h.journal_offset % 4096, 0);
		assert_int_equal(h.data_offset % (chunk ? chunk : 4096), 0);
	}
	assert_true(planned > 400);
}

static void test_refuses(void **state)
{
	struct fvd_header h;

	(void)state;
	refuses(request(0, 0, FVD_MIB), "virtual size is 0");
	refuses(request(513, 0, FVD_MIB), "513 is not a multiple of 512");
	refuses(request(UINT64_C(1) << 63, 0, UINT64_C(1) << 40), "above the limit of 2^63-1");
	refuses(request(FVD_MAX_OFF - 511, 0, 0), "passes 2^63-1");
	refuses(request(FVD_MAX_OFF - 511, 0, UINT64_C(1) << 40), "passes 2^63-1");
	refuses(request(FVD_GIB, 0, 2048), "chunk size 2048");
	refuses(request(FVD_GIB, 0, 12288), "chunk size 12288");
	refuses(request(UINT64_C(1) << 52, 0, FVD_MIB), "use a larger chunk size");
	refuses(request(FVD_GIB, FVD_GIB + 512, FVD_MIB), "base size 1073742336");
	refuses(request(FVD_GIB, 1000, FVD_MIB), "base size 1000");
	h = request(FVD_GIB, FVD_GIB, FVD_MIB);
	h.block_size = 3 * 512;
	refuses(h, "block size 1536");
	h.block_size = 256;
	refuses(h, "block size 256");
	h.block_size = 128 * FVD_MIB;
	refuses(h, "above 64 chunks (67108864)");
	h.block_size = 64 * FVD_MIB;
	assert_int_equal(fvd_layout_plan(&h, NULL), 0);
	h.journal_size = 512;
	refuses(h, "journal size 512");
}

static void test_default_chunk(void **state)
{
	(void)state;
	assert_int_equal(fvd_layout_default_chunk(512), FVD_MIB);
	assert_int_equal(fvd_layout_default_chunk(128 * FVD_GIB), FVD_MIB);
	assert_int_equal(fvd_layout_default_chunk(128 * FVD_GIB + 512), 2 * FVD_MIB);
	assert_int_equal(fvd_layout_default_chunk(64 * FVD_TIB), 512 * FVD_MIB);
	assert_true(fvd_is_pow2(fvd_layout_default_chunk(FVD_MAX_OFF)));
}

static void test_geometry(void **state)
{
	struct fvd_header h = request(FVD_GIB, FVD_GIB, FVD_MIB);
	struct fvd_chunk_geometry g;

	(void)state;
	assert_int_equal(fvd_layout_plan(&h, NULL), 0);
	/* Data in front, the table inside what could be chunk 2, the journal in chunk 9. */
	h.data_offset = FVD_MIB;
	h.table_offset = 3 * FVD_MIB + 65536;
	h.journal_offset = 10 * FVD_MIB;
	h.journal_size = FVD_MIB;
	assert_int_equal(fvd_header_validate(&h, NULL), 0);
	fvd_chunk_geometry_init(&g, &h, UINT64_MAX);
	assert_int_equal(g.region_count, 4);
	for (unsigned i = 1; i < g.region_count; i++)
		assert_true(g.region[i - 1].off < g.region[i].off);
	assert_null(fvd_entry_damage(&g, 0));
	assert_null(fvd_entry_damage(&g, 1));
	assert_non_null(strstr(fvd_entry_damage(&g, 2), "overlaps"));
	assert_null(fvd_entry_damage(&g, 3));
	assert_null(fvd_entry_damage(&g, 8));
	assert_non_null(strstr(fvd_entry_damage(&g, 9), "overlaps"));
	assert_null(fvd_entry_damage(&g, 10));
	assert_null(fvd_entry_damage(&g, 0x7FFFFFFE));
	assert_non_null(strstr(fvd_entry_damage(&g, FVD_ENTRY_DAMAGED), "never used"));
	assert_null(fvd_entry_damage(&g, FVD_UNALLOCATED));
	assert_int_equal(fvd_entry_offset(&g, 10), 11 * FVD_MIB);

	/* A device ends somewhere. */
	fvd_chunk_geometry_init(&g, &h, 20 * FVD_MIB);
	assert_null(fvd_entry_damage(&g, 18));
	assert_non_null(strstr(fvd_entry_damage(&g, 19), "end of the device"));
	strcpy(h.data_file, "data");
	h.data_offset = 0;
	fvd_chunk_geometry_init(&g, &h, UINT64_MAX);
	assert_int_equal(g.region_count, 0);
	assert_null(fvd_entry_damage(&g, 9));
	g.chunk_size = UINT64_C(1) << 40;
	assert_non_null(strstr(fvd_entry_damage(&g, 0x7FFFFFFE), "2^63-1"));
	g.chunk_size = UINT64_C(1) << 62;
	assert_null(fvd_entry_damage(&g, 0));
	assert_non_null(strstr(fvd_entry_damage(&g, 1), "2^63-1"));
	assert_non_null(strstr(fvd_entry_damage(&g, 3), "2^63-1"));
}

static void test_table_bytes(void **state)
{
	const uint8_t raw[16] = { 1, 2, 3, 4, 5, 0, 0, 0x80, 0xFF, 0xFF, 0xFF, 0xFF,
				  0xFF, 0xFF, 0xFF, 0x7F };
	uint32_t out[4];
	uint8_t back[16];

	(void)state;
	fvd_table_decode(out, raw, 4);
	assert_int_equal(out[0], 0x04030201);
	assert_int_equal(out[1], 5);
	assert_true(out[2] == FVD_UNALLOCATED);
	assert_true(out[3] == FVD_ENTRY_DAMAGED);
	out[1] |= FVD_ENTRY_DIRTY;
	fvd_table_encode(back, out, 4);
	assert_memory_equal(back + 4, "\5\0\0\0", 4);	/* the dirty mark is never written */
	assert_memory_equal(back + 8, raw + 8, 8);
	/* In place. */
	memcpy(out, raw, 16);
	fvd_table_decode(out, out, 4);
	assert_int_equal(out[1], 5);
	fvd_table_encode(out, out, 4);
	assert_memory_equal(out, back, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_all_validate),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_default_chunk),
		cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_table_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
