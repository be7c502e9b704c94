/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/io.h"
#include "util/buf.h"
#include "util/num.h"

#define PIECE FVD_MIB

static int check_range(const struct fvd_io *io, uint64_t off, uint64_t len, const char *what,
		       struct fvd_error *err)
{
	if (fvd_in_range(off, len, FVD_MAX_OFF))
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "%s: cannot %s %" PRIu64 " bytes at offset %"
			     PRIu64 ": past the largest offset, %" PRIu64, io->name, what, len,
			     off, FVD_MAX_OFF);
}

static int check_writable(const struct fvd_io *io, const char *what, struct fvd_error *err)
{
	if (!io->readonly)
		return 0;
	return fvd_error_set(err, FVD_ERR_READONLY, "%s: cannot %s: opened read-only", io->name,
			     what);
}

static int unsupported(const struct fvd_io *io, const char *what, struct fvd_error *err)
{
	return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "%s: cannot %s: not possible on %s",
			     io->name, what, io->ops->name);
}

static int check_iov(const struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		     const char *what, uint64_t *len, struct fvd_error *err)
{
	*len = 0;
	for (int i = 0; i < iovcnt; i++) {
		if (!fvd_add(*len, iov[i].iov_len, len))
			return check_range(io, off, UINT64_MAX, what, err);
	}
	return check_range(io, off, *len, what, err);
}

int fvd_io_preadv(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		  struct fvd_error *err)
{
	uint64_t len;

	if (check_iov(io, iov, iovcnt, off, "read", &len, err) < 0)
		return -1;
	if (len == 0)
		return 0;
	if (!io->ops->preadv)
		return unsupported(io, "read", err);
	return io->ops->preadv(io, iov, iovcnt, off, err);
}

int fvd_io_pwritev(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		   struct fvd_error *err)
{
	uint64_t len;

	if (check_iov(io, iov, iovcnt, off, "write", &len, err) < 0 ||
	    check_writable(io, "write", err) < 0)
		return -1;
	if (len == 0)
		return 0;
	if (!io->ops->pwritev)
		return unsupported(io, "write", err);
	return io->ops->pwritev(io, iov, iovcnt, off, err);
}

int fvd_io_pread(struct fvd_io *io, void *buf, size_t len, uint64_t off, struct fvd_error *err)
{
	struct iovec iov = { buf, len };

	return fvd_io_preadv(io, &iov, 1, off, err);
}

int fvd_io_pwrite(struct fvd_io *io, const void *buf, size_t len, uint64_t off,
		  struct fvd_error *err)
{
	/* An iovec has no const; nothing writes through this one. */
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return fvd_io_pwritev(io, &iov, 1, off, err);
}

int fvd_io_flush(struct fvd_io *io, struct fvd_error *err)
{
	return io->ops->flush ? io->ops->flush(io, err) : 0;
}

int fvd_io_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	return io->ops->length(io, len, err);
}

int fvd_io_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	uint64_t now;

	if (check_range(io, len, 0, "set the length to", err) < 0)
		return -1;
	if (io->ops->truncate && !io->block_device) {
		if (check_writable(io, "set the length", err) < 0)
			return -1;
		return io->ops->truncate(io, len, err);
	}
	if (fvd_io_length(io, &now, err) < 0)
		return -1;
	if (now == len)
		return 0;
	return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "%s: cannot set the length to %" PRIu64
			     ": it is fixed at %" PRIu64, io->name, len, now);
}

/* Cut [off, off+len) at the end of the file; what lies beyond reads as zero anyway. */
static int clip(struct fvd_io *io, uint64_t off, uint64_t *len, struct fvd_error *err)
{
	uint64_t end;

	if (fvd_io_length(io, &end, err) < 0)
		return -1;
	*len = off < end ? fvd_min(*len, end - off) : 0;
	return 0;
}

/* As the operation: 0 done, 1 cannot and nothing changed, -1 failed. */
static int try_punch(struct fvd_io *io, uint64_t off, uint64_t *len, struct fvd_error *err)
{
	if (check_range(io, off, *len, "zero", err) < 0 || check_writable(io, "zero", err) < 0 ||
	    clip(io, off, len, err) < 0)
		return -1;
	if (*len == 0)
		return 0;
	return io->ops->punch ? io->ops->punch(io, off, *len, err) : 1;
}

static int write_zeros(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	size_t cap = (size_t)fvd_min(len, PIECE);
	uint8_t *zeros = fvd_alloc_io(cap, err);
	int ret = zeros ? 0 : -1;

	if (zeros)
		memset(zeros, 0, cap);
	while (ret == 0 && len > 0) {
		size_t n = (size_t)fvd_min(len, cap);

		ret = fvd_io_pwrite(io, zeros, n, off, err);
		off += n;
		len -= n;
	}
	free(zeros);
	return ret;
}

