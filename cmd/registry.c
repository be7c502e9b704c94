/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct command *const commands[] = {
	&cmd_create, &cmd_convert, &cmd_check, &cmd_replay_journal, &cmd_compact,
	&cmd_info, &cmd_write, &cmd_read, &cmd_undo,
};

#define COUNT (sizeof(commands) / sizeof(commands[0]))

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COUNT; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

#define MAX_NAME 32

/* Edits (insert, delete, replace) from @a to @b. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[MAX_NAME + 1];
	size_t n = strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[n];
}

const char *command_nearest(const char *name)
{
	const char *best = NULL;
	unsigned least = 3;

	if (strlen(name) > MAX_NAME)
		return NULL;
	for (size_t i = 0; i < COUNT; i++) {
		const char *have = commands[i]->name;
		unsigned d = distance(name, have);

		/* "replay" and "conv" are beginnings, not slips. */
		if (strlen(name) >= 2 && strncmp(name, have, strlen(name)) == 0)
			d = 1;
		if (d < least) {
			least = d;
			best = have;
		}
	}
	return best;
}

void command_list(void)
{
	for (size_t i = 0; i < COUNT; i++)
		printf("  %-15s %s\n", commands[i]->name, commands[i]->summary);
}

static void dump_table(const char *command, const struct poptOption *opt)
{
	for (; opt->longName || opt->shortName || opt->arg; opt++) {
		char letter[2] = { opt->shortName, '\0' };

		if ((opt->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE) {
			dump_table(command, opt->arg);
			continue;
		}
		if (opt->argInfo & POPT_ARGFLAG_DOC_HIDDEN)
			continue;
		printf("%s\t%s\t%s\t%s\t%s\n", command, opt->longName, letter,
		       opt->argDescrip ? opt->argDescrip : "", opt->descrip);
	}
}

/* A line with an empty option is the command itself: its operands and its summary. */
void command_dump_options(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		printf("%s\t\t\t%s\t%s\n", commands[i]->name, commands[i]->operands,
		       commands[i]->summary);
		dump_table(commands[i]->name, commands[i]->options);
	}
}
