/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every subcommand gives to main.c, and gets from it. cmd/ parses, calls lib/ and
 * prints; it knows no byte of the disk format.
 */
#ifndef FVD_CMD_COMMAND_H
#define FVD_CMD_COMMAND_H

#include <popt.h>
#include <stdbool.h>

/* Exit statuses; check and replay-journal use those of fsck(8), OR-ed over the images. */
enum {
	STATUS_OK = 0,
	STATUS_FAILURE = 1,
	STATUS_USAGE = 2,
	FSCK_MENDED = 1,
	FSCK_LEFT = 4,
	FSCK_ERROR = 8,
	FSCK_USAGE = 16,
	FSCK_INTERRUPTED = 32,
};

struct command;

/* One run of a subcommand: what is left of the command line after the options. */
struct call {
	const struct command *cmd;
	const char **args;	/* the whole line, as given to popt */
	poptContext ctx;	/* owns the operands */
	const char **operand;
	int count;
};

struct command {
	const char *name;
	const char *operands;		/* "IMAGE [SIZE]" */
	const char *summary;
	const char *example;		/* one line at the end of --help */
	struct poptOption *options;
	int min_operands, max_operands;	/* max -1: any number */
	bool fsck;			/* exit statuses of fsck(8) */
	/* Judge options and operands: 0, or the status of a usage error already told. */
	int (*parse)(const struct call *call);
	/* Do it; the exit status. */
	int (*run)(const struct call *call);
};

extern const struct command cmd_create, cmd_convert, cmd_check, cmd_replay_journal, cmd_compact,
	cmd_info, cmd_write, cmd_read, cmd_undo;

/* registry.c: the one table of subcommands. */
const struct command *command_find(const char *name);
/* The nearest name when @name looks like a slip of the fingers, else NULL. */
const char *command_nearest(const char *name);
void command_list(void);
/* Tab-separated lines: command, long, short, argument, help. */
void command_dump_options(void);

#endif
