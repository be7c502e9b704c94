/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small images in memory, built from the format's encoders, for tests. Every function asserts
 * (cmocka) that it works. mk_header + mk_image give an empty, clean image; the rest changes it
 * behind the library's back.
 */
#ifndef TESTS_SUPPORT_MKIMAGE_H
#define TESTS_SUPPORT_MKIMAGE_H

#include "format/header.h"
#include "io/io.h"

/* Sizes in bytes; base 0: no base; chunk 0: no table; journal 0: none. As fvd_layout_plan. */
struct fvd_header mk_header(uint64_t size, uint64_t base, uint64_t block, uint64_t chunk,
			    uint64_t journal);
/* The same as revision 1, as its original driver lays it out. */
struct fvd_header mk_header_rev1(uint64_t size, uint64_t base, uint64_t block, uint64_t chunk,
				 uint64_t journal);
/* Header, empty table, no bits, and nothing behind the regions. */
struct fvd_io *mk_image(const struct fvd_header *h);
/* Put @h over the header of @io (revision 2: the whole region). */
void mk_put_header(struct fvd_io *io, const struct fvd_header *h);
void mk_entry(struct fvd_io *io, const struct fvd_header *h, uint64_t chunk, uint32_t entry);
void mk_bit(struct fvd_io *io, const struct fvd_header *h, uint64_t block);
uint32_t mk_get_entry(struct fvd_io *io, const struct fvd_header *h, uint64_t chunk);
bool mk_get_bit(struct fvd_io *io, const struct fvd_header *h, uint64_t block);
/* Fill @len bytes at @off with @value. */
void mk_fill(struct fvd_io *io, uint64_t off, uint64_t len, uint8_t value);

/* A journal sector in the making. */
struct mk_sector {
	uint8_t b[512];
	size_t used;
};

void mk_table(struct mk_sector *s, uint64_t epoch, uint32_t first, const uint32_t *entries,
	      uint32_t n);
void mk_table_rev1(struct mk_sector *s, uint32_t first, const uint32_t *entries, uint32_t n);
void mk_bits(struct mk_sector *s, uint64_t first_sector, uint32_t sectors);
void mk_put(struct fvd_io *io, const struct fvd_header *h, uint64_t index,
	    const struct mk_sector *s);
/* One TABLE record with one entry; one BITMAP record. */
void mk_put_table(struct fvd_io *io, const struct fvd_header *h, uint64_t index, uint64_t epoch,
		  uint32_t chunk, uint32_t entry);
void mk_put_bits(struct fvd_io *io, const struct fvd_header *h, uint64_t index,
		 uint64_t first_sector, uint32_t sectors);

/* All bytes of @io, malloc()ed; another io with the same bytes. */
uint8_t *mk_bytes(struct fvd_io *io, uint64_t *len);
struct fvd_io *mk_clone(struct fvd_io *io);

/*
 * Passes through to @inner (not owned), counts, and refuses the write, truncate or flush number
 * @fail_at (from 0). Each is also noted in @log: 'w' off len, 'f', 't' len.
 */
struct mk_event {
	char what;
	uint64_t off, len;
};

struct mk_recorder {
	struct fvd_io io;
	struct fvd_io *inner;
	struct mk_event log[512];
	unsigned count, fail_at;
	uint64_t bad_read;	/* a read that touches this byte fails; UINT64_MAX: none */
};

void mk_record(struct mk_recorder *r, struct fvd_io *inner);

#endif
