/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal under load, through the engine.
 *
 * journal fill IMAGE: write and discard scattered chunks until every sector of the journal is
 * used, then let go of the image as a crash would.
 * journal write IMAGE COUNT [flush]: COUNT writes of 4 KiB, each into a chunk of its own, in an
 * order that looks random; with a flush after each if asked. Prints what the engine has counted up
 * to then, the closing not included, as lines "NAME NUMBER".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/image.h"

#define CHUNKS 65536	/* a pass of "fill": far more than one journal buffer holds */
#define PIECE 4096
#define BUFFER (UINT64_C(64) << 10)

static unsigned char piece[PIECE];

/*
 * Buffers go out when they are full, and the update that finds the journal full begins it again.
 * So near its end each update is flushed, and the last sector is seen before that.
 */
static int fill_step(struct fvd_image *img, uint64_t journal_size, bool *full,
		     struct fvd_error *err)
{
	struct fvd_image_stats stats;

	fvd_image_stats(img, &stats);
	if (journal_size - stats.journal_bytes < 2 * BUFFER && fvd_image_flush(img, err) < 0)
		return -1;
	fvd_image_stats(img, &stats);
	if (stats.recycles)
		return fvd_error_set(err, FVD_ERR_INVALID, "the journal began again");
	*full = stats.journal_bytes == journal_size;
	return 0;
}

/* Every second chunk: neighbours would share a record. */
static int fill_pass(struct fvd_image *img, bool discard, bool *full, struct fvd_error *err)
{
	const struct fvd_header *h = fvd_image_header(img);

	for (uint64_t i = 0; i < CHUNKS && !*full; i++) {
		uint64_t off = 2 * i * h->chunk_size;

		if (discard ? fvd_image_discard(img, h->chunk_size, off, err) :
			      fvd_image_write(img, piece, 512, off, err))
			return -1;
		if (fill_step(img, h->journal_size, full, err) < 0)
			return -1;
	}
	return 0;
}

static int fill(struct fvd_image *img, struct fvd_error *err)
{
	const struct fvd_header *h = fvd_image_header(img);
	bool full = false;

	if (h->chunk_size * 2 * CHUNKS > h->virtual_size || h->journal_size == 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "wants a journal and %d chunks",
				     2 * CHUNKS);
	for (bool discard = false; !full; discard = !discard)
		if (fill_pass(img, discard, &full, err) < 0)
			return -1;
	return 0;
}

static int write_scattered(struct fvd_image *img, uint64_t count, bool flush,
			   struct fvd_error *err)
{
	const struct fvd_header *h = fvd_image_header(img);
	uint64_t chunks = h->chunk_size ? h->virtual_size / h->chunk_size : 0;

	if (count > chunks)
		return fvd_error_set(err, FVD_ERR_INVALID, "%" PRIu64 " chunks wanted, %" PRIu64
				     " there", count, chunks);
	/* 7919 is prime, and no number of chunks here is a multiple of it. */
	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = i * 7919 % chunks * h->chunk_size;

		if (fvd_image_write(img, piece, PIECE, off, err) < 0)
			return -1;
		if (flush && fvd_image_flush(img, err) < 0)
			return -1;
	}
	return 0;
}

static void print_stats(struct fvd_image *img)
{
	struct fvd_image_stats s;

	fvd_image_stats(img, &s);
	printf("journal_writes %" PRIu64 "\njournal_bytes %" PRIu64 "\n", s.journal_writes,
	       s.journal_bytes);
	printf("table_updates %" PRIu64 "\ndata_writes %" PRIu64 "\n", s.table_updates,
	       s.data_writes);
	printf("syncs %" PRIu64 "\ndata_syncs %" PRIu64 "\n", s.syncs, s.data_syncs);
}

static int usage(void)
{
	fprintf(stderr, "usage: journal fill IMAGE | journal write IMAGE COUNT [flush]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;
	struct fvd_image *img;
	struct fvd_error err;
	bool filling = argc == 3 && strcmp(argv[1], "fill") == 0;
	int rc;

	if (!filling && (argc < 4 || strcmp(argv[1], "write") != 0))
		return usage();
	memset(piece, 0x5a, sizeof(piece));
	opts.flags = FVD_OPEN_WRITE;
	if (filling)	/* whole buffers only, whatever the time it takes */
		opts.commit_interval_ms = FVD_COMMIT_ON_DEMAND;
	opts.journal_buffer = BUFFER;
	rc = fvd_image_open(argv[2], &opts, &img, &err);
	if (rc == 0 && filling) {
		rc = fill(img, &err);
		fvd_image_drop(img);
	} else if (rc == 0) {
		rc = write_scattered(img, strtoull(argv[3], NULL, 10), argc > 4, &err);
		print_stats(img);
		if (rc == 0)
			rc = fvd_image_close(img, &err);
	}
	if (rc < 0)
		fprintf(stderr, "journal: %s\n", err.text);
	return rc < 0;
}
