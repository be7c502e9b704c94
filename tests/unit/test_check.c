/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../support/mem_opener.h"
#include "../support/mkimage.h"
#include "format/ext.h"
#include "io/io_mem.h"
#include "io/io_undo.h"
#include "ops/check.h"
#include "util/num.h"

#define SIZE (64 * FVD_MIB)
#define CHUNK (64 * FVD_KIB)

struct world {
	struct fvd_opener *opener;
	struct fvd_header h;
	struct fvd_io *io;	/* borrowed from the opener */
	struct fvd_check_opts opts;
	struct fvd_check_report report;
	struct fvd_error err;
	struct fvd_finding list[400];
	unsigned count;
};

static void keep(void *opaque, const struct fvd_finding *f)
{
	struct world *w = opaque;

	assert_true(w->count < 400);
	w->list[w->count++] = *f;
}

static void make_with(struct world *w, struct fvd_header h)
{
	memset(w, 0, sizeof(*w));
	w->opener = mem_opener_new();
	w->h = h;
	w->io = mk_image(&h);
	mem_opener_add(w->opener, "disk.fvd", w->io);
	w->opts.opener = w->opener;
	w->opts.finding = keep;
	w->opts.opaque = w;
}

static void make(struct world *w)
{
	make_with(w, mk_header(SIZE, SIZE, CHUNK, CHUNK, 65536));
}

static void done(struct world *w)
{
	mem_opener_free(w->opener);
}

static int check(struct world *w, enum fvd_check_repair repair)
{
	w->count = 0;
	w->opts.repair = repair;
	return fvd_check("disk.fvd", &w->opts, &w->report, &w->err);
}

static const struct fvd_finding *get(const struct world *w, const char *code)
{
	for (unsigned i = 0; i < w->count; i++) {
		if (strcmp(w->list[i].code, code) == 0)
			return &w->list[i];
	}
	return NULL;
}

/* Allocate: entry and content. */
static void place(struct world *w, uint64_t chunk, uint32_t entry, uint8_t value)
{
	mk_entry(w->io, &w->h, chunk, entry);
	mk_fill(w->io, w->h.data_offset + entry * CHUNK, CHUNK, value);
}

static uint8_t byte_at(struct world *w, uint64_t off)
{
	uint8_t b;

	assert_int_equal(fvd_io_pread(w->io, &b, 1, off, NULL), 0);
	return b;
}

static uint64_t length(struct fvd_io *io)
{
	uint64_t len;

	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	return len;
}

static void expect(struct world *w, const char *code, enum fvd_severity severity, bool safe,
		   bool fixable)
{
	const struct fvd_finding *f = get(w, code);

	if (f == NULL)
		fail_msg("no finding %s (first: %s)", code, w->count ? w->list[0].text : "none");
	assert_int_equal(f->severity, severity);
	assert_int_equal(f->fixable_safe, safe);
	assert_int_equal(f->fixable, fixable);
	assert_int_equal(w->report.clean, severity == FVD_NOTE || f->fixed);
}

/*
 * The life of one defect: looking changes nothing; -p mends it or leaves every byte; -y mends
 * it (or says it cannot); the next look is clean; undo brings the old bytes back.
 */
