/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "ops/replay_journal.h"
#include "options.h"
#include "report.h"

static struct {
	int dry_run, explain, skip_damaged, discard, lose_updates;
	char *stop_at, *undo, *data_file;
	uint64_t stop_sector;
} args = { .stop_sector = UINT64_MAX };

static struct poptOption options[] = {
	{ "dry-run", 'n', POPT_ARG_NONE, &args.dry_run, 0, "write nothing, say what would change",
	  NULL },
	{ "explain", '\0', POPT_ARG_NONE, &args.explain, 0, "list every record of the journal",
	  NULL },
	{ "stop-at", '\0', POPT_ARG_STRING, &args.stop_at, 0, "drop this sector and all behind it",
	  "SECTOR" },
	{ "skip-damaged", '\0', POPT_ARG_NONE, &args.skip_damaged, 0,
	  "drop damaged sectors, replay the others", NULL },
	{ "discard", '\0', POPT_ARG_NONE, &args.discard, 0,
	  "drop the whole journal; wants --yes-i-lose-updates", NULL },
	{ "yes-i-lose-updates", '\0', POPT_ARG_NONE, &args.lose_updates, 0,
	  "for --discard: what was acknowledged may be lost", NULL },
	{ "data-file", '\0', POPT_ARG_STRING, &args.data_file, 0,
	  "IMAGE's data file, if outside its directory", "FILE" },
	{ "undo", '\0', POPT_ARG_STRING, &args.undo, 0, "keep what is overwritten in this new file",
	  "FILE" },
	COMMON_OPTIONS,
	POPT_TABLEEND
};

static int replay_parse(const struct call *call)
{
	int64_t sector = 0;
	int status = option_int(call, "--stop-at", args.stop_at, 0, INT64_MAX, &sector);

	if (status)
		return status;
	if (args.stop_at)
		args.stop_sector = (uint64_t)sector;
	if (args.discard && !args.lose_updates)
		return usage_error(call->cmd, "--discard throws away updates that were "
				   "acknowledged as stored: add --yes-i-lose-updates to do that");
	if (args.lose_updates && !args.discard)
		return usage_error(call->cmd, "--yes-i-lose-updates is for --discard");
	if (args.discard && (args.stop_at || args.skip_damaged))
		return usage_error(call->cmd, "--discard and %s exclude each other",
				   args.stop_at ? "--stop-at" : "--skip-damaged");
	if (args.undo && args.dry_run)
		return usage_error(call->cmd, "--undo is for nothing with --dry-run");
	return 0;
}

/* Where --explain's records go. */
struct listing {
	struct fvd_json *j;	/* NULL: human */
	uint64_t records;
};

static const char *verdict_name(enum fvd_verdict v)
{
	switch (v) {
	case FVD_REC_APPLIED:
		return "applied";
	case FVD_REC_VOID:
		return "void";
	case FVD_REC_DAMAGED:
		return "damaged";
	case FVD_REC_DROPPED:
		return "dropped";
	}
	return "?";
}

static void list_json(struct fvd_json *j, const struct fvd_replay_record *r)
{
	const struct fvd_jrec *rec = r->rec;

	fvd_json_object_begin(j, NULL);
	fvd_json_uint(j, "sector", r->sector);
	if (rec && rec->kind == FVD_JREC_KIND_TABLE) {
		fvd_json_string(j, "kind", "table");
		fvd_json_uint(j, "epoch", rec->epoch);
		fvd_json_uint(j, "first-chunk", rec->first_chunk);
		fvd_json_uint(j, "entry-count", rec->entry_count);
		fvd_json_array_begin(j, "entries");
		for (uint32_t i = 0; i < rec->entry_count; i++)
			fvd_json_uint(j, NULL, fvd_jrec_entry(rec, i));
		fvd_json_array_end(j);
	} else if (rec) {
		fvd_json_string(j, "kind", "bitmap");
		fvd_json_int(j, "first-sector", rec->first_sector);
		fvd_json_uint(j, "sector-count", rec->sector_count);
	}
	fvd_json_string(j, "verdict", verdict_name(r->verdict));
	if (r->why && r->why[0])
		fvd_json_string(j, "why", r->why);
	fvd_json_object_end(j);
}

static void list_human(struct listing *l, const struct fvd_replay_record *r)
{
	const struct fvd_jrec *rec = r->rec;
	char range[64] = "-", entries[16] = "-", epoch[24] = "-";

	if (l->records == 1)
		printf("%8s  %-6s  %8s  %-30s  %7s  %s\n", "sector", "kind", "epoch", "range",
		       "entries", "verdict");
	if (rec && rec->kind == FVD_JREC_KIND_TABLE) {
		snprintf(epoch, sizeof(epoch), "%" PRIu64, rec->epoch);
		snprintf(entries, sizeof(entries), "%" PRIu32, rec->entry_count);
		snprintf(range, sizeof(range), "chunks %" PRIu32 "-%" PRIu64, rec->first_chunk,
			 (uint64_t)rec->first_chunk + rec->entry_count - 1);
	} else if (rec) {
		snprintf(range, sizeof(range), "sectors %" PRId64 "+%" PRIu32, rec->first_sector,
			 rec->sector_count);
	}
	printf("%8" PRIu64 "  %-6s  %8s  %-30s  %7s  %s", r->sector,
	       !rec ? "-" : rec->kind == FVD_JREC_KIND_TABLE ? "table" : "bitmap", epoch, range,
	       entries, verdict_name(r->verdict));
	if (r->why && r->why[0])
		printf(": %s", shown(r->why));
	putchar('\n');
}

