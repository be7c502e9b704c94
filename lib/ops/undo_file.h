/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FVD_OPS_UNDO_FILE_H
#define FVD_OPS_UNDO_FILE_H

#include "io/io_open.h"

/*
 * Keep what will be overwritten of *io in the new file @file: *io becomes the wrapper of
 * io/io_undo.h. The file and its directory entry are durable before anything is changed.
 * Errors: IO with EEXIST when @file is there; *io is as it was then.
 */
int fvd_undo_file_begin(struct fvd_opener *opener, const char *file, struct fvd_io **io,
			struct fvd_error *err);

#endif
