/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compacting in place. Each phase leaves an image with the same content, so a kill between
 * or within them costs nothing but the rest of the work, which the next run does. (Killed,
 * an image without a journal is unclean: "check -y" verifies it first, as after any other
 * kill.)
 *
 *   1  against the base: equal blocks lose their bit  (relocate_bits.c, first of all)
 *   2  scan: zeros inside chunks are punched, empty chunks found    (two threads)
 *   3  empty chunks lose their entry, flush
 *   4  chunks move down, in batches with a flush each        (two threads)
 *   5  what nothing refers to is punched, the file is cut, close
 *
 * Storage freed by 3 is not given back there: most of it takes a chunk of 4, the rest is
 * cut off by 5.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "image/relocate.h"
#include "ops/compact.h"
#include "util/bitset.h"
#include "util/buf.h"
#include "util/num.h"

/* Copied between two flushes: the most room a run takes before it gives any back. */
#define MOVE_BATCH (256 * FVD_MIB)
#define MOVE_COUNT 16384u
#define THREADS_FROM (64 * FVD_MIB)	/* smaller disks are not worth a second thread */
#define COMPARE_STEP 4096u		/* blocks; a multiple of 8: threads share no byte */

/* A chunk that has to move, by where it is now. */
struct mover {
	uint32_t number, chunk;
};

struct compact {
	const struct fvd_compact_opts *opts;
	struct fvd_compact_report *report;
	struct fvd_image *img;
	bool table;
	struct fvd_bitset empty;	/* units whose entry can go */
	uint64_t kept;			/* chunks that stay */
	uint64_t used, needed;		/* of kept units: storage now, storage after punching */
	uint64_t empty_used;		/* storage of the empty ones */
	const struct mover *movers;

	/* the threads of one pass */
	int (*step)(struct compact *c, uint64_t i, void *buf, struct fvd_error *err);
	_Atomic uint64_t next;
	uint64_t count;
	atomic_bool stop;
	pthread_mutex_t lock;
	struct fvd_error *err;
	uint8_t *equal;
};

/* ---- passes over units or blocks, one or two threads ---- */

static void *work(void *arg)
{
	struct compact *c = arg;
	struct fvd_error err = { 0 };
	void *buf = fvd_alloc_io(FVD_RELOCATE_BUFFER, &err);
	int rc = buf ? 0 : -1;
	uint64_t i;

	while (rc == 0 && !atomic_load(&c->stop) && (i = atomic_fetch_add(&c->next, 1)) < c->count)
		rc = c->step(c, i, buf, &err);
	free(buf);
	if (rc < 0 && !atomic_exchange(&c->stop, true) && c->err)
		*c->err = err;
	return NULL;
}

static int pass(struct compact *c, uint64_t count,
		int (*step)(struct compact *, uint64_t, void *, struct fvd_error *),
		struct fvd_error *err)
{
	pthread_t other;
	bool two = fvd_image_header(c->img)->virtual_size >= THREADS_FROM;

	c->step = step;
	c->count = count;
	c->err = err;
	atomic_store(&c->next, 0);
	atomic_store(&c->stop, false);
	two = two && pthread_create(&other, NULL, work, c) == 0;
	work(c);
	if (two)
		pthread_join(other, NULL);
	return atomic_load(&c->stop) ? -1 : 0;
}

/* ---- phase 1 ---- */

static int compare_step(struct compact *c, uint64_t i, void *buf, struct fvd_error *err)
{
	const struct fvd_header *h = fvd_image_header(c->img);

	if (fvd_relocate_compare(c->img, i * COMPARE_STEP, COMPARE_STEP, buf, c->equal, err) < 0)
		return -1;
	return fvd_progress_add(c->opts->progress, COMPARE_STEP * h->block_size, err);
}

static int drop_blocks(struct compact *c, struct fvd_error *err)
{
	const struct fvd_header *h = fvd_image_header(c->img);
	uint64_t blocks = fvd_header_block_count(h);
	int rc;

	if (!fvd_header_needs_base(h))
		return fvd_error_set(err, FVD_ERR_INVALID, "--against-base: the image %s", h->base_img[0] ?
				     "holds all of its base already and no longer refers to it" :
				     "has no base image");
	c->equal = fvd_alloc_array(fvd_div_up(blocks, 8), 1, "a bitmap", err);
	if (!c->equal)
		return -1;
	fvd_progress_start(c->opts->progress, "compare", h->base_size);
	rc = pass(c, fvd_div_up(blocks, COMPARE_STEP), compare_step, err);
	fvd_progress_finish(c->opts->progress);
	if (rc == 0)
		rc = fvd_relocate_clear(c->img, c->equal, &c->report->blocks_dropped, err);
	return rc;
}

/* ---- phase 2 ---- */

