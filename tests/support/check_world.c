/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check_world.h"
#include "io/io_undo.h"

static void keep(void *opaque, const struct fvd_finding *f)
{
	struct world *w = opaque;

	assert_true(w->count < 400);
	w->list[w->count++] = *f;
}

void check_make_with(struct world *w, struct fvd_header h)
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

void check_make(struct world *w)
{
	check_make_with(w, mk_header(SIZE, SIZE, CHUNK, CHUNK, 65536));
}

void check_done(struct world *w)
{
	mem_opener_free(w->opener);
}

int check_run(struct world *w, enum fvd_check_repair repair)
{
	w->count = 0;
	w->opts.repair = repair;
	return fvd_check("disk.fvd", &w->opts, &w->report, &w->err);
}

const struct fvd_finding *check_get(const struct world *w, const char *code)
{
	for (unsigned i = 0; i < w->count; i++) {
		if (strcmp(w->list[i].code, code) == 0)
			return &w->list[i];
	}
	return NULL;
}

void check_place(struct world *w, uint64_t chunk, uint32_t entry, uint8_t value)
{
	mk_entry(w->io, &w->h, chunk, entry);
	mk_fill(w->io, w->h.data_offset + entry * CHUNK, CHUNK, value);
}

uint8_t check_byte(struct world *w, uint64_t off)
{
	uint8_t b;

	assert_int_equal(fvd_io_pread(w->io, &b, 1, off, NULL), 0);
	return b;
}

uint64_t check_length(struct fvd_io *io)
{
	uint64_t len;

	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	return len;
}

void check_expect(struct world *w, const char *code, enum fvd_severity severity, bool safe,
		   bool fixable)
{
	const struct fvd_finding *f = check_get(w, code);

	if (f == NULL)
		fail_msg("no finding %s (first: %s)", code, w->count ? w->list[0].text : "none");
	assert_int_equal(f->severity, severity);
	assert_int_equal(f->fixable_safe, safe);
	assert_int_equal(f->fixable, fixable);
	assert_int_equal(w->report.clean, severity == FVD_NOTE || f->fixed);
}

void check_one_defect(struct world *w, const char *code, enum fvd_severity severity, bool safe,
		       bool fixable)
{
	uint64_t len, len2, bytes;
	uint8_t *before = mk_bytes(w->io, &len), *after;
	struct fvd_io *undo;

	assert_int_equal(check_run(w, FVD_REPAIR_NONE), 0);
	check_expect(w, code, severity, safe, fixable);
	after = mk_bytes(w->io, &len2);
	assert_int_equal(len, len2);
	assert_memory_equal(before, after, len);
	free(after);
	if (!safe) {
		assert_int_equal(check_run(w, FVD_REPAIR_SAFE), 0);
		assert_false(check_get(w, code)->fixed);
		after = mk_bytes(w->io, &len2);
		assert_int_equal(len, len2);
		assert_memory_equal(before, after, len);
		free(after);
	}
	w->opts.undo_file = "undo";
	if (check_run(w, safe ? FVD_REPAIR_SAFE : FVD_REPAIR_ALL) != 0)
		fail_msg("%s", w->err.text);
	w->opts.undo_file = NULL;
	assert_int_equal(check_get(w, code)->fixed, fixable);
	if (fixable) {
		assert_true(w->report.clean);
		assert_int_equal(w->report.fixed[severity], w->report.found[severity]);
		assert_int_equal(check_run(w, FVD_REPAIR_NONE), 0);
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
