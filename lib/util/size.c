/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "util/buf.h"
#include "util/num.h"
#include "util/size.h"

static const char suffixes[] = "BKMGTPE";

static int bad_size(const char *text, const char *why, struct fvd_error *err)
{
	char shown[80];

	return fvd_error_set(err, FVD_ERR_INVALID, "size '%s': %s",
			     fvd_text_escape(text, shown, sizeof(shown)), why);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The power of two a suffix stands for, -1 when there is no such suffix. */
static int parse_suffix(const char *s)
{
	const char *at;

	if (!*s)
		return 0;
	at = strchr(suffixes, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	if (!at)
		return -1;
	if (s[1] && (at == suffixes || strcasecmp(s + 1, "iB") != 0))
		return -1;
	return 10 * (int)(at - suffixes);
}

/*
 * 0.DIGITS times 2^shift, if that is a whole number. With the trailing zeros gone it is
 * one only when 5^n divides DIGITS, which makes DIGITS odd, so n <= shift must hold too.
 */
static bool scale_fraction(const char *digits, size_t n, int shift, uint64_t *out)
{
	uint64_t value = 0, five = 1;

	*out = 0;
	while (n > 0 && digits[n - 1] == '0')
		n--;
	if (n == 0)
		return true;
	if (n > 19 || n > (size_t)shift)
		return false;
	for (size_t i = 0; i < n; i++) {
		value = value * 10 + (uint64_t)(digits[i] - '0');
		five *= 5;
	}
	if (value % five)
		return false;
	*out = value / five << ((size_t)shift - n);
	return true;
}

int fvd_size_parse(const char *text, uint64_t *bytes, struct fvd_error *err)
{
	uint64_t whole = 0, fraction, sum;
	const char *p = text, *digits;
	bool fits = true;
	size_t n;
	int shift;

	if (*p == '-')
		return bad_size(text, "must not be negative", err);
	if (!is_digit(*p))
		return bad_size(text, "no number", err);
	for (; is_digit(*p); p++)
		fits = fits && fvd_mul(whole, 10, &whole) &&
		       fvd_add(whole, (uint64_t)(*p - '0'), &whole);
	if (*p == '.')
		p++;
	for (digits = p; is_digit(*p); p++)
		;
	n = (size_t)(p - digits);
	if (n == 0 && p[-1] == '.')
		return bad_size(text, "no digit after the point", err);
	shift = parse_suffix(p);
	if (shift < 0)
		return bad_size(text, "unknown suffix, want one of B K M G T P E", err);
	if (!scale_fraction(digits, n, shift, &fraction))
		return bad_size(text, "not a whole number of bytes", err);
	if (!fits || !fvd_mul(whole, UINT64_C(1) << shift, &sum) ||
	    !fvd_add(sum, fraction, &sum) || sum > FVD_MAX_OFF)
		return bad_size(text, "above the limit of 2^63-1 bytes", err);
	*bytes = sum;
	return 0;
}

const char *fvd_size_format(uint64_t bytes, char *buf, size_t cap)
{
	double value = (double)bytes;
	unsigned unit = 0;
	char num[16], *end;

	if (bytes < FVD_KIB) {
		snprintf(buf, cap, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
		return buf;
	}
	/* 1023.5 would be printed as 1024. */
	while (value >= 1023.5 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(num, sizeof(num), "%.*f", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value);
	for (char *c = num; *c; c++)
		if (*c == ',')
			*c = '.';
	if (strchr(num, '.')) {
		for (end = num + strlen(num); end[-1] == '0'; end--)
			;
		end[end[-1] == '.' ? -1 : 0] = '\0';
	}
	snprintf(buf, cap, "%s %ciB", num, suffixes[unit]);
	return buf;
}

const char *fvd_size_format_exact(uint64_t bytes, char *buf, size_t cap)
{
	unsigned unit = 0;

	while (bytes && bytes % FVD_KIB == 0 && unit < 6) {
		bytes /= FVD_KIB;
		unit++;
	}
	if (unit)
		snprintf(buf, cap, "%" PRIu64 "%c", bytes, suffixes[unit]);
	else
		snprintf(buf, cap, "%" PRIu64, bytes);
	return buf;
}
