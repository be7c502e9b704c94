/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FVD_UTIL_BUF_H
#define FVD_UTIL_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* A growable byte string; always NUL-terminated once something was added. */
struct fvd_buf {
	char *data;
	size_t len, cap;
};

#define FVD_BUF_INIT { NULL, 0, 0 }

void fvd_buf_fini(struct fvd_buf *b);
int fvd_buf_add(struct fvd_buf *b, const void *data, size_t len, struct fvd_error *err);
int fvd_buf_printf(struct fvd_buf *b, struct fvd_error *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Page-aligned memory for I/O; NULL with err NOMEM. free() releases it. */
void *fvd_alloc_io(size_t len, struct fvd_error *err);
/* Zeroed array, checked product; NULL with err NOMEM naming @what. free() releases it. */
void *fvd_alloc_array(uint64_t count, size_t size, const char *what, struct fvd_error *err);

/* Bytes of the UTF-8 character at @text; 0 at the end and where it is not valid UTF-8. */
size_t fvd_utf8_len(const char *text);

/*
 * Copy @text to @out with everything a terminal could act on (control bytes,
 * bytes >= 0x80 that are not valid UTF-8, C1 controls) as \xNN and a backslash
 * as \\. Always terminates; returns @out.
 */
const char *fvd_text_escape(const char *text, char *out, size_t cap);

#endif