static void one_defect(struct world *w, const char *code, enum fvd_severity severity, bool safe,
		       bool fixable)
{
	uint64_t len, len2, bytes;
	uint8_t *before = mk_bytes(w->io, &len), *after;
	struct fvd_io *undo;

	assert_int_equal(check(w, FVD_REPAIR_NONE), 0);
	expect(w, code, severity, safe, fixable);
	after = mk_bytes(w->io, &len2);
	assert_int_equal(len, len2);
	assert_memory_equal(before, after, len);
	free(after);
	if (!safe) {
		assert_int_equal(check(w, FVD_REPAIR_SAFE), 0);
		assert_false(get(w, code)->fixed);
		after = mk_bytes(w->io, &len2);
		assert_int_equal(len, len2);
		assert_memory_equal(before, after, len);
		free(after);
	}
	w->opts.undo_file = "undo";
	if (check(w, safe ? FVD_REPAIR_SAFE : FVD_REPAIR_ALL) != 0)
		fail_msg("%s", w->err.text);
	w->opts.undo_file = NULL;
	assert_int_equal(get(w, code)->fixed, fixable);
	if (fixable) {
		assert_true(w->report.clean);
		assert_int_equal(w->report.fixed[severity], w->report.found[severity]);
		assert_int_equal(check(w, FVD_REPAIR_NONE), 0);
		assert_int_equal(w->count, 0);
		undo = mem_opener_get(w->opener, "undo");
		assert_non_null(undo);
		if (fvd_undo_apply(undo, w->io, &bytes, &w->err) != 0)
			fail_msg("%s", w->err.text);
	}
	after = mk_bytes(w->io, &len2);
	assert_int_equal(len, len2);
	assert_memory_equal(before, after, len);
	free(after);
	free(before);
}

static void sound_images_have_no_findings(void **state)
{
	const struct fvd_header h[] = {
		mk_header(SIZE, 0, CHUNK, 0, 0),
		mk_header(SIZE, 0, CHUNK, CHUNK, 65536),
		mk_header(SIZE, SIZE / 2 + 512, CHUNK, 0, 65536),
		mk_header(SIZE - 512, SIZE / 2 + 512, CHUNK, CHUNK, 65536),
		mk_header_rev1(SIZE - 512, SIZE / 2 + 512, 7680, 102400, 65536),
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(h) / sizeof(h[0]); i++) {
		make_with(&w, h[i]);
		assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
		if (w.count > 0)
			fail_msg("layout %zu: %s", i, w.list[0].text);
		assert_true(w.report.clean);
		assert_int_equal(mem_opener_opened(w.opener, "base.raw"), 0);
		assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
		assert_int_equal(w.count, 0);
		done(&w);
	}
}

static void numbers_are_counted(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 1, 0, 1);
	place(&w, 9, 1, 1);
	mk_bit(w.io, &w.h, 4);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.chunk_count, 1024);
	assert_int_equal(w.report.chunks_allocated, 2);
	assert_int_equal(w.report.block_count, 1024);
	assert_int_equal(w.report.blocks_local, 1);
	assert_int_equal(w.report.data_end, w.h.data_offset + 2 * CHUNK);
	assert_int_equal(w.report.file_length, w.report.data_end);
	assert_int_equal(w.report.journal.sectors, 128);
	assert_int_equal(w.count, 0);
	done(&w);
}

static void sound_journal_is_replayed(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 3, 5, 2, 0);
	mk_put_bits(w.io, &w.h, 4, 0, 128);
	mk_fill(w.io, w.h.data_offset, CHUNK, 7);
	one_defect(&w, "journal-needs-replay", FVD_DIRTY, true, true);
	assert_int_equal(check(&w, FVD_REPAIR_SAFE), -1 + 1);
	assert_int_equal(mk_get_entry(w.io, &w.h, 2), 0);
	assert_true(mk_get_bit(w.io, &w.h, 0));
	done(&w);
}

static void damaged_journal_needs_all(void **state)
{
	struct mk_sector bad = { { 9, 9, 9, 9 }, 4 };
	struct world w;

	(void)state;
	make(&w);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 3, 5, 2, 0);
	mk_fill(w.io, w.h.data_offset, CHUNK, 7);
	mk_put(w.io, &w.h, 1, &bad);
	one_defect(&w, "journal-damaged", FVD_DAMAGE, false, true);
	done(&w);
}

static void damaged_history_is_a_note(void **state)
{
	struct mk_sector bad = { { 9, 9, 9, 9 }, 4 };
	struct world w;

	(void)state;
	make(&w);
	mk_put(w.io, &w.h, 1, &bad);
	one_defect(&w, "journal-old-damage", FVD_NOTE, false, true);
	done(&w);
}

