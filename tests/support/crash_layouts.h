/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_SUPPORT_CRASH_LAYOUTS_H
#define TESTS_SUPPORT_CRASH_LAYOUTS_H

#include "crash_run.h"

extern const struct ci_cfg cr_layouts[];
extern const size_t cr_layout_count;
extern const struct cr_profile *const cr_profiles[];
extern const size_t cr_profile_count;

enum cr_profile_name { CR_DEFAULT, CR_HOT, CR_LARGE, CR_LONG, CR_COMPACT };

/* By name; the program ends when there is none. */
const struct ci_cfg *cr_layout(const char *name);

#endif
