/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_undo.h"
#include "io/io_undo_disk.h"
#include "util/buf.h"
#include "util/crc32c.h"
#include "util/num.h"

#define PAGE 4096

struct range {
	uint64_t start, end;
};

struct undo {
	struct fvd_io io;
	struct fvd_io *inner, *log;
	uint64_t orig_len;
	pthread_mutex_t lock;	/* for all below, and around saving */
	uint64_t pos;		/* end of the log */
	uint64_t last;		/* where its last entry begins */
	bool failed;		/* the log may end in a piece of an entry */
	uint8_t *buf;		/* one entry */
	struct range *saved;	/* in order, apart by at least a byte */
	size_t saved_count, saved_cap;
};

static struct undo *to_undo(struct fvd_io *io)
{
	return (struct undo *)io;
}

/* Index of the first saved range that ends after @off. */
static size_t find_saved(const struct undo *u, uint64_t off)
{
	size_t lo = 0, hi = u->saved_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (u->saved[mid].end > off)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* The caller has made room for one more. [start, end) is not saved yet. */
static void mark_saved(struct undo *u, uint64_t start, uint64_t end)
{
	size_t i = find_saved(u, start);
	bool left = i > 0 && u->saved[i - 1].end == start;
	bool right = i < u->saved_count && u->saved[i].start == end;

	if (left && right) {
		u->saved[i - 1].end = u->saved[i].end;
		u->saved_count--;
		memmove(&u->saved[i], &u->saved[i + 1], (u->saved_count - i) * sizeof(*u->saved));
	} else if (left) {
		u->saved[i - 1].end = end;
	} else if (right) {
		u->saved[i].start = start;
	} else {
		memmove(&u->saved[i + 1], &u->saved[i], (u->saved_count - i) * sizeof(*u->saved));
		u->saved[i] = (struct range){ start, end };
		u->saved_count++;
	}
}

static int reserve_saved(struct undo *u, struct fvd_error *err)
{
	size_t cap = u->saved_cap ? u->saved_cap * 2 : 64;
	struct range *r;

	if (u->saved_count < u->saved_cap)
		return 0;
	r = realloc(u->saved, cap * sizeof(*r));
	if (!r)
		return fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory for %zu ranges",
				     u->log->name, cap);
	u->saved = r;
	u->saved_cap = cap;
	return 0;
}

/* Append the entry in u->buf, whose kind, range and @data bytes are there, durably. */
static int append_entry(struct undo *u, size_t data, struct fvd_error *err)
{
	struct fvd_disk_undo_entry *e = (struct fvd_disk_undo_entry *)u->buf;
	size_t size = (size_t)fvd_round_up(sizeof(*e) + data, FVD_UNDO_ALIGN);

	memset(u->buf + sizeof(*e) + data, 0, size - sizeof(*e) - data);
	e->magic = fvd_to_le32(FVD_UNDO_ENTRY_MAGIC);
	e->back = fvd_to_le32((uint32_t)((u->pos - u->last) / FVD_UNDO_ALIGN));
	e->data_crc = fvd_to_le32(fvd_crc32c(0, u->buf + sizeof(*e), data));
	e->crc = fvd_to_le32(fvd_undo_entry_crc(e));
	if (fvd_io_pwrite(u->log, u->buf, size, u->pos, err) < 0 ||
	    fvd_io_flush(u->log, err) < 0) {
		u->failed = true;
		return -1;
	}
	u->last = u->pos;
	u->pos += size;
	return 0;
}

/* [off, off+len) as one entry. A piece of data is at most 1 MiB. */
static int save_entry(struct undo *u, uint64_t off, uint64_t len, bool hole,
		      struct fvd_error *err)
{
	struct fvd_disk_undo_entry *e = (struct fvd_disk_undo_entry *)u->buf;
	size_t data = hole ? 0 : (size_t)len;

