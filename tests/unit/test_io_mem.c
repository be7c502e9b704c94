/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/io_mem.h"
#include "util/num.h"

#define MODEL_CAP (64 * 1024)
#define PAGE 4096

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

struct model {
	struct fvd_io *io;
	uint8_t bytes[MODEL_CAP];	/* zero beyond len */
	uint64_t len;
	uint64_t base;			/* where in the file the model begins */
};

static void model_write(struct model *m, uint64_t off, uint64_t len)
{
	static const size_t split[] = { 0, 1, 511, 4096 };
	uint8_t buf[MODEL_CAP];
	struct iovec iov[2];
	size_t head = fvd_min(len, split[rng() % 4]);

	for (uint64_t i = 0; i < len; i++)
		buf[i] = (uint8_t)rng();
	iov[0] = (struct iovec){ buf, head };
	iov[1] = (struct iovec){ buf + head, len - head };
	assert_int_equal(fvd_io_pwritev(m->io, iov, 2, m->base + off, NULL), 0);
	memcpy(m->bytes + off, buf, len);
	if (len > 0)
		m->len = fvd_max(m->len, off + len);
}

static void model_zero(struct model *m, uint64_t off, uint64_t len)
{
	bool punched = false;

	if (rng() % 2) {
		assert_int_equal(fvd_io_zero(m->io, m->base + off, len, NULL), 0);
	} else {
		assert_int_equal(fvd_io_punch(m->io, m->base + off, len, &punched, NULL), 0);
		assert_true(punched);
	}
	memset(m->bytes + off, 0, len);
}

static void model_truncate(struct model *m, uint64_t len)
{
	assert_int_equal(fvd_io_truncate(m->io, m->base + len, NULL), 0);
	if (len < m->len)
		memset(m->bytes + len, 0, m->len - len);
	m->len = len;
}

static void model_copy(struct model *m, uint64_t from, uint64_t to, uint64_t len)
{
	assert_int_equal(fvd_io_copy(m->io, m->base + from, m->io, m->base + to, len, NULL), 0);
	memmove(m->bytes + to, m->bytes + from, len);
	if (len > 0 && from != to)
		m->len = fvd_max(m->len, to + len);
}

static void model_compare(struct model *m)
{
	uint8_t buf[MODEL_CAP];
	uint64_t len;

	assert_int_equal(fvd_io_length(m->io, &len, NULL), 0);
	assert_int_equal(len, m->base + m->len);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(fvd_io_pread(m->io, buf, sizeof(buf), m->base, NULL), 0);
	assert_memory_equal(buf, m->bytes, sizeof(buf));
}

/* Holes read as zero, and runs alternate or end at the limit. */
static void model_compare_map(struct model *m)
{
	struct fvd_io_extent ext;

	for (uint64_t at = 0; at < MODEL_CAP; at += ext.len) {
		assert_int_equal(fvd_io_extent(m->io, m->base + at, MODEL_CAP - at, &ext, NULL),
				 0);
		assert_true(ext.len > 0 && ext.len <= MODEL_CAP - at);
		assert_true(ext.hole || at + ext.len <= m->len);
		for (uint64_t i = at; ext.hole && i < at + ext.len; i++)
			assert_int_equal(m->bytes[i], 0);
	}
}

static void run_model(uint64_t seed, uint64_t base)
{
	struct model m = { .base = base };

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_state = seed;
	m.io = fvd_io_mem_new("model", base, NULL);
	assert_non_null(m.io);
	for (int i = 0; i < 3000; i++) {
		uint64_t off = rng() % MODEL_CAP, len = rng() % (MODEL_CAP - off);

		if (rng() % 2)
			len %= 5000;
		switch (rng() % 6) {
		case 0:
		case 1:
			model_write(&m, off, len);
			break;
		case 2:
		case 3:
			model_zero(&m, off, len);
			break;
		case 4:
			model_truncate(&m, off);
			break;
		default:
			model_copy(&m, off, rng() % (MODEL_CAP - len), len);
		}
		model_compare(&m);
		model_compare_map(&m);
	}
	fvd_io_close(m.io);
}