static void dirty_without_journal_needs_all(void **state)
{
	struct fvd_header h = mk_header(SIZE, 0, CHUNK, CHUNK, 0);
	struct world w;

	(void)state;
	h.clean_shutdown = 0;
	make_with(&w, h);
	one_defect(&w, "dirty-no-journal", FVD_DIRTY, false, true);
	done(&w);
}

static void epochs_used_up_stay(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 0, FVD_MAX_EPOCH, 2, FVD_UNALLOCATED);
	one_defect(&w, "epochs-used-up", FVD_DAMAGE, false, false);
	done(&w);
}

static void duplicate_gets_its_own_copy(void **state)
{
	struct world w;
	uint32_t moved;

	(void)state;
	make(&w);
	place(&w, 0, 0, 1);
	place(&w, 5, 1, 2);
	mk_entry(w.io, &w.h, 900, 1);
	one_defect(&w, "table-duplicate", FVD_DAMAGE, false, true);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_non_null(strstr(get(&w, "table-duplicate")->text, "entries 5 and 900 both name "
			       "chunk 1"));
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(mk_get_entry(w.io, &w.h, 5), 1);
	moved = mk_get_entry(w.io, &w.h, 900);
	assert_int_equal(moved, 2);
	assert_int_equal(byte_at(&w, w.h.data_offset + moved * CHUNK + 77), 2);
	done(&w);
}

static void duplicate_after_replay_is_mended_with_it(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 5, 0, 2);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 0, 3, 6, 0);
	one_defect(&w, "table-duplicate", FVD_DAMAGE, false, true);
	done(&w);
}

static void many_duplicates_are_counted(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 0, 0, 2);
	for (unsigned i = 1; i < 500; i++)
		mk_entry(w.io, &w.h, i, 0);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.found[FVD_DAMAGE], 499);
	assert_int_equal(w.count, 101);
	assert_non_null(strstr(get(&w, "table-duplicate-more")->text, "399 more"));
	assert_non_null(strstr(w.list[99].text, "entries 0 and 100 "));
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_int_equal(w.report.fixed[FVD_DAMAGE], 499);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	done(&w);
}

static void damaged_entry_becomes_unallocated(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	mk_entry(w.io, &w.h, 7, FVD_ENTRY_DAMAGED);
	one_defect(&w, "table-entry-damaged", FVD_DAMAGE, false, true);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(mk_get_entry(w.io, &w.h, 7), FVD_UNALLOCATED);
	done(&w);
}

static void slack_and_marks_are_notes(void **state)
{
	struct fvd_header h = mk_header(SIZE - CHUNK, SIZE - CHUNK, CHUNK, CHUNK, 65536);
	struct world w;

	(void)state;
	make_with(&w, h);
	mk_entry(w.io, &w.h, 1023, 5);
	one_defect(&w, "table-slack", FVD_NOTE, false, true);
	done(&w);
	make_with(&w, h);
	mk_bit(w.io, &w.h, 1023);
	one_defect(&w, "bitmap-slack", FVD_NOTE, false, true);
	done(&w);
	make_with(&w, h);
	place(&w, 3, 0, 1);
	mk_entry(w.io, &w.h, 3, 0 | FVD_ENTRY_DIRTY);
	one_defect(&w, "table-dirty-mark", FVD_NOTE, false, true);
	done(&w);
}

static void prefetched_mark_is_cleared(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	w.h.fully_prefetched = true;
	mk_put_header(w.io, &w.h);
	mk_bit(w.io, &w.h, 0);
	one_defect(&w, "prefetched-mark", FVD_DAMAGE, false, true);
	done(&w);
}

