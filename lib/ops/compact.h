/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Make an image smaller in place. Crash safe at every step, repeatable; needs room for
 * a few chunks, not for a second copy. FORMAT 3 (clearing bits), 6.2 (J4-J6).
 */
#ifndef FVD_OPS_COMPACT_H
#define FVD_OPS_COMPACT_H

#include "io/io_open.h"
#include "util/progress.h"

struct fvd_compact_opts {
	bool dry_run;		/* writes nothing; the report's numbers are what a run would do */
	bool against_base;	/* blocks equal to the base go back to it (opens the base) */
	bool no_punch;		/* unmap, move and cut off only */
	bool ignore_base_change;
	/* As the image has it: needed to look at one, or to change one outside its directory. */
	const char *data_file;
	struct fvd_opener *opener;
	struct fvd_progress *progress;
};

struct fvd_compact_report {
	uint64_t length_before, length_after;	/* of the file that holds the chunks */
	uint64_t storage_before, storage_after;	/* bytes in use by the file map */
	uint64_t freed;		/* bytes of storage; in a dry run exactly what a run would free */
	uint64_t chunks_unmapped, chunks_moved, blocks_dropped;
	uint64_t bytes_punched;			/* inside chunks that stay */
};

int fvd_compact(const char *name, const struct fvd_compact_opts *opts,
		struct fvd_compact_report *report, struct fvd_error *err);

#endif
