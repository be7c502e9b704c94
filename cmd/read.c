/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"
#include "ops/target.h"
#include "options.h"
#include "report.h"
#include "util/num.h"
#include "util/zero.h"

#define PIECE FVD_MIB

static struct {
	char *offset, *length;
	int force_share, ignore_base_change, confined;
	uint64_t off, len;
} args;

static struct poptOption options[] = {
	{ "offset", '\0', POPT_ARG_STRING, &args.offset, 0, "where in the disk (default 0)",
	  "OFFSET" },
	{ "length", '\0', POPT_ARG_STRING, &args.length, 0, "how much (default: to the end)",
	  "SIZE" },
	{ "force-share", 'U', POPT_ARG_NONE, &args.force_share, 0,
	  "read while another process writes", NULL },
	{ "confined", '\0', POPT_ARG_NONE, &args.confined, 0,
	  "refuse a base or data file outside the directory", NULL },
	{ "ignore-base-change", '\0', POPT_ARG_NONE, &args.ignore_base_change, 0,
	  "read though the base has changed", NULL },
	COMMON_OPTIONS,
	POPT_TABLEEND
};

/* Where the bytes go: an io (holes stay holes), or standard output (none). */
struct sink {
	struct fvd_io *io;
	void *buf;
	struct fvd_progress *progress;
};

static bool to_stdout(const struct call *call)
{
	return call->count < 2 || strcmp(call->operand[1], "-") == 0;
}

static int read_parse(const struct call *call)
{
	static const struct size_rule any = { 0 };
	int status;

	if ((status = option_size(call, "--offset", args.offset, &any, &args.off)) ||
	    (status = option_size(call, "--length", args.length, &any, &args.len)))
		return status;
	if (common.json && to_stdout(call))
		return usage_error(call->cmd,
				   "--output=json and the data cannot share stdout: name a FILE");
	return 0;
}

static int check_range(uint64_t size, struct fvd_error *err)
{
	if (args.off > size)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "offset %" PRIu64 " is past the end of the disk (%" PRIu64 ")",
				     args.off, size);
	if (!args.length)
		args.len = size - args.off;
	if (args.len > size - args.off)
		return fvd_error_set(err, FVD_ERR_INVALID, "%" PRIu64 " bytes at offset %" PRIu64
				     " pass the end of the disk (%" PRIu64 ")", args.len, args.off,
				     size);
	return 0;
}

static int write_stdout(const char *p, size_t len, struct fvd_error *err)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR && !signals_interrupted())
			continue;
		if (n < 0 && errno == EINTR)
			return fvd_error_set(err, FVD_ERR_CANCELLED, "interrupted");
		if (n < 0)
			return fvd_error_sys(err, errno, "standard output");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Zeros cost nothing in a new file: it is long enough already, so only the rest is written. */
static int put_sparse(struct fvd_io *io, const char *p, uint64_t len, uint64_t off,
		      struct fvd_error *err)
{
	while (len > 0) {
		bool zero;
		size_t run = fvd_zero_run(p, len, 4096, &zero);

		if (!zero && fvd_io_pwrite(io, p, run, off, err) < 0)
			return -1;
		p += run;
		off += run;
		len -= run;
	}
	return 0;
}

static int put(const struct sink *sink, uint64_t len, uint64_t off, struct fvd_error *err)
{
	if (!sink->io)
		return write_stdout(sink->buf, len, err);
	if (sink->io->block_device)
		return fvd_io_pwrite(sink->io, sink->buf, len, off, err);
	return put_sparse(sink->io, sink->buf, len, off, err);
}

static int copy_extent(struct fvd_image *img, const struct sink *sink, uint64_t off,
		       uint64_t len, bool zero, struct fvd_error *err)
{
	uint64_t end = off + len;

	if (zero && sink->io && !sink->io->block_device)
		return fvd_progress_add(sink->progress, len, err);
	while (off < end) {
		uint64_t n = fvd_min(end - off, PIECE - off % PIECE);

		if (zero)
			memset(sink->buf, 0, n);
		else if (fvd_image_read(img, sink->buf, n, off, err) < 0)
			return -1;
		if (put(sink, n, off - args.off, err) < 0 ||
		    fvd_progress_add(sink->progress, n, err) < 0)
			return -1;
		off += n;
	}
	return 0;
}

