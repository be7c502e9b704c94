/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "ops/check.h"
#include "options.h"
#include "report.h"

static struct {
	int none, safe, all, follow, force_share, ignore_base_change;
	char *undo, *data_file;
} args;

static struct poptOption options[] = {
	{ "no-repair", 'n', POPT_ARG_NONE, &args.none, 0, "write nothing (default)", NULL },
	{ "preen", 'p', POPT_ARG_NONE, &args.safe, 0, "mend what is safe: replay, leaks, length",
	  NULL },
	{ "repair", 'y', POPT_ARG_NONE, &args.all, 0, "mend all that can be mended", NULL },
	{ "undo", '\0', POPT_ARG_STRING, &args.undo, 0, "keep what is overwritten in this new file",
	  "FILE" },
	{ "data-file", '\0', POPT_ARG_STRING, &args.data_file, 0,
	  "IMAGE's data file, if outside its directory", "FILE" },
	{ "follow", '\0', POPT_ARG_NONE, &args.follow, 0,
	  "open the base and data file that it names", NULL },
	{ "force-share", 'U', POPT_ARG_NONE, &args.force_share, 0,
	  "look while another process writes", NULL },
	{ "ignore-base-change", '\0', POPT_ARG_NONE, &args.ignore_base_change, 0,
	  "with --follow: a changed base is no error", NULL },
	COMMON_OPTIONS_NO_P,
	POPT_TABLEEND
};

static int check_parse(const struct call *call)
{
	if (args.none + args.safe + args.all > 1)
		return usage_error(call->cmd, "-n, -p and -y exclude each other");
	if (args.undo && !args.safe && !args.all)
		return usage_error(call->cmd, "--undo is for -p and -y: nothing is written else");
	if (args.undo && call->count > 1)
		return usage_error(call->cmd, "--undo takes one IMAGE, not %d", call->count);
	if (args.force_share && (args.safe || args.all))
		return usage_error(call->cmd, "--force-share looks only: not with -p or -y");
	if (args.ignore_base_change && !args.follow)
		return usage_error(call->cmd, "--ignore-base-change is for --follow");
	return 0;
}

/* One image being checked. */
struct listing {
	const char *name;
	struct fvd_json *j;
	bool fixable_safe, fixable;	/* something left that -p, that -y mends */
};

static const char *severity_name(enum fvd_severity s)
{
	static const char *const names[FVD_SEVERITIES] = { "note", "leak", "dirty", "damage" };

	return s < FVD_SEVERITIES ? names[s] : "damage";
}

static void add_finding(void *opaque, const struct fvd_finding *f)
{
	struct listing *l = opaque;

	if (!f->fixed) {
		l->fixable_safe |= f->fixable_safe;
		l->fixable |= f->fixable;
	}
	if (common.json) {
		fvd_json_object_begin(l->j, NULL);
		fvd_json_string(l->j, "severity", severity_name(f->severity));
		fvd_json_string(l->j, "code", f->code);
		fvd_json_string(l->j, "text", f->text);
		if (f->bytes)
			fvd_json_uint(l->j, "bytes", f->bytes);
		fvd_json_bool(l->j, "mended", f->fixed);
		fvd_json_string(l->j, "mended-by",
				f->fixable_safe ? "preen" : f->fixable ? "repair" : "nothing");
		fvd_json_object_end(l->j);
	} else if (!common.quiet) {
		progress_clear();
		printf("%s: %s: %s%s\n", shown(l->name), severity_name(f->severity),
		       shown(f->text), f->fixed ? " (mended)" : "");
	}
}

static uint64_t sum(const uint64_t v[FVD_SEVERITIES])
{
	return v[FVD_LEAK] + v[FVD_DIRTY] + v[FVD_DAMAGE];
}

static const char *verdict(const struct fvd_check_report *r)
{
	if (r->clean)
		return sum(r->fixed) ? "mended" : "clean";
	return r->left[FVD_DAMAGE] ? "DAMAGED" : r->left[FVD_DIRTY] ? "dirty" : "leaks";
}

static void print_summary(const struct listing *l, const struct fvd_check_report *r)
{
	printf("%s: %s", shown(l->name), verdict(r));
	if (r->chunk_count)
		printf(", %" PRIu64 "/%" PRIu64 " chunks", r->chunks_allocated, r->chunk_count);
	if (r->block_count)
		printf(", %" PRIu64 "/%" PRIu64 " blocks local", r->blocks_local, r->block_count);
	if (r->leaked_bytes)
		printf(", %s leaked", size_text(r->leaked_bytes));
	if (sum(r->fixed))
		printf(", %" PRIu64 " mended", sum(r->fixed));
	if (sum(r->left))
		printf(", %" PRIu64 " left", sum(r->left));
	putchar('\n');
	if (r->clean || args.force_share)
		return;
	if (l->fixable_safe && !args.safe && !args.all)
		printf("  'fvdtool check -p %s' mends what is safe to mend\n", shown(l->name));
	else if (l->fixable && !args.all)
		printf("  'fvdtool check -y --undo FILE %s' mends what can be mended\n",
		       shown(l->name));
}

