/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A name space of files in memory. open() gives a thin handle on a shared file: it may be closed
 * by the engine while the file lives on. Locks between handles are kept as the system's would be
 * (LOCKED when another handle has the file). "./x" is "x".
 */
#ifndef TESTS_SUPPORT_MEM_OPENER_H
#define TESTS_SUPPORT_MEM_OPENER_H

#include "io/io_open.h"

struct fvd_opener *mem_opener_new(void);
/* Closes every file. All handles must be closed. */
void mem_opener_free(struct fvd_opener *o);
/* Put @io there under @name, replacing what had that name; owns it. */
void mem_opener_add(struct fvd_opener *o, const char *name, struct fvd_io *io);
/* The file itself, borrowed; NULL when there is none. */
struct fvd_io *mem_opener_get(struct fvd_opener *o, const char *name);
/* How often a name was opened since mem_opener_add. */
unsigned mem_opener_opened(struct fvd_opener *o, const char *name);

#endif
