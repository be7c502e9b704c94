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
#include "io/io_undo.h"
#include "util/crc32c.h"
#include "util/num.h"

#define HEAD 512
#define ENTRY 64
#define CAP (3 * FVD_MIB)

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* Closing the undo io closes what it wraps; this keeps those open for the test. */
struct pair {
	struct fvd_io *image, *undo;
	struct fvd_io_ops image_ops, undo_ops;
};

static void keep_open(struct fvd_io *io)
{
	(void)io;
}

static void pair_init(struct pair *p)
{
	p->image = fvd_io_mem_new("disk", 0, NULL);
	p->undo = fvd_io_mem_new("disk.undo", 0, NULL);
	p->image_ops = *p->image->ops;
	p->undo_ops = *p->undo->ops;
}

static struct fvd_io *pair_wrap(struct pair *p)
{
	static struct fvd_io_ops ops;
	struct fvd_io *io;

	ops = p->image_ops;
	ops.close = keep_open;
	p->image->ops = &ops;
	p->undo->ops = &ops;
	io = fvd_io_undo_new(p->image, p->undo, NULL);
	assert_non_null(io);
	return io;
}

static void pair_fini(struct pair *p)
{
	p->image->ops = &p->image_ops;
	p->undo->ops = &p->undo_ops;
	fvd_io_close(p->image);
	fvd_io_close(p->undo);
}

static uint8_t *content(struct fvd_io *io, uint64_t *len)
{
	uint8_t *buf = malloc(CAP * 2);

	assert_int_equal(fvd_io_length(io, len, NULL), 0);
	assert_true(*len <= CAP * 2);
	assert_int_equal(fvd_io_pread(io, buf, CAP * 2, 0, NULL), 0);
	return buf;
}

static void put(struct fvd_io *io, uint64_t off, size_t len, int byte)
{
	uint8_t *buf = malloc(len + 1);

	memset(buf, byte, len);
	assert_int_equal(fvd_io_pwrite(io, buf, len, off, NULL), 0);
	free(buf);
}

static void put_random(struct fvd_io *io)
{
	uint64_t len = rng() % (rng() % 8 ? 9000 : 2 * FVD_MIB), off = rng() % (CAP - len);

	put(io, off, len, (int)(rng() % 256));
}

static void change_random(struct fvd_io *io)
{
	uint64_t off = rng() % CAP, len = rng() % (CAP - off);
	bool punched;

	switch (rng() % 8) {
	case 0:
		assert_int_equal(fvd_io_truncate(io, off, NULL), 0);
		break;
	case 1:
		assert_int_equal(fvd_io_zero(io, off, len, NULL), 0);
		break;
	case 2:
		assert_int_equal(fvd_io_punch(io, off, len % 10000, &punched, NULL), 0);
		break;
	default:
		put_random(io);
	}
}

static void run_random(uint64_t seed)
{
	uint64_t len, len_after, restored, allocated, allocated_after;
	uint8_t *before, *after;
	struct fvd_io *io;
	struct pair p;

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_state = seed;
	pair_init(&p);
	for (uint64_t i = rng() % 40; i > 0; i--)
		put_random(p.image);
	before = content(p.image, &len);
	assert_int_equal(fvd_io_allocated(p.image, 0, CAP, &allocated, NULL), 0);
	io = pair_wrap(&p);
	for (uint64_t i = rng() % 30; i > 0; i--)
		change_random(io);
	fvd_io_close(io);
	/* Twice: a run cut short by a crash can simply be started again. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(fvd_undo_apply(p.undo, p.image, &restored, NULL), 0);
	assert_true(restored <= len);
	after = content(p.image, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(after, before, CAP * 2);
	assert_int_equal(fvd_io_allocated(p.image, 0, CAP, &allocated_after, NULL), 0);
	assert_int_equal(allocated_after, allocated);
	free(before);
	free(after);
	pair_fini(&p);
}

static void random_changes_are_undone(void **state)
{
	const char *rounds = getenv("ROUNDS");
	uint64_t count = rounds ? strtoull(rounds, NULL, 10) : 60;

	(void)state;
	for (uint64_t seed = 1; seed <= count; seed++)
		run_random(seed * 7919);
}

static void a_range_is_saved_once(void **state)
{
	uint64_t first, second;
	struct fvd_io *io;
	struct pair p;

	(void)state;
	pair_init(&p);
	put(p.image, 0, 100000, 1);
	io = pair_wrap(&p);
	put(io, 15000, 30000, 2);
	assert_int_equal(fvd_io_length(p.undo, &first, NULL), 0);
	put(io, 16000, 100, 3);
	put(io, 12288, 32000, 4);
	put(io, 100000, 500000, 5);	/* the rest of the last page, and what is new */
	assert_int_equal(fvd_io_length(p.undo, &second, NULL), 0);
	assert_int_equal(second - first, fvd_round_up(ENTRY + 100000 % 4096, 64));
	fvd_io_close(io);
	pair_fini(&p);
}

