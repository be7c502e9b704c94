/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the disks below a crash world may hold after a power cut at a moment of its log.
 *
 *   durable   every operation on a file that had returned before a flush of that file was
 *             called which itself returned without an error
 *   pending   whatever else had taken effect: each of its 512-byte sectors, a file's growth and
 *             a new length reach the disk or not, one by one
 *
 * A state is the durable content plus any subset of the pending pieces, put on in the order of
 * the log: so a sector holds its durable content or that of any one of its pending versions.
 */
#ifndef TESTS_SUPPORT_CRASH_DISK_H
#define TESTS_SUPPORT_CRASH_DISK_H

#include "crash_world.h"

struct cd_file {
	uint8_t *data, *hole;
	uint32_t *newest;	/* per sector: 1 + the log entry it comes from */
	uint64_t len, cap;
};

/* One piece of a pending operation. */
struct cd_piece {
	uint32_t op;
	uint32_t sector;	/* in the operation; CD_LENGTH: the file's new length */
	int class;		/* what lies there, as the caller's classify says */
	bool chosen;
};

#define CD_LENGTH UINT32_MAX
#define CD_CLASSES 8

struct cd {
	const struct cw *w;
	struct cd_file file[CW_FILES];
	uint64_t now;
	uint64_t generation;	/* raised whenever the durable content changes */
	uint8_t *durable;	/* per log entry */
	size_t durable_cap;
	struct cd_piece *piece;
	size_t pieces, piece_cap;
	int (*classify)(void *opaque, int file, uint64_t off);	/* 0..CD_CLASSES-1 */
	void *opaque;
};

/* Take the files as they are now as durable; the log of @w must be empty. */
void cd_init(struct cd *d, const struct cw *w);
void cd_fini(struct cd *d);
/* Move to a later moment of the log, and list the pieces pending there, none chosen. */
void cd_advance(struct cd *d, uint64_t now);
/* Give @scratch the state that is chosen. Constant files are lent. */
void cd_build(const struct cd *d, struct cw *scratch);
/* A number that tells choices apart. */
uint64_t cd_choice_hash(const struct cd *d);

/* Ways to choose. Each overwrites the choice. */
void cd_choose_all(struct cd *d, bool chosen);
void cd_choose_random(struct cd *d, struct cw_rng *r, unsigned percent);
void cd_choose_ops(struct cd *d, struct cw_rng *r, unsigned percent);	/* nothing torn */
void cd_choose_classes(struct cd *d, unsigned mask);
void cd_choose_prefix(struct cd *d, size_t pieces);

#endif
