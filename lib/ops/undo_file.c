/* SPDX-License-Identifier: BSD-2-Clause */
#include "ops/undo_file.h"

#include "io/io_undo.h"

int fvd_undo_file_begin(struct fvd_opener *opener, const char *file, struct fvd_io **io,
			struct fvd_error *err)
{
	struct fvd_io *undo, *wrapped;

	if (opener->open(opener, file, FVD_IO_CREATE | FVD_IO_NOFOLLOW, FVD_LOCK_EXCLUSIVE, &undo,
			 err) < 0)
		return fvd_error_prefix(err, "undo file");
	if (opener == fvd_opener_files() && fvd_io_sync_directory(file, err) < 0) {
		fvd_io_close(undo);
		return fvd_error_prefix(err, "undo file");
	}
	wrapped = fvd_io_undo_new(*io, undo, err);
	if (wrapped == NULL) {
		fvd_io_close(undo);
		return fvd_error_prefix(err, "undo file");
	}
	*io = wrapped;
	return 0;
}
