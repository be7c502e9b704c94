/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "report.h"

#ifndef FVD_VERSION
#define FVD_VERSION "unknown"
#endif

static struct {
	int help, version, dump_options;
} global;

static struct poptOption global_table[] = {
	{ "help", 'h', POPT_ARG_NONE, &global.help, 0, "show this help", NULL },
	{ "version", 'V', POPT_ARG_NONE, &global.version, 0, "show the version", NULL },
	{ "dump-options", '\0', POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, &global.dump_options, 0,
	  NULL, NULL },
	POPT_TABLEEND
};

static void print_usage(FILE *f)
{
	fputs("Usage: fvdtool COMMAND [OPTION...] OPERAND...\n"
	      "       fvdtool help [COMMAND]\n", f);
}

static int print_help(void)
{
	print_usage(stdout);
	puts("\nWork with FVD (Fast Virtual Disk) images.\n\nCommands:");
	command_list();
	puts("\nOptions:\n"
	     "  -h, --help      show this help; 'fvdtool COMMAND --help' tells more\n"
	     "  -V, --version   show the version\n"
	     "\nThe manual is fvdtool(1).");
	return report_finish(NULL, STATUS_OK);
}

static int print_command_help(const struct command *cmd)
{
	options_print_help(cmd);
	return report_finish(cmd, STATUS_OK);
}

static int global_usage(const char *text, const char *what)
{
	struct fvd_error err;

	fvd_error_set(&err, FVD_ERR_INVALID, "%s: %s", what, text);
	report_usage(NULL, &err);
	return STATUS_USAGE;
}

static int unknown_command(const char *name)
{
	struct fvd_error err;
	const char *nearest = command_nearest(name);

	if (nearest)
		fvd_error_set(&err, FVD_ERR_INVALID, "unknown command '%s', did you mean '%s'?",
			      name, nearest);
	else
		fvd_error_set(&err, FVD_ERR_INVALID, "unknown command '%s'", name);
	report_usage(NULL, &err);
	return STATUS_USAGE;
}

static int help_command(int argc, const char **argv)
{
	const struct command *cmd;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return print_help();
	if (argc > 2)
		return global_usage("one operand too many: want help [COMMAND]", argv[2]);
	cmd = command_find(argv[1]);
	return cmd ? print_command_help(cmd) : unknown_command(argv[1]);
}

static int run_call(const struct call *call)
{
	const struct command *cmd = call->cmd;
	int status;

	if (common.help)
		return print_command_help(cmd);
	if (common.check_args)
		return STATUS_OK;
	signals_install();
	status = cmd->run(call);
	progress_clear();
	return report_finish(cmd, status);
}

static int run_command(const struct command *cmd, int argc, const char **argv)
{
	struct call call;
	int status = options_parse(cmd, argc, argv, &call);

	if (status)
		status = report_finish(cmd, status);
	else
		status = run_call(&call);
	options_free(&call);
	/* The job may have ended before it saw the signal: then its result stands. */
	if (signals_interrupted() && status != STATUS_OK && !cmd->fsck)
		signals_reraise();
	return status;
}

static int dispatch(poptContext ctx)
{
	const char **rest = poptGetArgs(ctx);
	const struct command *cmd;
	int count = 0;

	while (rest && rest[count])
		count++;
	if (count == 0) {
		print_usage(stderr);
		fputs("Try 'fvdtool --help'.\n", stderr);
		return STATUS_USAGE;
	}
	if (strcmp(rest[0], "help") == 0)
		return help_command(count, rest);
	cmd = command_find(rest[0]);
	return cmd ? run_command(cmd, count, rest) : unknown_command(rest[0]);
}

static int run_all(poptContext ctx)
{
	int rc;

	do {
		rc = poptGetNextOpt(ctx);
	} while (rc > 0);
	if (rc < -1)
		return global_usage(poptStrerror(rc), poptBadOption(ctx, POPT_BADOPTION_NOALIAS));
	if (global.help)
		return print_help();
	if (global.version) {
		puts("fvdtool " FVD_VERSION);
		return report_finish(NULL, STATUS_OK);
	}
	if (global.dump_options) {
		command_dump_options();
		return report_finish(NULL, STATUS_OK);
	}
	return dispatch(ctx);
}

/*
 * A standard stream that the caller closed must stay unusable: the next file opened would take its
 * number, and be read as the input, or have messages written into it.
 */
static void plug_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
			_exit(1);
}

int main(int argc, char **argv)
{
	/* popt wants an array of const strings. */
	const char **args = calloc((size_t)argc + 1, sizeof(*args));
	poptContext ctx;
	int status;

	plug_streams();
	for (int i = 0; args && i < argc; i++)
		args[i] = argv[i];
	ctx = !args ? NULL : poptGetContext("fvdtool", argc, args, global_table,
					    POPT_CONTEXT_POSIXMEHARDER);
	status = ctx ? run_all(ctx) : global_usage("out of memory", "options");
	poptFreeContext(ctx);
	free(args);
	return status;
}
