/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FVD_UTIL_ZERO_H
#define FVD_UTIL_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/* All @len bytes are zero. Vectorised; looks at the first and last words first and
 * stops at the first byte that is not zero. Any alignment, any length. */
bool fvd_is_zero(const void *buf, size_t len);

/*
 * From the start of @buf: the length of the run of @unit-sized pieces that are all
 * zero or all not zero. *zero says which. The last piece may be shorter than @unit.
 * @len > 0.
 */
size_t fvd_zero_run(const void *buf, size_t len, size_t unit, bool *zero);

#endif
