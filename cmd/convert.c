/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "layout_args.h"
#include "ops/convert.h"
#include "report.h"
#include "util/num.h"

static struct {
	char *from, *to, *size, *sparse, *threads;
	int verify, force_share, ignore_base_change, confined;
	struct fvd_convert_opts opts;
} args = { .opts = FVD_CONVERT_OPTS_INIT };

static struct poptOption options[] = {
	{ "format", 'f', POPT_ARG_STRING, &args.from, 0, "of SRC (default: what its magic says)",
	  "raw|fvd" },
	{ "target-format", 'O', POPT_ARG_STRING, &args.to, 0, "of DST (default fvd)", "raw|fvd" },
	{ "size", '\0', POPT_ARG_STRING, &args.size, 0,
	  "virtual size of DST, zeros behind what SRC has", "SIZE" },
	{ "sparse", 'S', POPT_ARG_STRING, &args.sparse, 0,
	  "leave out zero runs of this size (default 4K; 0: the holes of SRC only)", "SIZE" },
	{ "verify", '\0', POPT_ARG_NONE, &args.verify, 0, "compare after writing", NULL },
	{ "threads", 'm', POPT_ARG_STRING, &args.threads, 0, "1 to 16 (default 2)", "N" },
	{ "force-share", 'U', POPT_ARG_NONE, &args.force_share, 0,
	  "read SRC while another process writes it", NULL },
	{ "confined", '\0', POPT_ARG_NONE, &args.confined, 0,
	  "refuse a base or data file outside the directory", NULL },
	{ "ignore-base-change", '\0', POPT_ARG_NONE, &args.ignore_base_change, 0,
	  "read SRC though its base has changed", NULL },
	LAYOUT_OPTIONS,
	COMMON_OPTIONS,
	POPT_TABLEEND
};

static bool is_pipe(const char *name)
{
	return strcmp(name, "-") == 0;
}

static int parse_formats(const struct call *call)
{
	static const enum fvd_format formats[] = { FVD_FORMAT_RAW, FVD_FORMAT_FVD };
	int from = -1, to = 1, status;

	status = option_enum(call, "--format", args.from, "raw|fvd", &from);
	if (status)
		return status;
	status = option_enum(call, "--target-format", args.to, "raw|fvd", &to);
	if (status)
		return status;
	args.opts.source_format = from < 0 ? FVD_FORMAT_AUTO : formats[from];
	args.opts.target_format = formats[to];
	return 0;
}

/* Standard input and output carry raw disks only; "-" as SRC needs no -f to say so. */
static int parse_pipes(const struct call *call)
{
	if (is_pipe(call->operand[0])) {
		if (args.opts.source_format == FVD_FORMAT_FVD)
			return usage_error(call->cmd, "standard input can only be raw");
		args.opts.source_format = FVD_FORMAT_RAW;
	}
	if (!is_pipe(call->operand[1]))
		return 0;
	if (args.opts.target_format != FVD_FORMAT_RAW)
		return usage_error(call->cmd, "standard output can only be raw: give -O raw");
	if (args.verify)
		return usage_error(call->cmd, "--verify cannot read standard output back");
	if (common.json)
		return usage_error(call->cmd, "--output=json and the disk cannot share stdout");
	return 0;
}

static int convert_parse(const struct call *call)
{
	static const struct size_rule sparse = { .max = FVD_GIB, .unit = 512 };
	int64_t threads = 0;
	int status;

	if ((status = layout_args_parse(call, &args.opts.create)) ||
	    (status = parse_formats(call)) || (status = parse_pipes(call)) ||
	    (status = option_size(call, "--size", args.size, &layout_size_rule,
				  &args.opts.create.size)) ||
	    (status = option_size(call, "--sparse", args.sparse, &sparse, &args.opts.sparse)) ||
	    (status = option_int(call, "--threads", args.threads, 1, 16, &threads)))
		return status;
	if (args.opts.target_format == FVD_FORMAT_RAW && layout_args_given())
		return usage_error(call->cmd, "%s is for fvd targets", layout_args_given());
	args.opts.threads = (unsigned)threads;
	args.opts.verify = args.verify;
	args.opts.force_share = args.force_share;
	args.opts.ignore_base_change = args.ignore_base_change;
	args.opts.confined = args.confined;
	args.opts.no_sync = args.opts.create.no_sync;
	return 0;
}

static int print_json(const struct call *call, const struct fvd_convert_report *r)
{
	struct fvd_json j;

	fvd_json_init(&j, false);
	fvd_json_object_begin(&j, NULL);
	fvd_json_string(&j, "source", call->operand[0]);
	fvd_json_string(&j, "filename", call->operand[1]);
	fvd_json_string(&j, "format",
			args.opts.target_format == FVD_FORMAT_RAW ? "raw" : "fvd");
	fvd_json_uint(&j, "virtual-size", r->virtual_size);
	fvd_json_uint(&j, "read-bytes", r->read_bytes);
	fvd_json_uint(&j, "zero-bytes", r->zero_bytes);
	fvd_json_uint(&j, "same-as-base-bytes", r->same_bytes);
	fvd_json_uint(&j, "written-bytes", r->written_bytes);
	fvd_json_bool(&j, "verified", r->verified);
	fvd_json_object_end(&j);
	return report_json(call->cmd, &j);
}

static void print_human(const struct call *call, const struct fvd_convert_report *r)
{
	printf("%s: %s, %s written", shown(call->operand[1]), size_text(r->virtual_size),
	       size_text(r->written_bytes));
	if (args.opts.create.base)
		printf(", %s same as base", size_text(r->same_bytes));
	printf(", %s zero%s\n", size_text(r->zero_bytes), r->verified ? ", verified" : "");
}

static int convert_run(const struct call *call)
{
	const char *src = call->operand[0], *dst = call->operand[1];
	struct fvd_convert_report report;
	struct fvd_error err;

	if (is_pipe(dst) && isatty(STDOUT_FILENO)) {
		fvd_error_set(&err, FVD_ERR_INVALID,
			      "standard output is a terminal: redirect it, or name DST");
		return report_failure(call->cmd, &err);
	}
	args.opts.progress = progress_get(call->cmd);
	if (fvd_convert(src, dst, &args.opts, &report, &err) < 0)
		return report_failure(call->cmd, &err);
	if (common.json)
		return print_json(call, &report);
	if (!common.quiet && !is_pipe(dst))
		print_human(call, &report);
	return STATUS_OK;
}

const struct command cmd_convert = {
	.name = "convert", .operands = "SRC DST",
	.summary = "copy a disk into another format or layout",
	.example = "fvdtool convert -f raw disk.raw disk.fvd",
	.options = options, .min_operands = 2, .max_operands = 2,
	.parse = convert_parse, .run = convert_run,
};
