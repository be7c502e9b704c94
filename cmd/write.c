/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/image.h"
#include "options.h"
#include "report.h"
#include "util/num.h"

#define PIECE FVD_MIB

static struct {
	char *offset, *flush_every, *zero, *discard, *data_file;
	int ignore_base_change;
	uint64_t off, step, len;	/* step 0: one flush at the end */
} args;

static struct poptOption options[] = {
	{ "offset", '\0', POPT_ARG_STRING, &args.offset, 0, "where in the disk (default 0)",
	  "OFFSET" },
	{ "flush-every", '\0', POPT_ARG_STRING, &args.flush_every, 0,
	  "flush each time, and print the offset made durable", "SIZE" },
	{ "zero", '\0', POPT_ARG_STRING, &args.zero, 0, "write zeros instead of FILE", "SIZE" },
	{ "discard", '\0', POPT_ARG_STRING, &args.discard, 0, "drop a range instead: reads as zero",
	  "SIZE" },
	{ "data-file", '\0', POPT_ARG_STRING, &args.data_file, 0,
	  "IMAGE's data file, if outside its directory", "FILE" },
	{ "ignore-base-change", '\0', POPT_ARG_NONE, &args.ignore_base_change, 0,
	  "write though the base has changed", NULL },
	COMMON_OPTIONS,
	POPT_TABLEEND
};

/* One job: where the bytes come from, where they go, how far it is. */
struct job {
	const struct call *call;
	struct fvd_image *img;
	struct fvd_progress *progress;
	const char *source;	/* name for messages; NULL for zeros */
	int fd;
	void *buf;
	uint64_t size, off;	/* of the disk; where the next byte goes */
};

static int write_parse(const struct call *call)
{
	static const struct size_rule any = { 0 }, some = { .min = 1 };
	int status;

	if ((status = option_size(call, "--offset", args.offset, &any, &args.off)) ||
	    (status = option_size(call, "--flush-every", args.flush_every, &some, &args.step)) ||
	    (status = option_size(call, "--zero", args.zero, &some, &args.len)) ||
	    (status = option_size(call, "--discard", args.discard, &some, &args.len)))
		return status;
	if (args.zero && args.discard)
		return usage_error(call->cmd, "--zero and --discard exclude each other");
	if ((args.zero || args.discard) && call->count > 1)
		return usage_error(call->cmd, "'%s': no FILE with --%s", call->operand[1],
				   args.zero ? "zero" : "discard");
	return 0;
}

static int check_fits(const struct job *job, uint64_t len, struct fvd_error *err)
{
	if (fvd_in_range(job->off, len, job->size))
		return 0;
	if (job->off > job->size)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "offset %" PRIu64 " is past the end of the disk (%" PRIu64 ")",
				     job->off, job->size);
	return fvd_error_set(err, FVD_ERR_INVALID,
			     "%" PRIu64 " bytes at offset %" PRIu64
			     " pass the end of the disk (%" PRIu64 ")", len, job->off, job->size);
}

/* A regular file's length is known before anything is written. */
static int check_source(struct job *job, uint64_t *total, struct fvd_error *err)
{
	struct stat st;
	off_t at;

	*total = 0;
	if (check_fits(job, 0, err) < 0)	/* the offset, whatever the input is */
		return fvd_error_prefix(err, "%s", job->call->operand[0]);
	if (fstat(job->fd, &st) < 0)
		return fvd_error_sys(err, errno, "%s", job->source);
	if (S_ISDIR(st.st_mode))
		return fvd_error_sys(err, EISDIR, "%s", job->source);
	if (!S_ISREG(st.st_mode))
		return 0;
	at = lseek(job->fd, 0, SEEK_CUR);
	if (at >= 0 && at < st.st_size)
		*total = (uint64_t)(st.st_size - at);
	if (check_fits(job, *total, err) < 0)
		return fvd_error_prefix(err, "%s", job->source);
	return 0;
}

/* How much the next step takes: up to an aligned piece, and to the next flush. */
static uint64_t next_len(const struct job *job)
{
	uint64_t len = PIECE - job->off % PIECE;

	if (args.step)
		len = fvd_min(len, args.step - (job->off - args.off) % args.step);
	return len;
}

/*
 * The signal may have been delivered to another thread, which interrupts no read here:
 * so wait for input in short turns.
 */
static int wait_input(const struct job *job, struct fvd_error *err)
{
	struct pollfd p = { .fd = job->fd, .events = POLLIN };

	while (!signals_interrupted()) {
		int rc = poll(&p, 1, 200);

		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return fvd_error_sys(err, errno, "%s", job->source);
	}
	return fvd_error_set(err, FVD_ERR_CANCELLED, "interrupted");
}

/* Fill @len bytes of the buffer unless the input ends before; *got says how many. */
static int read_input(struct job *job, uint64_t len, uint64_t *got, struct fvd_error *err)
{
	*got = 0;
	while (*got < len) {
		ssize_t n;

		if (wait_input(job, err) < 0)
			return -1;
		n = read(job->fd, (char *)job->buf + *got, len - *got);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return fvd_error_sys(err, errno, "%s", job->source);
		if (n > 0)
			*got += (uint64_t)n;
	}
	return 0;
}

/* Scripts wait for this line, so it goes out at once. */
static int tell_durable(struct job *job, struct fvd_error *err)
{
	if (common.json)
		printf("{\"durable\": %" PRIu64 "}\n", job->off);
	else
		printf("durable %" PRIu64 "\n", job->off);
	if (fflush(stdout) != 0)
		return fvd_error_sys(err, errno, "standard output");
	return 0;
}

