/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ops/chain.h"
#include "ops/copy.h"
#include "ops/copy_store.h"
#include "util/buf.h"
#include "util/num.h"
#include "util/zero.h"

#define PIECE FVD_MIB
/* Nothing is looked at in these: the system copies, and may share the storage. */
#define PIECE_UNSEEN (16 * FVD_MIB)
/* A device may have to write them: short enough to be interrupted between two. */
#define PIECE_ZEROED (64 * FVD_MIB)
#define MAX_THREADS 64u

enum piece_kind {
	PIECE_PLAIN,	/* from one extent of data */
	PIECE_ZERO,	/* zeros that have to be made so: over a base, or on a device */
	PIECE_BLOCKS,	/* to be compared with the base */
	PIECE_VERIFY,
};

struct piece {
	enum piece_kind kind;
	uint64_t off, len;
	struct fvd_extent src;	/* from off on */
};

struct run {
	struct fvd_copy *c;
	struct fvd_source *other;	/* the base, or the target to verify; NULL without */
	uint64_t other_end;		/* compare below this */
	bool verify;
	pthread_mutex_t lock;		/* of what follows */
	uint64_t off;
	struct fvd_extent src, second;	/* the extents at off, of source and other */
	bool stop;
	uint64_t error_off;
	struct fvd_error error;
};

static void fail(struct run *r, uint64_t off, const struct fvd_error *e)
{
	pthread_mutex_lock(&r->lock);
	if (!r->stop || off < r->error_off) {
		r->error = *e;
		r->error_off = off;
	}
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
}

/* The part of a remembered extent from @off on; asks anew behind its end. */
static int extent_at(struct fvd_source *s, uint64_t off, uint64_t end, struct fvd_extent *ext,
		     struct fvd_error *err)
{
	if (off >= ext->off && off - ext->off < ext->len) {
		uint64_t done = off - ext->off;

		ext->off = off;
		ext->len -= done;
		ext->io_off += done;
		return 0;
	}
	return fvd_source_extent(s, off, end - off, ext, err);
}

/* Both read as zero, or are the same bytes of the same file. */
static bool known_same(const struct fvd_extent *a, const struct fvd_extent *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == FVD_EXTENT_ZERO ||
	       (a->io_off == b->io_off && fvd_same_identity(&a->io->id, &b->io->id));
}

static uint64_t to_grid(uint64_t off, uint64_t grid)
{
	return grid - off % grid;
}

/*
 * What is to be done at r->off, as far as the extents say the same: p->len bytes, or,
 * when the answer is false, nothing for *skip bytes.
 */
static int next_plain(struct run *r, struct piece *p, bool *work, struct fvd_error *err)
{
	struct fvd_copy *c = r->c;
	uint64_t unit = c->sparse ? PIECE : PIECE_UNSEEN;

	if (extent_at(c->src, r->off, c->size, &r->src, err) < 0)
		return -1;
	p->len = fvd_min(r->src.len, c->size - r->off);
	*work = true;
	if (r->src.kind == FVD_EXTENT_ZERO) {
		p->kind = PIECE_ZERO;
		*work = c->sink->device;
		if (*work)
			p->len = fvd_min(p->len, PIECE_ZEROED);
		c->zero_bytes += p->len;
		return 0;
	}
	p->kind = PIECE_PLAIN;
	p->len = fvd_min(p->len, to_grid(r->off, unit));
	return 0;
}