static void random_operations_match_an_array(void **state)
{
	(void)state;
	run_model(1, 0);
	run_model(2, 37 * FVD_TIB);
	run_model(3, FVD_TIB - 3 * PAGE);
}

/* Longer than any buffer of the copy, so that the order of its pieces matters. */
static void long_overlapping_copies_move_bytes(void **state)
{
	size_t size = 5 * FVD_MIB, len = 4 * FVD_MIB, shift = 100000;
	uint8_t *want = malloc(size), *got = malloc(size);
	struct fvd_io *io = fvd_io_mem_new("overlap", 0, NULL);

	(void)state;
	rng_state = 9;
	for (size_t i = 0; i < size; i++)
		want[i] = (uint8_t)rng();
	assert_int_equal(fvd_io_pwrite(io, want, size, 0, NULL), 0);
	assert_int_equal(fvd_io_copy(io, 0, io, shift, len, NULL), 0);
	memmove(want + shift, want, len);
	assert_int_equal(fvd_io_pread(io, got, size, 0, NULL), 0);
	assert_memory_equal(got, want, size);
	assert_int_equal(fvd_io_copy(io, shift, io, 7, len, NULL), 0);
	memmove(want + 7, want + shift, len);
	assert_int_equal(fvd_io_pread(io, got, size, 0, NULL), 0);
	assert_memory_equal(got, want, size);
	fvd_io_close(io);
	free(want);
	free(got);
}

static void huge_sparse_file_costs_nothing(void **state)
{
	struct fvd_io *io = fvd_io_mem_new("huge", 64 * FVD_TIB, NULL);
	struct fvd_io_extent ext;
	uint64_t bytes;

	(void)state;
	assert_non_null(io);
	assert_int_equal(fvd_io_pwrite(io, "x", 1, 40 * FVD_TIB, NULL), 0);
	assert_int_equal(fvd_io_pwrite(io, "y", 1, 64 * FVD_TIB - 1, NULL), 0);
	assert_int_equal(fvd_io_extent(io, 0, 64 * FVD_TIB, &ext, NULL), 0);
	assert_true(ext.hole);
	assert_int_equal(ext.len, 40 * FVD_TIB);
	assert_int_equal(fvd_io_allocated(io, 0, 64 * FVD_TIB, &bytes, NULL), 0);
	assert_int_equal(bytes, 2 * PAGE);
	assert_int_equal(fvd_io_zero(io, 0, 64 * FVD_TIB, NULL), 0);
	assert_int_equal(fvd_io_allocated(io, 0, 64 * FVD_TIB, &bytes, NULL), 0);
	assert_int_equal(bytes, 0);
	fvd_io_close(io);
}

