/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "util/bitset.h"
#include "util/buf.h"
#include "util/num.h"

int fvd_bitset_init(struct fvd_bitset *s, uint64_t bits, struct fvd_error *err)
{
	s->bits = 0;
	s->words = fvd_alloc_array(fvd_div_up(bits, 64), sizeof(*s->words), "bit set", err);
	if (!s->words)
		return -1;
	s->bits = bits;
	return 0;
}

void fvd_bitset_fini(struct fvd_bitset *s)
{
	free(s->words);
	s->words = NULL;
	s->bits = 0;
}

/* The bits of word @w that lie in [first, last]. */
static uint64_t word_mask(uint64_t w, uint64_t first, uint64_t last)
{
	uint64_t mask = UINT64_MAX;

	if (w == first / 64)
		mask &= UINT64_MAX << (first % 64);
	if (w == last / 64)
		mask &= UINT64_MAX >> (63 - last % 64);
	return mask;
}

void fvd_bitset_set_range(struct fvd_bitset *s, uint64_t first, uint64_t count)
{
	uint64_t last = first + count - 1;

	if (count == 0)
		return;
	for (uint64_t w = first / 64; w <= last / 64; w++)
		s->words[w] |= word_mask(w, first, last);
}

void fvd_bitset_clear_range(struct fvd_bitset *s, uint64_t first, uint64_t count)
{
	uint64_t last = first + count - 1;

	if (count == 0)
		return;
	for (uint64_t w = first / 64; w <= last / 64; w++)
		s->words[w] &= ~word_mask(w, first, last);
}

/* First bit from @from that is 1 after each word was exclusive-ored with @flip. */
static uint64_t next_bit(const struct fvd_bitset *s, uint64_t from, uint64_t flip)
{
	uint64_t words = fvd_div_up(s->bits, 64), w = from / 64, word;

	if (from >= s->bits)
		return s->bits;
	word = (s->words[w] ^ flip) & UINT64_MAX << (from % 64);
	while (word == 0) {
		if (++w == words)
			return s->bits;
		word = s->words[w] ^ flip;
	}
	return fvd_min(w * 64 + (unsigned)__builtin_ctzll(word), s->bits);
}

uint64_t fvd_bitset_next_set(const struct fvd_bitset *s, uint64_t from)
{
	return next_bit(s, from, 0);
}

uint64_t fvd_bitset_next_clear(const struct fvd_bitset *s, uint64_t from)
{
	return next_bit(s, from, UINT64_MAX);
}

uint64_t fvd_bitset_count(const struct fvd_bitset *s)
{
	uint64_t words = fvd_div_up(s->bits, 64), count = 0;

	for (uint64_t w = 0; w < words; w++)
		if (s->words[w])
			count += (unsigned)__builtin_popcountll(s->words[w]);
	return count;
}
