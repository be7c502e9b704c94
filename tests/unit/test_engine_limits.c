/* SPDX-License-Identifier: BSD-2-Clause */
/* Odd but legal geometry, the last epochs, and failures that must stay final (J13). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/engine_world.h"
#include "format/disk.h"
#include "format/ext.h"

#define K EW_CHUNK
#define BASE FVD_MIB

/* ---- blocks ---- */

/* @chunk 0: no table; @field is what the header says of its chunks then. */
static void copy_on_write(uint64_t block, uint64_t chunk, uint64_t field)
{
	struct fvd_header h = mk_header(BASE + K, BASE, K, chunk, K);
	struct ew w;

	h.block_size = block;
	if (chunk == 0)
		h.chunk_size = field;
	ew_make(&w, &h);
	ew_base(&w, BASE, 'b');
	w.opts.flags |= FVD_OPEN_IGNORE_BASE_CHANGE;
	ew_open(&w);
	ew_put(&w, 'A', 4096, 512);
	ew_flush(&w);
	ew_crash(&w);
	ew_expect(&w, w.img, 'b', 0, 4096);
	ew_expect(&w, w.img, 'A', 4096, 512);
	ew_expect(&w, w.img, 'b', 4608, BASE - 4608);
	ew_expect(&w, w.img, 0, BASE, K);
	ew_close(&w);
	ew_open(&w);
	ew_expect(&w, w.img, 'A', 4096, 512);
	ew_expect(&w, w.img, 'b', 4608, BASE - 4608);
	ew_close(&w);
	ew_done(&w);
}

static void without_table_the_chunk_size_may_be_0(void **state)
{
	(void)state;
	copy_on_write(K, 0, 0);
	copy_on_write(512, 0, 0);
}

static void a_block_may_be_larger_than_the_disk(void **state)
{
	(void)state;
	for (unsigned shift = 40; shift <= 62; shift++) {
		copy_on_write(UINT64_C(1) << shift, K, K);
		copy_on_write(UINT64_C(1) << shift, 0, FVD_MIB);
		copy_on_write(UINT64_C(1) << shift, 0, 0);
	}
}

/* ---- epochs ---- */

/* Chunk 0 holds 'A', clean; the first change of metadata is refused, and leaves all as it was. */
static void refuse_metadata(struct ew *w)
{
	uint8_t *before, *after;
	uint64_t len;

	mk_entry(w->file->inner, &w->h, 0, 0);
	mk_fill(w->file->inner, w->h.data_offset, K, 'A');
	before = mk_bytes(w->file->inner, &len);
	ew_open(w);
	ew_expect(w, w->img, 'A', 0, K);
	assert_int_equal(ew_write(w, 'B', 2 * K, 512), -1);
	assert_int_equal(w->err.class, FVD_ERR_CORRUPT);
	assert_non_null(strstr(w->err.text, "leaves no room for more"));
	assert_int_equal(fvd_image_flush(w->img, &w->err), -1);
	ew_expect(w, w->img, 'A', 0, K);
	ew_expect(w, w->img, 0, 2 * K, K);
	fvd_image_drop(w->img);
	after = mk_bytes(w->file->inner, &len);
	assert_memory_equal(before, after, w->h.data_offset + K);
	free(before);
	free(after);
	w->opts.flags = 0;
	ew_open(w);
	ew_expect(w, w->img, 'A', 0, K);
	ew_close(w);
	ew_done(w);
}

static void the_last_epochs_are_not_begun(void **state)
{
	const uint64_t epochs[] = { FVD_MAX_EPOCH, FVD_MAX_EPOCH - 1, FVD_MAX_EPOCH - 1000000 };
	struct ew w;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct fvd_header h = mk_header(8 * K, 0, K, K, K);

		h.stable_epoch = epochs[i];
		ew_make(&w, &h);
		refuse_metadata(&w);
	}
	for (unsigned i = 1; i < 3; i++) {	/* from what lies in the journal */
		struct fvd_header h = mk_header(8 * K, 0, K, K, K);

		ew_make(&w, &h);
		mk_put_table(w.file->inner, &h, 3, epochs[i], 5, 5);
		refuse_metadata(&w);
	}
}

