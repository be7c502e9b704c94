/* SPDX-License-Identifier: BSD-2-Clause */
/* Checked arithmetic on sizes. The bool ones return false on overflow. */
#ifndef FVD_UTIL_NUM_H
#define FVD_UTIL_NUM_H

#include <stdbool.h>
#include <stdint.h>

#define FVD_KIB UINT64_C(1024)
#define FVD_MIB (UINT64_C(1024) * FVD_KIB)
#define FVD_GIB (UINT64_C(1024) * FVD_MIB)
#define FVD_TIB (UINT64_C(1024) * FVD_GIB)

/* The largest offset the format allows anywhere: 2^63-1. */
#define FVD_MAX_OFF ((uint64_t)INT64_MAX)

static inline bool fvd_add(uint64_t a, uint64_t b, uint64_t *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

static inline bool fvd_mul(uint64_t a, uint64_t b, uint64_t *product)
{
	return !__builtin_mul_overflow(a, b, product);
}

/* [off, off + len) lies in [0, size). */
static inline bool fvd_in_range(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

static inline uint64_t fvd_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t fvd_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* @unit is any number > 0, not only a power of two. */
static inline uint64_t fvd_div_up(uint64_t v, uint64_t unit)
{
	return v / unit + (v % unit != 0);
}

static inline uint64_t fvd_round_down(uint64_t v, uint64_t unit)
{
	return v - v % unit;
}

/* Caller knows that the result fits. */
static inline uint64_t fvd_round_up(uint64_t v, uint64_t unit)
{
	return v % unit ? v + (unit - v % unit) : v;
}

static inline bool fvd_is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

#endif
