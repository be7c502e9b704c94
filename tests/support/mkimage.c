/* SPDX-License-Identifier: BSD-2-Clause */
#include "mkimage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/jrecord.h"
#include "format/layout.h"
#include "format/table.h"
#include "io/io_mem.h"
#include "util/num.h"

static void must(int ret, const struct fvd_error *err)
{
	if (ret < 0)
		fail_msg("%s", err->text);
}

struct fvd_header mk_header(uint64_t size, uint64_t base, uint64_t block, uint64_t chunk,
			    uint64_t journal)
{
	struct fvd_header h;
	struct fvd_error err;

	memset(&h, 0, sizeof(h));
	h.revision = 2;
	h.virtual_size = size;
	h.base_size = base;
	h.block_size = block;
	h.chunk_size = chunk;
	h.journal_size = journal;
	h.grow_unit = FVD_DEFAULT_GROW;
	h.stable_epoch = 1;
	h.clean_shutdown = 1;
	h.prefetch_start_delay = -1;
	if (base > 0)
		strcpy(h.base_img, "base.raw");
	must(fvd_layout_plan(&h, &err), &err);
	return h;
}

struct fvd_header mk_header_rev1(uint64_t size, uint64_t base, uint64_t block, uint64_t chunk,
				 uint64_t journal)
{
	struct fvd_header h;

	memset(&h, 0, sizeof(h));
	h.revision = 1;
	h.virtual_size = size;
	h.base_size = base;
	h.block_size = block;
	h.chunk_size = chunk;
	h.journal_size = journal;
	h.clean_shutdown = 1;
	h.bitmap_offset = FVD_HEADER_REGION;
	if (base > 0) {
		strcpy(h.base_img, "base.raw");
		h.bitmap_size = fvd_round_up(fvd_div_up(fvd_div_up(base, block), 8), FVD_PAGE);
	}
	h.table_offset = h.bitmap_offset + h.bitmap_size;
	if (chunk > 0)
		h.table_size = fvd_round_up(fvd_div_up(size, chunk) * 4, FVD_PAGE);
	h.journal_offset = h.table_offset + h.table_size;
	h.metadata_size = h.journal_offset + journal;
	h.data_offset = h.metadata_size;
	return h;
}

static void put32(uint8_t *at, uint32_t v)
{
	fvd_le32 le = fvd_to_le32(v);

	memcpy(at, le.b, 4);
}

static void put64(uint8_t *at, uint64_t v)
{
	fvd_le64 le = fvd_to_le64(v);

	memcpy(at, le.b, 8);
}

/* FORMAT 9. */
static void encode_rev1(const struct fvd_header *h, uint8_t *b)
{
	memset(b, 0, FVD_HEADER_REGION);
	put32(b, FVD_MAGIC_REV1);
	put32(b + 4, 1);
	put32(b + 8, h->fully_prefetched);
	put64(b + 12, h->virtual_size);
	put64(b + 20, h->metadata_size);
	memcpy(b + 28, h->base_img, 1024);
	put64(b + 1068, h->base_size);
	put64(b + 1076, h->bitmap_offset);
	put64(b + 1084, h->bitmap_size);
	put32(b + 1092, (uint32_t)h->block_size);
	memcpy(b + 1108, h->data_file, 1024);
	put32(b + 2208, h->chunk_size > 0);
	put64(b + 2212, h->table_offset);
	put64(b + 2220, h->chunk_size);
	put64(b + 4284, h->journal_offset);
	put64(b + 4292, h->journal_size);
	put32(b + 4300, h->clean_shutdown);
}

void mk_put_header(struct fvd_io *io, const struct fvd_header *h)
{
	uint8_t region[FVD_HEADER_REGION];
	struct fvd_error err;

	if (h->revision == 1)
		encode_rev1(h, region);
	else
		fvd_header_encode(h, region);
	must(fvd_io_pwrite(io, region, sizeof(region), 0, &err), &err);
}