/* Order of events: the undo file is flushed before the image is written. */
static struct order {
	struct fvd_io *undo;
	const struct fvd_io_ops *real;
	bool dirty;
	unsigned image_writes, fail_after;
} order;

static int order_pwritev(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
			 struct fvd_error *err)
{
	if (io == order.undo) {
		if (order.fail_after && --order.fail_after == 0)
			return fvd_error_set(err, FVD_ERR_NOSPACE, "no space");
		order.dirty = true;
	} else {
		assert_false(order.dirty);
		order.image_writes++;
	}
	return order.real->pwritev(io, iov, n, off, err);
}

static int order_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	assert_false(order.dirty);
	order.image_writes++;
	return order.real->punch(io, off, len, err);
}

static int order_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	assert_false(order.dirty);
	order.image_writes++;
	return order.real->truncate(io, len, err);
}

static int order_flush(struct fvd_io *io, struct fvd_error *err)
{
	(void)err;
	if (io == order.undo)
		order.dirty = false;
	return 0;
}

static void the_old_content_is_durable_first(void **state)
{
	struct fvd_io *image = fvd_io_mem_new("disk", 0, NULL), *io;
	struct fvd_io *undo = fvd_io_mem_new("disk.undo", 0, NULL);
	struct fvd_error err = { 0 };
	struct fvd_io_ops ops = *image->ops;

	(void)state;
	order = (struct order){ .undo = undo, .real = image->ops };
	ops.pwritev = order_pwritev;
	ops.punch = order_punch;
	ops.truncate = order_truncate;
	ops.flush = order_flush;
	put(image, 0, 3 * FVD_MIB, 1);
	image->ops = undo->ops = &ops;
	io = fvd_io_undo_new(image, undo, NULL);
	assert_non_null(io);
	assert_false(order.dirty);
	put(io, 0, 100, 2);
	assert_int_equal(fvd_io_zero(io, 50000, 2 * FVD_MIB, NULL), 0);
	assert_int_equal(fvd_io_truncate(io, 70000, NULL), 0);
	assert_int_equal(order.image_writes, 3);
	/* After a failure of the undo file nothing is let through, a later retry neither. */
	order.fail_after = 1;
	assert_int_equal(fvd_io_pwrite(io, "x", 1, 10000, &err), -1);
	assert_int_equal(err.class, FVD_ERR_NOSPACE);
	assert_int_equal(fvd_io_pwrite(io, "x", 1, 10000, &err), -1);
	assert_non_null(strstr(err.text, "its undo file disk.undo could not be written"));
	assert_int_equal(fvd_io_truncate(io, 1, NULL), -1);
	assert_int_equal(fvd_io_zero(io, 0, 1, NULL), -1);
	assert_int_equal(order.image_writes, 3);
	fvd_io_close(io);
}

/* An image of 40000 bytes of 1, three pages of it changed to 9, in an undo file. */
static void make_three(struct pair *p)
{
	struct fvd_io *io;

	pair_init(p);
	put(p->image, 0, 40000, 1);
	io = pair_wrap(p);
	put(io, 0, 4096, 9);
	put(io, 8192, 4096, 9);
	put(io, 16384, 4096, 9);
	fvd_io_close(io);
}

/* Behind the first one stands what the start of the image becomes. */
#define BECOMES_AT (HEAD + ENTRY + 4096)
#define ENTRY_AT(i) (HEAD + (uint64_t)(i) * (ENTRY + 4096) + ((i) ? 2 * ENTRY : 0))

static int byte_at(struct fvd_io *io, uint64_t off)
{
	uint8_t b;

	assert_int_equal(fvd_io_pread(io, &b, 1, off, NULL), 0);
	return b;
}

