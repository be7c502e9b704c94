/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "format/header.h"
#include "layout_args.h"
#include "report.h"

static struct {
	int force;
	struct fvd_create_opts opts;
} args = { .opts = FVD_CREATE_OPTS_INIT };

static struct poptOption options[] = {
	{ "force", '\0', POPT_ARG_NONE, &args.force, 0, "replace IMAGE if it exists", NULL },
	LAYOUT_OPTIONS,
	COMMON_OPTIONS,
	POPT_TABLEEND
};

static int create_parse(const struct call *call)
{
	int status = layout_args_parse(call, &args.opts);

	if (status)
		return status;
	if (call->count < 2 && !args.opts.base)
		return usage_error(call->cmd, "SIZE is missing; it is taken from a --base only");
	if (call->count < 2 && args.opts.no_base_check)
		return usage_error(call->cmd, "SIZE is missing: --no-base-check does not look");
	return call->count < 2 ? 0 : option_size(call, "SIZE", call->operand[1],
						  &layout_size_rule, &args.opts.size);
}

static int print_json(const struct call *call, const struct fvd_header *h)
{
	struct fvd_json j;

	fvd_json_init(&j, false);
	fvd_json_object_begin(&j, NULL);
	fvd_json_string(&j, "filename", call->operand[0]);
	fvd_json_string(&j, "format", "fvd");
	fvd_json_uint(&j, "virtual-size", h->virtual_size);
	if (fvd_header_has_table(h))
		fvd_json_uint(&j, "cluster-size", h->chunk_size);
	if (h->base_img[0]) {
		fvd_json_string(&j, "backing-filename", h->base_img);
		fvd_json_uint(&j, "block-size", h->block_size);
	}
	fvd_json_uint(&j, "journal-size", h->journal_size);
	fvd_json_object_end(&j);
	return report_json(call->cmd, &j);
}

static void print_human(const struct call *call, const struct fvd_header *h)
{
	printf("%s: %s", shown(call->operand[0]), size_text(h->virtual_size));
	if (fvd_header_has_table(h))
		printf(", compact, chunks of %s", size_text(h->chunk_size));
	else
		printf(", no table");
	if (h->base_img[0])
		printf(", base %s, blocks of %s", shown(h->base_img), size_text(h->block_size));
	if (fvd_header_has_journal(h))
		printf(", journal %s", size_text(h->journal_size));
	putchar('\n');
}

/* The image itself is in the way, not its data file. */
static void add_hint(const char *name, struct fvd_error *err)
{
	size_t len = strlen(err->text);

	if (err->errnum == EEXIST && strncmp(err->text, name, strlen(name)) == 0)
		snprintf(err->text + len, sizeof(err->text) - len, "; --force replaces it");
}

static int create_run(const struct call *call)
{
	struct fvd_header h;
	struct fvd_error err;

	args.opts.replace = args.force;
	args.opts.progress = progress_get(call->cmd);
	if (fvd_create(call->operand[0], &args.opts, &h, &err) < 0) {
		add_hint(call->operand[0], &err);
		return report_failure(call->cmd, &err);
	}
	if (common.json)
		return print_json(call, &h);
	if (!common.quiet)
		print_human(call, &h);
	return STATUS_OK;
}

const struct command cmd_create = {
	.name = "create", .operands = "IMAGE [SIZE]",
	.summary = "create an empty image",
	.example = "fvdtool create -b debian.raw vm1.fvd 20G",
	.options = options, .min_operands = 1, .max_operands = 2,
	.parse = create_parse, .run = create_run,
};