struct fvd_io *mk_image(const struct fvd_header *h)
{
	uint64_t end = fvd_max(FVD_HEADER_REGION, h->bitmap_offset + h->bitmap_size);
	struct fvd_error err;
	struct fvd_io *io;

	end = fvd_max(end, h->journal_offset + h->journal_size);
	end = fvd_max(end, h->table_offset + h->table_size);
	end = fvd_max(end, h->data_offset);
	io = fvd_io_mem_new("disk.fvd", end, &err);
	assert_non_null(io);
	mk_put_header(io, h);
	if (fvd_header_has_table(h))
		mk_fill(io, h->table_offset, h->table_size, 0xFF);
	return io;
}

void mk_entry(struct fvd_io *io, const struct fvd_header *h, uint64_t chunk, uint32_t entry)
{
	fvd_le32 le = fvd_to_le32(entry);
	struct fvd_error err;

	must(fvd_io_pwrite(io, &le, 4, h->table_offset + 4 * chunk, &err), &err);
}

void mk_bit(struct fvd_io *io, const struct fvd_header *h, uint64_t block)
{
	uint64_t off = h->bitmap_offset + block / 8;
	struct fvd_error err;
	uint8_t byte;

	must(fvd_io_pread(io, &byte, 1, off, &err), &err);
	byte |= (uint8_t)(1u << (block % 8));
	must(fvd_io_pwrite(io, &byte, 1, off, &err), &err);
}

uint32_t mk_get_entry(struct fvd_io *io, const struct fvd_header *h, uint64_t chunk)
{
	struct fvd_error err;
	fvd_le32 le;

	must(fvd_io_pread(io, &le, 4, h->table_offset + 4 * chunk, &err), &err);
	return fvd_get_le32(le);
}

bool mk_get_bit(struct fvd_io *io, const struct fvd_header *h, uint64_t block)
{
	struct fvd_error err;
	uint8_t byte;

	must(fvd_io_pread(io, &byte, 1, h->bitmap_offset + block / 8, &err), &err);
	return byte >> (block % 8) & 1;
}

void mk_fill(struct fvd_io *io, uint64_t off, uint64_t len, uint8_t value)
{
	struct fvd_error err;
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	memset(buf, value, len);
	must(fvd_io_pwrite(io, buf, len, off, &err), &err);
	free(buf);
}

void mk_table(struct mk_sector *s, uint64_t epoch, uint32_t first, const uint32_t *entries,
	      uint32_t n)
{
	assert_true(fvd_jsector_put_table(s->b, &s->used, epoch, first, entries, n));
}

void mk_table_rev1(struct mk_sector *s, uint32_t first, const uint32_t *entries, uint32_t n)
{
	assert_true(s->used + 12 + 4 * n <= sizeof(s->b));
	put32(s->b + s->used, FVD_JREC_TABLE);
	put32(s->b + s->used + 4, first);
	put32(s->b + s->used + 8, n);
	for (uint32_t i = 0; i < n; i++)
		put32(s->b + s->used + 12 + 4 * i, entries[i]);
	s->used += 12 + 4 * n;
}

void mk_bits(struct mk_sector *s, uint64_t first_sector, uint32_t sectors)
{
	assert_true(fvd_jsector_put_bitmap(s->b, &s->used, first_sector, sectors));
}

void mk_put(struct fvd_io *io, const struct fvd_header *h, uint64_t index,
	    const struct mk_sector *s)
{
	struct fvd_error err;

	must(fvd_io_pwrite(io, s->b, sizeof(s->b), h->journal_offset + 512 * index, &err), &err);
}

void mk_put_table(struct fvd_io *io, const struct fvd_header *h, uint64_t index, uint64_t epoch,
		  uint32_t chunk, uint32_t entry)
{
	struct mk_sector s = { { 0 }, 0 };

	if (h->revision == 1)
		mk_table_rev1(&s, chunk, &entry, 1);
	else
		mk_table(&s, epoch, chunk, &entry, 1);
	mk_put(io, h, index, &s);
}