static void a_torn_last_entry_is_ignored(void **state)
{
	static const uint64_t cuts[] = { 0, 1, 63, 64, 65, 4000, ENTRY + 4095 };
	uint64_t bytes;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		make_three(&p);
		assert_int_equal(fvd_io_truncate(p.undo, ENTRY_AT(2) + cuts[i], NULL), 0);
		assert_int_equal(fvd_undo_apply(p.undo, p.image, &bytes, NULL), 0);
		assert_int_equal(bytes, 8192);
		assert_int_equal(byte_at(p.image, 8192), 1);
		assert_int_equal(byte_at(p.image, 16384), 9);
		pair_fini(&p);
	}
	/* The length arrived, data or head did not. */
	for (int i = 0; i < 2; i++) {
		make_three(&p);
		assert_int_equal(fvd_io_zero(p.undo, ENTRY_AT(2) + (i ? 1000 : 0),
					     i ? 2000 : ENTRY, NULL), 0);
		assert_int_equal(fvd_undo_apply(p.undo, p.image, &bytes, NULL), 0);
		assert_int_equal(bytes, 8192);
		pair_fini(&p);
	}
}

static void expect_refused(struct pair *p, enum fvd_error_class class, const char *text)
{
	struct fvd_error err = { 0 };
	uint64_t len, len_after, bytes = 1;
	uint8_t *before = content(p->image, &len), *after;

	assert_int_equal(fvd_undo_apply(p->undo, p->image, &bytes, &err), -1);
	assert_int_equal(err.class, class);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.text);
	assert_int_equal(bytes, 0);
	after = content(p->image, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(after, before, len);
	free(before);
	free(after);
}

static void store_le(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* Replace a field of an entry and make its checksum right again. */
static void forge_entry(struct pair *p, uint64_t at, int field, uint64_t value, int bytes)
{
	uint8_t e[ENTRY + 4096];

	assert_int_equal(fvd_io_pread(p->undo, e, sizeof(e), at, NULL), 0);
	store_le(e + field, value, bytes);
	store_le(e + 60, fvd_crc32c(0, e, 60), 4);
	assert_int_equal(fvd_io_pwrite(p->undo, e, sizeof(e), at, NULL), 0);
}

static void forge_head(struct pair *p, int field, uint64_t value)
{
	uint8_t h[HEAD];

	assert_int_equal(fvd_io_pread(p->undo, h, HEAD, 0, NULL), 0);
	store_le(h + field, value, 8);
	store_le(h + 508, fvd_crc32c(0, h, 508), 4);
	assert_int_equal(fvd_io_pwrite(p->undo, h, HEAD, 0, NULL), 0);
}

static void hostile_entries_are_refused(void **state)
{
	static const struct {
		int field;
		uint64_t value;
		int bytes;
		const char *text;
	} cases[] = {
		{ 0, 1, 4, "no entry begins here" },
		{ 4, 0, 4, "kind 0 is not known" },
		{ 4, 4, 4, "kind 4 is not known" },
		{ 4, 3, 4, "4096 bytes at 8192 are out of bounds" },
		{ 8, 39999, 8, "4096 bytes at 39999 are out of bounds" },
		{ 8, UINT64_MAX - 100, 8, "out of bounds" },
		{ 16, 0, 8, "out of bounds" },
		{ 16, UINT64_MAX, 8, "out of bounds" },
		{ 16, FVD_MIB + 1, 8, "out of bounds" },
		{ 24, 0, 4, "does not follow" },
		{ 24, 1, 4, "does not follow" },
		{ 24, UINT32_MAX, 4, "does not follow" },
	};
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_three(&p);
		forge_entry(&p, ENTRY_AT(1), cases[i].field, cases[i].value, cases[i].bytes);
		expect_refused(&p, FVD_ERR_CORRUPT, cases[i].text);
		pair_fini(&p);
	}
}

static void hostile_heads_are_refused(void **state)
{
	struct pair p;

	(void)state;
	make_three(&p);
	forge_head(&p, 0, 1);
	expect_refused(&p, FVD_ERR_FORMAT, "disk.undo: not an undo file");
	pair_fini(&p);
	make_three(&p);
	assert_int_equal(fvd_io_truncate(p.undo, 100, NULL), 0);
	expect_refused(&p, FVD_ERR_FORMAT, "not an undo file");
	pair_fini(&p);
	make_three(&p);
	assert_int_equal(fvd_io_pwrite(p.undo, "x", 1, 9, NULL), 0);
	expect_refused(&p, FVD_ERR_CORRUPT, "head of the undo file is damaged");
	pair_fini(&p);
	make_three(&p);
	forge_head(&p, 8, FVD_MAX_OFF + 1);
	expect_refused(&p, FVD_ERR_CORRUPT, "out of bounds");
	pair_fini(&p);
	make_three(&p);
	forge_head(&p, 16, 1 << 20);
	expect_refused(&p, FVD_ERR_CORRUPT, "out of bounds");
	pair_fini(&p);
}

