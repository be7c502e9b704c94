/* SPDX-License-Identifier: BSD-2-Clause */
/* Replay the journal of one image, or show what a replay would do. FORMAT 6.4. */
#ifndef FVD_OPS_REPLAY_JOURNAL_H
#define FVD_OPS_REPLAY_JOURNAL_H

#include "image/replay.h"
#include "io/io_open.h"

struct fvd_replay_op_opts {
	bool dry_run;		/* writes nothing, opens no other file */
	struct fvd_replay_opts replay;	/* stop_at, skip_damaged, drop_all, record */
	const char *data_file;	/* as the image has it: may be written outside its directory */
	const char *undo_file;	/* created just before the first write */
	struct fvd_opener *opener;	/* NULL: fvd_opener_files() */
};

#define FVD_REPLAY_OP_OPTS_INIT { .replay = FVD_REPLAY_OPTS_INIT }

/*
 * *was_clean: the image was clean, and nothing was written; @r then tells what the journal holds,
 * as if the image had been dirty. The caller frees @r with fvd_replay_result_fini, also after an
 * error. The separate data file, if any, is opened for its sync and its length, when writing only
 * (the undo file does not cover that length).
 * Takes the exclusive lock to write, the shared one for a dry run.
 * Errors: CORRUPT (damage without skip_damaged, duplicates in the final table), DIRTY (not clean
 * and no journal), FORMAT, LOCKED, IO...
 */
int fvd_replay_journal(const char *name, const struct fvd_replay_op_opts *opts,
		       struct fvd_replay_result *r, bool *was_clean, struct fvd_error *err);

#endif
