/* SPDX-License-Identifier: BSD-2-Clause */
/* What the journal costs and when it is written; reading beside a writer; where bases are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/engine_world.h"
#include "io/io_mem.h"

#define K EW_CHUNK
#define GUESTS 8

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A thin image whose writes of the journal are counted. */
static void make_thin(struct ew *w, uint64_t chunks, uint64_t chunk, uint64_t journal)
{
	struct fvd_header h = mk_header(chunks * chunk, 0, chunk, chunk, journal);

	ew_make(w, &h);
	ew_watch(w, h.journal_offset, h.journal_size);
}

/* ---- group commit ---- */

/* One sync is held while eight others ask for theirs: one write and one sync serve them all. */
static void waiting_flushes_share_a_write_and_a_sync(void **state)
{
	struct ew_guest first = { .call = ew_call_flush }, guest[GUESTS];
	uint64_t syncs, writes;
	struct ew w;

	(void)state;
	make_thin(&w, 32, K, K);
	ew_open(&w);
	ew_put(&w, 'x', 0, 512);
	ew_flush(&w);
	ew_put(&w, 'y', K, 512);
	ew_gate(&w, EW_FLUSH);
	first.w = &w;
	ew_start(&first);
	ew_gate_wait(&w);
	syncs = ew_count(&w, EW_FLUSH);
	writes = ew_watched(&w);
	for (unsigned i = 0; i < GUESTS; i++) {
		guest[i] = (struct ew_guest){ .w = &w, .call = ew_call_write, .len = 512,
					      .off = (2 + i) * 2 * K, .value = (uint8_t)('a' + i) };
		ew_start(&guest[i]);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		ew_join(&guest[i]);
	assert_int_equal(ew_watched(&w), writes);
	for (unsigned i = 0; i < GUESTS; i++) {
		guest[i].call = ew_call_flush;
		ew_start(&guest[i]);
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		ew_settle(&guest[i]);
		assert_false(ew_is_done(&guest[i]));
	}
	ew_gate_open(&w);
	ew_join(&first);
	for (unsigned i = 0; i < GUESTS; i++)
		ew_join(&guest[i]);
	assert_int_equal(ew_watched(&w), writes + 1);
	assert_int_equal(ew_count(&w, EW_FLUSH), syncs + 1);
	ew_crash(&w);
	for (unsigned i = 0; i < GUESTS; i++)
		ew_expect(&w, w.img, (uint8_t)('a' + i), (2 + i) * 2 * K, 512);
	ew_done(&w);
}

/* ---- commit interval ---- */

/* The file as it is now, opened as after a crash, holds 'A'. */
static void survives_now(struct ew *w)
{
	struct fvd_opener *o = mem_opener_new();
	struct fvd_open_opts opts = { .opener = o };
	struct fvd_image *img;

	mem_opener_add(o, "img", mk_clone(w->file->inner));
	assert_int_equal(fvd_image_open("img", &opts, &img, &w->err), 0);
	ew_expect(w, img, 'A', K, 512);
	fvd_image_drop(img);
	mem_opener_free(o);
}

static void a_record_is_written_after_the_interval(void **state)
{
	struct fvd_image_stats s = { .journal_writes = 0 };
	uint64_t begin, took, syncs;
	struct ew w;

	(void)state;
	make_thin(&w, 8, K, K);
	w.opts.commit_interval_ms = 300;
	ew_open(&w);
	begin = now_ms();
	ew_put(&w, 'A', K, 512);
	syncs = ew_count(&w, EW_FLUSH);
	while (s.journal_writes == 0 && now_ms() - begin < 10000) {
		usleep(1000);
		fvd_image_stats(w.img, &s);
	}
	took = now_ms() - begin;
	assert_in_range(took, 295, 9999);
	assert_int_equal(ew_count(&w, EW_FLUSH), syncs);
	survives_now(&w);
	assert_int_equal(ew_watched(&w), 1);
	ew_close(&w);
	ew_done(&w);
}

static void interval_0_writes_through(void **state)
{
	struct ew w;

	(void)state;
	make_thin(&w, 8, K, K);
	w.opts.commit_interval_ms = 0;
	ew_open(&w);
	ew_put(&w, 'A', K, 512);
	assert_int_equal(ew_watched(&w), 1);
	survives_now(&w);
	ew_put(&w, 'B', 2 * K, 512);
	assert_int_equal(ew_watched(&w), 2);
	ew_put(&w, 'C', 2 * K, 512);	/* no record */
	assert_int_equal(ew_watched(&w), 2);
	ew_close(&w);
	ew_done(&w);
}

/* ---- cost ---- */

static void a_flushed_allocation_is_two_writes_and_a_sync(void **state)
{
	struct ew w;

	(void)state;
	make_thin(&w, 64, K, K);
	ew_open(&w);
	ew_put(&w, 'x', 0, 4096);
	ew_flush(&w);
	for (unsigned i = 1; i < 60; i++) {
		uint64_t writes = ew_count(&w, EW_WRITE), journal = ew_watched(&w);
		uint64_t syncs = ew_count(&w, EW_FLUSH);

		ew_put(&w, 'x', i * 7 % 64 * K + 8192, 4096);
		ew_flush(&w);
		assert_int_equal(ew_watched(&w), journal + 1);
		assert_int_equal(ew_count(&w, EW_WRITE), writes + 2);
		assert_int_equal(ew_count(&w, EW_FLUSH), syncs + 1);
	}
	ew_close(&w);
	ew_done(&w);
}

static void a_journal_write_holds_a_thousand_updates(void **state)
{
	const uint64_t chunks = 16384, stride = 7919;
	struct fvd_image_stats s;
	struct ew w;

	(void)state;
	make_thin(&w, chunks, 4096, FVD_MIB);
	ew_open(&w);
	for (uint64_t i = 0; i < chunks; i++)
		ew_put(&w, 'x', i * stride % chunks * 4096, 512);
	fvd_image_stats(w.img, &s);
	assert_int_equal(s.table_updates, chunks);
	assert_int_equal(s.journal_writes, ew_watched(&w));
	assert_in_range(s.journal_writes, 1, s.table_updates / 1000);
	ew_close(&w);
	ew_done(&w);
}

/* ---- reading beside a writer ---- */

#define TURNS 200	/* flushed allocations; the journal has 8 sectors */

struct beside {
	struct ew w;
	unsigned flushed;	/* chunks that a reader must see */
	unsigned readers;
	bool inside;
	/* reader_is_overtaken: on which of its reads the writer goes on */
	unsigned reads, overtake_at;
};

static uint8_t value_of(unsigned i)
{
	return (uint8_t)(1 + i % 255);
}

static struct fvd_image *open_beside(struct beside *b)
{
	struct fvd_open_opts opts = { .flags = FVD_OPEN_FORCE_SHARE, .opener = b->w.opener };
	struct fvd_image *img;

	if (fvd_image_open("img", &opts, &img, &b->w.err) < 0)
		fail_msg("%u flushed: %s", b->flushed, b->w.err.text);
	return img;
}

static void read_all(struct beside *b)
{
	struct fvd_image *img = open_beside(b);

	for (unsigned i = 0; i < b->flushed; i++)
		ew_expect(&b->w, img, value_of(i), i * UINT64_C(4096), 512);
	fvd_image_drop(img);
	b->readers++;
}

/* Before every call of the writer that changes or syncs the file a reader looks at it. */
static void look(void *opaque, enum ew_kind kind, uint64_t off, uint64_t len)
{
	struct beside *b = opaque;

	(void)off;
	(void)len;
	if (b->inside || kind == EW_READ)
		return;
	b->inside = true;
	read_all(b);
	b->inside = false;
}

static void write_turn(struct beside *b)
{
	ew_put(&b->w, value_of(b->flushed), b->flushed * UINT64_C(4096), 512);
	ew_flush(&b->w);
	b->flushed++;
}

static void a_reader_sees_what_was_flushed_while_it_recycles(void **state)
{
	struct beside b = { .inside = false };
	struct fvd_image_stats s;

	(void)state;
	make_thin(&b.w, TURNS, 4096, 4096);
	ew_open(&b.w);
	b.w.file->opaque = &b;
	b.w.file->before = look;
	while (b.flushed < TURNS)
		write_turn(&b);
	fvd_image_stats(b.w.img, &s);
	assert_true(s.recycles >= 10);
	assert_true(b.readers > 3 * TURNS);
	ew_close(&b.w);
	b.w.img = NULL;
	b.w.file->before = NULL;
	ew_done(&b.w);
}

/* Before read number overtake_at of an opening beside it, the writer makes ten more changes. */
static void overtake(void *opaque, enum ew_kind kind, uint64_t off, uint64_t len)
{
	struct beside *b = opaque;

	(void)off;
	(void)len;
	if (b->inside || kind != EW_READ || b->reads++ != b->overtake_at)
		return;
	b->inside = true;
	for (unsigned i = 0; i < 10; i++)
		write_turn(b);
	b->inside = false;
}

static void a_reader_that_is_overtaken_looks_again(void **state)
{
	struct beside b = { .inside = false };
	bool reached = true;

	(void)state;
	make_thin(&b.w, 1024, 4096, 4096);
	ew_open(&b.w);
	for (unsigned i = 0; i < 6; i++)
		write_turn(&b);
	b.w.file->opaque = &b;
	for (; reached && b.flushed < 1000; b.overtake_at++) {
		unsigned before = b.flushed;
		struct fvd_image *img;

		b.reads = 0;
		b.w.file->before = overtake;
		img = open_beside(&b);
		b.w.file->before = NULL;
		for (unsigned i = 0; i < before; i++)
			ew_expect(&b.w, img, value_of(i), i * UINT64_C(4096), 512);
		fvd_image_drop(img);
		reached = b.reads > b.overtake_at;
	}
	assert_false(reached);
	assert_true(b.overtake_at > 5);
	ew_close(&b.w);
	b.w.img = NULL;
	ew_done(&b.w);
}

/* ---- names ---- */

static void add_overlay(struct fvd_opener *o, const char *name, const char *base, const char *fmt)
{
	struct fvd_header h = mk_header(8 * K, 8 * K, K, K, K);

	strcpy(h.base_img, base);
	strcpy(h.base_img_fmt, fmt);
	mem_opener_add(o, name, mk_image(&h));
}

/* Each image's base is looked for beside that image, whatever was opened before. */
static void bases_are_found_beside_their_image(void **state)
{
	struct fvd_opener *o = mem_opener_new();
	struct fvd_open_opts opts = { .opener = o, .flags = FVD_OPEN_IGNORE_BASE_CHANGE };
	const char *raw[] = { "base.raw", "top/base.raw", "top/../mid/base.raw" };
	struct ew w = { .opener = o };

	(void)state;
	add_overlay(o, "top/img", "../mid/img", "fvd");
	add_overlay(o, "top/../mid/img", "base.raw", "raw");
	for (unsigned i = 0; i < 3; i++) {
		struct fvd_io *io = fvd_io_mem_new(raw[i], 8 * K, NULL);

		mk_fill(io, 0, 8 * K, (uint8_t)('0' + i));
		mem_opener_add(o, raw[i], io);
	}
	if (fvd_image_open("top/img", &opts, &w.img, &w.err) < 0)
		fail_msg("%s", w.err.text);
	ew_expect(&w, w.img, '2', 0, 8 * K);
	assert_int_equal(mem_opener_opened(o, raw[0]) + mem_opener_opened(o, raw[1]), 0);
	ew_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_flushes_share_a_write_and_a_sync),
		cmocka_unit_test(a_record_is_written_after_the_interval),
		cmocka_unit_test(interval_0_writes_through),
		cmocka_unit_test(a_flushed_allocation_is_two_writes_and_a_sync),
		cmocka_unit_test(a_journal_write_holds_a_thousand_updates),
		cmocka_unit_test(a_reader_sees_what_was_flushed_while_it_recycles),
		cmocka_unit_test(a_reader_that_is_overtaken_looks_again),
		cmocka_unit_test(bases_are_found_beside_their_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