static int next_pair(struct run *r, struct piece *p, bool *work, struct fvd_error *err)
{
	struct fvd_copy *c = r->c;
	uint64_t left = r->other_end - r->off, block = r->verify ? 1 : c->block_size, whole;

	if (extent_at(c->src, r->off, c->size, &r->src, err) < 0 ||
	    extent_at(r->other, r->off, r->other_end, &r->second, err) < 0)
		return -1;
	whole = fvd_min(fvd_min(r->src.len, r->second.len), left);
	if (whole < left)
		whole = fvd_round_down(whole, block);
	*work = true;
	if (whole > 0 && known_same(&r->src, &r->second)) {
		p->len = whole;
		*work = false;
		if (!r->verify)
			c->same_bytes += whole;
	} else if (whole > 0 && !r->verify && r->src.kind == FVD_EXTENT_ZERO) {
		p->kind = PIECE_ZERO;
		p->len = whole;
		c->zero_bytes += whole;
	} else {
		p->kind = r->verify ? PIECE_VERIFY : PIECE_BLOCKS;
		p->len = fvd_min(fvd_max(whole, block), to_grid(r->off, fvd_max(PIECE, block)));
		p->len = fvd_min(p->len, left);
	}
	return 0;
}

/* The next piece of work; false at the end, or when it is time to stop. */
static bool next(struct run *r, struct piece *p)
{
	struct fvd_error e = { 0 };
	bool work = false;
	int ret = 0;

	pthread_mutex_lock(&r->lock);
	while (!work && !r->stop && r->off < r->c->size) {
		p->off = r->off;
		ret = r->off < r->other_end ? next_pair(r, p, &work, &e) :
					      next_plain(r, p, &work, &e);
		if (ret < 0)
			break;
		p->src = r->src;
		r->off += p->len;
		if (!work)
			ret = fvd_progress_add(r->c->progress, p->len, &e);
		if (ret < 0)
			break;
	}
	work = work && !r->stop;
	pthread_mutex_unlock(&r->lock);
	if (ret < 0) {
		fail(r, p->off, &e);
		return false;
	}
	return work;
}

static int do_plain(struct fvd_copy *c, const struct piece *p, uint8_t *buf,
		    struct fvd_error *err)
{
	if (!c->sparse) {
		c->written_bytes += p->len;
		return fvd_sink_copy(c->sink, p->src.io, p->src.io_off, p->len, p->off, err);
	}
	for (uint64_t done = 0; done < p->len;) {
		size_t n = (size_t)fvd_min(FVD_COPY_BUFFER, p->len - done);

		if (fvd_io_pread(p->src.io, buf, n, p->src.io_off + done, err) < 0 ||
		    fvd_store_plain(c, buf, n, p->off + done, err) < 0)
			return -1;
		done += n;
	}
	c->read_bytes += p->len;
	return 0;
}

/* One block that is larger than the buffer: compared first, read once more when it differs. */
static int do_large_block(struct fvd_copy *c, const struct piece *p, uint8_t *buf,
			  uint8_t *other, struct fvd_error *err)
{
	bool same = true, zero = true;

	for (uint64_t done = 0; same && done < p->len; done += FVD_COPY_BUFFER) {
		size_t n = (size_t)fvd_min(FVD_COPY_BUFFER, p->len - done);

		if (fvd_source_read(c->src, buf, n, p->off + done, err) < 0 ||
		    fvd_source_read(c->base, other, n, p->off + done, err) < 0)
			return -1;
		same = memcmp(buf, other, n) == 0;
	}
	if (same) {
		c->same_bytes += p->len;
		return 0;
	}
	for (uint64_t done = 0; done < p->len; done += FVD_COPY_BUFFER) {
		size_t n = (size_t)fvd_min(FVD_COPY_BUFFER, p->len - done);

		if (fvd_source_read(c->src, buf, n, p->off + done, err) < 0)
			return -1;
		zero = zero && c->sparse && fvd_is_zero(buf, n);
		if (fvd_store_plain(c, buf, n, p->off + done, err) < 0)
			return -1;
	}
	return zero ? fvd_sink_zero(c->sink, p->off, p->len, err) : 0;
}

static int do_blocks(struct fvd_copy *c, const struct piece *p, uint8_t *buf, uint8_t *other,
		     struct fvd_error *err)
{
	uint64_t step = fvd_round_down(FVD_COPY_BUFFER, c->block_size);

