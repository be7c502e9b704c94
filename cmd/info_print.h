/* SPDX-License-Identifier: BSD-2-Clause */
/* One image's facts as text or JSON. */
#ifndef FVD_CMD_INFO_PRINT_H
#define FVD_CMD_INFO_PRINT_H

#include "ops/info.h"
#include "util/json.h"

void info_print(const char *name, const struct fvd_info *info, bool journal);
/* The members of an object that the caller has opened and closes. */
void info_json(struct fvd_json *j, const char *name, const struct fvd_info *info, bool journal);

#endif
