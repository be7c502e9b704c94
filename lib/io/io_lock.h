/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to lib/io: open file description locks on whole files. */
#ifndef FVD_IO_IO_LOCK_H
#define FVD_IO_IO_LOCK_H

#include "io/io.h"

/*
 * Lock the file that @fd has open; closing @fd unlocks. Never waits. LOCKED names the
 * holder's PID where it can be found. A file system without such locks is no error: the
 * file is used without one. An exclusive lock wants a descriptor open for writing.
 */
int fvd_lock_fd(int fd, const char *name, enum fvd_io_lock lock, struct fvd_error *err);

#endif
