/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers around popt. Numbers and sizes come as strings and are judged here. */
#ifndef FVD_CMD_OPTIONS_H
#define FVD_CMD_OPTIONS_H

#include <stdint.h>

#include "command.h"

/* Options that every subcommand has. */
struct common_options {
	bool json, quiet, check_args, help;
	bool progress, progress_json;
};
extern struct common_options common;

extern struct poptOption common_table[];	/* with -p for --progress */
extern struct poptOption common_table_no_p[];	/* check: -p mends */

#define COMMON_OPTIONS \
	{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, common_table, 0, "Common options:", NULL }
#define COMMON_OPTIONS_NO_P \
	{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, common_table_no_p, 0, "Common options:", NULL }

/*
 * Parse @argv ([0] is the command's name) with the tables of @cmd. Fills @call, to be
 * freed in any case. 0, or the status of a usage error already told.
 */
int options_parse(const struct command *cmd, int argc, const char **argv, struct call *call);
void options_free(struct call *call);
void options_print_help(const struct command *cmd);

/* Say what is wrong with the command line; returns the status for it. */
int usage_error(const struct command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Each leaves *out as it is when @text is NULL. @option names it in messages.
 * 0, or the status of a usage error already told.
 */
struct size_rule {
	uint64_t min, max;	/* max 0: 2^63-1 */
	uint64_t unit;		/* a multiple of it; 0: any */
	bool pow2;
};
int option_size(const struct call *call, const char *option, const char *text,
		const struct size_rule *rule, uint64_t *out);
int option_int(const struct call *call, const char *option, const char *text, int64_t min,
	       int64_t max, int64_t *out);
/* @choices "human|json"; *out is the index of the one chosen. */
int option_enum(const struct call *call, const char *option, const char *text,
		const char *choices, int *out);

#endif
