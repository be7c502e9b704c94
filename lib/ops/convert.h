/* SPDX-License-Identifier: BSD-2-Clause */
/* Copy a disk from one format to another. Source extents -> readers -> zero test -> writers. */
#ifndef FVD_OPS_CONVERT_H
#define FVD_OPS_CONVERT_H

#include "ops/create.h"

enum fvd_format { FVD_FORMAT_AUTO, FVD_FORMAT_RAW, FVD_FORMAT_FVD };

struct fvd_convert_opts {
	enum fvd_format source_format;	/* AUTO: fvd by magic, else raw when the name ends in .raw
					 * or .img, else an error INVALID that says "-f raw" */
	enum fvd_format target_format;	/* AUTO: fvd */
	struct fvd_create_opts create;	/* fvd targets; create.base: store only what differs from
					 * it. create.size 0: the source's; larger: zeros follow;
					 * smaller: INVALID */
	uint64_t sparse;		/* zero granularity in bytes, multiple of 512; 0: only the
					 * source's holes */
	bool verify;			/* compare what was written; DIFFERENT names the offset */
	bool no_sync;
	bool force_share, ignore_base_change;
	bool confined;			/* SRC's base and data file must lie in its directory */
	unsigned threads;		/* 0: 2 */
	int stdin_fd, stdout_fd;	/* for "-", raw only */
	struct fvd_progress *progress;
};

#define FVD_CONVERT_OPTS_INIT { .create = FVD_CREATE_OPTS_INIT, .sparse = 4096, \
				.stdin_fd = 0, .stdout_fd = 1 }

struct fvd_convert_report {
	uint64_t virtual_size;
	uint64_t read_bytes, written_bytes;
	uint64_t zero_bytes;				/* holes of the source, and found zero */
	uint64_t same_bytes;				/* equal to the base, not stored */
	bool verified;
};

/*
 * @src or @dst "-" is stdin or stdout (raw). A target file is replaced only by the final rename.
 * Memory: bounded, a few MiB, whatever the sizes.
 */
int fvd_convert(const char *src, const char *dst, const struct fvd_convert_opts *opts,
		struct fvd_convert_report *report, struct fvd_error *err);

#endif