static void extension_is_salvaged(void **state)
{
	struct fvd_ext x = { .has_generation = true, .generation = 9, .has_uuid = true };
	struct world w;
	uint8_t area[FVD_EXT_AREA], bad = 'X';

	(void)state;
	make(&w);
	memset(x.uuid, 0x5A, 16);
	strcpy(x.creator, "a test");
	assert_int_equal(fvd_ext_encode(&x, w.h.reserved, NULL), 0);
	mk_put_header(w.io, &w.h);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	assert_int_equal(fvd_io_pwrite(w.io, &bad, 1, 3316 + 8, NULL), 0);	/* the checksum */
	one_defect(&w, "extension-damaged", FVD_DAMAGE, false, true);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(fvd_io_pread(w.io, area, sizeof(area), 3316, NULL), 0);
	fvd_ext_decode(area, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(x.generation, 9);
	assert_true(x.has_uuid && x.uuid[15] == 0x5A);
	assert_string_equal(x.creator, "a test");
	done(&w);
}

static void hopeless_extension_is_zeroed(void **state)
{
	uint8_t junk[64];
	struct world w;

	(void)state;
	make(&w);
	memset(junk, 0xEE, sizeof(junk));
	memcpy(junk, "FVDX", 4);
	assert_int_equal(fvd_io_pwrite(w.io, junk, sizeof(junk), 3316, NULL), 0);
	one_defect(&w, "extension-damaged", FVD_DAMAGE, false, true);
	done(&w);
}

static void broken_header_stays(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	w.h.table_offset = w.h.journal_offset;
	mk_put_header(w.io, &w.h);
	one_defect(&w, "header", FVD_DAMAGE, false, false);
	w.h.table_offset = UINT64_C(1) << 40;
	mk_put_header(w.io, &w.h);
	one_defect(&w, "region-past-end", FVD_DAMAGE, false, false);
	w.h.chunk_size = 0;
	mk_put_header(w.io, &w.h);
	one_defect(&w, "header", FVD_DAMAGE, false, false);
	done(&w);
}

static void truncated_file_is_a_finding(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	assert_int_equal(fvd_io_truncate(w.io, 5000, NULL), 0);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_false(w.report.clean);
	assert_int_equal(fvd_io_truncate(w.io, 0, NULL), 0);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), -1);
	assert_int_equal(w.err.class, FVD_ERR_FORMAT);
	done(&w);
}

static void short_file_is_extended(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 0, 0, 1);
	mk_entry(w.io, &w.h, 1, 9);
	/* The same file also leaks nothing: chunks 1 to 8 do not exist. */
	one_defect(&w, "file-short", FVD_DAMAGE, true, true);
	assert_int_equal(check(&w, FVD_REPAIR_SAFE), 0);
	assert_int_equal(length(w.io), w.h.data_offset + 10 * CHUNK);
	done(&w);
}

static void leaked_tail_is_cut_off(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 0, 0, 1);
	mk_fill(w.io, w.h.data_offset + 3 * CHUNK, 2 * CHUNK, 1);
	one_defect(&w, "leak-tail", FVD_LEAK, true, true);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.leaked_bytes, 2 * CHUNK);
	assert_int_equal(get(&w, "leak-tail")->bytes, 2 * CHUNK);
	assert_int_equal(check(&w, FVD_REPAIR_SAFE), 0);
	assert_int_equal(length(w.io), w.h.data_offset + CHUNK);
	assert_int_equal(w.report.leaked_bytes, 0);
	done(&w);
}

static void preallocated_holes_are_no_leak(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 0, 0, 1);
	assert_int_equal(fvd_io_truncate(w.io, w.h.data_offset + 100 * CHUNK, NULL), 0);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(w.count, 0);
	assert_int_equal(length(w.io), w.h.data_offset + 100 * CHUNK);
	done(&w);
}

static void leak_between_chunks_is_punched(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 0, 3, 1);
	place(&w, 1, 8, 1);
	mk_fill(w.io, w.h.data_offset + CHUNK, CHUNK / 2, 1);
	mk_fill(w.io, w.h.data_offset + 7 * CHUNK, CHUNK, 1);
	one_defect(&w, "leak-inside", FVD_LEAK, false, true);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.report.leaked_bytes, CHUNK + CHUNK / 2);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_int_equal(byte_at(&w, w.h.data_offset + 8 * CHUNK), 1);
	assert_int_equal(byte_at(&w, w.h.data_offset + 3 * CHUNK), 1);
	assert_int_equal(byte_at(&w, w.h.data_offset + 7 * CHUNK), 0);
	done(&w);
}

