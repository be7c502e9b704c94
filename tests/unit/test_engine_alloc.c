/* SPDX-License-Identifier: BSD-2-Clause */
/* Which chunk numbers the engine hands out, and when: under races, when few are left, in need. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/engine_world.h"
#include "format/table.h"

#define K EW_CHUNK

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* ---- while freed chunks are punched ---- */

static void write_second_chunk(void *opaque, enum ew_kind kind, uint64_t off, uint64_t len)
{
	struct ew *w = opaque;

	(void)off;
	(void)len;
	if (kind != EW_PUNCH)
		return;
	w->file->before = NULL;
	ew_put(w, 'B', K, K);
}

/* @opened: something was allocated in this opening before. */
static void allocate_during_punch(bool opened)
{
	struct fvd_header h = mk_header(8 * K, 0, K, K, K);
	struct ew w;

	ew_make(&w, &h);
	ew_open(&w);
	ew_put(&w, 'A', 0, K);
	if (!opened) {
		ew_close(&w);
		ew_open(&w);
	}
	assert_int_equal(fvd_image_discard(w.img, K, 0, &w.err), 0);
	w.file->opaque = &w;
	w.file->before = write_second_chunk;
	ew_flush(&w);
	assert_null(w.file->before);
	ew_expect(&w, w.img, 'B', K, K);
	ew_put(&w, 'C', 2 * K, K);
	ew_put(&w, 'D', 3 * K, K);
	ew_close(&w);
	ew_open(&w);	/* which refuses a table that names a chunk twice */
	ew_expect(&w, w.img, 0, 0, K);
	ew_expect(&w, w.img, 'B', K, K);
	ew_expect(&w, w.img, 'C', 2 * K, K);
	ew_expect(&w, w.img, 'D', 3 * K, K);
	ew_close(&w);
	ew_done(&w);
}

static void a_chunk_being_punched_is_not_handed_out(void **state)
{
	(void)state;
	allocate_during_punch(false);
	allocate_during_punch(true);
}

/* ---- when no number is free ---- */

/* A disk of eight chunks on a device that has room for four, all in use: '0', '1', '2', '3'. */
static void make_full_device(struct ew *w)
{
	struct fvd_header h = mk_header(8 * K, 0, K, K, K);

	ew_make(w, &h);
	assert_int_equal(fvd_io_truncate(w->file->inner, h.data_offset + 4 * K, &w->err), 0);
	w->file->io.block_device = true;
	ew_open(w);
	for (unsigned i = 0; i < 4; i++)
		ew_put(w, (uint8_t)('0' + i), i * K, K);
	ew_flush(w);
}

static void no_room_is_said_at_once(void **state)
{
	struct ew w;

	(void)state;
	make_full_device(&w);
	assert_int_equal(ew_write(&w, 'x', 4 * K, 512), -1);
	assert_int_equal(w.err.class, FVD_ERR_NOSPACE);
	assert_non_null(strstr(w.err.text, "all 4 that fit are in use"));
	/* that was no failure of the image */
	assert_int_equal(fvd_image_discard(w.img, K, K, &w.err), 0);
	ew_put(&w, 'x', 4 * K, 512);
	ew_close(&w);
	ew_done(&w);
}

/* Hold @kind, made by @first; free chunk 0; then a write that needs its number waits for it. */
static void wait_for_the_number(enum ew_kind kind, int (*first)(struct ew_guest *))
{
	struct ew_guest holder = { .call = first, .len = K, .value = '0' };
	struct ew_guest writer = { .call = ew_call_write, .off = 5 * K, .len = K, .value = 'W' };
	struct ew w;

	make_full_device(&w);
	holder.w = writer.w = &w;
	if (kind == EW_PUNCH)
		assert_int_equal(fvd_image_discard(w.img, K, 0, &w.err), 0);
	ew_gate(&w, kind);
	ew_start(&holder);
	ew_gate_wait(&w);
	if (kind != EW_PUNCH)
		assert_int_equal(fvd_image_discard(w.img, K, 0, &w.err), 0);
	ew_start(&writer);
	ew_settle(&writer);
	assert_true(!ew_is_done(&writer) || writer.rc < 0);
	ew_gate_open(&w);
	ew_join(&holder);
	ew_join(&writer);
	ew_close(&w);
	ew_open(&w);
	ew_expect(&w, w.img, 0, 0, K);
	ew_expect(&w, w.img, 'W', 5 * K, K);
	for (unsigned i = 1; i < 4; i++)
		ew_expect(&w, w.img, (uint8_t)('0' + i), i * K, K);
	ew_close(&w);
	ew_done(&w);
}

