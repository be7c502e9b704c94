/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "report.h"
#include "util/size.h"

#define RING 8

const char *shown(const char *text)
{
	static char ring[RING][4200];
	static unsigned next;
	char *buf = ring[next++ % RING];

	return fvd_text_escape(text, buf, sizeof(ring[0]));
}

const char *size_text(uint64_t bytes)
{
	static char ring[RING][32];
	static unsigned next;
	char *buf = ring[next++ % RING];

	return fvd_size_format(bytes, buf, sizeof(ring[0]));
}

const char *size_text_exact(uint64_t bytes)
{
	static char ring[RING][64];
	static unsigned next;
	char *buf = ring[next++ % RING];

	if (bytes < 1024)
		return size_text(bytes);
	snprintf(buf, sizeof(ring[0]), "%s (%" PRIu64 " bytes)", size_text(bytes), bytes);
	return buf;
}

/* As shown(), but backslashes stay: a library's text may hold some of its own escapes. */
static void put_escaped(FILE *f, const char *text)
{
	while (*text) {
		char part[1024];
		size_t len = strcspn(text, "\\");

		if (len >= sizeof(part))
			len = sizeof(part) - 1;
		memcpy(part, text, len);
		part[len] = '\0';
		fputs(shown(part), f);
		text += len;
		if (*text == '\\') {
			fputc('\\', f);
			text++;
		}
	}
}

static void put_error(const char *name, const char *text)
{
	progress_clear();
	fflush(stdout);
	if (name)
		fprintf(stderr, "fvdtool %s: ", name);
	else
		fputs("fvdtool: ", stderr);
	put_escaped(stderr, text);
	fputc('\n', stderr);
}

void report_error_text(const struct command *cmd, const struct fvd_error *err)
{
	put_error(cmd->name, err->text);
}

void report_error_member(struct fvd_json *j, const struct fvd_error *err)
{
	fvd_json_object_begin(j, "error");
	fvd_json_string(j, "class", fvd_error_class_name(err->class));
	fvd_json_string(j, "message", err->text);
	if (err->errnum)
		fvd_json_string(j, "errno", strerrorname_np(err->errnum));
	fvd_json_object_end(j);
}

static void put_error_json(const struct fvd_error *err)
{
	struct fvd_json j;
	const char *text;

	fvd_json_init(&j, false);
	fvd_json_object_begin(&j, NULL);
	report_error_member(&j, err);
	fvd_json_object_end(&j);
	text = fvd_json_finish(&j, NULL);
	if (text)
		fputs(text, stdout);
	fvd_json_fini(&j);
}

void report_error(const struct command *cmd, const struct fvd_error *err)
{
	report_error_text(cmd, err);
	if (common.json)
		put_error_json(err);
}

void report_usage(const char *name, const struct fvd_error *err)
{
	put_error(name, err->text);
	fprintf(stderr, "Try 'fvdtool%s%s --help'.\n", name ? " " : "", name ? name : "");
	if (common.json)
		put_error_json(err);
}

int failure_status(const struct command *cmd, const struct fvd_error *err)
{
	if (!cmd->fsck)
		return STATUS_FAILURE;
	return err->class == FVD_ERR_CANCELLED ? FSCK_INTERRUPTED : FSCK_ERROR;
}

int report_failure(const struct command *cmd, const struct fvd_error *err)
{
	/* Whoever closed the pipe knows; head(1) is no reason for a message. */
	if (err->errnum != EPIPE)
		report_error(cmd, err);
	return failure_status(cmd, err);
}

int report_json(const struct command *cmd, struct fvd_json *j)
{
	struct fvd_error err;
	const char *text = fvd_json_finish(j, &err);
	int status = 0;

	if (text)
		fputs(text, stdout);
	else
		status = report_failure(cmd, &err);
	fvd_json_fini(j);
	return status;
}

int report_finish(const struct command *cmd, int status)
{
	struct fvd_error err = { .class = FVD_ERR_NONE };
	bool failed = ferror(stdout);

	/* A write that failed earlier has lost its errno; a flush that fails now has not. */
	errno = 0;
	if (fflush(stdout) != 0)
		failed = true;
	if (!failed)
		return status;
	if (errno == EPIPE)
		return status | (cmd && cmd->fsck ? FSCK_ERROR : STATUS_FAILURE);
	if (errno)
		fvd_error_sys(&err, errno, "standard output");
	else
		fvd_error_set(&err, FVD_ERR_IO, "standard output: write failed");
	put_error(cmd ? cmd->name : NULL, err.text);
	return status | (cmd && cmd->fsck ? FSCK_ERROR : STATUS_FAILURE);
}