static int copy_range(struct fvd_image *img, const struct sink *sink, struct fvd_error *err)
{
	uint64_t off = args.off, end = args.off + args.len;
	struct fvd_extent ext;

	fvd_progress_start(sink->progress, "read", args.len);
	while (off < end) {
		if (fvd_image_extent(img, off, end - off, FVD_EXTENT_RECURSE | FVD_EXTENT_HOLES,
				     &ext, err) < 0)
			return -1;
		if (copy_extent(img, sink, off, ext.len, ext.kind == FVD_EXTENT_ZERO, err) < 0)
			return -1;
		off += ext.len;
	}
	fvd_progress_finish(sink->progress);
	return 0;
}

static int check_device(struct fvd_io *io, const char *name, struct fvd_error *err)
{
	uint64_t length;

	if (fvd_io_length(io, &length, err) < 0)
		return -1;
	if (length < args.len)
		return fvd_error_set(err, FVD_ERR_NOSPACE, "%s: %" PRIu64
				     " bytes do not fit a device of %" PRIu64, name, args.len,
				     length);
	return 0;
}

static int read_to_file(struct fvd_image *img, struct sink *sink, const char *name,
			struct fvd_error *err)
{
	struct fvd_target *target;
	int rc;

	if (fvd_target_begin(name, true, &target, err) < 0)
		return -1;
	sink->io = fvd_target_io(target);
	if (sink->io->block_device)
		rc = check_device(sink->io, name, err);
	else
		rc = fvd_io_truncate(sink->io, args.len, err);
	if (rc == 0)
		rc = copy_range(img, sink, err);
	if (rc == 0)
		return fvd_target_commit(target, false, err);
	fvd_target_abort(target);
	return -1;
}

static int read_image(const struct call *call, struct sink *sink, struct fvd_error *err)
{
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;
	struct fvd_image *img;
	int rc;

	opts.flags = (args.force_share ? FVD_OPEN_FORCE_SHARE : 0) |
		     (args.confined ? FVD_OPEN_INSIDE_DIR : 0) |
		     (args.ignore_base_change ? FVD_OPEN_IGNORE_BASE_CHANGE : 0);
	if (fvd_image_open(call->operand[0], &opts, &img, err) < 0)
		return -1;
	rc = check_range(fvd_image_header(img)->virtual_size, err);
	if (rc == 0 && to_stdout(call))
		rc = copy_range(img, sink, err);
	else if (rc == 0)
		rc = read_to_file(img, sink, call->operand[1], err);
	fvd_image_drop(img);
	return rc;
}

static int report_done(const struct call *call)
{
	struct fvd_json j;

	if (common.json) {
		fvd_json_init(&j, false);
		fvd_json_object_begin(&j, NULL);
		fvd_json_string(&j, "source", call->operand[0]);
		fvd_json_string(&j, "filename", call->operand[1]);
		fvd_json_uint(&j, "offset", args.off);
		fvd_json_uint(&j, "length", args.len);
		fvd_json_object_end(&j);
		return report_json(call->cmd, &j);
	}
	if (!common.quiet && !to_stdout(call))
		printf("%s: %s from %" PRIu64 "\n", shown(call->operand[1]),
		       size_text_exact(args.len), args.off);
	return STATUS_OK;
}

static int read_run(const struct call *call)
{
	struct sink sink = { .progress = progress_get(call->cmd) };
	struct fvd_error err;
	int rc;

	if (to_stdout(call) && isatty(STDOUT_FILENO)) {
		fvd_error_set(&err, FVD_ERR_INVALID,
			      "standard output is a terminal: redirect it, or name a FILE");
		return report_failure(call->cmd, &err);
	}
	sink.buf = fvd_alloc_io(PIECE, &err);
	rc = sink.buf ? read_image(call, &sink, &err) : -1;
	free(sink.buf);
	return rc < 0 ? report_failure(call->cmd, &err) : report_done(call);
}

const struct command cmd_read = {
	.name = "read", .operands = "IMAGE [FILE]",
	.summary = "copy a range of a disk to FILE or stdout",
	.example = "fvdtool read --offset 1M --length 512 disk.fvd sector.bin",
	.options = options, .min_operands = 1, .max_operands = 2,
	.parse = read_parse, .run = read_run,
};
