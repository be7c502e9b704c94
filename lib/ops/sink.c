/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "image/meta.h"
#include "ops/sink.h"
#include "util/buf.h"
#include "util/num.h"

/* The disk is kept busy in pieces of this, so that the last sync has little left to do. */
#define WRITEBACK_PIECE (8 * FVD_MIB)
#define FILL_PIECE (64u * 1024)

static int sink_begin(struct fvd_sink *s, const char *name, struct fvd_error *err)
{
	memset(s, 0, sizeof(*s));
	if (fvd_target_begin(name, true, &s->target, err) < 0)
		return -1;
	s->io = fvd_target_io(s->target);
	pthread_mutex_init(&s->lock, NULL);
	s->has_lock = true;
	return 0;
}

static int check_device(struct fvd_io *io, uint64_t size, struct fvd_error *err)
{
	uint64_t length;

	if (fvd_io_length(io, &length, err) < 0)
		return -1;
	if (length >= size)
		return 0;
	return fvd_error_set(err, FVD_ERR_NOSPACE, "%s: %" PRIu64 " bytes long, the disk needs %"
			     PRIu64, io->name, length, size);
}

int fvd_sink_open_raw(struct fvd_sink *s, const char *name, uint64_t size, struct fvd_error *err)
{
	if (sink_begin(s, name, err) < 0)
		return -1;
	s->device = s->io->block_device;
	if (s->device ? check_device(s->io, size, err) == 0 :
			fvd_io_truncate(s->io, size, err) == 0)
		return 0;
	fvd_sink_abort(s);
	return -1;
}

static int open_image(struct fvd_sink *s, struct fvd_error *err)
{
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;

	opts.flags = FVD_OPEN_WRITE | FVD_OPEN_BULK | FVD_OPEN_NO_LOCK | FVD_OPEN_NO_BASE;
	if (fvd_image_open(fvd_target_temp_name(s->target), &opts, &s->img, err) < 0) {
		s->img = NULL;
		return -1;
	}
	s->io = fvd_image_data(s->img);
	s->device = s->io->block_device && !fvd_header_has_table(fvd_image_header(s->img));
	return 0;
}

static int close_image(struct fvd_sink *s, struct fvd_error *err)
{
	struct fvd_image *img = s->img;

	if (!img)
		return 0;
	s->img = NULL;
	s->io = fvd_target_io(s->target);
	return fvd_image_close(img, err);
}

int fvd_sink_open_fvd(struct fvd_sink *s, const char *name, const struct fvd_create_opts *opts,
		      struct fvd_error *err)
{
	struct fvd_header h;
	int ret;

	if (sink_begin(s, name, err) < 0)
		return -1;
	ret = fvd_create_on(s->io, name, opts, &h, err);
	if (ret == 0 && opts->data_file)
		ret = fvd_target_add_data(s->target, opts->data_file,
					  fvd_header_has_table(&h) ? 0 : h.virtual_size, err);
	if (ret == 0)
		ret = open_image(s, err);
	if (ret < 0)
		fvd_sink_abort(s);
	return ret;
}

static int fill_table(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	uint8_t *buf = fvd_alloc_io(FILL_PIECE, err);
	int ret = buf ? 0 : -1;

	if (buf)
		memset(buf, 0xFF, FILL_PIECE);
	while (ret == 0 && len > 0) {
		size_t n = (size_t)fvd_min(len, FILL_PIECE);

		ret = fvd_io_pwrite(io, buf, n, off, err);
		off += n;
		len -= n;
	}
	free(buf);
	return ret;
}

/* The regions lie as for the reserved size: only the table grows into its room, or out of it. */
static int resize_regions(struct fvd_sink *s, struct fvd_header *h, uint64_t size,
			  struct fvd_error *err)
{
	struct fvd_io *io = fvd_target_io(s->target), *data = fvd_target_data(s->target);
	uint64_t old = h->table_size;

	if (!fvd_header_has_table(h)) {
		if (!data && io->block_device)
			return check_device(io, h->data_offset + size, err);
		return fvd_io_truncate(data ? data : io, h->data_offset + size, err);
	}
	h->table_size = fvd_round_up(4 * fvd_div_up(size, h->chunk_size), FVD_PAGE);
	if (h->table_size > old)
		return fill_table(io, h->table_offset + old, h->table_size - old, err);
	return fvd_io_zero(io, h->table_offset + h->table_size, old - h->table_size, err);
}

