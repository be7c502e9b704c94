/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "report.h"
#include "util/num.h"
#include "util/size.h"

struct common_options common;

static struct {
	char *output, *progress_as;
	int quiet, progress, check_args, help;
} raw;

#define OUTPUT_OPTION \
	{ "output", '\0', POPT_ARG_STRING, &raw.output, 0, "how results are printed", "human|json" }
#define OTHER_OPTIONS \
	{ "progress-as", '\0', POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN, &raw.progress_as, 0, \
	  NULL, NULL }, \
	{ "check-args", '\0', POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, &raw.check_args, 0, NULL, \
	  NULL }, \
	{ "help", '\0', POPT_ARG_NONE, &raw.help, 0, "show this help", NULL }
#define PROGRESS_HELP "show how far it is (--progress=json: JSON lines)"

struct poptOption common_table[] = {
	OUTPUT_OPTION,
	{ "quiet", 'q', POPT_ARG_NONE, &raw.quiet, 0, "print errors only", NULL },
	{ "progress", 'p', POPT_ARG_NONE, &raw.progress, 0, PROGRESS_HELP, "[=json]" },
	OTHER_OPTIONS,
	POPT_TABLEEND
};

struct poptOption common_table_no_p[] = {
	OUTPUT_OPTION,
	{ "quiet", 'q', POPT_ARG_NONE, &raw.quiet, 0, "print errors only", NULL },
	{ "progress", '\0', POPT_ARG_NONE, &raw.progress, 0,
	  PROGRESS_HELP "; here -p mends instead", "[=json]" },
	OTHER_OPTIONS,
	POPT_TABLEEND
};

/*
 * popt has no option whose argument may only follow a '=': with POPT_ARGFLAG_OPTIONAL
 * "--progress disk.raw" would eat the file name. So --progress=X becomes
 * --progress-as=X, a hidden option that always has an argument. The last one counts.
 */
static const char **rewrite_progress(int argc, const char **argv)
{
	static const char from[] = "--progress=";
	static char text[64];
	const char **out = calloc((size_t)argc + 1, sizeof(*out));
	bool options = true;

	for (int i = 0; out && i < argc; i++) {
		out[i] = argv[i];
		options = options && strcmp(argv[i], "--") != 0;
		if (!options || strncmp(argv[i], from, sizeof(from) - 1) != 0)
			continue;
		snprintf(text, sizeof(text), "--progress-as=%s", argv[i] + sizeof(from) - 1);
		out[i] = text;
	}
	return out;
}

static int settle_common(const struct call *call)
{
	int output = 0, progress = 0, status;

	status = option_enum(call, "--output", raw.output, "human|json", &output);
	if (status)
		return status;
	common.json = output == 1;
	status = option_enum(call, "--progress", raw.progress_as, "json", &progress);
	if (status)
		return status;
	common.quiet = raw.quiet;
	common.progress = raw.progress || raw.progress_as;
	common.progress_json = raw.progress_as != NULL;
	common.check_args = raw.check_args;
	return 0;
}

static int check_operands(const struct call *call)
{
	const struct command *cmd = call->cmd;

	if (call->count < cmd->min_operands && call->count == 0)
		return usage_error(cmd, "%s is missing",
				   cmd->min_operands > 1 ? cmd->operands : "IMAGE");
	if (call->count < cmd->min_operands)
		return usage_error(cmd, "%d operand where %d are needed: %s", call->count,
				   cmd->min_operands, cmd->operands);
	if (cmd->max_operands >= 0 && call->count > cmd->max_operands)
		return usage_error(cmd, "'%s' is one operand too many: want %s",
				   call->operand[cmd->max_operands], cmd->operands);
	return 0;
}

static int count_operands(const char **operand)
{
	int n = 0;

	while (operand && operand[n])
		n++;
	return n;
}

void options_free(struct call *call)
{
	poptFreeContext(call->ctx);
	free(call->args);
}