/* Chunks that begin in the middle of a page: a leak is whole pages, and the walk ends. */
static void leaks_between_odd_chunks_are_found(void **state)
{
	struct fvd_header h = mk_header_rev1(SIZE, 0, 0, 102912, 65536);
	struct world w;

	(void)state;
	h.metadata_size += 4608;
	h.data_offset += 4608;
	for (unsigned gap = 0; gap < 2; gap++) {
		make_with(&w, h);
		for (unsigned i = 0; i < 8; i += 2) {
			mk_entry(w.io, &w.h, i, i);
			mk_fill(w.io, h.data_offset + i * UINT64_C(102912), 102912, 1);
		}
		if (gap)
			mk_fill(w.io, h.data_offset + 3 * UINT64_C(102912), 102912, 1);
		assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
		assert_int_equal(w.count, gap);
		if (gap) {
			assert_in_range(w.report.leaked_bytes, 102912 - 2 * 4096, 102912);
			assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
			assert_true(w.report.clean);
			assert_int_equal(byte_at(&w, h.data_offset + 3 * 102912 - 1), 1);
			assert_int_equal(byte_at(&w, h.data_offset + 4 * 102912), 1);
		}
		done(&w);
	}
}

static void lost_data_raises_the_generation(void **state)
{
	struct fvd_ext x = { .has_generation = true, .generation = 9 };
	struct world w;

	(void)state;
	make(&w);
	assert_int_equal(fvd_ext_encode(&x, w.h.reserved, NULL), 0);
	mk_put_header(w.io, &w.h);
	mk_entry(w.io, &w.h, 7, FVD_ENTRY_DAMAGED);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_int_equal(fvd_io_pread(w.io, w.h.reserved, FVD_EXT_AREA, 3316, NULL), 0);
	fvd_ext_decode(w.h.reserved, &x);
	assert_int_equal(x.state, FVD_EXT_OK);
	assert_int_equal(x.generation, 10);
	done(&w);
}

static void a_table_of_damage_is_counted_quickly(void **state)
{
	struct world w;

	(void)state;
	make_with(&w, mk_header(16 * FVD_TIB, 0, CHUNK, FVD_MIB, 0));
	mk_fill(w.io, w.h.table_offset, w.h.table_size / 2, 0);
	for (unsigned i = 0; i < 8; i++)
		mk_fill(w.io, w.h.table_offset + w.h.table_size / 2 + i * FVD_MIB, FVD_MIB, 0x7F);
	mk_entry(w.io, &w.h, 16 * FVD_MIB - 1, FVD_ENTRY_DAMAGED);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_true(w.report.found[FVD_DAMAGE] > 8000000);
	assert_true(w.count < 400);
	done(&w);
}

static void several_defects_go_in_one_run(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	place(&w, 0, 3, 1);
	place(&w, 1, 8, 1);
	mk_entry(w.io, &w.h, 2, 3);
	mk_entry(w.io, &w.h, 3, FVD_ENTRY_DAMAGED);
	mk_fill(w.io, w.h.data_offset + 6 * CHUNK, CHUNK, 1);
	mk_fill(w.io, w.h.data_offset + 20 * CHUNK, CHUNK, 1);
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 0, 1, 9, 30);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	for (unsigned i = 0; i < w.count; i++)
		assert_true(w.list[i].fixed);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	assert_int_equal(mk_get_entry(w.io, &w.h, 9), 30);
	done(&w);
}

