/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One error, owned by the caller, filled where it is detected, prefixed on the
 * way up, printed once by cmd/.  A function that can fail takes
 * `struct fvd_error *err` last; it may be NULL.
 */
#ifndef FVD_UTIL_ERROR_H
#define FVD_UTIL_ERROR_H

enum fvd_error_class {
	FVD_ERR_NONE = 0,
	FVD_ERR_INVALID,	/* an argument of the caller's is out of its bounds */
	FVD_ERR_NOMEM,
	FVD_ERR_IO,		/* the system said no; errnum says what */
	FVD_ERR_NOSPACE,	/* ENOSPC, EDQUOT, EFBIG, or no chunk number left */
	FVD_ERR_FORMAT,		/* not an FVD image, or a version we do not know */
	FVD_ERR_CORRUPT,	/* the image breaks its own format */
	FVD_ERR_UNSUPPORTED,	/* legal, but not to be done here (revision 1 writes) */
	FVD_ERR_READONLY,
	FVD_ERR_LOCKED,		/* another process holds the image */
	FVD_ERR_DIRTY,		/* unclean and without a journal */
	FVD_ERR_BASE,		/* base image missing, cyclic, too deep */
	FVD_ERR_BASE_CHANGED,	/* the base validator does not match */
	FVD_ERR_POLICY,		/* a name the caller's policy does not allow */
	FVD_ERR_DIFFERENT,	/* --verify found a difference */
	FVD_ERR_CANCELLED,	/* a progress callback asked to stop */
};

struct fvd_error {
	enum fvd_error_class class;
	int errnum;		/* errno value, 0 when there is none */
	char text[1024];	/* lower case, one line, no full stop */
};

/* Fill @err (may be NULL). Always returns -1, so: return fvd_error_set(...). */
int fvd_error_set(struct fvd_error *err, enum fvd_error_class class, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * The same for a failed system call: appends ": strerror(errnum)". The class is
 * NOSPACE for ENOSPC, EDQUOT and EFBIG, NOMEM for ENOMEM, else IO.
 */
int fvd_error_sys(struct fvd_error *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Put "FMT: " before what @err says. Returns -1. */
int fvd_error_prefix(struct fvd_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Put "NAME: " before what @err says, unless it begins with NAME already (backends do).
 * Returns -1.
 */
int fvd_error_name(struct fvd_error *err, const char *name);
/* Short stable name for JSON: "invalid", "nomem", "io", "nospace", ... "base-changed". */
const char *fvd_error_class_name(enum fvd_error_class class);

#endif