int options_parse(const struct command *cmd, int argc, const char **argv, struct call *call)
{
	const char **args = rewrite_progress(argc, argv);
	poptContext ctx = !args ? NULL : poptGetContext(cmd->name, argc, args, cmd->options, 0);
	int rc, status;

	*call = (struct call){ .cmd = cmd, .args = args, .ctx = ctx };
	if (!ctx)
		return usage_error(cmd, "out of memory");
	do {
		rc = poptGetNextOpt(ctx);
	} while (rc > 0);
	common.help = raw.help;
	/* Known before anything is said about the rest. */
	common.json = raw.output && strcmp(raw.output, "json") == 0;
	if (rc < -1)
		return usage_error(cmd, "%s: %s", poptBadOption(ctx, POPT_BADOPTION_NOALIAS),
				   poptStrerror(rc));
	if (common.help)
		return 0;
	call->operand = poptGetArgs(ctx);
	call->count = count_operands(call->operand);
	status = settle_common(call);
	if (status)
		return status;
	status = check_operands(call);
	if (status)
		return status;
	return cmd->parse ? cmd->parse(call) : 0;
}

void options_print_help(const struct command *cmd)
{
	char name[64], operands[64];
	const char *argv[] = { name, NULL };
	poptContext ctx;

	snprintf(name, sizeof(name), "fvdtool %s", cmd->name);
	ctx = poptGetContext(name, 1, argv, cmd->options, 0);
	if (!ctx)
		return;
	snprintf(operands, sizeof(operands), "[OPTION...] %s", cmd->operands);
	poptSetOtherOptionHelp(ctx, operands);
	printf("fvdtool %s: %s\n\n", cmd->name, cmd->summary);
	poptPrintHelp(ctx, stdout, 0);
	printf("\nSizes take K, M, G and T (powers of 1024). Example:\n  %s\n", cmd->example);
	poptFreeContext(ctx);
}

int usage_error(const struct command *cmd, const char *fmt, ...)
{
	struct fvd_error err = { .class = FVD_ERR_INVALID };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	report_usage(cmd->name, &err);
	return cmd->fsck ? FSCK_USAGE : STATUS_USAGE;
}

int option_size(const struct call *call, const char *option, const char *text,
		const struct size_rule *rule, uint64_t *out)
{
	struct fvd_error err;
	uint64_t v, max = rule->max ? rule->max : FVD_MAX_OFF;
	char bound[32];

	if (!text)
		return 0;
	if (fvd_size_parse(text, &v, &err) < 0)
		return usage_error(call->cmd, "%s: %s", option, err.text);
	if (v < rule->min)
		return usage_error(call->cmd, "%s: %" PRIu64 " is below the least, %s", option, v,
				   fvd_size_format_exact(rule->min, bound, sizeof(bound)));
	if (v > max)
		return usage_error(call->cmd, "%s: %" PRIu64 " is above the most, %s", option, v,
				   fvd_size_format_exact(max, bound, sizeof(bound)));
	if (rule->pow2 && !fvd_is_pow2(v))
		return usage_error(call->cmd, "%s: %" PRIu64 " is not a power of two", option, v);
	if (rule->unit && v % rule->unit)
		return usage_error(call->cmd, "%s: %" PRIu64 " is not a multiple of %s", option, v,
				   fvd_size_format_exact(rule->unit, bound, sizeof(bound)));
	*out = v;
	return 0;
}

int option_int(const struct call *call, const char *option, const char *text, int64_t min,
	       int64_t max, int64_t *out)
{
	char *end;
	long long v;

	if (!text)
		return 0;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || strchr(" \t\n\v\f\r", text[0]))
		return usage_error(call->cmd, "%s: '%s' is not a whole number", option, text);
	if (errno == ERANGE || v < min || v > max)
		return usage_error(call->cmd,
				   "%s: '%s' is not between %" PRId64 " and %" PRId64, option,
				   text, min, max);
	*out = v;
	return 0;
}

int option_enum(const struct call *call, const char *option, const char *text,
		const char *choices, int *out)
{
	const char *p = choices;

	if (!text)
		return 0;
	for (int i = 0;; i++) {
		size_t len = strcspn(p, "|");

		if (strlen(text) == len && strncmp(p, text, len) == 0) {
			*out = i;
			return 0;
		}
		if (!p[len])
			break;
		p += len + 1;
	}
	return usage_error(call->cmd, "%s: '%s' is not one of: %s", option, text, choices);
}
