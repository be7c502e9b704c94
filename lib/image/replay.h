/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Journal replay: walk all sectors, apply what is valid to a struct fvd_meta in memory, and,
 * as a step of its own, make that durable in place. FORMAT 6.3-6.5, 9.
 *
 * A reader calls _scan and throws the memory away at the end; a writer calls _scan, then
 * _commit. Nothing is written by _scan, whatever it finds.
 */
#ifndef FVD_IMAGE_REPLAY_H
#define FVD_IMAGE_REPLAY_H

#include "image/meta.h"

/* One record as seen by --explain. */
enum fvd_verdict {
	FVD_REC_APPLIED, FVD_REC_VOID, FVD_REC_DAMAGED,
	FVD_REC_DROPPED,	/* behind --stop-at */
};

struct fvd_replay_record {
	uint64_t sector;		/* journal sector number, from 0 */
	enum fvd_verdict verdict;
	const struct fvd_jrec *rec;	/* NULL for a sector that is damaged before any record */
	const char *why;		/* "" or: "epoch 3 < stable epoch 7", damage text */
};

struct fvd_replay_opts {
	uint64_t stop_at;		/* drop sectors from here on; UINT64_MAX: none */
	bool skip_damaged;		/* drop damaged sectors instead of stopping */
	bool drop_all;			/* discard: apply nothing */
	/* Called for every record in order; NULL is fine. Non-zero ends the scan (CANCELLED). */
	int (*record)(void *opaque, const struct fvd_replay_record *r);
	void *opaque;
};

#define FVD_REPLAY_OPTS_INIT { .stop_at = UINT64_MAX }

struct fvd_replay_result {
	uint64_t sectors;		/* in the journal */
	uint64_t used;			/* sectors that hold records */
	uint64_t applied, void_sectors, damaged, dropped;	/* sectors */
	uint64_t table_records, bitmap_records;			/* applied */
	uint64_t bits_set, entries_set;		/* blocks and chunks whose bit or entry changed */
	uint64_t max_epoch;		/* highest in any sector, void, damaged and dropped too */
	uint64_t first_damaged;		/* sector, UINT64_MAX when none */
	char first_damage[160];
	bool would_set_old_bit;		/* a sector without TABLE record would set a bit that
					 * is 0, or is damaged: the next replay would stumble */
	/* Sectors to zero when dropping (FORMAT 6.4 end); sorted; owned. before: those without a
	 * TABLE record and the damaged ones (revision 1: all dropped); after: the rest. */
	uint64_t *zero_before, *zero_after;
	uint64_t zero_before_count, zero_after_count;
};

void fvd_replay_result_fini(struct fvd_replay_result *r);

/*
 * Scan the journal of @m on @io and apply it to @m's bitmap and table (memory only). An image
 * without journal gives an empty result. Only data extents of the journal region are read; what
 * cannot be read is damaged. Damage without skip_damaged: everything is still counted and
 * reported, and the call returns -1 with CORRUPT naming the sector, and "fvdtool replay-journal
 * --skip-damaged" as what to type next; @m is then to be thrown away.
 * The final table is judged (fvd_meta_judge_table): duplicates or damage are CORRUPT.
 */
int fvd_replay_scan(struct fvd_io *io, struct fvd_meta *m, const struct fvd_replay_opts *opts,
		    struct fvd_replay_result *r, struct fvd_error *err);

/*
 * The same without the last judgement, and with damage only reported: what is left in @m is as if
 * damaged sectors had been skipped. For check, which lists all that is wrong.
 */
int fvd_replay_apply(struct fvd_io *io, struct fvd_meta *m, const struct fvd_replay_opts *opts,
		     struct fvd_replay_result *r, struct fvd_error *err);

/*
 * Make a scanned replay durable, in the order of FORMAT 6.4: sync both files, zero the
 * dropped sectors that must go first, sync, write bitmap and table, sync, state clean with
 * stable_epoch above every epoch, sync, zero the other dropped ones; extends a short regular file
 * to the last chunk's end before the state is set clean. @data may be @io.
 */
int fvd_replay_commit(struct fvd_io *io, struct fvd_io *data, struct fvd_meta *m,
		      const struct fvd_replay_result *r, struct fvd_error *err);

/* One look through the journal that applies nothing: epochs, would_set_old_bit. What a writer
 * needs before its first metadata change (FORMAT 6.3). Damaged sectors are no error here. */
int fvd_replay_survey(struct fvd_io *io, const struct fvd_meta *m, struct fvd_replay_result *r,
		      struct fvd_error *err);

/*
 * Load and replay for a reader that shares the image with a writer: state sector, bitmap, table,
 * journal, then state sector and journal again, until both are the same (at most @tries times,
 * then LOCKED "changes faster than it can be read"). @m is ready for use, replayed when dirty.
 * FORMAT 6.5.
 */
int fvd_replay_load_shared(struct fvd_io *io, struct fvd_io *data, unsigned tries,
			   struct fvd_meta *m, struct fvd_error *err);

#endif