void mk_put_bits(struct fvd_io *io, const struct fvd_header *h, uint64_t index,
		 uint64_t first_sector, uint32_t sectors)
{
	struct mk_sector s = { { 0 }, 0 };

	mk_bits(&s, first_sector, sectors);
	mk_put(io, h, index, &s);
}

uint8_t *mk_bytes(struct fvd_io *io, uint64_t *len)
{
	struct fvd_error err;
	uint8_t *buf;

	must(fvd_io_length(io, len, &err), &err);
	buf = malloc(*len + 1);
	assert_non_null(buf);
	must(fvd_io_pread(io, buf, *len, 0, &err), &err);
	return buf;
}

struct fvd_io *mk_clone(struct fvd_io *io)
{
	struct fvd_error err;
	struct fvd_io *copy;
	uint64_t len;

	must(fvd_io_length(io, &len, &err), &err);
	copy = fvd_io_mem_new(io->name, len, &err);
	assert_non_null(copy);
	must(fvd_io_copy(io, 0, copy, 0, len, &err), &err);
	return copy;
}

static struct mk_recorder *recorder(struct fvd_io *io)
{
	return (struct mk_recorder *)(void *)io;
}

static int note(struct mk_recorder *r, char what, uint64_t off, uint64_t len,
		struct fvd_error *err)
{
	if (r->count >= r->fail_at)
		return fvd_error_set(err, FVD_ERR_IO, "refused by the test");
	assert_true(r->count < sizeof(r->log) / sizeof(r->log[0]));
	r->log[r->count++] = (struct mk_event){ what, off, len };
	return 0;
}

static uint64_t iov_bytes(const struct iovec *iov, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int rec_preadv(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		      struct fvd_error *err)
{
	struct mk_recorder *r = recorder(io);

	if (r->bad_read >= off && r->bad_read < off + iov_bytes(iov, n))
		return fvd_error_set(err, FVD_ERR_IO, "bad spot at %llu",
				     (unsigned long long)r->bad_read);
	return fvd_io_preadv(r->inner, iov, n, off, err);
}

static int rec_pwritev(struct fvd_io *io, const struct iovec *iov, int n, uint64_t off,
		       struct fvd_error *err)
{
	struct mk_recorder *r = recorder(io);

	if (note(r, 'w', off, iov_bytes(iov, n), err) < 0)
		return -1;
	return fvd_io_pwritev(r->inner, iov, n, off, err);
}

static int rec_flush(struct fvd_io *io, struct fvd_error *err)
{
	struct mk_recorder *r = recorder(io);

	return note(r, 'f', 0, 0, err) < 0 ? -1 : fvd_io_flush(r->inner, err);
}

static int rec_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	return fvd_io_length(recorder(io)->inner, len, err);
}

static int rec_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	struct mk_recorder *r = recorder(io);

	return note(r, 't', 0, len, err) < 0 ? -1 : fvd_io_truncate(r->inner, len, err);
}

static int rec_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
		      struct fvd_error *err)
{
	return fvd_io_extent(recorder(io)->inner, off, INT64_MAX - off, ext, err);
}

/* The caller's memory, on the stack more often than not. */
static void rec_close(struct fvd_io *io)
{
	(void)io;
}

static const struct fvd_io_ops recorder_ops = {
	.name = "recorder",
	.preadv = rec_preadv,
	.pwritev = rec_pwritev,
	.flush = rec_flush,
	.length = rec_length,
	.truncate = rec_truncate,
	.extent = rec_extent,
	.close = rec_close,
};

void mk_record(struct mk_recorder *r, struct fvd_io *inner)
{
	memset(r, 0, sizeof(*r));
	r->io.ops = &recorder_ops;
	r->io.name = inner->name;
	r->inner = inner;
	r->fail_at = UINT32_MAX;
	r->bad_read = UINT64_MAX;
}
