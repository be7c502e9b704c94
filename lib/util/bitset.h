/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of small numbers, 64 to a word. Callers keep indexes below `bits`. */
#ifndef FVD_UTIL_BITSET_H
#define FVD_UTIL_BITSET_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct fvd_bitset {
	uint64_t *words;
	uint64_t bits;
};

/* All clear. Untouched pages of a large set cost no memory (calloc). */
int fvd_bitset_init(struct fvd_bitset *s, uint64_t bits, struct fvd_error *err);
void fvd_bitset_fini(struct fvd_bitset *s);
void fvd_bitset_set_range(struct fvd_bitset *s, uint64_t first, uint64_t count);
void fvd_bitset_clear_range(struct fvd_bitset *s, uint64_t first, uint64_t count);
/* First set (clear) bit at or after @from; s->bits when there is none. */
uint64_t fvd_bitset_next_set(const struct fvd_bitset *s, uint64_t from);
uint64_t fvd_bitset_next_clear(const struct fvd_bitset *s, uint64_t from);
uint64_t fvd_bitset_count(const struct fvd_bitset *s);

static inline bool fvd_bitset_test(const struct fvd_bitset *s, uint64_t i)
{
	return s->words[i / 64] >> (i % 64) & 1;
}

static inline void fvd_bitset_set(struct fvd_bitset *s, uint64_t i)
{
	s->words[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void fvd_bitset_clear(struct fvd_bitset *s, uint64_t i)
{
	s->words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

#endif