static void json_counts(struct fvd_json *j, const char *key, const uint64_t v[FVD_SEVERITIES])
{
	fvd_json_object_begin(j, key);
	for (int s = 0; s < FVD_SEVERITIES; s++)
		fvd_json_uint(j, severity_name((enum fvd_severity)s), v[s]);
	fvd_json_object_end(j);
}

static void json_report(struct fvd_json *j, const struct fvd_check_report *r)
{
	fvd_json_string(j, "result", verdict(r));
	fvd_json_bool(j, "clean", r->clean);
	fvd_json_bool(j, "was-dirty", r->dirty);
	json_counts(j, "found", r->found);
	json_counts(j, "mended", r->fixed);
	json_counts(j, "left", r->left);
	fvd_json_uint(j, "leaked-bytes", r->leaked_bytes);
	fvd_json_uint(j, "chunks", r->chunk_count);
	fvd_json_uint(j, "chunks-allocated", r->chunks_allocated);
	fvd_json_uint(j, "blocks", r->block_count);
	fvd_json_uint(j, "blocks-local", r->blocks_local);
	fvd_json_uint(j, "file-length", r->file_length);
	fvd_json_uint(j, "image-end-offset", r->data_end);
	fvd_json_object_begin(j, "journal");
	fvd_json_uint(j, "sectors", r->journal.sectors);
	fvd_json_uint(j, "used-sectors", r->journal.used);
	fvd_json_uint(j, "void-sectors", r->journal.void_sectors);
	fvd_json_uint(j, "damaged-sectors", r->journal.damaged);
	fvd_json_uint(j, "stable-epoch", r->journal.stable_epoch);
	fvd_json_uint(j, "max-epoch", r->journal.max_epoch);
	fvd_json_object_end(j);
}

static int status_of(const struct fvd_check_report *r)
{
	return !r->clean ? FSCK_LEFT : sum(r->fixed) ? FSCK_MENDED : STATUS_OK;
}

static int check_image(const struct call *call, const char *name, struct fvd_json *j)
{
	struct listing l = { .name = name, .j = j };
	struct fvd_check_opts opts = {
		.repair = args.all ? FVD_REPAIR_ALL : args.safe ? FVD_REPAIR_SAFE : FVD_REPAIR_NONE,
		.undo_file = args.undo, .follow = args.follow, .data_file = args.data_file,
		.ignore_base_change = args.ignore_base_change, .force_share = args.force_share,
		.finding = add_finding, .opaque = &l, .progress = progress_get(call->cmd),
	};
	struct fvd_check_report r;
	struct fvd_error err;
	int status, rc;

	fvd_json_object_begin(j, NULL);
	fvd_json_string(j, "filename", name);
	fvd_json_array_begin(j, "findings");
	rc = fvd_check(name, &opts, &r, &err);
	fvd_json_array_end(j);
	if (rc < 0) {
		report_error_text(call->cmd, &err);
		report_error_member(j, &err);
		status = failure_status(call->cmd, &err);
	} else {
		progress_clear();
		json_report(j, &r);
		if (!common.json && !common.quiet)
			print_summary(&l, &r);
		status = status_of(&r);
	}
	fvd_json_object_end(j);
	return status;
}

static int check_run(const struct call *call)
{
	bool array = call->count > 1;
	struct fvd_json j;
	int status = 0, rc;

	fvd_json_init(&j, false);
	if (array)
		fvd_json_array_begin(&j, NULL);
	for (int i = 0; i < call->count && !(status & FSCK_INTERRUPTED); i++)
		status |= check_image(call, call->operand[i], &j);
	if (array)
		fvd_json_array_end(&j);
	if (!common.json) {
		fvd_json_fini(&j);
		return status;
	}
	rc = report_json(call->cmd, &j);
	return rc | status;
}

const struct command cmd_check = {
	.name = "check", .operands = "IMAGE...",
	.summary = "look for damage and leaks, and mend them",
	.example = "fvdtool check -p disk.fvd",
	.options = options, .min_operands = 1, .max_operands = -1, .fsck = true,
	.parse = check_parse, .run = check_run,
};
