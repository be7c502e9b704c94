/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of check share. */
#ifndef FVD_OPS_CHECK_PRIVATE_H
#define FVD_OPS_CHECK_PRIVATE_H

#include "image/replay.h"
#include "ops/check.h"

#define CHECK_DETAILED 100	/* findings of one code that are told one by one */
#define CHECK_MAX_CODES 32

struct check_findings {
	struct fvd_finding *list;
	size_t count, cap;
	struct { const char *code; uint64_t seen; struct fvd_finding like; } code[CHECK_MAX_CODES];
	unsigned code_count;
	uint64_t by_severity[FVD_SEVERITIES];
};

struct check {
	const char *name;
	const struct fvd_check_opts *opts;
	struct fvd_opener *opener;
	struct fvd_check_report *report;
	struct fvd_io *io;		/* the image */
	struct fvd_io *storage;		/* where chunks live; NULL: data file not opened */
	bool undo_open;
	/* One look; all below is reset by the next. */
	struct check_findings found;
	struct fvd_meta *m;		/* bitmap and table as replayed */
	bool loaded;			/* bitmap and table are there */
	bool unmendable;		/* the header is wrong: no repair at all */
	bool dirty;
	struct fvd_replay_result r;
	struct fvd_bitset used;		/* chunk numbers in use, below end */
	uint64_t end;			/* 1 + the highest one */
	uint64_t damaged_entries, duplicates, dirty_marks;
	bool table_slack, bitmap_slack, prefetched_wrong;
	uint64_t length, use_end;	/* of storage: its length; where what is in use ends */
	uint64_t leaked_inside, leaked_tail, own_tail;
	bool file_short;
};

/* check_findings.c */
int check_add(struct check *c, const struct fvd_finding *f, struct fvd_error *err);
int check_find(struct check *c, enum fvd_severity severity, const char *code, int fixable,
	       struct fvd_error *err, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
enum { CHECK_UNFIXABLE, CHECK_FIX_ALL, CHECK_FIX_SAFE };
/* @n more of a code that has been found already, not in words. */
void check_count_more(struct check *c, enum fvd_severity severity, const char *code, uint64_t n);
/* A finding "and N more" for each code that had more than are told. */
int check_findings_close(struct check *c, struct fvd_error *err);
void check_findings_fini(struct check_findings *f);
/* Mark in @all what @now no longer has as fixed; add what is new in @now. */
int check_findings_merge(struct check_findings *all, const struct check_findings *now,
			 struct fvd_error *err);

/* check_look.c, check_table.c, check_storage.c, check_follow.c */
int check_look(struct check *c, struct fvd_error *err);
void check_look_fini(struct check *c);
int check_look_table(struct check *c, struct fvd_error *err);
int check_look_bitmap(struct check *c, struct fvd_error *err);
int check_look_storage(struct check *c, struct fvd_error *err);
int check_each_mark(struct check *c, void (*mark)(struct check *c, uint64_t chunk),
		    struct fvd_error *err);
typedef int (*check_leak_fn)(struct check *c, uint64_t off, uint64_t len, struct fvd_error *err);
/* Each piece of storage below use_end that nothing refers to. */
int check_each_leak(struct check *c, check_leak_fn leak, struct fvd_error *err);
int check_open_data(struct check *c, const struct fvd_header *h, struct fvd_error *err);
int check_look_base(struct check *c, struct fvd_error *err);

/* check_repair.c, check_mend_table.c: *did says whether anything was written. */
int check_repair(struct check *c, bool *did, struct fvd_error *err);
int check_mend_table(struct check *c, struct fvd_error *err);
/* check_ext.c: a good area out of the damaged one @area, as far as its entries can be read. */
void check_salvage_ext(uint8_t *area);

#endif
