/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A JSON writer into a fvd_buf: it keeps nesting, commas, indentation (4 spaces,
 * as qemu-img prints) and escaping. Strings that are not valid UTF-8 have the bad
 * bytes written as U+FFFD. An allocation failure is sticky, seen at _finish.
 */
#ifndef FVD_UTIL_JSON_H
#define FVD_UTIL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"

struct fvd_json {
	struct fvd_buf out;
	unsigned depth;
	bool comma, failed, compact;	/* compact: one line, for JSON lines */
};

void fvd_json_init(struct fvd_json *j, bool compact);
void fvd_json_fini(struct fvd_json *j);
/* key is NULL inside arrays and at the top. */
void fvd_json_object_begin(struct fvd_json *j, const char *key);
void fvd_json_object_end(struct fvd_json *j);
void fvd_json_array_begin(struct fvd_json *j, const char *key);
void fvd_json_array_end(struct fvd_json *j);
void fvd_json_string(struct fvd_json *j, const char *key, const char *value);
void fvd_json_uint(struct fvd_json *j, const char *key, uint64_t value);
void fvd_json_int(struct fvd_json *j, const char *key, int64_t value);
void fvd_json_bool(struct fvd_json *j, const char *key, bool value);
void fvd_json_null(struct fvd_json *j, const char *key);
void fvd_json_double(struct fvd_json *j, const char *key, double value);
/* The text, newline-terminated, owned by @j; NULL with err NOMEM. */
const char *fvd_json_finish(struct fvd_json *j, struct fvd_error *err);

#endif
