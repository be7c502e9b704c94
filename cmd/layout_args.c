/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>

#include "layout_args.h"
#include "util/num.h"

static struct {
	char *base, *base_format, *chunk_size, *block_size, *journal_size, *grow_unit;
	char *data_file, *prefetch_delay;
	int no_table, detect_zeroes, copy_on_read, no_base_check, no_sync;
} args;

struct poptOption layout_table[] = {
	{ "base", 'b', POPT_ARG_STRING, &args.base, 0, "base image, found beside the new one",
	  "BASE" },
	{ "base-format", 'F', POPT_ARG_STRING, &args.base_format, 0, "of the base (default raw)",
	  "raw|fvd" },
	{ "chunk-size", '\0', POPT_ARG_STRING, &args.chunk_size, 0,
	  "unit of allocation (default 1M, more from 128G on)", "SIZE" },
	{ "no-table", '\0', POPT_ARG_NONE, &args.no_table, 0, "raw layout, not compact", NULL },
	{ "block-size", '\0', POPT_ARG_STRING, &args.block_size, 0,
	  "unit of copy-on-write (default 64K)", "SIZE" },
	{ "journal-size", '\0', POPT_ARG_STRING, &args.journal_size, 0,
	  "default 16M; 0 for none", "SIZE" },
	{ "grow-unit", '\0', POPT_ARG_STRING, &args.grow_unit, 0,
	  "by how much the file grows (default 100M)", "SIZE" },
	{ "data-file", '\0', POPT_ARG_STRING, &args.data_file, 0,
	  "keep the data in this new file", "FILE" },
	{ "detect-zeroes", '\0', POPT_ARG_NONE, &args.detect_zeroes, 0,
	  "mark the base's zero blocks as local", NULL },
	{ "copy-on-read", '\0', POPT_ARG_NONE, &args.copy_on_read, 0,
	  "ask drivers to keep what they read", NULL },
	{ "prefetch-delay", '\0', POPT_ARG_STRING, &args.prefetch_delay, 0,
	  "ask drivers to prefetch after this time; -1: never", "SECONDS" },
	{ "no-base-check", '\0', POPT_ARG_NONE, &args.no_base_check, 0,
	  "the base need not exist; wants a size", NULL },
	{ "no-sync", '\0', POPT_ARG_NONE, &args.no_sync, 0, "leave writing back to the system",
	  NULL },
	POPT_TABLEEND
};

const struct size_rule layout_size_rule = { .min = 512, .unit = 512 };

const char *layout_args_given(void)
{
	return args.base ? "--base" : args.base_format ? "--base-format" :
	       args.chunk_size ? "--chunk-size" : args.no_table ? "--no-table" :
	       args.block_size ? "--block-size" : args.journal_size ? "--journal-size" :
	       args.grow_unit ? "--grow-unit" : args.data_file ? "--data-file" :
	       args.detect_zeroes ? "--detect-zeroes" : args.copy_on_read ? "--copy-on-read" :
	       args.prefetch_delay ? "--prefetch-delay" :
	       args.no_base_check ? "--no-base-check" : NULL;
}

static int parse_sizes(const struct call *call, struct fvd_create_opts *opts)
{
	static const struct size_rule chunk = { .min = 4096, .pow2 = true };
	static const struct size_rule block = { .min = 512, .pow2 = true };
	static const struct size_rule journal = { .unit = 4096 };
	static const struct size_rule grow = { .min = 512, .unit = 512 };
	int status;

	if ((status = option_size(call, "--chunk-size", args.chunk_size, &chunk,
				  &opts->chunk_size)) ||
	    (status = option_size(call, "--block-size", args.block_size, &block,
				  &opts->block_size)) ||
	    (status = option_size(call, "--journal-size", args.journal_size, &journal,
				  &opts->journal_size)) ||
	    (status = option_size(call, "--grow-unit", args.grow_unit, &grow, &opts->grow_unit)))
		return status;
	return 0;
}

/* The first option given that means nothing without a base. */
static const char *base_option(void)
{
	return args.base_format ? "--base-format" :
	       args.detect_zeroes ? "--detect-zeroes" :
	       args.no_base_check ? "--no-base-check" : NULL;
}

int layout_args_parse(const struct call *call, struct fvd_create_opts *opts)
{
	static const char *const formats[] = { "raw", "fvd" };
	int format = 0, status;

	status = parse_sizes(call, opts);
	if (status)
		return status;
	status = option_enum(call, "--base-format", args.base_format, "raw|fvd", &format);
	if (status)
		return status;
	status = option_int(call, "--prefetch-delay", args.prefetch_delay, -1, INT32_MAX,
			    &opts->prefetch_delay);
	if (status)
		return status;
	if (args.no_table && args.chunk_size)
		return usage_error(call->cmd, "--no-table and --chunk-size exclude each other");
	if (!args.base && base_option())
		return usage_error(call->cmd, "%s needs --base", base_option());
	if (args.no_base_check && args.detect_zeroes)
		return usage_error(call->cmd,
				   "--detect-zeroes reads the base: not with --no-base-check");
	opts->base = args.base;
	opts->base_format = args.base_format ? formats[format] : NULL;
	opts->no_table = args.no_table;
	opts->data_file = args.data_file;
	opts->detect_zeroes = args.detect_zeroes;
	opts->copy_on_read = args.copy_on_read;
	opts->no_base_check = args.no_base_check;
	opts->no_sync = args.no_sync;
	return 0;
}
