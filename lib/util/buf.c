/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"

void fvd_buf_fini(struct fvd_buf *b)
{
	free(b->data);
	*b = (struct fvd_buf)FVD_BUF_INIT;
}

/* Make room for @len more bytes and the NUL. */
static int reserve(struct fvd_buf *b, size_t len, struct fvd_error *err)
{
	size_t need, cap = b->cap ? b->cap : 64;
	char *data;

	if (__builtin_add_overflow(b->len, len, &need) || need >= SIZE_MAX / 2)
		return fvd_error_set(err, FVD_ERR_NOMEM, "out of memory: text of %zu + %zu bytes",
				     b->len, len);
	need++;
	if (need <= b->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return fvd_error_set(err, FVD_ERR_NOMEM, "out of memory: text of %zu bytes", cap);
	b->data = data;
	b->cap = cap;
	return 0;
}

int fvd_buf_add(struct fvd_buf *b, const void *data, size_t len, struct fvd_error *err)
{
	if (reserve(b, len, err) < 0)
		return -1;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int fvd_buf_printf(struct fvd_buf *b, struct fvd_error *err, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "text cannot be formatted");
	if (reserve(b, (size_t)len, err) < 0)
		return -1;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)len;
	return 0;
}

void *fvd_alloc_io(size_t len, struct fvd_error *err)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, len ? len : 1)) {
		fvd_error_set(err, FVD_ERR_NOMEM, "out of memory: buffer of %zu bytes", len);
		return NULL;
	}
	return p;
}

void *fvd_alloc_array(uint64_t count, size_t size, const char *what, struct fvd_error *err)
{
	void *p = NULL;

	if (count == 0)
		count = 1;
	if (size && count <= SIZE_MAX / 2 / size)
		p = calloc((size_t)count, size);
	if (!p)
		fvd_error_set(err, FVD_ERR_NOMEM, "out of memory: %s (%" PRIu64 " x %zu bytes)",
			      what, count, size);
	return p;
}

size_t fvd_utf8_len(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len;

	if (s[0] < 0x80)
		return s[0] != 0;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		len = 2;
	else if ((s[0] & 0xF0) == 0xE0)
		len = 3;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		len = 4;
	else
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	/* Over-long forms, surrogates, and what is above U+10FFFF. */
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
	    (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
		return 0;
	return len;
}

static bool is_control(const unsigned char *s, size_t len)
{
	if (len == 1)
		return s[0] < 0x20 || s[0] == 0x7F;
	return len == 2 && s[0] == 0xC2 && s[1] < 0xA0;
}

const char *fvd_text_escape(const char *text, char *out, size_t cap)
{
	size_t used = 0;

	if (cap == 0)
		return out;
	while (*text) {
		const unsigned char *s = (const unsigned char *)text;
		size_t len = fvd_utf8_len(text), n;
		char piece[8];

		if (len == 0 || is_control(s, len)) {
			n = (size_t)snprintf(piece, sizeof(piece), "\\x%02X", s[0]);
			len = 1;
		} else if (*text == '\\') {
			memcpy(piece, "\\\\", 2);
			n = 2;
		} else {
			memcpy(piece, text, len);
			n = len;
		}
		if (n >= cap - used)
			break;
		memcpy(out + used, piece, n);
		used += n;
		text += len;
	}
	out[used] = '\0';
	return out;
}
