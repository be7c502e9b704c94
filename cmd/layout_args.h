/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that shape a new image: create and convert have them in common. */
#ifndef FVD_CMD_LAYOUT_ARGS_H
#define FVD_CMD_LAYOUT_ARGS_H

#include "options.h"
#include "ops/create.h"

extern struct poptOption layout_table[];

#define LAYOUT_OPTIONS \
	{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, layout_table, 0, "The new image:", NULL }

/* Judge them and fill @opts; 0, or the status of a usage error already told. */
int layout_args_parse(const struct call *call, struct fvd_create_opts *opts);
/* The first of them that was given, NULL when none was: raw targets have no layout. */
const char *layout_args_given(void);
/* The rule of a virtual size. */
extern const struct size_rule layout_size_rule;

#endif
