/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/json.h"

void fvd_json_init(struct fvd_json *j, bool compact)
{
	*j = (struct fvd_json){ .compact = compact };
}

void fvd_json_fini(struct fvd_json *j)
{
	fvd_buf_fini(&j->out);
}

static void put(struct fvd_json *j, const char *data, size_t len)
{
	if (!j->failed && fvd_buf_add(&j->out, data, len, NULL) < 0)
		j->failed = true;
}

static void puts_raw(struct fvd_json *j, const char *text)
{
	put(j, text, strlen(text));
}

static void put_line(struct fvd_json *j)
{
	if (j->compact)
		return;
	puts_raw(j, "\n");
	for (unsigned i = 0; i < j->depth; i++)
		puts_raw(j, "    ");
}

/* Also DEL and the C1 controls go out as \u: the text may end up on a terminal. */
static void put_string(struct fvd_json *j, const char *s)
{
	char esc[8];

	puts_raw(j, "\"");
	while (*s) {
		unsigned char c = (unsigned char)s[0];
		size_t len = fvd_utf8_len(s);

		if (len == 0) {
			puts_raw(j, "\xEF\xBF\xBD");
			len = 1;
		} else if (c == '"' || c == '\\') {
			snprintf(esc, sizeof(esc), "\\%c", c);
			puts_raw(j, esc);
		} else if (c == '\n') {
			puts_raw(j, "\\n");
		} else if (c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)s[1] < 0xA0)) {
			snprintf(esc, sizeof(esc), "\\u%04x", len == 2 ? (unsigned char)s[1] : c);
			puts_raw(j, esc);
		} else {
			put(j, s, len);
		}
		s += len;
	}
	puts_raw(j, "\"");
}

/* What stands before any value: comma, line, key. */
static void begin_value(struct fvd_json *j, const char *key)
{
	if (j->comma)
		puts_raw(j, j->compact ? ", " : ",");
	if (j->depth > 0)
		put_line(j);
	if (key) {
		put_string(j, key);
		puts_raw(j, ": ");
	}
	j->comma = true;
}

static void begin(struct fvd_json *j, const char *key, const char *bracket)
{
	begin_value(j, key);
	puts_raw(j, bracket);
	j->depth++;
	j->comma = false;
}

static void end(struct fvd_json *j, const char *bracket)
{
	j->depth--;
	if (j->comma)
		put_line(j);
	puts_raw(j, bracket);
	j->comma = true;
}

void fvd_json_object_begin(struct fvd_json *j, const char *key)
{
	begin(j, key, "{");
}

void fvd_json_object_end(struct fvd_json *j)
{
	end(j, "}");
}

void fvd_json_array_begin(struct fvd_json *j, const char *key)
{
	begin(j, key, "[");
}

void fvd_json_array_end(struct fvd_json *j)
{
	end(j, "]");
}

void fvd_json_string(struct fvd_json *j, const char *key, const char *value)
{
	begin_value(j, key);
	put_string(j, value);
}

static void put_literal(struct fvd_json *j, const char *key, const char *text)
{
	begin_value(j, key);
	puts_raw(j, text);
}

void fvd_json_uint(struct fvd_json *j, const char *key, uint64_t value)
{
	char num[24];

	snprintf(num, sizeof(num), "%" PRIu64, value);
	put_literal(j, key, num);
}

void fvd_json_int(struct fvd_json *j, const char *key, int64_t value)
{
	char num[24];

	snprintf(num, sizeof(num), "%" PRId64, value);
	put_literal(j, key, num);
}

void fvd_json_bool(struct fvd_json *j, const char *key, bool value)
{
	put_literal(j, key, value ? "true" : "false");
}

void fvd_json_null(struct fvd_json *j, const char *key)
{
	put_literal(j, key, "null");
}

void fvd_json_double(struct fvd_json *j, const char *key, double value)
{
	char num[40];

	if (!isfinite(value)) {
		fvd_json_null(j, key);
		return;
	}
	snprintf(num, sizeof(num), "%.9g", value);
	/* The locale may write a comma. */
	for (char *c = num; *c; c++)
		if (*c == ',')
			*c = '.';
	put_literal(j, key, num);
}

const char *fvd_json_finish(struct fvd_json *j, struct fvd_error *err)
{
	puts_raw(j, "\n");
	if (j->failed) {
		fvd_error_set(err, FVD_ERR_NOMEM, "out of memory: JSON text");
		return NULL;
	}
	return j->out.data;
}
