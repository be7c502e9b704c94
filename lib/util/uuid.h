/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FVD_UTIL_UUID_H
#define FVD_UTIL_UUID_H

#include <stdint.h>

#include "util/error.h"

/* A random (version 4) UUID from getrandom(2). */
int fvd_uuid_new(uint8_t uuid[16], struct fvd_error *err);
/* 36 characters and NUL into @out; returns @out. */
const char *fvd_uuid_format(const uint8_t uuid[16], char out[37]);

#endif
