/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/stream.h"
#include "util/buf.h"
#include "util/num.h"

#define READ_SIZE (1024u * 1024)
#define MAX_BLOCK (8u * 1024 * 1024)

bool fvd_stream_length(int fd, uint64_t *length)
{
	struct stat st;
	off_t at;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	at = lseek(fd, 0, SEEK_CUR);
	*length = at >= 0 && at < st.st_size ? (uint64_t)(st.st_size - at) : 0;
	return at >= 0;
}

static int write_all(int fd, const char *name, const uint8_t *buf, size_t len, uint64_t off,
		     struct fvd_error *err)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fvd_error_sys(err, errno, "%s: cannot write %zu bytes at offset %"
					     PRIu64, name, len, off);
		buf += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_extent(struct fvd_copy *c, const struct fvd_extent *ext, int fd,
		       const char *name, uint8_t *buf, struct fvd_error *err)
{
	bool data = ext->kind == FVD_EXTENT_DATA;
	size_t n;

	if (!data)
		memset(buf, 0, FVD_COPY_BUFFER);
	for (uint64_t done = 0; done < ext->len; done += n) {
		n = (size_t)fvd_min(FVD_COPY_BUFFER, ext->len - done);
		if (data && fvd_io_pread(ext->io, buf, n, ext->io_off + done, err) < 0)
			return -1;
		if (write_all(fd, name, buf, n, ext->off + done, err) < 0 ||
		    fvd_progress_add(c->progress, n, err) < 0)
			return -1;
	}
	*(data ? &c->read_bytes : &c->zero_bytes) += ext->len;
	c->written_bytes += ext->len;
	return 0;
}

int fvd_stream_out(struct fvd_copy *c, int fd, const char *name, struct fvd_error *err)
{
	uint8_t *buf = fvd_alloc_io(FVD_COPY_BUFFER, err);
	struct fvd_extent ext;
	int ret = buf ? 0 : -1;

	fvd_progress_start(c->progress, "convert", c->size);
	for (uint64_t off = 0; ret == 0 && off < c->size; off += ext.len) {
		ret = fvd_source_extent(c->src, off, c->size - off, &ext, err);
		if (ret == 0)
			ret = send_extent(c, &ext, fd, name, buf, err);
	}
	fvd_progress_finish(c->progress);
	free(buf);
	return ret;
}

struct input {
	struct fvd_progress *progress;
	int fd;
	const char *name;
	uint8_t *buf, *other;
	size_t cap, len;
	bool end;
};

/*
 * A pipe may stay silent for as long as it likes, and a signal may be another thread's: so wait
 * in short turns, and ask in each whether to stop.
 */
static int input_wait(const struct input *in, struct fvd_error *err)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };

	int ready;

	do {
		if (fvd_progress_add(in->progress, 0, err) < 0)
			return -1;
		ready = poll(&p, 1, 200);
	} while (ready == 0 || (ready < 0 && errno == EINTR));
	return 0;
}

static int input_fill(struct input *in, uint64_t off, struct fvd_error *err)
{
	for (in->len = 0; in->len < in->cap && !in->end;) {
		ssize_t n;

		if (input_wait(in, err) < 0)
			return -1;
		n = read(in->fd, in->buf + in->len, in->cap - in->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fvd_error_sys(err, errno, "%s: cannot read at offset %" PRIu64,
					     in->name, off + in->len);
		in->len += (size_t)n;
		in->end = n == 0;
	}
	return 0;
}

static int input_init(struct input *in, const struct fvd_copy *c, struct fvd_error *err)
{
	in->progress = c->progress;
	in->cap = READ_SIZE;
	if (c->base && c->block_size > MAX_BLOCK)
		return fvd_error_set(err, FVD_ERR_INVALID, "block size %" PRIu64 ": comparing %s "
				     "with a base takes at most %u", c->block_size, in->name,
				     MAX_BLOCK);
	if (c->base)
		in->cap = (size_t)fvd_max(in->cap, c->block_size);
	in->buf = fvd_alloc_io(in->cap, err);
	in->other = in->buf && c->base ? fvd_alloc_io(in->cap, err) : NULL;
	return in->buf && (in->other || !c->base) ? 0 : -1;
}

/* Make room for @end bytes: doubled each time, for each costs a closing and an opening. */
static int grow(struct fvd_copy *c, const struct input *in, uint64_t end, uint64_t limit,
		uint64_t base_len, struct fvd_error *err)
{
	uint64_t size = c->size;

	if (end > limit)
		return fvd_error_set(err, FVD_ERR_INVALID, "%s: at least %" PRIu64 " bytes, and "
				     "the disk can have %" PRIu64, in->name, end, limit);
	if (end <= size)
		return 0;
	while (size < end)
		size = size > limit / 2 ? limit : size * 2;
	if (fvd_sink_resize(c->sink, size, base_len, err) < 0)
		return -1;
	c->size = size;
	if (c->base)
		c->base_size = fvd_min(fvd_round_up(base_len, FVD_SECTOR), size);
	return 0;
}

/* The last sector, or block to be compared, is filled up with zeros. */
static size_t pad(const struct fvd_copy *c, const struct input *in, uint64_t off)
{
	uint64_t unit = c->base ? fvd_max(c->block_size, FVD_SECTOR) : FVD_SECTOR;
	uint64_t len = fvd_min(fvd_round_up(in->len, unit), fvd_min(in->cap, c->size - off));

	memset(in->buf + in->len, 0, (size_t)len - in->len);
	return (size_t)len;
}

int fvd_stream_in(struct fvd_copy *c, int fd, const char *name, uint64_t limit, uint64_t base_len,
		  uint64_t *length, struct fvd_error *err)
{
	struct input in = { .fd = fd, .name = name };
	int ret = input_init(&in, c, err);

	fvd_progress_start(c->progress, "convert", *length);
	*length = 0;
	while (ret == 0 && !in.end) {
		ret = input_fill(&in, *length, err);
		if (ret == 0 && in.len > 0)
			ret = grow(c, &in, *length + in.len, limit, base_len, err);
		if (ret == 0 && in.len > 0)
			ret = fvd_copy_store(c, in.buf, in.other, pad(c, &in, *length), *length,
					     err);
		if (ret == 0)
			ret = fvd_progress_add(c->progress, in.len, err);
		c->read_bytes += in.len;
		*length += in.len;
	}
	fvd_progress_finish(c->progress);
	free(in.buf);
	free(in.other);
	return ret;
}