static void data_file_is_opened_only_when_followed(void **state)
{
	struct fvd_header h = mk_header(SIZE, 0, CHUNK, CHUNK, 65536);
	struct fvd_io *data;
	struct world w;

	(void)state;
	strcpy(h.data_file, "disk.dat");
	h.data_offset = 0;
	h.clean_shutdown = 0;
	make_with(&w, h);
	data = fvd_io_mem_new("disk.dat", 0, NULL);
	mem_opener_add(w.opener, "disk.dat", data);
	mk_fill(data, 0, 5 * CHUNK, 3);
	mk_put_table(w.io, &w.h, 0, 1, 4, 1);
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_non_null(get(&w, "data-file-not-checked"));
	assert_false(get(&w, "journal-needs-replay")->fixable);
	assert_false(w.report.clean);
	assert_int_equal(mem_opener_opened(w.opener, "disk.dat"), 0);
	w.opts.follow = true;
	w.opts.undo_file = "undo";
	assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
	assert_true(w.report.clean);
	assert_non_null(mem_opener_get(w.opener, "undo.data"));
	assert_int_equal(length(data), 2 * CHUNK);
	w.opts.undo_file = NULL;
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	done(&w);
}

static void base_is_looked_at_only_when_followed(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_true(w.report.clean);
	w.opts.follow = true;
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	expect(&w, "base", FVD_DAMAGE, false, false);
	mem_opener_add(w.opener, "base.raw", fvd_io_mem_new("base.raw", SIZE, NULL));
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(w.count, 0);
	done(&w);
}

static void locks_are_respected(void **state)
{
	struct fvd_io *holder;
	struct world w;

	(void)state;
	make(&w);
	assert_int_equal(w.opener->open(w.opener, "disk.fvd", 0, FVD_LOCK_SHARED, &holder, NULL),
			 0);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(check(&w, FVD_REPAIR_SAFE), -1);
	assert_int_equal(w.err.class, FVD_ERR_LOCKED);
	fvd_io_close(holder);
	assert_int_equal(w.opener->open(w.opener, "disk.fvd", FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE,
					&holder, NULL), 0);
	assert_int_equal(check(&w, FVD_REPAIR_NONE), -1);
	assert_int_equal(w.err.class, FVD_ERR_LOCKED);
	w.opts.force_share = true;
	assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
	assert_int_equal(check(&w, FVD_REPAIR_SAFE), -1);
	assert_int_equal(w.err.class, FVD_ERR_INVALID);
	fvd_io_close(holder);
	done(&w);
}

static void revision_1_is_mended(void **state)
{
	struct world w;

	(void)state;
	make_with(&w, mk_header_rev1(SIZE, SIZE, CHUNK, CHUNK, 65536));
	w.h.clean_shutdown = 0;
	mk_put_header(w.io, &w.h);
	mk_put_table(w.io, &w.h, 1, 0, 2, 0);
	mk_fill(w.io, w.h.data_offset, CHUNK, 7);
	mk_fill(w.io, w.h.data_offset + 4 * CHUNK, CHUNK, 7);
	one_defect(&w, "journal-needs-replay", FVD_DIRTY, true, true);
	done(&w);
	make_with(&w, mk_header_rev1(SIZE, SIZE, CHUNK, CHUNK, 65536));
	place(&w, 5, 1, 2);
	mk_entry(w.io, &w.h, 900, 1);
	one_defect(&w, "table-duplicate", FVD_DAMAGE, false, true);
	done(&w);
}