int fvd_io_zero(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	int ret = try_punch(io, off, &len, err);

	return ret == 1 ? write_zeros(io, off, len, err) : ret;
}

int fvd_io_punch(struct fvd_io *io, uint64_t off, uint64_t len, bool *punched,
		 struct fvd_error *err)
{
	int ret = try_punch(io, off, &len, err);

	*punched = ret == 0;
	return ret < 0 ? -1 : 0;
}

static int extent_by_length(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
			    struct fvd_error *err)
{
	uint64_t end;

	if (fvd_io_length(io, &end, err) < 0)
		return -1;
	ext->hole = off >= end;
	ext->len = ext->hole ? UINT64_MAX : end - off;
	return 0;
}

int fvd_io_extent(struct fvd_io *io, uint64_t off, uint64_t max, struct fvd_io_extent *ext,
		  struct fvd_error *err)
{
	int ret;

	if (check_range(io, off, max, "map", err) < 0)
		return -1;
	if (max == 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "%s: cannot map 0 bytes at offset %"
				     PRIu64, io->name, off);
	ret = io->ops->extent ? io->ops->extent(io, off, ext, err) :
				extent_by_length(io, off, ext, err);
	if (ret < 0)
		return -1;
	ext->len = fvd_min(ext->len, max);
	return 0;
}

int fvd_io_allocated(struct fvd_io *io, uint64_t off, uint64_t len, uint64_t *bytes,
		     struct fvd_error *err)
{
	struct fvd_io_extent ext;

	*bytes = 0;
	for (; len > 0; off += ext.len, len -= ext.len) {
		if (fvd_io_extent(io, off, len, &ext, err) < 0)
			return -1;
		if (!ext.hole)
			*bytes += ext.len;
	}
	return 0;
}

/* By the system as far as it goes; what is left over is in *len. */
static int copy_by_system(struct fvd_io *src, uint64_t *src_off, struct fvd_io *dst,
			  uint64_t *dst_off, uint64_t *len, struct fvd_error *err)
{
	/* Two backends that share the operation understand each other's structs. */
	if (!src->ops->copy || src->ops->copy != dst->ops->copy)
		return 0;
	while (*len > 0) {
		uint64_t done = 0;

		if (src->ops->copy(src, *src_off, dst, *dst_off, *len, &done, err) < 0)
			return -1;
		if (done == 0)
			return 0;
		*src_off += done;
		*dst_off += done;
		*len -= done;
	}
	return 0;
}

static int copy_by_buffer(struct fvd_io *src, uint64_t src_off, struct fvd_io *dst,
			  uint64_t dst_off, uint64_t len, bool backwards, struct fvd_error *err)
{
	size_t cap = (size_t)fvd_min(len, PIECE);
	void *buf = fvd_alloc_io(cap, err);
	int ret = buf ? 0 : -1;

	for (uint64_t done = 0; ret == 0 && done < len;) {
		size_t n = (size_t)fvd_min(len - done, cap);
		uint64_t at = backwards ? len - done - n : done;

		ret = fvd_io_pread(src, buf, n, src_off + at, err);
		if (ret == 0)
			ret = fvd_io_pwrite(dst, buf, n, dst_off + at, err);
		done += n;
	}
	free(buf);
	return ret;
}

int fvd_io_copy(struct fvd_io *src, uint64_t src_off, struct fvd_io *dst, uint64_t dst_off,
		uint64_t len, struct fvd_error *err)
{
	bool overlap;

	if (check_range(src, src_off, len, "read", err) < 0 ||
	    check_range(dst, dst_off, len, "write", err) < 0 ||
	    check_writable(dst, "write", err) < 0)
		return -1;
	overlap = src == dst && src_off < dst_off + len && dst_off < src_off + len;
	if (len == 0 || (overlap && src_off == dst_off))
		return 0;
	if (!overlap && copy_by_system(src, &src_off, dst, &dst_off, &len, err) < 0)
		return -1;
	if (len == 0)
		return 0;
	return copy_by_buffer(src, src_off, dst, dst_off, len, overlap && src_off < dst_off, err);
}

void fvd_io_writeback(struct fvd_io *io, uint64_t off, uint64_t len)
{
	if (io->ops->writeback && fvd_in_range(off, len, FVD_MAX_OFF) && len > 0)
		io->ops->writeback(io, off, len);
}

void fvd_io_close(struct fvd_io *io)
{
	if (io)
		io->ops->close(io);
}