static void the_last_number_being_punched_is_waited_for(void **state)
{
	(void)state;
	wait_for_the_number(EW_PUNCH, ew_call_flush);
}

static void the_last_number_being_read_is_waited_for(void **state)
{
	(void)state;
	wait_for_the_number(EW_READ, ew_call_read);
}

/* ---- when memory is short ---- */

#define MANY (UINT64_C(1) << 22)	/* chunks in one block */

static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A write of one sector that changes a block of MANY chunks, with @room bytes of memory to get. */
static void write_with_memory(struct ew *w, uint64_t room)
{
	uint8_t sector[512] = { 'x' };
	struct rlimit old, less;
	int rc;

	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	less = old;
	less.rlim_cur = address_space() + room;
	assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
	rc = fvd_image_write(w->img, sector, sizeof(sector), 0, &w->err);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(rc, -1);
	assert_int_equal(w->err.class, FVD_ERR_NOMEM);
}

/* The plan takes 4 bytes a chunk and then 1; either can be what memory ends at. */
static void an_update_without_memory_gives_nothing_back(void **state)
{
	const uint64_t rooms[] = { 2 * MANY, 4 * MANY + MANY / 2 };
	struct fvd_header h = mk_header(MANY * 4096, 512, 4096, 4096, K);
	struct ew w;

	(void)state;
	if (SANITIZED)
		skip();	/* the limit on memory would stop the sanitizer itself */
	h.block_size = MANY * 4096;
	ew_make(&w, &h);
	ew_base(&w, 512, 'b');
	w.opts.flags |= FVD_OPEN_IGNORE_BASE_CHANGE;
	ew_open(&w);
	ew_put(&w, 'A', FVD_MIB, 512);
	ew_close(&w);
	ew_open(&w);
	ew_put(&w, 'B', 2 * FVD_MIB, 512);
	for (unsigned i = 0; i < 2; i++)
		write_with_memory(&w, rooms[i]);
	ew_put(&w, 'C', 3 * FVD_MIB, 512);
	ew_put(&w, 'D', 4 * FVD_MIB, 512);
	ew_close(&w);
	ew_open(&w);
	for (unsigned i = 0; i < 4; i++)
		ew_expect(&w, w.img, (uint8_t)('A' + i), (i + 1) * FVD_MIB, 512);
	ew_expect(&w, w.img, 'b', 0, 512);
	ew_close(&w);
	ew_done(&w);
}

/* In a process of its own, so that its peak of memory is its own: MiB it grew by, or 255. */
static int memory_of_a_write(struct ew *w)
{
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	if (fvd_image_open("img", &w->opts, &w->img, &w->err) < 0 || ew_write(w, 'A', 0, 512) < 0 ||
	    fvd_image_close(w->img, &w->err) < 0)
		return 255;
	getrusage(RUSAGE_SELF, &after);
	return (int)fvd_min((uint64_t)(after.ru_maxrss - before.ru_maxrss) / 1024, 254);
}

/* 2^31 chunk numbers lie under the journal that this header speaks of. */
static void a_lying_header_takes_little_memory(void **state)
{
	struct fvd_header h = mk_header(8 * K, 0, K, 4096, K);
	struct ew w;
	int status;
	pid_t pid;

	(void)state;
	h.chunk_size = 512;
	h.journal_offset = UINT64_C(1) << 38;
	h.journal_size = UINT64_C(1) << 40;
	ew_make(&w, &h);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(memory_of_a_write(&w));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_in_range(WEXITSTATUS(status), 0, SANITIZED ? 96 : 32);	/* MiB */
	ew_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chunk_being_punched_is_not_handed_out),
		cmocka_unit_test(no_room_is_said_at_once),
		cmocka_unit_test(the_last_number_being_punched_is_waited_for),
		cmocka_unit_test(the_last_number_being_read_is_waited_for),
		cmocka_unit_test(an_update_without_memory_gives_nothing_back),
		cmocka_unit_test(a_lying_header_takes_little_memory),
	};

	/* Large pieces come from the system, where the limit meets them, not from a reserve. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_ARENA_MAX, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
