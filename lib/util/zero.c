/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking for zeros at the speed of memory. Data that is not zero mostly shows it in its
 * first bytes, so these are asked first; what is left is scanned in steps of 256 bytes.
 */
#include <stdint.h>
#include <string.h>

#include "util/zero.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_AVX2 1
#else
#define HAVE_AVX2 0
#endif

#define STEP 256u

typedef uint64_t vec __attribute__((vector_size(16)));

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline vec load_vec(const uint8_t *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* @len is a multiple of STEP. */
static bool steps_are_zero(const uint8_t *p, size_t len)
{
	for (const uint8_t *end = p + len; p < end; p += STEP) {
		vec a = load_vec(p), b = load_vec(p + 16);

		for (unsigned i = 32; i < STEP; i += 32) {
			a |= load_vec(p + i);
			b |= load_vec(p + i + 16);
		}
		a |= b;
		if (a[0] | a[1])
			return false;
	}
	return true;
}

#if HAVE_AVX2
__attribute__((target("avx2")))
static inline __m256i load_avx2(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

__attribute__((target("avx2")))
static bool steps_are_zero_avx2(const uint8_t *p, size_t len)
{
	for (const uint8_t *end = p + len; p < end; p += STEP) {
		__m256i a = _mm256_or_si256(load_avx2(p), load_avx2(p + 32));
		__m256i b = _mm256_or_si256(load_avx2(p + 64), load_avx2(p + 96));
		__m256i c = _mm256_or_si256(load_avx2(p + 128), load_avx2(p + 160));
		__m256i d = _mm256_or_si256(load_avx2(p + 192), load_avx2(p + 224));

		a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
		if (!_mm256_testz_si256(a, a))
			return false;
	}
	return true;
}
#endif

static bool scan(const uint8_t *p, size_t len)
{
	size_t whole = len - len % STEP;
	const uint8_t *end = p + len;

#if HAVE_AVX2
	if (__builtin_cpu_supports("avx2")) {
		if (!steps_are_zero_avx2(p, whole))
			return false;
	} else
#endif
	if (!steps_are_zero(p, whole))
		return false;
	p += whole;
	for (; end - p >= 8; p += 8)
		if (load64(p))
			return false;
	for (; p < end; p++)
		if (*p)
			return false;
	return true;
}

bool fvd_is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	if (len < 16)
		return scan(p, len);
	if ((load64(p) | load64(p + 8) | load64(p + len - 8)) || load64(p + len / 2 - 8))
		return false;
	return scan(p, len);
}

/* In a run the ends of a piece say little that its start does not. */
static inline bool piece_is_zero(const uint8_t *p, size_t len)
{
	if (len >= 16 && (load64(p) | load64(p + 8)))
		return false;
	return scan(p, len);
}

size_t fvd_zero_run(const void *buf, size_t len, size_t unit, bool *zero)
{
	const uint8_t *p = buf;
	size_t done = unit < len ? unit : len;

	*zero = fvd_is_zero(p, done);
	while (done < len) {
		size_t piece = unit < len - done ? unit : len - done;

		if (piece_is_zero(p + done, piece) != *zero)
			break;
		done += piece;
	}
	return done;
}
