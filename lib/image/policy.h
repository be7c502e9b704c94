/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files that an image names may be opened, and how. FORMAT 8. */
#ifndef FVD_IMAGE_POLICY_H
#define FVD_IMAGE_POLICY_H

#include <stdbool.h>

#include "util/error.h"

/*
 * @name, as found in an image, stays in the directory of that image: relative, no "..", no
 * scheme.
 */
bool fvd_name_inside(const char *name);

/*
 * May the data file @name (as the image has it) be changed? Inside the image's directory,
 * yes; elsewhere only when it is the very name the caller gave, @given (NULL: none). A
 * stranger's image could name any file, and compacting it would cut that file off. POLICY
 * with what to type else.
 */
int fvd_policy_write_data(const char *name, const char *given, struct fvd_error *err);

/*
 * For commands that look without changing: a data file is opened only when the caller gave
 * its name.
 */
int fvd_policy_given_data(const char *name, const char *given, struct fvd_error *err);

#endif
