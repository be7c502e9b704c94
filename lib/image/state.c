/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state sector: what must be on the disk before the first change after an opening, and what
 * an orderly close leaves. FORMAT 6.3, 7 (type 4).
 *
 *   opening      nothing is written
 *   1st content  generation + 1, synced
 *   1st metadata old journal zeroed if a sector without TABLE record would set a new bit; clean = 0
 *                and stable_epoch above every epoch in the journal, synced
 *   close        buffers, sync, table and bitmap in place, sync, clean = 1, raised epoch, sync
 *
 * A power cut at any step leaves a clean image with its old metadata, or a dirty one that replays.
 */
#include <inttypes.h>

#include "image/engine.h"
#include "image/replay.h"

/* Epochs that one opening can use up, one a record, before anything else ends it. */
#define EPOCH_ROOM (UINT64_C(1) << 48)

/*
 * Lock held; one state change at a time. 1: it is ours to make; 0: it is made; -1: the
 * image has failed.
 */
static int claim(struct fvd_image *img, const bool *done, struct fvd_error *err)
{
	while (!*done && img->state_busy)
		fvd_engine_wait(img);
	if (*done)
		return 0;
	if (fvd_engine_alive(img, err) < 0)
		return -1;
	img->state_busy = true;
	return 1;
}

static int settle(struct fvd_image *img, bool *done, int rc, struct fvd_error *err)
{
	img->state_busy = false;
	if (rc == 0) {
		*done = true;
		img->stats.state_writes++;
		img->stats.syncs++;
	} else {
		fvd_engine_fail(img, err);
	}
	pthread_cond_broadcast(&img->cond);
	return rc;
}

int fvd_state_before_content(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_error own = { 0 };
	int rc;

	img->changed = true;
	rc = claim(img, &img->content_changed, err);
	if (rc <= 0)
		return rc;
	pthread_mutex_unlock(&img->lock);
	rc = fvd_meta_write_generation(img->io, &img->m, &own);
	if (rc == 0)
		rc = fvd_io_flush(img->io, &own);
	pthread_mutex_lock(&img->lock);
	if (settle(img, &img->content_changed, rc, &own) < 0)
		return fvd_engine_alive(img, err);
	return 0;
}

int fvd_state_void_journal(struct fvd_image *img, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;

	if (fvd_io_zero(img->io, h->journal_offset, h->journal_size, err) < 0)
		return -1;
	return fvd_io_flush(img->io, err);
}

static int mark_dirty(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_header *h = &img->m.h;
	struct fvd_replay_result seen = { 0 };
	uint64_t epoch = h->stable_epoch;
	int rc = 0;

	if (img->has_journal) {
		rc = fvd_replay_survey(img->io, &img->m, &seen, err);
		epoch = fvd_max(epoch, seen.max_epoch + 1);
		/* after a crash nothing could tell that its record is old */
		if (rc == 0 && seen.would_set_old_bit)
			rc = fvd_state_void_journal(img, err);
	}
	fvd_replay_result_fini(&seen);
	if (rc < 0)
		return -1;
	if (epoch > FVD_MAX_EPOCH - EPOCH_ROOM)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: journal epoch %" PRIu64
				     " leaves no room for more; convert the image to a new one",
				     img->name, epoch);
	h->stable_epoch = epoch;
	h->clean_shutdown = 0;
	img->j.next_epoch = epoch;
	if (fvd_meta_write_state(img->io, &img->m, err) < 0)
		return -1;
	return fvd_io_flush(img->io, err);
}

int fvd_state_before_metadata(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_error own = { 0 };
	int rc;

	if (img->bulk)
		return 0;
	rc = claim(img, &img->dirty_marked, err);
	if (rc <= 0)
		return rc;
	pthread_mutex_unlock(&img->lock);
	rc = mark_dirty(img, &own);
	pthread_mutex_lock(&img->lock);
	if (settle(img, &img->dirty_marked, rc, &own) < 0)
		return fvd_engine_alive(img, err);
	return 0;
}

static int write_in_place(struct fvd_image *img, struct fvd_error *err)
{
	if (img->has_table && fvd_meta_write_table(img->io, &img->m, err) < 0)
		return -1;
	return img->uses_base ? fvd_meta_write_bitmap(img->io, &img->m, err) : 0;
}

/* Lock held, no other call is running any more. */
int fvd_state_close(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_header *h = &img->m.h;

	if (img->bulk)
		return fvd_alloc_trim(img, err) < 0 || write_in_place(img, err) < 0 ? -1 : 0;
	if (!img->writable || !img->changed)
		return 0;
	if (fvd_journal_flush(img, err) < 0)
		return -1;
	if (!img->dirty_marked)
		return 0;
	if (write_in_place(img, err) < 0 || fvd_alloc_trim(img, err) < 0 ||
	    fvd_journal_sync(img, err) < 0)
		return -1;
	if (img->unclean)	/* what was there before was never verified: stays unclean */
		return 0;
	h->stable_epoch = fvd_max(h->stable_epoch + 1, img->j.next_epoch);
	h->clean_shutdown = 1;
	if (fvd_meta_write_state(img->io, &img->m, err) < 0)
		return -1;
	return fvd_journal_sync(img, err);
}