static void ranges_past_the_limit_are_refused(void **state)
{
	struct fvd_io *io = fvd_io_mem_new("limit", 0, NULL);
	struct fvd_error err = { 0 };
	struct fvd_io_extent ext;
	uint8_t b[2] = { 1, 2 };
	uint64_t len = 1;

	(void)state;
	assert_int_equal(fvd_io_pwrite(io, b, 2, FVD_MAX_OFF - 1, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
	assert_non_null(strstr(err.text, "limit: cannot write 2 bytes at offset"));
	assert_int_equal(fvd_io_pread(io, b, 1, UINT64_MAX, &err), -1);
	assert_int_equal(fvd_io_truncate(io, FVD_MAX_OFF + 1, &err), -1);
	assert_int_equal(fvd_io_zero(io, FVD_MAX_OFF, 1, &err), -1);
	assert_int_equal(fvd_io_extent(io, 0, 0, &ext, &err), -1);
	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	assert_int_equal(len, 0);
	assert_int_equal(fvd_io_pwrite(io, b, 1, FVD_MAX_OFF - 1, NULL), 0);
	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	assert_int_equal(len, FVD_MAX_OFF);
	assert_null(fvd_io_mem_new("limit", FVD_MAX_OFF + 1, &err));
	fvd_io_close(io);
}

static void read_only_refuses_changes(void **state)
{
	struct fvd_io *io = fvd_io_mem_new("ro", 10, NULL);
	struct fvd_error err = { 0 };
	bool punched = true;

	(void)state;
	io->readonly = true;
	assert_int_equal(fvd_io_pwrite(io, "x", 1, 0, &err), -1);
	assert_int_equal(err.class, FVD_ERR_READONLY);
	assert_int_equal(fvd_io_truncate(io, 5, NULL), -1);
	assert_int_equal(fvd_io_zero(io, 0, 1, NULL), -1);
	assert_int_equal(fvd_io_punch(io, 0, 1, &punched, NULL), -1);
	assert_false(punched);
	assert_int_equal(fvd_io_flush(io, NULL), 0);
	fvd_io_close(io);
}

/* A backend without punch: zero writes, punch says that it cannot. */
static void zero_without_punch_writes(void **state)
{
	struct fvd_io *io = fvd_io_mem_new("plain", 0, NULL);
	const struct fvd_io_ops *full = io->ops;
	struct fvd_io_ops ops = *io->ops;
	uint8_t buf[3 * PAGE];
	bool punched = true;
	uint64_t len;

	(void)state;
	memset(buf, 7, sizeof(buf));
	assert_int_equal(fvd_io_pwrite(io, buf, sizeof(buf), 0, NULL), 0);
	ops.punch = NULL;
	io->ops = &ops;
	assert_int_equal(fvd_io_punch(io, 0, PAGE, &punched, NULL), 0);
	assert_false(punched);
	assert_int_equal(fvd_io_pread(io, buf, 1, 0, NULL), 0);
	assert_int_equal(buf[0], 7);
	assert_int_equal(fvd_io_zero(io, 100, 4 * FVD_MIB, NULL), 0);
	assert_int_equal(fvd_io_pread(io, buf, sizeof(buf), 0, NULL), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i < 100 ? 7 : 0);
	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	assert_int_equal(len, sizeof(buf));
	io->ops = full;
	fvd_io_close(io);
}

struct job {
	struct fvd_io *io;
	uint8_t id;
};

static void *hammer(void *arg)
{
	struct job *job = arg;
	uint8_t buf[6000], back[6000];
	uint64_t base = job->id * FVD_MIB;

	memset(buf, job->id, sizeof(buf));
	for (uint64_t i = 0; i < 300; i++) {
		uint64_t off = base + i * 977 % 100000;
		struct fvd_io_extent ext;

		if (fvd_io_pwrite(job->io, buf, sizeof(buf), off, NULL) < 0 ||
		    fvd_io_pread(job->io, back, sizeof(back), off, NULL) < 0 ||
		    memcmp(buf, back, sizeof(buf)) != 0 ||
		    fvd_io_extent(job->io, off, 1, &ext, NULL) < 0 || ext.hole ||
		    fvd_io_zero(job->io, off, sizeof(buf), NULL) < 0)
			return job;
	}
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	struct fvd_io *io = fvd_io_mem_new("threads", 0, NULL);
	struct job jobs[4];
	pthread_t threads[4];
	uint64_t bytes;

	(void)state;
	for (uint8_t i = 0; i < 4; i++) {
		jobs[i] = (struct job){ io, (uint8_t)(i + 1) };
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &jobs[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(fvd_io_truncate(io, 0, NULL), 0);
	assert_int_equal(fvd_io_allocated(io, 0, FVD_TIB, &bytes, NULL), 0);
	assert_int_equal(bytes, 0);
	fvd_io_close(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_match_an_array),
		cmocka_unit_test(long_overlapping_copies_move_bytes),
		cmocka_unit_test(huge_sparse_file_costs_nothing),
		cmocka_unit_test(ranges_past_the_limit_are_refused),
		cmocka_unit_test(read_only_refuses_changes),
		cmocka_unit_test(zero_without_punch_writes),
		cmocka_unit_test(threads_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