static int list_record(void *opaque, const struct fvd_replay_record *r)
{
	struct listing *l = opaque;

	l->records++;
	if (l->j)
		list_json(l->j, r);
	else if (!common.quiet)
		list_human(l, r);
	return signals_interrupted();
}

static void json_result(struct fvd_json *j, const struct fvd_replay_result *r, bool was_clean)
{
	fvd_json_bool(j, "was-clean", was_clean);
	fvd_json_bool(j, "dry-run", args.dry_run);
	fvd_json_uint(j, "sectors", r->sectors);
	fvd_json_uint(j, "used-sectors", r->used);
	fvd_json_uint(j, "applied-sectors", r->applied);
	fvd_json_uint(j, "void-sectors", r->void_sectors);
	fvd_json_uint(j, "damaged-sectors", r->damaged);
	fvd_json_uint(j, "dropped-sectors", r->dropped);
	fvd_json_uint(j, "table-records", r->table_records);
	fvd_json_uint(j, "bitmap-records", r->bitmap_records);
	fvd_json_uint(j, "entries-changed", r->entries_set);
	fvd_json_uint(j, "blocks-changed", r->bits_set);
	if (r->damaged) {
		fvd_json_uint(j, "first-damaged-sector", r->first_damaged);
		fvd_json_string(j, "first-damage", r->first_damage);
	}
}

static void print_result(const char *name, const struct fvd_replay_result *r, bool was_clean)
{
	if (was_clean) {
		printf("%s: clean, nothing to replay\n", shown(name));
		return;
	}
	printf("%s: %s: %" PRIu64 " of %" PRIu64 " sectors applied, %" PRIu64 " void, %" PRIu64
	       " damaged, %" PRIu64 " dropped\n", shown(name),
	       args.dry_run ? "would replay" : "replayed", r->applied, r->sectors,
	       r->void_sectors, r->damaged, r->dropped);
	printf("%s: %" PRIu64 " table entries and %" PRIu64 " blocks %s\n", shown(name),
	       r->entries_set, r->bits_set, args.dry_run ? "would change" : "changed");
}

static int status_of(const struct fvd_replay_result *r)
{
	if (r->damaged == 0 && r->dropped == 0)
		return STATUS_OK;
	return args.dry_run ? FSCK_LEFT : FSCK_MENDED;
}

/* What stands in the way is in the image: unmended, not an error of ours. */
static int status_of_error(const struct command *cmd, const struct fvd_error *err)
{
	if (err->class == FVD_ERR_CORRUPT || err->class == FVD_ERR_DIRTY)
		return FSCK_LEFT;
	return failure_status(cmd, err);
}

static int replay_run(const struct call *call)
{
	const char *name = call->operand[0];
	struct fvd_json j;
	struct listing list = { .j = common.json ? &j : NULL };
	struct fvd_replay_op_opts opts = {
		.dry_run = args.dry_run, .undo_file = args.undo, .data_file = args.data_file,
		.replay = { .stop_at = args.stop_sector, .skip_damaged = args.skip_damaged,
			    .drop_all = args.discard, .opaque = &list,
			    .record = args.explain ? list_record : NULL },
	};
	struct fvd_replay_result r = { .sectors = 0 };
	struct fvd_error err;
	bool was_clean = false;
	int rc, status;

	fvd_json_init(&j, false);
	fvd_json_object_begin(&j, NULL);
	fvd_json_string(&j, "filename", name);
	if (args.explain)
		fvd_json_array_begin(&j, "records");
	rc = fvd_replay_journal(name, &opts, &r, &was_clean, &err);
	if (args.explain)
		fvd_json_array_end(&j);
	if (rc < 0) {
		report_error_text(call->cmd, &err);
		report_error_member(&j, &err);
		status = status_of_error(call->cmd, &err);
	} else {
		json_result(&j, &r, was_clean);
		if (!common.json && !common.quiet)
			print_result(name, &r, was_clean);
		status = was_clean ? STATUS_OK : status_of(&r);
	}
	fvd_json_object_end(&j);
	fvd_replay_result_fini(&r);
	if (!common.json) {
		fvd_json_fini(&j);
		return status;
	}
	rc = report_json(call->cmd, &j);
	return rc ? rc : status;
}

const struct command cmd_replay_journal = {
	.name = "replay-journal", .operands = "IMAGE",
	.summary = "put a journal left by a crash into effect",
	.example = "fvdtool replay-journal -n --explain disk.fvd",
	.options = options, .min_operands = 1, .max_operands = 1, .fsck = true,
	.parse = replay_parse, .run = replay_run,
};
