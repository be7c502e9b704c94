/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "ops/compact.h"
#include "options.h"
#include "report.h"

static struct {
	int dry_run, against_base, no_punch, ignore_base_change;
	char *data_file;
} args;

static struct poptOption options[] = {
	{ "dry-run", 'n', POPT_ARG_NONE, &args.dry_run, 0,
	  "write nothing, say what would be freed", NULL },
	{ "data-file", '\0', POPT_ARG_STRING, &args.data_file, 0,
	  "IMAGE's data file: needed with -n, or outside its directory", "FILE" },
	{ "against-base", '\0', POPT_ARG_NONE, &args.against_base, 0,
	  "drop blocks that are equal to the base", NULL },
	{ "no-punch", '\0', POPT_ARG_NONE, &args.no_punch, 0,
	  "no holes: unmap, move and cut off only", NULL },
	{ "ignore-base-change", '\0', POPT_ARG_NONE, &args.ignore_base_change, 0,
	  "go on though the base has changed", NULL },
	COMMON_OPTIONS,
	POPT_TABLEEND
};

static int print_json(const struct call *call, const struct fvd_compact_report *r)
{
	struct fvd_json j;

	fvd_json_init(&j, false);
	fvd_json_object_begin(&j, NULL);
	fvd_json_string(&j, "filename", call->operand[0]);
	fvd_json_bool(&j, "dry-run", args.dry_run);
	fvd_json_uint(&j, "freed", r->freed);
	fvd_json_uint(&j, "length-before", r->length_before);
	fvd_json_uint(&j, "length-after", r->length_after);
	fvd_json_uint(&j, "actual-size-before", r->storage_before);
	fvd_json_uint(&j, "actual-size-after", r->storage_after);
	fvd_json_uint(&j, "chunks-unmapped", r->chunks_unmapped);
	fvd_json_uint(&j, "chunks-moved", r->chunks_moved);
	fvd_json_uint(&j, "blocks-dropped", r->blocks_dropped);
	fvd_json_uint(&j, "bytes-punched", r->bytes_punched);
	fvd_json_object_end(&j);
	return report_json(call->cmd, &j);
}

static void print_human(const struct call *call, const struct fvd_compact_report *r)
{
	printf("%s: %s %s\n", shown(call->operand[0]), args.dry_run ? "would free" : "freed",
	       size_text_exact(r->freed));
	printf("  in use: %s, %s %s\n", size_text(r->storage_before),
	       args.dry_run ? "would be" : "now", size_text(r->storage_after));
	printf("  chunks: %" PRIu64 " unmapped, %" PRIu64 " moved\n", r->chunks_unmapped,
	       r->chunks_moved);
	if (args.against_base)
		printf("  blocks: %" PRIu64 " given back to the base\n", r->blocks_dropped);
	if (!args.no_punch)
		printf("  holes inside chunks: %s\n", size_text(r->bytes_punched));
}

static int compact_run(const struct call *call)
{
	struct fvd_compact_opts opts = {
		.dry_run = args.dry_run, .against_base = args.against_base,
		.no_punch = args.no_punch, .ignore_base_change = args.ignore_base_change,
		.data_file = args.data_file, .progress = progress_get(call->cmd),
	};
	struct fvd_compact_report report;
	struct fvd_error err;

	if (fvd_compact(call->operand[0], &opts, &report, &err) < 0)
		return report_failure(call->cmd, &err);
	if (common.json)
		return print_json(call, &report);
	if (!common.quiet)
		print_human(call, &report);
	return STATUS_OK;
}

const struct command cmd_compact = {
	.name = "compact", .operands = "IMAGE",
	.summary = "give unused space of an image back, in place",
	.example = "fvdtool compact -n disk.fvd",
	.options = options, .min_operands = 1, .max_operands = 1, .run = compact_run,
};
