/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes in memory with a page map, so that holes are known; for tests and staging. */
#ifndef FVD_IO_IO_MEM_H
#define FVD_IO_IO_MEM_H

#include "io/io.h"

/*
 * A growable file of @len zero bytes (all a hole). Grows by writes and truncate. Holes
 * are tracked in pages of 4096. Thread safe (a lock inside). io->name is a copy of @name.
 */
struct fvd_io *fvd_io_mem_new(const char *name, uint64_t len, struct fvd_error *err);

#endif
