/* SPDX-License-Identifier: BSD-2-Clause */
/* From bytes in a buffer to what has to be stored of them. */
#include <string.h>

#include "ops/copy.h"
#include "ops/copy_store.h"
#include "util/num.h"
#include "util/zero.h"

/* On a device shorter zeros are written with their neighbours. */
#define DEVICE_RUN (64u * 1024)

/* The run of zeros, or of data, that starts @buf; its grid is that of guest addresses. */
static size_t next_run(const struct fvd_copy *c, const uint8_t *buf, size_t len, uint64_t off,
		       bool *zero)
{
	uint64_t unit = c->sink->device ? fvd_max(c->sparse, DEVICE_RUN) : c->sparse;
	uint64_t lead = off % unit;

	if (lead) {
		len = (size_t)fvd_min(len, unit - lead);
		*zero = fvd_is_zero(buf, len);
		return len;
	}
	return fvd_zero_run(buf, len, (size_t)fvd_min(unit, SIZE_MAX), zero);
}

int fvd_store_plain(struct fvd_copy *c, const uint8_t *buf, size_t len, uint64_t off,
		    struct fvd_error *err)
{
	size_t run;
	bool zero;

	for (; len > 0; buf += run, off += run, len -= run) {
		run = len;
		zero = false;
		if (c->sparse)
			run = next_run(c, buf, len, off, &zero);
		if (!zero && fvd_sink_write(c->sink, buf, run, off, err) < 0)
			return -1;
		if (zero && c->sink->device && fvd_sink_zero(c->sink, off, run, err) < 0)
			return -1;
		*(zero ? &c->zero_bytes : &c->written_bytes) += run;
	}
	return 0;
}

enum verdict { SAME, ZERO, DATA };

static enum verdict judge(const uint8_t *buf, const uint8_t *base, size_t len)
{
	if (memcmp(buf, base, len) == 0)
		return SAME;
	return fvd_is_zero(buf, len) ? ZERO : DATA;
}

static int store_blocks(struct fvd_copy *c, enum verdict verdict, const uint8_t *buf, size_t len,
			uint64_t off, struct fvd_error *err)
{
	if (verdict == SAME) {
		c->same_bytes += len;
		return 0;
	}
	if (verdict == DATA)
		return fvd_store_plain(c, buf, len, off, err);
	c->zero_bytes += len;
	return fvd_sink_zero(c->sink, off, len, err);
}

int fvd_store_differing(struct fvd_copy *c, const uint8_t *buf, const uint8_t *base, size_t len,
			uint64_t off, struct fvd_error *err)
{
	size_t start = 0, pos = 0;
	enum verdict run = SAME;

	while (pos < len) {
		size_t n = (size_t)fvd_min(c->block_size, len - pos);
		enum verdict now = judge(buf + pos, base + pos, n);

		if (now != run && pos > start) {
			if (store_blocks(c, run, buf + start, pos - start, off + start, err) < 0)
				return -1;
			start = pos;
		}
		run = now;
		pos += n;
	}
	return store_blocks(c, run, buf + start, len - start, off + start, err);
}

int fvd_copy_store(struct fvd_copy *c, const void *buf, void *other, size_t len, uint64_t off,
		   struct fvd_error *err)
{
	const uint8_t *from = buf;
	size_t n = 0;

	if (c->base && off < c->base_size) {
		n = (size_t)fvd_min(len, c->base_size - off);
		if (fvd_source_read(c->base, other, n, off, err) < 0 ||
		    fvd_store_differing(c, from, other, n, off, err) < 0)
			return -1;
	}
	return fvd_store_plain(c, from + n, len - n, off + n, err);
}