static void damage_in_the_middle_is_refused(void **state)
{
	struct pair p;

	(void)state;
	make_three(&p);
	assert_int_equal(fvd_io_pwrite(p.undo, "x", 1, ENTRY_AT(1) + 100, NULL), 0);
	expect_refused(&p, FVD_ERR_CORRUPT, "undo entry at 4800: wrong checksum");
	pair_fini(&p);
}

static void another_image_is_refused(void **state)
{
	struct pair p;

	(void)state;
	make_three(&p);
	put(p.image, 5000, 1, 77);	/* not what the repair did */
	expect_refused(&p, FVD_ERR_INVALID, "is of another image, or this one was written to");
	pair_fini(&p);
	/* Inside a page that was saved whole, so putting it back would hide the difference. */
	make_three(&p);
	put(p.image, 3000, 1, 77);
	expect_refused(&p, FVD_ERR_INVALID, "is of another image, or this one was written to");
	pair_fini(&p);
	make_three(&p);
	forge_entry(&p, BECOMES_AT, 16, 60, 8);
	expect_refused(&p, FVD_ERR_CORRUPT, "60 bytes at 0 are out of bounds");
	pair_fini(&p);
	make_three(&p);
	p.image->block_device = true;
	put(p.image, 40000, 1, 1);
	expect_refused(&p, FVD_ERR_INVALID, "its length is fixed at 40001");
	p.image->block_device = false;
	pair_fini(&p);
}

static void every_flipped_byte_is_safe(void **state)
{
	uint64_t len, bytes;
	struct pair p;

	(void)state;
	make_three(&p);
	assert_int_equal(fvd_io_length(p.undo, &len, NULL), 0);
	for (uint64_t at = 0; at < len; at += at % 4160 < 600 ? 1 : 37) {
		uint8_t b = (uint8_t)byte_at(p.undo, at), flipped = b ^ 0x41;
		int ret;

		assert_int_equal(fvd_io_pwrite(p.undo, &flipped, 1, at, NULL), 0);
		ret = fvd_undo_apply(p.undo, p.image, &bytes, NULL);
		/* Only in the last entry may it pass, as a torn one. */
		assert_true(ret == -1 || (at >= ENTRY_AT(2) && bytes == 8192));
		assert_int_equal(fvd_io_pwrite(p.undo, &b, 1, at, NULL), 0);
	}
	pair_fini(&p);
}

struct job {
	struct fvd_io *io;
	unsigned id;
};

static void *scribble(void *arg)
{
	struct job *job = arg;
	uint8_t buf[700];

	memset(buf, (int)(100 + job->id), sizeof(buf));
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t off = (i * 4 + job->id) * 700;

		if (fvd_io_pwrite(job->io, buf, sizeof(buf), off, NULL) < 0)
			return job;
	}
	return NULL;
}

/* Four threads write side by side in the same pages. */
static void threads_save_what_was_there_first(void **state)
{
	uint8_t *before, *after;
	pthread_t threads[4];
	uint64_t len, bytes;
	struct job jobs[4];
	struct fvd_io *io;
	struct pair p;

	(void)state;
	rng_state = 5;
	pair_init(&p);
	for (int i = 0; i < 50; i++)
		put_random(p.image);
	before = content(p.image, &len);
	io = pair_wrap(&p);
	for (unsigned i = 0; i < 4; i++) {
		jobs[i] = (struct job){ io, i };
		assert_int_equal(pthread_create(&threads[i], NULL, scribble, &jobs[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	fvd_io_close(io);
	assert_int_equal(byte_at(p.image, 700), 101);
	assert_int_equal(fvd_undo_apply(p.undo, p.image, &bytes, NULL), 0);
	after = content(p.image, &len);
	assert_memory_equal(after, before, CAP * 2);
	free(before);
	free(after);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_are_undone),
		cmocka_unit_test(a_range_is_saved_once),
		cmocka_unit_test(the_old_content_is_durable_first),
		cmocka_unit_test(a_torn_last_entry_is_ignored),
		cmocka_unit_test(hostile_entries_are_refused),
		cmocka_unit_test(hostile_heads_are_refused),
		cmocka_unit_test(damage_in_the_middle_is_refused),
		cmocka_unit_test(another_image_is_refused),
		cmocka_unit_test(every_flipped_byte_is_safe),
		cmocka_unit_test(threads_save_what_was_there_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
