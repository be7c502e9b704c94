/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "replay_world.h"

void replay_make(struct replay_world *w, uint64_t stable)
{
	memset(w, 0, sizeof(*w));
	w->h = mk_header(SIZE, SIZE, BLOCK, FVD_MIB, 65536);
	w->h.clean_shutdown = 0;
	w->h.stable_epoch = stable;
	w->io = mk_image(&w->h);
}

int replay_scan(struct replay_world *w, const struct fvd_replay_opts *opts)
{
	assert_int_equal(fvd_meta_load(w->io, w->io, 0, &w->m, &w->err), 0);
	return fvd_replay_scan(w->io, &w->m, opts, &w->r, &w->err);
}

void replay_drop(struct replay_world *w)
{
	fvd_replay_result_fini(&w->r);
	fvd_meta_fini(&w->m);
}

void replay_done(struct replay_world *w)
{
	replay_drop(w);
	fvd_io_close(w->io);
}

void replay_busy(struct replay_world *w)
{
	replay_make(w, 3);
	mk_entry(w->io, &w->h, 0, 0);
	mk_put_table(w->io, &w->h, 0, 3, 0, 5);
	mk_put_table(w->io, &w->h, 1, 2, 7, 5);
	mk_put_table(w->io, &w->h, 2, 4, 9, 6);
	mk_put_bits(w->io, &w->h, 3, 0, 3000);
	mk_put_bits(w->io, &w->h, 5, 9000, 1);
	mk_put_table(w->io, &w->h, 6, 9, 10, 2);
}