	c->read_bytes += p->len;
	if (step == 0)
		return do_large_block(c, p, buf, other, err);
	for (uint64_t done = 0; done < p->len;) {
		size_t n = (size_t)fvd_min(step, p->len - done);

		if (fvd_source_read(c->src, buf, n, p->off + done, err) < 0 ||
		    fvd_copy_store(c, buf, other, n, p->off + done, err) < 0)
			return -1;
		done += n;
	}
	return 0;
}

static size_t first_difference(const uint8_t *a, const uint8_t *b)
{
	size_t i = 0;

	while (a[i] == b[i])
		i++;
	return i;
}

static int do_verify(struct run *r, const struct piece *p, uint8_t *buf, uint8_t *other,
		     struct fvd_error *err)
{
	for (uint64_t done = 0; done < p->len;) {
		size_t n = (size_t)fvd_min(FVD_COPY_BUFFER, p->len - done);
		uint64_t off = p->off + done;

		if (fvd_source_read(r->c->src, buf, n, off, err) < 0 ||
		    fvd_source_read(r->other, other, n, off, err) < 0)
			return -1;
		if (memcmp(buf, other, n) != 0)
			return fvd_error_set(err, FVD_ERR_DIFFERENT, "what was written differs "
					     "from the source at offset %" PRIu64,
					     off + first_difference(buf, other));
		done += n;
	}
	return 0;
}

static int do_piece(struct run *r, const struct piece *p, uint8_t *buf, struct fvd_error *err)
{
	uint8_t *other = buf + FVD_COPY_BUFFER;

	switch (p->kind) {
	case PIECE_PLAIN:
		return do_plain(r->c, p, buf, err);
	case PIECE_ZERO:
		return fvd_sink_zero(r->c->sink, p->off, p->len, err);
	case PIECE_BLOCKS:
		return do_blocks(r->c, p, buf, other, err);
	case PIECE_VERIFY:
		return do_verify(r, p, buf, other, err);
	}
	return 0;
}

static void *work(void *opaque)
{
	struct run *r = opaque;
	struct fvd_error e = { 0 };
	uint8_t *buf = fvd_alloc_io(2 * FVD_COPY_BUFFER, &e);
	struct piece p;

	if (!buf)
		fail(r, 0, &e);
	while (buf && next(r, &p)) {
		if (do_piece(r, &p, buf, &e) < 0 ||
		    fvd_progress_add(r->c->progress, p.len, &e) < 0)
			fail(r, p.off, &e);
	}
	free(buf);
	return NULL;
}

/* The caller is one of the workers; one that cannot be started is done without. */
static int run(struct run *r, struct fvd_error *err)
{
	pthread_t threads[MAX_THREADS];
	unsigned want = r->c->threads < MAX_THREADS ? r->c->threads : MAX_THREADS, n = 0;

	pthread_mutex_init(&r->lock, NULL);
	while (n + 1 < want && pthread_create(&threads[n], NULL, work, r) == 0)
		n++;
	work(r);
	while (n > 0)
		pthread_join(threads[--n], NULL);
	pthread_mutex_destroy(&r->lock);
	fvd_progress_finish(r->c->progress);
	if (!r->stop)
		return 0;
	if (err)
		*err = r->error;
	return -1;
}

int fvd_copy_run(struct fvd_copy *c, struct fvd_error *err)
{
	struct run r = { .c = c, .other = c->base };

	if (c->base)
		r.other_end = fvd_min(c->base_size, c->size);
	fvd_progress_start(c->progress, "convert", c->size);
	return run(&r, err);
}

int fvd_copy_verify(struct fvd_copy *c, struct fvd_source *target, struct fvd_error *err)
{
	struct run r = { .c = c, .other = target, .other_end = c->size, .verify = true };

	fvd_progress_start(c->progress, "verify", c->size);
	return run(&r, err);
}