	if (reserve_saved(u, err) < 0)
		return -1;
	*e = (struct fvd_disk_undo_entry){
		.kind = fvd_to_le32(hole ? FVD_UNDO_HOLE : FVD_UNDO_DATA),
		.off = fvd_to_le64(off), .len = fvd_to_le64(len) };
	if (fvd_io_pread(u->inner, u->buf + sizeof(*e), data, off, err) < 0 ||
	    append_entry(u, data, err) < 0)
		return -1;
	mark_saved(u, off, off + len);
	return 0;
}

/* Say what [off, off+len) of the sample is about to become: @iov, or zeros without. */
static int save_becomes(struct undo *u, const struct iovec *iov, uint64_t off, uint64_t len,
			struct fvd_error *err)
{
	struct fvd_disk_undo_entry *e = (struct fvd_disk_undo_entry *)u->buf;
	uint8_t sample[FVD_UNDO_SAMPLE];
	uint64_t end;

	if (off >= sizeof(sample) || len == 0)
		return 0;
	if (fvd_io_pread(u->inner, sample, sizeof(sample), 0, err) < 0)
		return -1;
	end = fvd_min(off + len, sizeof(sample));
	if (!iov)
		memset(sample + off, 0, end - off);
	for (; iov && off < end; iov++) {
		uint64_t n = fvd_min(iov->iov_len, end - off);

		memcpy(sample + off, iov->iov_base, n);
		off += n;
	}
	*e = (struct fvd_disk_undo_entry){
		.kind = fvd_to_le32(FVD_UNDO_BECOMES),
		.len = fvd_to_le64(sizeof(struct fvd_disk_undo_becomes)) };
	fvd_undo_becomes_set((struct fvd_disk_undo_becomes *)(u->buf + sizeof(*e)), sample);
	return append_entry(u, sizeof(struct fvd_disk_undo_becomes), err);
}

static int save_gap(struct undo *u, uint64_t off, uint64_t end, struct fvd_error *err)
{
	while (off < end) {
		struct fvd_io_extent ext;

		if (fvd_io_extent(u->inner, off, end - off, &ext, err) < 0)
			return -1;
		if (!ext.hole)
			ext.len = fvd_min(ext.len, FVD_UNDO_MAX_DATA);
		if (save_entry(u, off, ext.len, ext.hole, err) < 0)
			return -1;
		off += ext.len;
	}
	return 0;
}

/* What of [off, off+len) the image had at first and is not saved. */
static int save_locked(struct undo *u, uint64_t off, uint64_t len, struct fvd_error *err)
{
	uint64_t end = fvd_min(fvd_round_up(off + len, PAGE), u->orig_len);

	if (u->failed)
		return fvd_error_set(err, FVD_ERR_IO, "%s: cannot change it: its undo file %s "
				     "could not be written", u->io.name, u->log->name);
	off = fvd_round_down(off, PAGE);
	while (off < end) {
		size_t i = find_saved(u, off);
		uint64_t next = i < u->saved_count ? u->saved[i].start : end;

		if (next <= off) {
			off = u->saved[i].end;
			continue;
		}
		next = fvd_min(next, end);
		if (save_gap(u, off, next, err) < 0)
			return -1;
		off = next;
	}
	return 0;
}

/* Before [off, off+len) changes to what @iov holds, or to zeros without. */
static int save(struct undo *u, const struct iovec *iov, uint64_t off, uint64_t len,
		struct fvd_error *err)
{
	int ret;

	pthread_mutex_lock(&u->lock);
	ret = save_locked(u, off, len, err);
	if (ret == 0)
		ret = save_becomes(u, iov, off, len, err);
	pthread_mutex_unlock(&u->lock);
	return ret;
}

static int undo_preadv(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		       struct fvd_error *err)
{
	return fvd_io_preadv(to_undo(io)->inner, iov, iovcnt, off, err);
}

static int undo_pwritev(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
			struct fvd_error *err)
{
	uint64_t len = 0;

	for (int i = 0; i < iovcnt; i++)
		len += iov[i].iov_len;
	if (save(to_undo(io), iov, off, len, err) < 0)
		return -1;
	return fvd_io_pwritev(to_undo(io)->inner, iov, iovcnt, off, err);
}

