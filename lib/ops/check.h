/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check and mend one image. Findings are data: an error means that the check itself could not
 * go on. FORMAT 2-4, 6.3-6.6, 7, 9.
 *
 * It looks first, without a write; a dirty image is judged as its replay in memory leaves it.
 * Then it mends what was asked for, looks again, and reports as mended what the second look no
 * longer finds.
 */
#ifndef FVD_OPS_CHECK_H
#define FVD_OPS_CHECK_H

#include "io/io_open.h"
#include "util/progress.h"

enum fvd_check_repair {
	FVD_REPAIR_NONE,
	FVD_REPAIR_SAFE,	/* replay a sound journal, cut a leaked tail, extend a file */
	FVD_REPAIR_ALL,
};

enum fvd_severity {
	FVD_NOTE,	/* worth knowing; the image is clean all the same */
	FVD_LEAK,	/* storage in use that nothing refers to */
	FVD_DIRTY,	/* the state after a power cut: replay mends it */
	FVD_DAMAGE,
	FVD_SEVERITIES,
};

/*
 * Codes: header, region-past-end, extension-damaged, extension-unknown, journal-needs-replay,
 * journal-damaged, journal-old-damage, journal-epoch, dirty-no-journal, epochs-used-up,
 * table-entry-damaged, table-duplicate, table-dirty-mark, table-slack, bitmap-slack,
 * prefetched-mark, file-short, leak-inside, leak-tail, data-file-not-checked, base, base-changed,
 * and each with "-more" for what came after the first hundred of a code.
 */
struct fvd_finding {
	enum fvd_severity severity;
	const char *code;	/* static text */
	char text[512];
	bool fixable_safe, fixable;	/* by FVD_REPAIR_SAFE; by FVD_REPAIR_ALL */
	bool fixed;
	uint64_t bytes;		/* leaks, missing file: how much */
};

struct fvd_check_opts {
	enum fvd_check_repair repair;
	const char *data_file;	/* with follow and repair: may be written anywhere */
	const char *undo_file;	/* created when the first repair begins; ".data" for a data file */
	bool follow;		/* open the data_file and the base; else neither is touched */
	bool ignore_base_change;
	bool force_share;	/* look beside a writer, without a lock; no repair */
	struct fvd_opener *opener;	/* NULL: fvd_opener_files() */
	void (*finding)(void *opaque, const struct fvd_finding *f);	/* at the end, in order */
	void *opaque;
	struct fvd_progress *progress;
};

struct fvd_check_report {
	/* By severity, also those that were not told one by one. */
	uint64_t found[FVD_SEVERITIES], fixed[FVD_SEVERITIES], left[FVD_SEVERITIES];
	uint64_t leaked_bytes;		/* left */
	uint64_t chunk_count, chunks_allocated;
	uint64_t block_count, blocks_local;
	uint64_t file_length;		/* of the file that holds the chunks, when opened */
	uint64_t data_end;		/* where what is in use ends in it */
	bool dirty;			/* as first found */
	struct {
		uint64_t sectors, used, void_sectors, damaged;
		uint64_t stable_epoch, max_epoch;
	} journal;
	bool clean;			/* nothing above FVD_NOTE is left */
};

/*
 * Takes the exclusive lock to mend, the shared one to look.
 * Exit status of fsck(8): -1 is 8; !clean is 4; clean with any fixed[] is 1; else 0.
 * Errors: INVALID (force_share with repair), FORMAT (not an FVD image), LOCKED, IO, NOMEM,
 * CANCELLED.
 */
int fvd_check(const char *name, const struct fvd_check_opts *opts,
	      struct fvd_check_report *report, struct fvd_error *err);

#endif
