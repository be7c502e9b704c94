/* SPDX-License-Identifier: BSD-2-Clause */
#include "ops/check.h"

#include <stdlib.h>
#include <string.h>

#include "ops/check_private.h"

/* Replay, then lengths, then leaks: each round does what the look before it allows. */
#define MAX_ROUNDS 4

static void fill_report(struct check *c, bool first)
{
	struct fvd_check_report *report = c->report;

	if (!c->loaded)
		return;
	if (first)
		report->dirty = c->dirty;
	report->journal.sectors = c->r.sectors;
	report->journal.used = c->r.used;
	report->journal.void_sectors = c->r.void_sectors;
	report->journal.damaged = c->r.damaged;
	report->journal.stable_epoch = c->m->h.stable_epoch;
	report->journal.max_epoch = c->r.max_epoch;
}

static int look(struct check *c, struct check_findings *all, bool first, struct fvd_error *err)
{
	int ret;

	check_look_fini(c);
	c->report->leaked_bytes = 0;
	ret = check_look(c, err);
	fill_report(c, first);
	if (ret < 0)
		return -1;
	if (!first)
		return check_findings_merge(all, &c->found, err);
	*all = c->found;
	if (all->count == 0)
		return 0;
	all->list = malloc(all->cap * sizeof(*all->list));
	if (all->list == NULL) {
		all->count = all->cap = 0;
		return fvd_error_set(err, FVD_ERR_NOMEM, "list of findings");
	}
	memcpy(all->list, c->found.list, all->count * sizeof(*all->list));
	return 0;
}

static int rounds(struct check *c, struct check_findings *all, struct fvd_error *err)
{
	bool did = c->opts->repair != FVD_REPAIR_NONE;

	if (look(c, all, true, err) < 0)
		return -1;
	for (int i = 0; did && i < MAX_ROUNDS; i++) {
		if (fvd_progress_add(c->opts->progress, 0, err) < 0 ||
		    check_repair(c, &did, err) < 0 || (did && look(c, all, false, err) < 0))
			return -1;
	}
	return 0;
}

static void tell(struct check *c, struct check_findings *all)
{
	struct fvd_check_report *report = c->report;

	for (int s = 0; s < FVD_SEVERITIES; s++) {
		report->found[s] = all->by_severity[s];
		report->left[s] = c->found.by_severity[s];
		report->fixed[s] = report->found[s] > report->left[s] ?
				   report->found[s] - report->left[s] : 0;
	}
	report->clean = report->left[FVD_LEAK] == 0 && report->left[FVD_DIRTY] == 0 &&
			report->left[FVD_DAMAGE] == 0;
	for (size_t i = 0; c->opts->finding != NULL && i < all->count; i++)
		c->opts->finding(c->opts->opaque, &all->list[i]);
}

static int open_image(struct check *c, struct fvd_error *err)
{
	const struct fvd_check_opts *opts = c->opts;
	bool write = opts->repair != FVD_REPAIR_NONE;

	if (write && opts->force_share)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "%s: repair needs the image alone, not beside a writer",
				     c->name);
	return c->opener->open(c->opener, c->name, write ? FVD_IO_WRITE : 0,
			       opts->force_share ? FVD_LOCK_NONE :
			       write ? FVD_LOCK_EXCLUSIVE : FVD_LOCK_SHARED, &c->io, err);
}

int fvd_check(const char *name, const struct fvd_check_opts *opts,
	      struct fvd_check_report *report, struct fvd_error *err)
{
	struct check c = { .name = name, .opts = opts, .report = report };
	struct check_findings all = { 0 };
	struct fvd_error why = { 0 };
	int ret;

	memset(report, 0, sizeof(*report));
	c.opener = opts->opener != NULL ? opts->opener : fvd_opener_files();
	if (open_image(&c, err) < 0)
		return -1;
	fvd_progress_start(opts->progress, "check", 0);
	ret = rounds(&c, &all, &why);
	fvd_progress_finish(opts->progress);
	tell(&c, &all);
	if (ret < 0)
		fvd_error_name(&why, name);
	if (ret < 0 && err != NULL)
		*err = why;
	check_look_fini(&c);
	check_findings_fini(&all);
	if (c.storage != c.io)
		fvd_io_close(c.storage);
	fvd_io_close(c.io);
	return ret;
}
