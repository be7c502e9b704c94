/* SPDX-License-Identifier: BSD-2-Clause */
/* Facts about one image: opens no other file. */
#ifndef FVD_OPS_INFO_H
#define FVD_OPS_INFO_H

#include "format/ext.h"
#include "format/header.h"
#include "image/replay.h"
#include "io/io_open.h"

struct fvd_info {
	struct fvd_header h;
	struct fvd_ext ext;
	uint64_t file_length, actual_size;	/* bytes; actual: storage in use */
	bool dirty;
	/* After an in-memory replay when dirty and sound; replay_error else. */
	uint64_t chunks, chunks_allocated;	/* 0 without table */
	uint64_t blocks, blocks_local;		/* 0 without bitmap */
	bool allocation_known;
	char replay_error[256];
	struct fvd_replay_result journal;	/* filled when asked for or dirty */
	char *base_resolved, *data_resolved;	/* malloc()ed, NULL without; not opened */
};

struct fvd_info_opts {
	bool journal;		/* look at the journal also of a clean image */
	bool force_share;
	struct fvd_opener *opener;
};

int fvd_info(const char *name, const struct fvd_info_opts *opts, struct fvd_info *info,
	     struct fvd_error *err);
void fvd_info_fini(struct fvd_info *info);

#endif
