/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scanned replay made durable. What a cut leaves (FORMAT 6.4):
 *
 *   during zero_before   fewer of the sectors that were to be dropped anyway
 *   during bitmap/table  pages that the same replay writes again
 *   before the state     all in place, still dirty: replayed again, same result
 *   after the state      clean; dropped sectors still there have void epochs
 */
#include "image/replay.h"

#include <inttypes.h>

#include "util/num.h"

#define ZERO_SECTORS 128u

static int flush_both(struct fvd_io *io, struct fvd_io *data, struct fvd_error *err)
{
	if (data != io && data != NULL && fvd_io_flush(data, err) < 0)
		return -1;
	return fvd_io_flush(io, err);
}

/* Written, not punched: a sector write is atomic, a hole in part of a page need not be. */
static int zero_sectors(struct fvd_io *io, uint64_t journal, const uint64_t *list,
			uint64_t count, struct fvd_error *err)
{
	static const uint8_t zeros[ZERO_SECTORS * FVD_SECTOR];

	for (uint64_t i = 0; i < count;) {
		uint64_t n = 1;

		while (n < ZERO_SECTORS && i + n < count && list[i + n] == list[i] + n)
			n++;
		if (fvd_io_pwrite(io, zeros, n * FVD_SECTOR, journal + list[i] * FVD_SECTOR,
				  err) < 0)
			return -1;
		i += n;
	}
	return 0;
}

static int extend(struct fvd_io *io, uint64_t end, struct fvd_error *err)
{
	uint64_t len;

	if (io->block_device)
		return 0;
	if (fvd_io_length(io, &len, err) < 0)
		return -1;
	return len < end ? fvd_io_truncate(io, end, err) : 0;
}

static int extend_files(struct fvd_io *io, struct fvd_io *data, const struct fvd_meta *m,
			struct fvd_error *err)
{
	uint64_t end;

	if (fvd_meta_judge_table(m, &end, err) < 0)
		return -1;
	if (m->h.data_file[0] != '\0' && end > 0 && data != NULL &&
	    extend(data, m->h.data_offset + end * m->h.chunk_size, err) < 0)
		return -1;
	return extend(io, fvd_meta_file_end(m, end), err);
}

static int set_clean(struct fvd_io *io, struct fvd_meta *m, uint64_t max_epoch,
		     struct fvd_error *err)
{
	/* Raised even when no record asks for it: readers beside us tell states apart by it. */
	if (m->h.revision == 2)
		m->h.stable_epoch = fvd_max(m->h.stable_epoch, max_epoch) + 1;
	m->h.clean_shutdown = 1;
	if (fvd_meta_write_state(io, m, err) < 0)
		return -1;
	return fvd_io_flush(io, err);
}

int fvd_replay_commit(struct fvd_io *io, struct fvd_io *data, struct fvd_meta *m,
		      const struct fvd_replay_result *r, struct fvd_error *err)
{
	uint64_t journal = m->h.journal_offset;

	if (m->h.revision == 2 && fvd_max(m->h.stable_epoch, r->max_epoch) >= FVD_MAX_EPOCH)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "epoch %" PRIu64 " leaves none above "
				     "it (%" PRIu64 ")",
				     fvd_max(m->h.stable_epoch, r->max_epoch), FVD_MAX_EPOCH);
	if (flush_both(io, data, err) < 0)
		return -1;
	if (r->zero_before_count > 0 &&
	    (zero_sectors(io, journal, r->zero_before, r->zero_before_count, err) < 0 ||
	     fvd_io_flush(io, err) < 0))
		return -1;
	if (fvd_meta_write_bitmap(io, m, err) < 0 || fvd_meta_write_table(io, m, err) < 0 ||
	    extend_files(io, data, m, err) < 0 || flush_both(io, data, err) < 0)
		return -1;
	if (set_clean(io, m, r->max_epoch, err) < 0)
		return -1;
	if (r->zero_after_count == 0)
		return 0;
	if (zero_sectors(io, journal, r->zero_after, r->zero_after_count, err) < 0)
		return -1;
	return fvd_io_flush(io, err);
}