static int scan_step(struct compact *c, uint64_t unit, void *buf, struct fvd_error *err)
{
	bool punch = !c->opts->dry_run && !c->opts->no_punch;
	struct fvd_scan s;
	uint64_t len;

	if (!fvd_relocate_unit(c->img, unit, &len))
		return 0;
	if (fvd_relocate_scan(c->img, unit, punch, buf, &s, err) < 0)
		return -1;
	pthread_mutex_lock(&c->lock);
	if (s.empty && c->table) {
		fvd_bitset_set(&c->empty, unit);
		c->empty_used += s.used;
	} else {
		c->kept++;
		c->used += s.used;
		c->needed += s.needed;
		if (c->opts->dry_run ? !c->opts->no_punch : s.punched > 0)
			c->report->bytes_punched += s.used - s.needed;
	}
	pthread_mutex_unlock(&c->lock);
	return fvd_progress_add(c->opts->progress, len, err);
}

static uint64_t scan_total(const struct compact *c)
{
	uint64_t units = fvd_relocate_units(c->img), total = 0, len;

	for (uint64_t i = 0; i < units; i++)
		if (fvd_relocate_unit(c->img, i, &len))
			total += len;
	return total;
}

static int scan(struct compact *c, struct fvd_error *err)
{
	uint64_t units = fvd_relocate_units(c->img);
	int rc;

	if (c->table && fvd_bitset_init(&c->empty, units, err) < 0)
		return -1;
	fvd_progress_start(c->opts->progress, "scan", c->opts->progress ? scan_total(c) : 0);
	rc = pass(c, units, scan_step, err);
	fvd_progress_finish(c->opts->progress);
	c->report->chunks_unmapped = c->table ? fvd_bitset_count(&c->empty) : 0;
	return rc;
}

/* ---- phases 3 and 4 ---- */

static int unmap(struct compact *c, struct fvd_error *err)
{
	struct fvd_bitset *e = &c->empty;

	if (c->report->chunks_unmapped == 0)
		return 0;
	for (uint64_t i = 0; (i = fvd_bitset_next_set(e, i)) < e->bits; i++) {
		if (fvd_relocate_unmap(c->img, i, err) < 0)
			return -1;
		if (i % 1024 == 0 && fvd_progress_add(c->opts->progress, 0, err) < 0)
			return -1;
	}
	return fvd_image_flush(c->img, err);
}

