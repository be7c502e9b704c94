/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FVD_UTIL_SIZE_H
#define FVD_UTIL_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/*
 * Parse "512", "64K", "1.5G", "10MiB", "2T" (suffixes B K M G T P E, either case,
 * optional "iB"; factor 1024; a fraction must come out as whole bytes).
 * Errors: INVALID naming the text: no number, unknown suffix, negative, above 2^63-1.
 */
int fvd_size_parse(const char *text, uint64_t *bytes, struct fvd_error *err);

/* "64 KiB", "1.5 GiB", "512 bytes" into @buf (32 bytes suffice); returns @buf. */
const char *fvd_size_format(uint64_t bytes, char *buf, size_t cap);
/* "64K", "1536M", or plain bytes when no suffix is exact; parses back to the same. */
const char *fvd_size_format_exact(uint64_t bytes, char *buf, size_t cap);

#endif
