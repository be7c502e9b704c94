/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a name to a struct fvd_io. An opener is how the engine reaches any file at all:
 * the tool hands it fvd_opener_files, tests hand it a name space in memory. A name with a
 * scheme ("http:", "nbd+unix:", anything matching [a-z][a-z0-9+.-]*: before the first '/',
 * at least two characters) is not a file: UNSUPPORTED, "write ./NAME for a file of that name".
 */
#ifndef FVD_IO_IO_OPEN_H
#define FVD_IO_IO_OPEN_H

#include "io/io.h"

enum fvd_io_open_flags {
	FVD_IO_WRITE = 1,	/* else read-only */
	FVD_IO_CREATE = 2,	/* must not exist (O_EXCL); implies WRITE; mode 0666 & ~umask */
	FVD_IO_NOFOLLOW = 4,	/* the last component must not be a symlink */
};

struct fvd_opener {
	/*
	 * Open @name and take @lock on it (whole file, open file description lock).
	 * Errors: IO with errnum ENOENT and so on; LOCKED naming the holder's PID where it is
	 * known; a directory, FIFO or socket is UNSUPPORTED (and never waited for: O_NONBLOCK).
	 */
	int (*open)(struct fvd_opener *self, const char *name, int flags, enum fvd_io_lock lock,
		    struct fvd_io **io, struct fvd_error *err);
};

/* The opener of local files and block devices (io_file.c). Static, never closed. */
struct fvd_opener *fvd_opener_files(void);

/* True when @name starts with a scheme as said above; *len is its length without ':'. */
bool fvd_name_has_scheme(const char *name, size_t *len);

/* Make a new or renamed entry durable: fsync of the directory that @name is in. */
int fvd_io_sync_directory(const char *name, struct fvd_error *err);

/*
 * @name as seen from the image @image that names it: absolute and scheme names stay, relative ones
 * are put behind the directory of @image. malloc()ed; NULL with NOMEM. FORMAT 2, end.
 */
char *fvd_name_resolve(const char *image, const char *name, struct fvd_error *err);

#endif
