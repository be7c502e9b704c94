/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is printed: results to stdout, the rest to stderr, everything that a file could
 * have put into a text escaped. JSON keys are written like qemu-img's (virtual-size), so
 * that one output has one style.
 */
#ifndef FVD_CMD_REPORT_H
#define FVD_CMD_REPORT_H

#include "command.h"
#include "util/error.h"
#include "util/json.h"
#include "util/progress.h"

/* @text for a terminal: what could act on it as \xNN; valid until the eighth next call. */
const char *shown(const char *text);
/* "64 KiB" and "64 KiB (65536 bytes)"; valid until the eighth next call. */
const char *size_text(uint64_t bytes);
const char *size_text_exact(uint64_t bytes);

/* A line on stderr: "fvdtool COMMAND: TEXT"; in JSON mode also an object on stdout. */
void report_error(const struct command *cmd, const struct fvd_error *err);
/* The line on stderr alone, for errors that are part of a larger JSON answer. */
void report_error_text(const struct command *cmd, const struct fvd_error *err);
void report_usage(const char *name, const struct fvd_error *err);
/* "error": { "class": ..., "message": ... } inside an open object. */
void report_error_member(struct fvd_json *j, const struct fvd_error *err);
/* The status of a job that ended with @err, which is told here. */
int report_failure(const struct command *cmd, const struct fvd_error *err);
/* The status alone. */
int failure_status(const struct command *cmd, const struct fvd_error *err);

/* Print a finished JSON text and release it. */
int report_json(const struct command *cmd, struct fvd_json *j);
/* Flush stdout and say what went wrong with it; @status, or a failure. */
int report_finish(const struct command *cmd, int status);

/* progress.c: what to hand to the library; always the same object. */
struct fvd_progress *progress_get(const struct command *cmd);
/* Remove the bar, so that a message starts on a line of its own. */
void progress_clear(void);

/* signals.c */
void signals_install(void);
bool signals_interrupted(void);
/* A request for one progress line has come since the last call. */
bool signals_progress_wanted(void);
/* End as the signal that came would have ended us. */
void signals_reraise(void);

#endif