static void writing_failures_leave_a_repairable_image(void **state)
{
	(void)state;
	for (unsigned cut = 0; cut < 60; cut++) {
		struct mk_recorder *rec = malloc(sizeof(*rec));
		struct fvd_io *plain;
		struct world w;
		int ret;

		assert_non_null(rec);
		make(&w);
		place(&w, 0, 3, 1);
		place(&w, 1, 8, 5);
		mk_entry(w.io, &w.h, 2, 8);
		mk_fill(w.io, w.h.data_offset + 6 * CHUNK, CHUNK, 1);
		w.h.clean_shutdown = 0;
		mk_put_header(w.io, &w.h);
		mk_put_table(w.io, &w.h, 0, 1, 9, 30);
		plain = mk_clone(w.io);
		mk_record(rec, plain);
		rec->fail_at = cut;
		mem_opener_add(w.opener, "disk.fvd", &rec->io);
		ret = check(&w, FVD_REPAIR_ALL);
		rec->fail_at = UINT32_MAX;
		rec->count = 0;
		assert_int_equal(check(&w, FVD_REPAIR_ALL), 0);
		assert_int_equal(check(&w, FVD_REPAIR_NONE), 0);
		/* The recorder cannot punch, so the leak alone may stay. */
		assert_int_equal(w.report.left[FVD_DAMAGE] + w.report.left[FVD_DIRTY], 0);
		assert_int_equal(mk_get_entry(plain, &w.h, 9), 30);
		w.io = plain;
		assert_int_equal(byte_at(&w, w.h.data_offset +
					 mk_get_entry(plain, &w.h, 2) * CHUNK), 5);
		assert_int_equal(byte_at(&w, w.h.data_offset +
					 mk_get_entry(plain, &w.h, 1) * CHUNK), 5);
		done(&w);
		fvd_io_close(plain);
		free(rec);
		if (ret == 0)
			return;
	}
	fail_msg("the repair never came to its end");
}

static double timed_check(struct world *w)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(check(w, FVD_REPAIR_NONE), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static void scattered_pieces_are_fast(void **state)
{
	struct world w;
	double s;

	(void)state;
	make_with(&w, mk_header(FVD_TIB, 0, CHUNK, FVD_MIB, 16 * FVD_MIB));
	for (uint32_t i = 0; i < 16384; i++) {
		mk_entry(w.io, &w.h, i * UINT64_C(64), i);
		mk_fill(w.io, w.h.data_offset + i * FVD_MIB, 4096, 1);
	}
	assert_int_equal(fvd_io_truncate(w.io, w.h.data_offset + 16384 * FVD_MIB, NULL), 0);
	s = timed_check(&w);
	print_message("1 TiB: %.1f ms\n", s * 1000);
	assert_int_equal(w.count, 0);
	assert_true(s < 1.0);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_images_have_no_findings),
		cmocka_unit_test(numbers_are_counted),
		cmocka_unit_test(sound_journal_is_replayed),
		cmocka_unit_test(damaged_journal_needs_all),
		cmocka_unit_test(damaged_history_is_a_note),
		cmocka_unit_test(dirty_without_journal_needs_all),
		cmocka_unit_test(epochs_used_up_stay),
		cmocka_unit_test(duplicate_gets_its_own_copy),
		cmocka_unit_test(duplicate_after_replay_is_mended_with_it),
		cmocka_unit_test(many_duplicates_are_counted),
		cmocka_unit_test(damaged_entry_becomes_unallocated),
		cmocka_unit_test(slack_and_marks_are_notes),
		cmocka_unit_test(prefetched_mark_is_cleared),
		cmocka_unit_test(extension_is_salvaged),
		cmocka_unit_test(hopeless_extension_is_zeroed),
		cmocka_unit_test(broken_header_stays),
		cmocka_unit_test(truncated_file_is_a_finding),
		cmocka_unit_test(short_file_is_extended),
		cmocka_unit_test(leaked_tail_is_cut_off),
		cmocka_unit_test(preallocated_holes_are_no_leak),
		cmocka_unit_test(leak_between_chunks_is_punched),
		cmocka_unit_test(leaks_between_odd_chunks_are_found),
		cmocka_unit_test(lost_data_raises_the_generation),
		cmocka_unit_test(a_table_of_damage_is_counted_quickly),
		cmocka_unit_test(several_defects_go_in_one_run),
		cmocka_unit_test(data_file_is_opened_only_when_followed),
		cmocka_unit_test(base_is_looked_at_only_when_followed),
		cmocka_unit_test(locks_are_respected),
		cmocka_unit_test(revision_1_is_mended),
		cmocka_unit_test(writing_failures_leave_a_repairable_image),
		cmocka_unit_test(scattered_pieces_are_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
