/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading metadata beside a writer: read, look again, believe it when nothing moved. */
#include "image/replay.h"

#include <string.h>

#include "image/replay_walk.h"
#include "util/crc32c.h"

/* What the journal and the state looked like. */
struct glimpse {
	uint8_t state[FVD_SECTOR];
	uint64_t sectors;
	uint32_t crc;
};

static int digest_sector(void *opaque, uint64_t index, const uint8_t *sector, const char *why,
			 struct fvd_error *err)
{
	struct glimpse *g = opaque;

	(void)why;
	(void)err;
	g->crc = fvd_crc32c(g->crc, &index, sizeof(index));
	if (sector != NULL)
		g->crc = fvd_crc32c(g->crc, sector, FVD_SECTOR);
	g->sectors++;
	return 0;
}

static int look(struct fvd_io *io, const struct fvd_header *h, struct glimpse *g,
		struct fvd_error *err)
{
	uint64_t off = h->revision == 1 ? FVD_STATE_SECTOR_REV1 : FVD_STATE_SECTOR_REV2;

	memset(g, 0, sizeof(*g));
	if (fvd_io_pread(io, g->state, sizeof(g->state), off, err) < 0)
		return -1;
	if (!fvd_header_has_journal(h))
		return 0;
	return fvd_journal_walk(io, h, digest_sector, g, err);
}

static int replay_loaded(struct fvd_io *io, struct fvd_meta *m, struct fvd_error *err)
{
	struct fvd_replay_result r;
	int ret;

	if (m->h.clean_shutdown == 1)
		return fvd_meta_judge_table(m, NULL, err);
	ret = fvd_replay_scan(io, m, NULL, &r, err);
	fvd_replay_result_fini(&r);
	return ret;
}

/* What bitmap and table were read under is the state sector that came with the header. */
static void state_of(const struct fvd_meta *m, struct glimpse *g)
{
	uint64_t off = m->h.revision == 1 ? FVD_STATE_SECTOR_REV1 : FVD_STATE_SECTOR_REV2;

	memcpy(g->state, m->region + off, sizeof(g->state));
}

int fvd_replay_load_shared(struct fvd_io *io, struct fvd_io *data, unsigned tries,
			   struct fvd_meta *m, struct fvd_error *err)
{
	struct glimpse first, second;

	for (unsigned i = 0; i < tries; i++) {
		struct fvd_error why = { 0 };
		int ret;

		if (fvd_meta_load(io, data, 0, m, err) < 0)
			return -1;
		if (look(io, &m->h, &first, err) < 0)
			goto fail;
		state_of(m, &first);
		ret = replay_loaded(io, m, &why);
		if (look(io, &m->h, &second, err) < 0)
			goto fail;
		if (memcmp(&first, &second, sizeof(first)) == 0) {
			if (ret == 0)
				return 0;
			if (err != NULL)
				*err = why;
			goto fail;
		}
		fvd_meta_fini(m);
	}
	return fvd_error_set(err, FVD_ERR_LOCKED,
			     "changes faster than it can be read (%u tries)", tries);
fail:
	fvd_meta_fini(m);
	return -1;
}
