/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output files: a temporary name in the same directory, O_EXCL, then sync, rename, sync of
 * the directory. Nothing is left behind by an error; an existing target is touched only by
 * the rename. A block device is written in place. A symlink is never followed for the final name.
 */
#ifndef FVD_OPS_TARGET_H
#define FVD_OPS_TARGET_H

#include "io/io.h"

struct fvd_target;

/* Errors: IO; UNSUPPORTED for a symbolic link, directory, FIFO and so on as the final name. */
int fvd_target_begin(const char *name, bool replace, struct fvd_target **t, struct fvd_error *err);
struct fvd_io *fvd_target_io(struct fvd_target *t);		/* owned by @t */
const char *fvd_target_temp_name(const struct fvd_target *t);	/* what is really open */
/*
 * Create @data_file, as named by an image with the final name (FORMAT 2, end), @len bytes of
 * hole, under its own name. It must not exist; it is synced and kept with the target, or
 * removed with it.
 */
int fvd_target_add_data(struct fvd_target *t, const char *data_file, uint64_t len,
			struct fvd_error *err);
struct fvd_io *fvd_target_data(struct fvd_target *t);		/* NULL without; owned by @t */
/* Flush (unless @no_sync), close, rename, sync the directory. Frees @t in any case. */
int fvd_target_commit(struct fvd_target *t, bool no_sync, struct fvd_error *err);
/* Remove the temporary file. NULL is fine. Frees @t. */
void fvd_target_abort(struct fvd_target *t);

#endif