static int undo_flush(struct fvd_io *io, struct fvd_error *err)
{
	return fvd_io_flush(to_undo(io)->inner, err);
}

static int undo_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	return fvd_io_length(to_undo(io)->inner, len, err);
}

static int undo_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	struct undo *u = to_undo(io);

	if (len < u->orig_len && save(u, NULL, len, u->orig_len - len, err) < 0)
		return -1;
	return fvd_io_truncate(u->inner, len, err);
}

static int undo_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	bool punched;

	if (save(to_undo(io), NULL, off, len, err) < 0 ||
	    fvd_io_punch(to_undo(io)->inner, off, len, &punched, err) < 0)
		return -1;
	return !punched;
}

static int undo_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
		       struct fvd_error *err)
{
	return fvd_io_extent(to_undo(io)->inner, off, FVD_MAX_OFF - off, ext, err);
}

static void undo_writeback(struct fvd_io *io, uint64_t off, uint64_t len)
{
	fvd_io_writeback(to_undo(io)->inner, off, len);
}

static void undo_free(struct undo *u)
{
	pthread_mutex_destroy(&u->lock);
	free(u->saved);
	free(u->buf);
	free(u->io.name);
	free(u);
}

static void undo_close(struct fvd_io *io)
{
	struct undo *u = to_undo(io);

	fvd_io_close(u->inner);
	fvd_io_close(u->log);
	undo_free(u);
}

static const struct fvd_io_ops undo_ops = {
	.name = "undo",
	.preadv = undo_preadv,
	.pwritev = undo_pwritev,
	.flush = undo_flush,
	.length = undo_length,
	.truncate = undo_truncate,
	.punch = undo_punch,
	.extent = undo_extent,
	.writeback = undo_writeback,
	.close = undo_close,
};

static int write_head(struct undo *u, struct fvd_error *err)
{
	struct fvd_disk_undo_head head = { .len = fvd_to_le64(u->orig_len) };
	size_t name_len = strlen(u->io.name);

	if (name_len > FVD_UNDO_MAX_NAME)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "%s: the image's name has %zu bytes, at most %d are possible",
				     u->log->name, name_len, FVD_UNDO_MAX_NAME);
	if (fvd_io_pread(u->inner, u->buf, FVD_UNDO_SAMPLE, 0, err) < 0)
		return -1;
	memcpy(head.magic, FVD_UNDO_MAGIC, sizeof(head.magic));
	head.name_len = fvd_to_le64(name_len);
	head.sample_crc = fvd_to_le32(fvd_crc32c(0, u->buf, FVD_UNDO_SAMPLE));
	memcpy(head.name, u->io.name, fvd_min(name_len, sizeof(head.name)));
	head.crc = fvd_to_le32(fvd_undo_head_crc(&head));
	if (fvd_io_pwrite(u->log, &head, sizeof(head), 0, err) < 0)
		return -1;
	return fvd_io_flush(u->log, err);
}

struct fvd_io *fvd_io_undo_new(struct fvd_io *inner, struct fvd_io *undo,
			       struct fvd_error *err)
{
	struct undo *u = calloc(1, sizeof(*u));

	if (!u) {
		fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory to keep undo data", inner->name);
		return NULL;
	}
	u->io = (struct fvd_io){ .ops = &undo_ops, .name = strdup(inner->name),
				 .readonly = inner->readonly,
				 .block_device = inner->block_device, .id = inner->id };
	pthread_mutex_init(&u->lock, NULL);	/* cannot fail without attributes */
	u->inner = inner;
	u->log = undo;
	u->pos = u->last = sizeof(struct fvd_disk_undo_head);
	u->buf = fvd_alloc_io(sizeof(struct fvd_disk_undo_entry) + FVD_UNDO_MAX_DATA, err);
	if (!u->io.name)
		fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory to keep undo data", inner->name);
	else if (u->buf && fvd_io_length(inner, &u->orig_len, err) == 0 &&
		 write_head(u, err) == 0)
		return &u->io;
	undo_free(u);
	return NULL;
}
