/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Power cuts at every moment of random workloads on every layout; see support/crash_run.h.
 * SEED= starts elsewhere, ROUNDS= does so many times the work.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/crash_layouts.h"

/* A sector written twice and a punch, one flush between: exactly these values may be found. */
static void test_disk_model(void **state)
{
	struct cw *w = cw_new(), *scratch = cw_new();
	bool found[4] = { false };
	uint8_t sector[512];
	struct fvd_io *io;
	struct cw_rng rng;
	struct cd disk;

	(void)state;
	cw_add(w, "f", 4096);
	cd_init(&disk, w);
	w->logging = true;
	cw_seed(&rng, 1);
	assert_int_equal(w->opener.open(&w->opener, "f", FVD_IO_WRITE, FVD_LOCK_NONE, &io, NULL),
			 0);
	for (int i = 1; i <= 3; i++) {
		memset(sector, i, sizeof(sector));
		assert_int_equal(fvd_io_pwrite(io, sector, 512, 512, NULL), 0);
		if (i == 1)
			assert_int_equal(fvd_io_flush(io, NULL), 0);
	}
	assert_int_equal(fvd_io_pwrite(io, sector, 512, 8192, NULL), 0);
	cd_advance(&disk, w->clock);
	assert_int_equal(disk.pieces, 4);
	for (int i = 0; i < 200; i++) {
		cd_choose_random(&disk, &rng, 50);
		cd_build(&disk, scratch);
		found[scratch->file[0].data[512] & 3] = true;
		assert_int_equal(scratch->file[0].data[0], 0);
		assert_true(scratch->file[0].len == 4096 || scratch->file[0].len == 8704);
	}
	assert_false(found[0]);
	assert_true(found[1] && found[2] && found[3]);
	fvd_io_close(io);
	cd_fini(&disk);
	cw_free(scratch);
	cw_free(w);
}

/* A flush covers what had returned when it was called, on its own file only. */
static void test_disk_model_flush(void **state)
{
	struct cw *w = cw_new();
	struct fvd_io *a, *b;
	struct cd disk;

	(void)state;
	cw_add(w, "a", 4096);
	cw_add(w, "b", 4096);
	cd_init(&disk, w);
	w->logging = true;
	assert_int_equal(w->opener.open(&w->opener, "a", FVD_IO_WRITE, FVD_LOCK_NONE, &a, NULL), 0);
	assert_int_equal(w->opener.open(&w->opener, "b", FVD_IO_WRITE, FVD_LOCK_NONE, &b, NULL), 0);
	assert_int_equal(fvd_io_pwrite(a, "x", 1, 0, NULL), 0);
	assert_int_equal(fvd_io_pwrite(b, "x", 1, 0, NULL), 0);
	assert_int_equal(fvd_io_flush(b, NULL), 0);
	assert_int_equal(fvd_io_zero(b, 0, 4096, NULL), 0);
	cd_advance(&disk, w->clock);
	assert_int_equal(disk.pieces, 1 + 8);
	assert_int_equal(disk.file[0].data[0], 0);
	assert_int_equal(disk.file[1].data[0], 'x');
	fvd_io_close(a);
	fvd_io_close(b);
	cd_fini(&disk);
	cw_free(w);
}

/* Old and new values are fine between a write and the next flush, only the new one after it. */
static void test_model_judges(void **state)
{
	uint8_t zero[1024] = { 0 }, new[512], content[1024] = { 0 };
	struct model m;
	uint32_t id;

	(void)state;
	model_stamp(new, 1, 1, 7);
	model_init(&m, sizeof(zero), zero);
	id = model_write(&m, new, 512, 512, 10);
	model_written(&m, id, 512, 512, true, 12);
	model_flushed(&m, 11, 13);	/* called before the write had returned */
	assert_int_equal(model_judge(&m, content, 14), UINT64_MAX);
	memcpy(content + 512, new, 512);
	assert_int_equal(model_judge(&m, content, 14), UINT64_MAX);
	model_flushed(&m, 15, 16);
	assert_int_equal(model_judge(&m, content, 17), UINT64_MAX);
	memset(content + 512, 0, 512);
	assert_int_equal(model_judge(&m, content, 17), 1);
	content[0] = 1;
	assert_int_equal(model_judge(&m, content, 17), 0);
	model_fini(&m);
}

static void test_power_cuts(void **state)
{
	uint64_t seed = cr_env("SEED", 1), rounds = cr_env("ROUNDS", 1), n = 0;
	uint64_t only = cr_env("LAYOUT", cr_layout_count);
	uint64_t seeds = rounds * 2;
	struct cr_job *jobs = calloc(seeds * cr_layout_count * cr_profile_count, sizeof(*jobs));
	struct cr_result result = { 0 };

	(void)state;
	assert_non_null(jobs);
	for (uint64_t s = seed; s < seed + seeds; s++) {
		for (size_t i = 0; i < cr_layout_count; i++) {
			for (size_t p = 0; p < cr_profile_count; p++) {
				if (only < cr_layout_count && i != only)
					continue;
				jobs[n++] = (struct cr_job){ &cr_layouts[i], cr_profiles[p], s, 0 };
			}
		}
	}
	cr_run_all(jobs, n, &result);
	free(jobs);
	print_message("SEED=%" PRIu64 " ROUNDS=%" PRIu64 ": %" PRIu64 " crash states explored and %"
		      PRIu64 " of replays, at %" PRIu64 " cuts of %" PRIu64 " runs; %" PRIu64
		      " journal writes, %" PRIu64 " recyclings\n", seed, rounds, result.states,
		      result.deep_states, result.cuts, result.runs, result.journal_writes,
		      result.recycles);
	if (result.violated)
		fail_msg("%s", result.text);
	assert_true(result.recycles > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_model),
		cmocka_unit_test(test_disk_model_flush),
		cmocka_unit_test(test_model_judges),
		cmocka_unit_test(test_power_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
