/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buffered journal: sending, syncing, recycling. FORMAT 6.1-6.3, 6.6.
 *
 *   put ---> cur ---close---> queue ---write---> journal ---sync---> durable
 *            (open buffer)    (in order)         (written_seq)       (synced_seq)
 *
 * A buffer gets its place in the journal when it is started, behind the one before it, so
 * its records can carry their epochs from the start and recycling never meets a waiting
 * record: when no sector is left, the buffers before have been closed, memory shows exactly
 * what they say, and no update enters until the journal starts again at sector 0.
 *
 * | power goes...                    | what is found                                            |
 * |----------------------------------|----------------------------------------------------------|
 * | before the data sync of a buffer | nothing of it in the journal (J4)                        |
 * | while a buffer is written        | any of its sectors; each is consistent alone (J2, J3)    |
 * | recycling, in-place pages        | pages hold synced records only (J11); the journal has all |
 * | recycling, state sector          | old epoch: the old records apply again, same result;     |
 * |                                  | new epoch: they are void, pages have been synced         |
 *
 * One caller at a time writes the queue (busy), one at a time syncs; the others wait and
 * share what was done for them, but a sync that began before a flush was asked for never
 * counts for it (J9).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image/engine.h"
#include "image/journal_buf.h"
#include "util/buf.h"

