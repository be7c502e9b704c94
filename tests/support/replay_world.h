/* SPDX-License-Identifier: BSD-2-Clause */
/* A dirty image in memory and a scan of its journal. */
#ifndef TESTS_SUPPORT_REPLAY_WORLD_H
#define TESTS_SUPPORT_REPLAY_WORLD_H

#include "image/replay.h"
#include "mkimage.h"
#include "util/num.h"

#define SIZE (64 * FVD_MIB)
#define BLOCK UINT64_C(65536)

/* One image, its header, its loaded metadata. */
struct replay_world {
	struct fvd_header h;
	struct fvd_io *io;
	struct fvd_meta m;
	struct fvd_replay_result r;
	struct fvd_error err;
};

/* With base, table, bitmap and journal. */
void replay_make(struct replay_world *w, uint64_t stable);
/* Load and scan; the answer of fvd_replay_scan. */
int replay_scan(struct replay_world *w, const struct fvd_replay_opts *opts);
void replay_drop(struct replay_world *w);	/* what was loaded */
void replay_done(struct replay_world *w);	/* the image too */
/* An image with some of everything in its journal. */
void replay_busy(struct replay_world *w);

#endif