static int resize_image(struct fvd_sink *s, uint64_t size, uint64_t base_len,
			struct fvd_error *err)
{
	struct fvd_io *io = fvd_target_io(s->target);
	uint8_t region[FVD_HEADER_REGION];
	struct fvd_header h;

	if (close_image(s, err) < 0 || fvd_io_pread(io, region, sizeof(region), 0, err) < 0 ||
	    fvd_header_decode(region, sizeof(region), &h, err) < 0)
		return -1;
	if (resize_regions(s, &h, size, err) < 0)
		return -1;
	h.virtual_size = size;
	h.base_size = fvd_min(fvd_round_up(fvd_min(base_len, size), FVD_SECTOR), size);
	if (fvd_header_validate(&h, err) < 0)
		return -1;
	fvd_header_encode(&h, region);
	if (fvd_io_pwrite(io, region, sizeof(region), 0, err) < 0)
		return -1;
	return open_image(s, err);
}

int fvd_sink_resize(struct fvd_sink *s, uint64_t size, uint64_t base_len, struct fvd_error *err)
{
	if (s->img)
		return resize_image(s, size, base_len, err);
	return s->device ? check_device(s->io, size, err) : fvd_io_truncate(s->io, size, err);
}

/* Neighbouring pieces of several threads are put together; a hint only. */
static void wrote(struct fvd_sink *s, uint64_t off, uint64_t len)
{
	uint64_t first, end;

	pthread_mutex_lock(&s->lock);
	s->first = s->pending ? fvd_min(s->first, off) : off;
	s->end = s->pending ? fvd_max(s->end, off + len) : off + len;
	s->pending += len;
	first = s->first;
	end = s->end;
	if (s->pending >= WRITEBACK_PIECE)
		s->pending = 0;
	else
		end = first;
	pthread_mutex_unlock(&s->lock);
	if (end > first)
		fvd_io_writeback(s->io, first, end - first);
}

/* Where [@off, +*len) is stored; *len is cut to what lies together. */
static int place(struct fvd_sink *s, uint64_t off, uint64_t *len, uint64_t *phys,
		 struct fvd_error *err)
{
	*phys = off;
	return s->img ? fvd_image_bulk_place(s->img, off, *len, phys, len, err) : 0;
}

int fvd_sink_write(struct fvd_sink *s, const void *buf, size_t len, uint64_t off,
		   struct fvd_error *err)
{
	const uint8_t *from = buf;

	while (len > 0) {
		uint64_t phys, run = len;

		if (place(s, off, &run, &phys, err) < 0 ||
		    fvd_io_pwrite(s->io, from, (size_t)run, phys, err) < 0)
			return -1;
		wrote(s, phys, run);
		from += run;
		off += run;
		len -= (size_t)run;
	}
	return 0;
}

int fvd_sink_copy(struct fvd_sink *s, struct fvd_io *src, uint64_t src_off, uint64_t len,
		  uint64_t off, struct fvd_error *err)
{
	while (len > 0) {
		uint64_t phys, run = len;

		if (place(s, off, &run, &phys, err) < 0 ||
		    fvd_io_copy(src, src_off, s->io, phys, run, err) < 0)
			return -1;
		wrote(s, phys, run);
		src_off += run;
		off += run;
		len -= run;
	}
	return 0;
}

int fvd_sink_zero(struct fvd_sink *s, uint64_t off, uint64_t len, struct fvd_error *err)
{
	uint64_t phys, run = len;

	if (!s->device)
		return s->img ? fvd_image_bulk_zero(s->img, off, len, err) : 0;
	/* One piece: an image on a device that is told so has no table. */
	if (place(s, off, &run, &phys, err) < 0)
		return -1;
	return fvd_io_zero(s->io, phys, run, err);
}

int fvd_sink_finish(struct fvd_sink *s, struct fvd_error *err)
{
	return close_image(s, err);
}

static void forget(struct fvd_sink *s)
{
	if (s->has_lock)
		pthread_mutex_destroy(&s->lock);
	memset(s, 0, sizeof(*s));
}

int fvd_sink_commit(struct fvd_sink *s, bool no_sync, struct fvd_error *err)
{
	int ret = fvd_target_commit(s->target, no_sync, err);

	s->target = NULL;
	forget(s);
	return ret;
}

void fvd_sink_abort(struct fvd_sink *s)
{
	fvd_image_drop(s->img);
	fvd_target_abort(s->target);
	forget(s);
}