#define DEFAULT_BUFFER (64u * 1024)

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int fvd_journal_open(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	size_t buffer = img->opts.journal_buffer ? img->opts.journal_buffer : DEFAULT_BUFFER;
	pthread_condattr_t attr;

	if (buffer % FVD_SECTOR != 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "journal buffer %zu is not a multiple"
				     " of %u", buffer, FVD_SECTOR);
	j->sectors = img->has_journal ? img->m.h.journal_size / FVD_SECTOR : 0;
	j->buffer_sectors = (size_t)fvd_min(buffer / FVD_SECTOR, fvd_max(j->sectors, 1));
	j->next_seq = 1;
	j->next_epoch = img->m.h.stable_epoch;
	j->end = &j->head;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->tick, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static void stop_thread(struct fvd_image *img)
{
	struct fvd_journal *j = &img->j;

	if (!j->thread_runs)
		return;
	pthread_mutex_lock(&img->lock);
	j->thread_stop = true;
	pthread_cond_signal(&j->tick);
	pthread_mutex_unlock(&img->lock);
	pthread_join(j->thread, NULL);
	j->thread_runs = false;
}

void fvd_journal_fini(struct fvd_image *img)
{
	struct fvd_jbuf *b;

	stop_thread(img);
	fvd_jbuf_free(img->j.cur);
	while ((b = img->j.head)) {
		img->j.head = b->next;
		fvd_jbuf_free(b);
	}
	pthread_cond_destroy(&img->j.tick);
}

uint64_t fvd_journal_seq(const struct fvd_image *img)
{
	return img->j.cur ? img->j.cur->seq : img->j.next_seq;
}

/* ---- syncs ---- */

/* Lock held, nobody syncs: one sync of image and data, shared by all that wait for it. */
static void run_sync(struct fvd_image *img)
{
	struct fvd_journal *j = &img->j;
	uint64_t number = ++j->sync_begun, written = j->written_seq;
	struct fvd_error err = { 0 };
	int rc;

	j->sync_running = true;
	pthread_mutex_unlock(&img->lock);
	rc = fvd_io_flush(img->data, &err);
	if (rc == 0 && img->io != img->data)
		rc = fvd_io_flush(img->io, &err);
	pthread_mutex_lock(&img->lock);
	j->sync_running = false;
	if (rc < 0) {
		fvd_engine_fail(img, &err);
		/* rule J13 off: an error is forgotten */
		if (!FVD_RULE(img, 13))
			j->sync_done = number;
	} else {
		j->sync_done = number;
		if (img->has_journal)
			j->synced_seq = fvd_max(j->synced_seq, written);
		img->stats.syncs++;
	}
	pthread_cond_broadcast(&img->cond);
}

/* Wait until sync number @want is done. */
static int sync_until(struct fvd_image *img, uint64_t want, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;

	while (j->sync_done < want) {
		if (fvd_engine_alive(img, err) < 0)
			return -1;
		if (j->sync_running)
			fvd_engine_wait(img);
		else
			run_sync(img);
	}
	return 0;
}

int fvd_journal_sync(struct fvd_image *img, struct fvd_error *err)
{
	return sync_until(img, img->j.sync_begun + 1, err);
}

/* ---- the queue ---- */

/* The open buffer takes no more records; its sectors end here. */
static void close_cur(struct fvd_image *img)
{
	struct fvd_journal *j = &img->j;
	struct fvd_jbuf *b = j->cur;

	b->close_mark = j->sync_begun;
	j->tail = b->sector + b->sectors;
	j->closed_seq = b->seq;
	j->cur = NULL;
	*j->end = b;
	j->end = &b->next;
}

/* J4: what a buffer points at is durable before the buffer is written. */
static int sync_for_buffer(struct fvd_image *img, const struct fvd_jbuf *b,
			   struct fvd_error *err)
{
	if (!b->needs_sync || !FVD_RULE(img, 4))
		return 0;
	if (img->j.sync_done <= b->close_mark)
		img->stats.data_syncs++;
	return sync_until(img, b->close_mark + 1, err);
}

/* Lock held, queue not empty, nobody else is at it: write its first buffer. */
static int send_head(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	struct fvd_error own = { 0 };
	struct fvd_jbuf *b = j->head;
	size_t len = b->sectors * FVD_SECTOR;
	int rc;

	j->busy = true;
	j->head = b->next;
	if (!j->head)
		j->end = &j->head;
	rc = sync_for_buffer(img, b, err);
	if (rc == 0) {
		pthread_mutex_unlock(&img->lock);
		rc = fvd_io_pwrite(img->io, b->bytes, len,
				   img->m.h.journal_offset + b->sector * FVD_SECTOR, &own);
		pthread_mutex_lock(&img->lock);
		if (rc < 0) {
			fvd_engine_fail(img, &own);
			rc = fvd_engine_alive(img, err);
		}
	}
	j->busy = false;
	if (rc == 0 || !FVD_RULE(img, 13)) {
		j->written_seq = b->seq;
		j->mark[b->seq % FVD_MARKS].seq = b->seq;
		j->mark[b->seq % FVD_MARKS].begun = j->sync_begun;
		img->stats.journal_writes++;
		img->stats.journal_bytes += len;
	}
	pthread_cond_broadcast(&img->cond);
	fvd_jbuf_free(b);
	return rc;
}

/* Every buffer up to @seq is in the file. */
static int send_until(struct fvd_image *img, uint64_t seq, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;

	while (j->written_seq < seq) {
		if (fvd_engine_alive(img, err) < 0)
			return -1;
		if (j->busy) {
			fvd_engine_wait(img);
			continue;
		}
		/* closed as late as this, so that waiting flushes share one write */
		if (!j->head)
			close_cur(img);
		if (send_head(img, err) < 0)
			return -1;
	}
	return 0;
}

static uint64_t last_seq(const struct fvd_journal *j)
{
	return j->cur ? j->cur->seq : j->closed_seq;
}

/* ---- recycling and the image without journal ---- */

/* Keep metadata changes out until release(). Only one at a time holds. */
static void hold(struct fvd_image *img)
{
	while (img->j.hold)
		fvd_engine_wait(img);
	img->j.hold = true;
}

static void release(struct fvd_image *img)
{
	img->j.hold = false;
	pthread_cond_broadcast(&img->cond);
}

/* I/O on the image file while metadata is held still. */
static int unlocked(struct fvd_image *img, int (*step)(struct fvd_image *, struct fvd_error *),
		    struct fvd_error *err)
{
	struct fvd_error own = { 0 };
	int rc;

	pthread_mutex_unlock(&img->lock);
	rc = step(img, &own);
	pthread_mutex_lock(&img->lock);
	if (rc == 0)
		return 0;
	fvd_engine_fail(img, &own);
	return fvd_engine_alive(img, err);
}

static int step_table(struct fvd_image *img, struct fvd_error *err)
{
	return img->has_table ? fvd_meta_write_table(img->io, &img->m, err) : 0;
}

static int step_bitmap(struct fvd_image *img, struct fvd_error *err)
{
	return img->uses_base ? fvd_meta_write_bitmap(img->io, &img->m, err) : 0;
}

static int step_pages(struct fvd_image *img, struct fvd_error *err)
{
	return step_table(img, err) < 0 || step_bitmap(img, err) < 0 ? -1 : 0;
}

static int step_state(struct fvd_image *img, struct fvd_error *err)
{
	img->m.h.stable_epoch = img->j.next_epoch;
	/* rule J1 off: the epochs of the next records were given before */
	if (!FVD_RULE(img, 1))
		img->m.h.stable_epoch += 1000;
	return fvd_meta_write_state(img->io, &img->m, err);
}

/* A sync between two steps of recycling; tests leave it out. */
static int sync_step(struct fvd_image *img, struct fvd_error *err)
{
	return FVD_RULE(img, 12) ? fvd_journal_sync(img, err) : 0;
}

/* The journal is full: pages in place, old records void, start again. J12 in this order. */
static int recycle(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	int rc;

	hold(img);
	rc = j->cur || j->tail < j->sectors ? 1 : 0;	/* somebody else did it meanwhile */
	if (rc == 0)
		rc = send_until(img, j->closed_seq, err);
	if (rc == 0)
		rc = sync_step(img, err);
	if (rc == 0)
		rc = unlocked(img, step_pages, err);
	if (rc == 0)
		rc = sync_step(img, err);
	if (rc == 0)
		rc = unlocked(img, step_state, err);
	if (rc == 0)
		rc = sync_step(img, err);
	if (rc == 0) {
		j->tail = 0;
		img->stats.recycles++;
	}
	release(img);
	return rc < 0 ? -1 : 0;
}

/* FORMAT 6.6: data, sync, table, sync, bitmap, sync. */
static int flush_in_place(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	uint64_t seq;
	int rc;

	if (!img->has_table && !img->uses_base)
		return fvd_journal_sync(img, err);
	hold(img);
	seq = j->next_seq++;
	rc = fvd_journal_sync(img, err);
	if (rc == 0)
		rc = unlocked(img, step_table, err);
	if (rc == 0)
		rc = fvd_journal_sync(img, err);
	if (rc == 0 && img->uses_base) {
		rc = unlocked(img, step_bitmap, err);
		if (rc == 0)
			rc = fvd_journal_sync(img, err);
	}
	if (rc == 0)
		j->written_seq = j->synced_seq = seq;
	release(img);
	return rc;
}

/*
 * The sync that makes buffer @seq durable for a flush that was asked for at @asked;
 * @waited: it was written after that.
 */
static uint64_t wanted_sync(const struct fvd_image *img, uint64_t seq, uint64_t asked,
			    bool waited)
{
	const struct fvd_journal *j = &img->j;

	if (!FVD_RULE(img, 9) && j->sync_running)
		return j->sync_begun;
	if (!waited)
		return asked + 1;
	if (j->mark[seq % FVD_MARKS].seq == seq)
		return fvd_max(asked, j->mark[seq % FVD_MARKS].begun) + 1;
	return j->sync_begun + 1;
}

int fvd_journal_flush(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	uint64_t seq = last_seq(j), asked = j->sync_begun;
	bool waited = j->written_seq < seq;

	if (fvd_engine_alive(img, err) < 0)
		return -1;
	if (!img->has_journal) {
		if (flush_in_place(img, err) < 0)
			return -1;
	} else if (send_until(img, seq, err) < 0 ||
		   sync_until(img, wanted_sync(img, seq, asked, waited), err) < 0) {
		return -1;
	}
	fvd_alloc_reclaim(img);
	return 0;
}

/* ---- putting records ---- */

static void wait_for_age(struct fvd_image *img)
{
	struct fvd_journal *j = &img->j;
	int64_t due = j->cur->first_ms + img->opts.commit_interval_ms;
	struct timespec t = { .tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000 };

	pthread_cond_timedwait(&j->tick, &img->lock, &t);
}

/* Sends the buffer when its oldest record is older than the commit interval. */
static void *commit_thread(void *arg)
{
	struct fvd_image *img = arg;
	struct fvd_journal *j = &img->j;

	pthread_mutex_lock(&img->lock);
	while (!j->thread_stop) {
		if (!j->cur || img->failed)
			pthread_cond_wait(&j->tick, &img->lock);
		else if (now_ms() - j->cur->first_ms < (int64_t)img->opts.commit_interval_ms)
			wait_for_age(img);
		else
			send_until(img, j->cur->seq, NULL);
	}
	pthread_mutex_unlock(&img->lock);
	return NULL;
}

static void arm(struct fvd_image *img)
{
	struct fvd_journal *j = &img->j;

	j->cur->first_ms = now_ms();
	if (img->opts.commit_interval_ms == 0 ||
	    img->opts.commit_interval_ms == FVD_COMMIT_ON_DEMAND)
		return;
	/* without a thread the buffer still goes out when it is full or flushed */
	if (!j->thread_runs && pthread_create(&j->thread, NULL, commit_thread, img) == 0)
		j->thread_runs = true;
	pthread_cond_signal(&j->tick);
}

/*
 * A new buffer behind the last, or recycling when no sector is left; either may let go of
 * the lock.
 */
static int start_buffer(struct fvd_image *img, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	size_t cap;

	if (j->tail >= j->sectors)
		return recycle(img, err);
	cap = (size_t)fvd_min(j->buffer_sectors, j->sectors - j->tail);
	j->cur = fvd_jbuf_new(j->next_seq, j->tail, cap, err);
	if (!j->cur)
		return -1;
	j->next_seq++;
	arm(img);
	return 0;
}

/* Memory shows the change, and the chunks that lost their entry wait to be free. */
static int apply(struct fvd_image *img, const struct fvd_piece *p, struct fvd_error *err)
{
	struct fvd_meta *m = &img->m;
	uint32_t old;

	for (uint32_t i = 0; i < p->chunk_count; i++) {
		old = m->table[p->chunk + i];
		if (old == p->entries[i])
			continue;
		if (old != FVD_UNALLOCATED &&
		    fvd_alloc_freed(img, p->chunk + i, old, err) < 0)
			return fvd_engine_fail(img, err);
		fvd_meta_set_entry(m, p->chunk + i, p->entries[i]);
		img->stats.table_updates++;
	}
	if (p->block_count > 0) {
		fvd_meta_set_bits(m, p->block, p->block_count);
		img->stats.bitmap_updates++;
	}
	return 0;
}

/* Until the records of @p are in the open buffer. */
static int put_records(struct fvd_image *img, const struct fvd_piece *p, struct fvd_error *err)
{
	struct fvd_journal *j = &img->j;
	uint64_t full;

	for (;;) {
		while (j->hold)
			fvd_engine_wait(img);
		if (fvd_engine_alive(img, err) < 0)
			return -1;
		if (!j->cur) {
			if (start_buffer(img, err) < 0)
				return -1;
			continue;
		}
		if (fvd_jbuf_put(img, j->cur, p))
			return 0;
		full = j->cur->seq;
		close_cur(img);
		if (send_until(img, full, err) < 0)
			return -1;
	}
}

int fvd_journal_put(struct fvd_image *img, const struct fvd_piece *p, struct fvd_error *err)
{
	struct fvd_error own = { 0 };
	uint64_t seq;

	if (fvd_state_before_metadata(img, err) < 0)
		return -1;
	if (!img->has_journal) {
		while (img->j.hold)
			fvd_engine_wait(img);
		if (fvd_engine_alive(img, err) < 0)
			return -1;
		return apply(img, p, &own) < 0 ? fvd_engine_alive(img, err) : 0;
	}
	if (put_records(img, p, err) < 0)
		return -1;
	seq = img->j.cur->seq;
	if (apply(img, p, &own) < 0)
		return fvd_engine_alive(img, err);
	/* rule J11 off: pages go in place with updates that wait */
	if (!FVD_RULE(img, 11))
		step_pages(img, NULL);
	return img->opts.commit_interval_ms == 0 ? send_until(img, seq, err) : 0;
}