static int flush_step(struct job *job, struct fvd_error *err)
{
	if (fvd_image_flush(job->img, err) < 0)
		return -1;
	return tell_durable(job, err);
}

static int advance(struct job *job, uint64_t len, struct fvd_error *err)
{
	job->off += len;
	if (args.step && (job->off - args.off) % args.step == 0 && flush_step(job, err) < 0)
		return -1;
	return fvd_progress_add(job->progress, len, err);
}

static int write_data(struct job *job, struct fvd_error *err)
{
	for (;;) {
		uint64_t len = next_len(job), got;

		if (read_input(job, len, &got, err) < 0)
			return -1;
		if (got == 0)
			return 0;
		if (check_fits(job, got, err) < 0)
			return fvd_error_prefix(err, "%s", job->source);
		if (fvd_image_write(job->img, job->buf, got, job->off, err) < 0 ||
		    advance(job, got, err) < 0)
			return -1;
		if (got < len)
			return 0;
	}
}

/* Long ranges in steps of a GiB, so that a signal is seen. */
static int write_nothing(struct job *job, struct fvd_error *err)
{
	uint64_t end = args.off + args.len;

	while (job->off < end) {
		uint64_t len = fvd_min(end - job->off, FVD_GIB - job->off % FVD_GIB);
		int rc;

		if (args.step)
			len = fvd_min(len, args.step - (job->off - args.off) % args.step);
		if (args.zero)
			rc = fvd_image_write_zeroes(job->img, len, job->off, err);
		else
			rc = fvd_image_discard(job->img, len, job->off, err);
		if (rc < 0 || advance(job, len, err) < 0)
			return -1;
	}
	return 0;
}

static int do_job(struct job *job, struct fvd_error *err)
{
	uint64_t total = args.len;
	int rc;

	if (job->source ? check_source(job, &total, err) : check_fits(job, total, err))
		return -1;
	fvd_progress_start(job->progress, "write", total);
	rc = job->source ? write_data(job, err) : write_nothing(job, err);
	if (rc == 0)
		rc = fvd_image_flush(job->img, err);
	if (rc == 0 && args.step && (job->off - args.off) % args.step)
		rc = tell_durable(job, err);
	if (rc == 0)
		fvd_progress_finish(job->progress);
	else if (job->off > args.off)
		fvd_error_prefix(err, "after %" PRIu64 " bytes", job->off - args.off);
	return rc;
}

/* Opens what FILE names, then the image, does the job, and closes both in any case. */
static int run_job(struct job *job, struct fvd_error *err)
{
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;
	struct fvd_error close_err;
	int rc;

	opts.data_file = args.data_file;
	opts.flags = FVD_OPEN_WRITE | (args.ignore_base_change ? FVD_OPEN_IGNORE_BASE_CHANGE : 0);
	if (fvd_image_open(job->call->operand[0], &opts, &job->img, err) < 0)
		return -1;
	job->size = fvd_image_header(job->img)->virtual_size;
	rc = do_job(job, err);
	if (fvd_image_close(job->img, &close_err) == 0)
		return rc;
	if (rc == 0)
		*err = close_err;
	else	/* the journal or the metadata could not be written either */
		fvd_error_prefix(err, "what was not flushed before is not kept");
	return -1;
}

static int open_source(struct job *job, struct fvd_error *err)
{
	const char *name = job->call->count > 1 ? job->call->operand[1] : "-";

	if (args.zero || args.discard)
		return 0;
	job->buf = fvd_alloc_io(PIECE, err);
	if (!job->buf)
		return -1;
	job->source = strcmp(name, "-") == 0 ? "standard input" : name;
	job->fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	if (job->fd < 0)
		return fvd_error_sys(err, errno, "%s", name);
	return 0;
}

static int report_done(const struct job *job)
{
	const char *name = job->call->operand[0];
	uint64_t done = job->off - args.off;
	struct fvd_json j;

	if (common.json) {
		/* One line, as the ones about durable offsets before it. */
		fvd_json_init(&j, true);
		fvd_json_object_begin(&j, NULL);
		fvd_json_string(&j, "filename", name);
		fvd_json_uint(&j, "offset", args.off);
		fvd_json_uint(&j, args.discard ? "discarded" : args.zero ? "zeroed" : "written",
			      done);
		fvd_json_object_end(&j);
		return report_json(job->call->cmd, &j);
	}
	if (!common.quiet)
		printf("%s: %s %s at %" PRIu64 "\n", shown(name), size_text_exact(done),
		       args.discard ? "discarded" : args.zero ? "zeroed" : "written", args.off);
	return STATUS_OK;
}

static int write_run(const struct call *call)
{
	struct job job = { .call = call, .fd = -1, .off = args.off,
			   .progress = progress_get(call->cmd) };
	struct fvd_error err;
	int status;

	if (open_source(&job, &err) < 0 || run_job(&job, &err) < 0)
		status = report_failure(call->cmd, &err);
	else
		status = report_done(&job);
	if (job.fd > STDIN_FILENO)
		close(job.fd);
	free(job.buf);
	return status;
}

const struct command cmd_write = {
	.name = "write", .operands = "IMAGE [FILE]",
	.summary = "write a range of a disk from FILE or stdin",
	.example = "fvdtool write --offset 1M disk.fvd boot.bin",
	.options = options, .min_operands = 1, .max_operands = 2,
	.parse = write_parse, .run = write_run,
};
