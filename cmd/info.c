/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/disk.h"
#include "info_print.h"
#include "options.h"
#include "report.h"

static struct {
	int journal, chain, force_share;
} args;

static struct poptOption options[] = {
	{ "journal", '\0', POPT_ARG_NONE, &args.journal, 0, "look at the journal too", NULL },
	{ "chain", '\0', POPT_ARG_NONE, &args.chain, 0, "go on with the base images", NULL },
	{ "force-share", 'U', POPT_ARG_NONE, &args.force_share, 0,
	  "read while another process writes", NULL },
	COMMON_OPTIONS,
	POPT_TABLEEND
};

struct listing {
	const struct call *call;
	struct fvd_json j;
	int status;
	bool some;		/* something has been printed */
	/* The chain being walked. */
	struct fvd_io_identity seen[FVD_MAX_CHAIN + 1];
	int depth;
};

static void separate(struct listing *l)
{
	if (l->some)
		putchar('\n');
	l->some = true;
}

static void add_error(struct listing *l, const char *name, struct fvd_error *err)
{
	fvd_error_name(err, name);
	report_error_text(l->call->cmd, err);
	l->status = STATUS_FAILURE;
	if (!common.json)
		return;
	fvd_json_object_begin(&l->j, NULL);
	fvd_json_string(&l->j, "filename", name);
	report_error_member(&l->j, err);
	fvd_json_object_end(&l->j);
}

static void add_image(struct listing *l, const char *name, const struct fvd_info *info)
{
	if (common.json) {
		fvd_json_object_begin(&l->j, NULL);
		info_json(&l->j, name, info, args.journal);
		fvd_json_object_end(&l->j);
	} else if (!common.quiet) {
		separate(l);
		info_print(name, info, args.journal);
	}
}

static void add_raw(struct listing *l, const char *name, uint64_t length, uint64_t actual)
{
	if (common.json) {
		fvd_json_object_begin(&l->j, NULL);
		fvd_json_string(&l->j, "filename", name);
		fvd_json_string(&l->j, "format", "raw");
		fvd_json_uint(&l->j, "virtual-size", length);
		fvd_json_uint(&l->j, "actual-size", actual);
		fvd_json_object_end(&l->j);
	} else if (!common.quiet) {
		separate(l);
		printf("image: %s\nfile format: raw\n", shown(name));
		printf("virtual size: %s\n", size_text_exact(length));
		printf("disk size: %s\n", size_text(actual));
	}
}

/* Remember what @io is; BASE when it was in the chain already, or the chain is too long. */
static int note_member(struct listing *l, const char *name, const struct fvd_io *io,
		       struct fvd_error *err)
{
	if (l->depth > FVD_MAX_CHAIN)
		return fvd_error_set(err, FVD_ERR_BASE, "%s: more than %d levels of base images",
				     name, FVD_MAX_CHAIN);
	for (int i = 0; i < l->depth && io->id.known; i++)
		if (l->seen[i].known && l->seen[i].dev == io->id.dev &&
		    l->seen[i].ino == io->id.ino)
			return fvd_error_set(err, FVD_ERR_BASE,
					     "%s: the chain of base images comes back to it", name);
	l->seen[l->depth++] = io->id;
	return 0;
}

static int open_member(struct listing *l, const char *name, struct fvd_io **io,
		       struct fvd_error *err)
{
	struct fvd_opener *files = fvd_opener_files();

	if (files->open(files, name, 0, FVD_LOCK_NONE, io, err) < 0)
		return -1;
	if (note_member(l, name, *io, err) == 0)
		return 0;
	fvd_io_close(*io);
	return -1;
}

static int list_raw(struct listing *l, const char *name, struct fvd_error *err)
{
	uint64_t length, actual;
	struct fvd_io *io;
	int rc;

	if (open_member(l, name, &io, err) < 0)
		return -1;
	rc = fvd_io_length(io, &length, err);
	if (rc == 0)
		rc = fvd_io_allocated(io, 0, length, &actual, err);
	fvd_io_close(io);
	if (rc == 0)
		add_raw(l, name, length, actual);
	return rc;
}

/*
 * One image, and the name of the next in *base (owned by the caller) when a chain goes
 * on; *raw when that one is raw.
 */
static int list_fvd(struct listing *l, const char *name, char **base, bool *raw,
		    struct fvd_error *err)
{
	struct fvd_info_opts opts = { .journal = args.journal, .force_share = args.force_share };
	struct fvd_info info;
	struct fvd_io *io;
	int rc = 0;

	if (args.chain) {
		if (open_member(l, name, &io, err) < 0)
			return -1;
		fvd_io_close(io);
	}
	if (fvd_info(name, &opts, &info, err) < 0)
		return -1;
	add_image(l, name, &info);
	if (args.chain && fvd_header_needs_base(&info.h)) {
		const char *format = info.h.base_img_fmt;

		*base = info.base_resolved;
		info.base_resolved = NULL;
		*raw = format[0] == '\0' || strcmp(format, "raw") == 0;
		if (!*raw && strcmp(format, "fvd") != 0)
			rc = fvd_error_set(err, FVD_ERR_BASE, "%s: base of unknown format '%s'",
					   name, format);
	}
	fvd_info_fini(&info);
	return rc;
}

static void list_image(struct listing *l, const char *operand)
{
	char *name = strdup(operand), *base;
	struct fvd_error err;
	bool raw = false;
	int rc;

	l->depth = 0;
	while (name) {
		base = NULL;
		if (raw)
			rc = list_raw(l, name, &err);
		else
			rc = list_fvd(l, name, &base, &raw, &err);
		if (rc < 0) {
			add_error(l, name, &err);
			free(base);
			base = NULL;
		}
		free(name);
		name = base;
	}
}

static int info_run(const struct call *call)
{
	struct listing l = { .call = call };
	bool array = call->count > 1 || args.chain;
	int status;

	fvd_json_init(&l.j, false);
	if (array)
		fvd_json_array_begin(&l.j, NULL);
	for (int i = 0; i < call->count && !signals_interrupted(); i++)
		list_image(&l, call->operand[i]);
	if (array)
		fvd_json_array_end(&l.j);
	if (!common.json) {
		fvd_json_fini(&l.j);
		return l.status;
	}
	status = report_json(call->cmd, &l.j);
	return status ? status : l.status;
}

const struct command cmd_info = {
	.name = "info", .operands = "IMAGE...",
	.summary = "show what an image is and holds",
	.example = "fvdtool info --chain vm1.fvd",
	.options = options, .min_operands = 1, .max_operands = -1, .run = info_run,
};
