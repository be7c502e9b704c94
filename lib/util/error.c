/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/error.h"

/*
 * Texts are built beside the error and then copied, so that a caller may quote
 * the text of the very error it fills.
 */
static void set_text(struct fvd_error *err, enum fvd_error_class class, int errnum,
		     const char *text)
{
	err->class = class;
	err->errnum = errnum;
	memcpy(err->text, text, sizeof(err->text));
}

int fvd_error_set(struct fvd_error *err, enum fvd_error_class class, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	set_text(err, class, 0, text);
	return -1;
}

/* @text, a colon, @more: cut where @cap ends. */
static void append(char *text, size_t cap, const char *more)
{
	size_t len = strlen(text), n = strlen(more);

	for (const char *c = ": "; *c && len < cap - 1; c++)
		text[len++] = *c;
	if (n > cap - 1 - len)
		n = cap - 1 - len;
	memcpy(text + len, more, n);
	text[len + n] = '\0';
}

static enum fvd_error_class class_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return FVD_ERR_NOSPACE;
	case ENOMEM:
		return FVD_ERR_NOMEM;
	default:
		return FVD_ERR_IO;
	}
}

int fvd_error_sys(struct fvd_error *err, int errnum, const char *fmt, ...)
{
	char text[sizeof(err->text)], why[128];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	append(text, sizeof(text), strerror_r(errnum, why, sizeof(why)));
	set_text(err, class_of_errno(errnum), errnum, text);
	return -1;
}

int fvd_error_prefix(struct fvd_error *err, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	append(text, sizeof(text), err->text);
	memcpy(err->text, text, sizeof(text));
	return -1;
}

int fvd_error_name(struct fvd_error *err, const char *name)
{
	size_t len = strlen(name);

	if (err && (strncmp(err->text, name, len) != 0 || err->text[len] != ':'))
		fvd_error_prefix(err, "%s", name);
	return -1;
}

const char *fvd_error_class_name(enum fvd_error_class class)
{
	switch (class) {
	case FVD_ERR_NONE: return "none";
	case FVD_ERR_INVALID: return "invalid";
	case FVD_ERR_NOMEM: return "nomem";
	case FVD_ERR_IO: return "io";
	case FVD_ERR_NOSPACE: return "nospace";
	case FVD_ERR_FORMAT: return "format";
	case FVD_ERR_CORRUPT: return "corrupt";
	case FVD_ERR_UNSUPPORTED: return "unsupported";
	case FVD_ERR_READONLY: return "readonly";
	case FVD_ERR_LOCKED: return "locked";
	case FVD_ERR_DIRTY: return "dirty";
	case FVD_ERR_BASE: return "base";
	case FVD_ERR_BASE_CHANGED: return "base-changed";
	case FVD_ERR_POLICY: return "policy";
	case FVD_ERR_DIFFERENT: return "different";
	case FVD_ERR_CANCELLED: return "cancelled";
	}
	return "unknown";
}