/* ---- failures ---- */

/* Opening, overwriting 'A', allocating: sync number @in fails. Whether there was one. */
static bool sync_fails(int in)
{
	struct fvd_header h = mk_header(8 * K, 0, K, K, K);
	struct ew w;
	bool failed;

	ew_make(&w, &h);
	ew_open(&w);
	ew_put(&w, 'A', 0, K);
	ew_close(&w);
	ew_fail(&w, EW_FLUSH, in);
	if (fvd_image_open("img", &w.opts, &w.img, &w.err) == 0) {
		ew_write(&w, 'Z', 0, K);
		ew_write(&w, 'B', K, K);
		if (fvd_image_flush(w.img, &w.err) == 0 && w.file->failed)
			fail_msg("a flush works after sync %d has failed", in);
		if (w.file->failed) {
			assert_int_equal(ew_write(&w, 'C', 2 * K, K), -1);
			assert_int_equal(fvd_image_flush(w.img, &w.err), -1);
			assert_int_equal(fvd_image_close(w.img, &w.err), -1);
		} else {	/* the close has syncs of its own */
			int rc = fvd_image_close(w.img, &w.err);

			assert_int_equal(rc, w.file->failed ? -1 : 0);
		}
	} else {
		assert_true(w.file->failed);
	}
	failed = w.file->failed;
	ew_fail(&w, EW_FLUSH, -1);
	ew_open(&w);
	ew_close(&w);
	w.img = NULL;
	ew_done(&w);
	return failed;
}

static void no_flush_works_after_a_failed_sync(void **state)
{
	int in = 0;

	(void)state;
	while (sync_fails(in))
		in++;
	assert_in_range(in, 3, 20);
}

/* The first change of an opening finds that the state sector cannot be written, or not synced. */
static void state_write_fails(bool generation, enum ew_kind kind)
{
	struct fvd_ext ext = { .state = FVD_EXT_OK, .has_generation = generation,
			       .generation = 7, .creator = "test" };
	struct fvd_header h = mk_header(8 * K, 0, K, K, K);
	uint64_t change = generation ? 0 : 2 * K;
	struct ew w;

	assert_int_equal(fvd_ext_encode(&ext, h.reserved, NULL), 0);
	ew_make(&w, &h);
	ew_open(&w);
	ew_put(&w, 'A', 0, K);
	ew_close(&w);
	ew_open(&w);
	ew_watch(&w, FVD_STATE_SECTOR_REV2, FVD_SECTOR);
	/* a write before it goes elsewhere: the data */
	ew_fail(&w, kind, !generation && kind == EW_WRITE ? 1 : 0);
	assert_int_equal(ew_write(&w, 'B', change, 512), -1);
	assert_true(w.file->failed);
	assert_int_equal(ew_watched(&w), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ew_write(&w, 'B', change, 512), -1);
		assert_int_equal(ew_write(&w, 'B', 3 * K, 512), -1);
		assert_int_equal(fvd_image_flush(w.img, &w.err), -1);
		ew_expect(&w, w.img, 'A', 4096, K - 4096);
		ew_expect(&w, w.img, 0, 2 * K, K);
	}
	assert_int_equal(ew_watched(&w), 1);
	assert_int_equal(fvd_image_close(w.img, &w.err), -1);
	assert_int_equal(ew_watched(&w), 1);
	ew_open(&w);
	ew_put(&w, 'B', 2 * K, 512);
	ew_close(&w);
	w.img = NULL;
	ew_done(&w);
}

static void a_failed_state_write_is_final(void **state)
{
	(void)state;
	state_write_fails(true, EW_WRITE);
	state_write_fails(true, EW_FLUSH);
	state_write_fails(false, EW_WRITE);
	state_write_fails(false, EW_FLUSH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_table_the_chunk_size_may_be_0),
		cmocka_unit_test(a_block_may_be_larger_than_the_disk),
		cmocka_unit_test(the_last_epochs_are_not_begun),
		cmocka_unit_test(no_flush_works_after_a_failed_sync),
		cmocka_unit_test(a_failed_state_write_is_final),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