static int by_number(const void *a, const void *b)
{
	const struct mover *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* The chunks whose number is not below how many chunks there are: exactly those that move. */
static int list_movers(const struct compact *c, struct mover **list, uint64_t *count,
		       struct fvd_error *err)
{
	uint64_t chunks = fvd_relocate_units(c->img), n = 0;
	uint32_t entry;

	for (int round = 0; round < 2; round++) {
		n = 0;
		for (uint64_t i = 0; i < chunks; i++) {
			entry = fvd_relocate_entry(c->img, i);
			if (entry == UINT32_MAX || entry < c->kept ||
			    (c->opts->dry_run && fvd_bitset_test(&c->empty, i)))
				continue;
			if (round > 0)
				(*list)[n] = (struct mover){ entry, (uint32_t)i };
			n++;
		}
		if (round == 0) {
			*list = fvd_alloc_array(n + 1, sizeof(**list), "chunks to move", err);
			if (!*list)
				return -1;
		}
	}
	*count = n;
	qsort(*list, n, sizeof(**list), by_number);
	return 0;
}

static int move_step(struct compact *c, uint64_t i, void *buf, struct fvd_error *err)
{
	uint64_t copied;
	bool moved;

	(void)buf;
	if (fvd_relocate_move(c->img, c->movers[i].chunk, &moved, &copied, err) < 0)
		return -1;
	pthread_mutex_lock(&c->lock);
	c->report->chunks_moved += moved;
	pthread_mutex_unlock(&c->lock);
	return fvd_progress_add(c->opts->progress, 1, err);
}

/* Rounds of moves with a flush behind each, which makes the old places free. */
static int move_all(struct compact *c, uint64_t count, struct fvd_error *err)
{
	uint64_t size = fvd_image_header(c->img)->chunk_size, n;

	n = fvd_max(1, fvd_min(MOVE_BATCH / size, MOVE_COUNT));
	for (; count > 0; count -= n, c->movers += n) {
		n = fvd_min(n, count);
		if (pass(c, n, move_step, err) < 0 || fvd_image_flush(c->img, err) < 0)
			return -1;
	}
	return 0;
}

static int move_down(struct compact *c, struct fvd_error *err)
{
	struct mover *list = NULL;
	uint64_t count;
	int rc = 0;

	if (list_movers(c, &list, &count, err) < 0)
		return -1;
	if (c->opts->dry_run) {
		c->report->chunks_moved = count;
	} else if (count > 0) {
		fvd_progress_start(c->opts->progress, "move", count);
		c->movers = list;
		rc = move_all(c, count, err);
		fvd_progress_finish(c->opts->progress);
	}
	free(list);
	return rc;
}

/* ---- the whole ---- */

/* Storage of what compacting works on: data, and the journal when that is given back too. */
static int measure(struct fvd_image *img, bool journal, uint64_t *length, uint64_t *used,
		   struct fvd_error *err)
{
	const struct fvd_header *h = fvd_image_header(img);
	struct fvd_io *data = fvd_image_data(img);
	uint64_t more = 0;

	if (fvd_io_length(data, length, err) < 0)
		return -1;
	*used = 0;
	if (*length > h->data_offset &&
	    fvd_io_allocated(data, h->data_offset, *length - h->data_offset, used, err) < 0)
		return -1;
	if (journal && fvd_header_has_journal(h) &&
	    fvd_io_allocated(fvd_image_io(img), h->journal_offset, h->journal_size, &more, err) < 0)
		return -1;
	*used += more;
	return 0;
}

static void predict(struct compact *c, uint64_t unused, uint64_t journal)
{
	struct fvd_compact_report *r = c->report;
	uint64_t end = fvd_relocate_file_end(c->img, c->kept);

	r->length_after = c->table && !fvd_image_data(c->img)->block_device ?
			  fvd_min(r->length_before, end) : r->length_before;
	r->freed = c->empty_used + unused + journal +
		   (c->opts->no_punch ? 0 : c->used - c->needed);
	r->storage_after = r->storage_before - r->freed;
}

/* Phases 3 to 5. */
static int shrink(struct compact *c, struct fvd_error *err)
{
	uint64_t unused;

	if (c->table) {
		if (unmap(c, err) < 0 || move_down(c, err) < 0)
			return -1;
		if (!c->opts->no_punch && fvd_relocate_unused(c->img, true, &unused, err) < 0)
			return -1;
	}
	return fvd_relocate_truncate(c->img, err);
}

static int run(struct compact *c, struct fvd_error *err)
{
	struct fvd_compact_report *r = c->report;
	const struct fvd_header *h = fvd_image_header(c->img);
	bool punch = !c->opts->no_punch, simple = fvd_relocate_simple(c->img);
	uint64_t unused = 0, journal = 0;

	if (fvd_io_length(fvd_image_data(c->img), &r->length_before, err) < 0)
		return -1;
	if (!simple && measure(c->img, punch, &r->length_before, &r->storage_before, err) < 0)
		return -1;
	if (punch && fvd_header_has_journal(h) &&
	    fvd_io_allocated(fvd_image_io(c->img), h->journal_offset, h->journal_size, &journal,
			     err) < 0)
		return -1;
	if (c->opts->against_base && drop_blocks(c, err) < 0)
		return -1;
	if (scan(c, err) < 0 || fvd_relocate_unused(c->img, false, &unused, err) < 0)
		return -1;
	if (simple)
		r->storage_before = c->used + c->empty_used + unused + journal;
	predict(c, unused, journal);
	if (!c->opts->dry_run)
		return shrink(c, err);
	return c->table ? move_down(c, err) : 0;
}

static struct fvd_open_opts open_opts(const struct fvd_compact_opts *opts, bool write)
{
	struct fvd_open_opts o = { .commit_interval_ms = FVD_COMMIT_ON_DEMAND,
				   .opener = opts->opener, .data_file = opts->data_file };

	if (write)
		o.flags |= FVD_OPEN_WRITE;
	else if (opts->dry_run)
		o.flags |= FVD_OPEN_GIVEN_DATA;
	if (!opts->against_base || (!write && !opts->dry_run))
		o.flags |= FVD_OPEN_NO_BASE;
	if (opts->ignore_base_change)
		o.flags |= FVD_OPEN_IGNORE_BASE_CHANGE;
	return o;
}

/*
 * What there is after a run, from a fresh look at the closed image. A block device has no map that
 * could tell: there it is what was given back to it.
 */
static int look_again(const char *name, const struct fvd_compact_opts *opts,
		      struct fvd_compact_report *r, struct fvd_error *err)
{
	struct fvd_open_opts o = open_opts(opts, false);
	struct fvd_image *img;
	int rc;

	o.flags |= FVD_OPEN_NO_BASE;
	if (fvd_image_open(name, &o, &img, err) < 0)
		return -1;
	rc = 0;
	if (!fvd_image_data(img)->block_device) {
		rc = measure(img, !opts->no_punch, &r->length_after, &r->storage_after, err);
		r->freed = r->storage_before - fvd_min(r->storage_after, r->storage_before);
	}
	fvd_image_drop(img);
	return rc;
}

int fvd_compact(const char *name, const struct fvd_compact_opts *opts,
		struct fvd_compact_report *report, struct fvd_error *err)
{
	struct fvd_open_opts o = open_opts(opts, !opts->dry_run);
	struct compact c = { .opts = opts, .report = report };
	int rc;

	memset(report, 0, sizeof(*report));
	if (fvd_image_open(name, &o, &c.img, err) < 0)
		return -1;
	pthread_mutex_init(&c.lock, NULL);
	c.table = fvd_header_has_table(fvd_image_header(c.img));
	fvd_relocate_keep_freed(c.img);
	rc = run(&c, err);
	free(c.equal);
	fvd_bitset_fini(&c.empty);
	pthread_mutex_destroy(&c.lock);
	if (rc < 0) {
		fvd_image_close(c.img, NULL);	/* interrupted: clean all the same, if it can be */
		return -1;
	}
	if (opts->dry_run) {
		fvd_image_drop(c.img);
		return 0;
	}
	if (fvd_relocate_close(c.img, !opts->no_punch, err) < 0)
		return -1;
	return look_again(name, opts, report, err);
}
