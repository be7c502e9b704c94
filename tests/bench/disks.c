/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw disks for the benchmark.
 *
 * disks scatter FILE SIZE PIECE COUNT: a sparse file with COUNT pieces of PIECE bytes at places
 * that look random and are the same each time.
 * disks freed BEFORE AFTER: the ranges of 4 KiB blocks that hold something in BEFORE and are
 * zero in AFTER, as lines "OFFSET LENGTH".
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096
#define PART ((size_t)1 << 20)
#define LONGEST ((uint64_t)16 << 20)	/* what qemu-io can take into its memory at once */

static int fail(const char *what)
{
	fprintf(stderr, "disks: %s: %s\n", what, strerror(errno));
	return 1;
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 20;
}

static int scatter(const char *name, uint64_t size, uint64_t piece, uint64_t count)
{
	unsigned char *buf = malloc(piece);
	uint64_t state = 1;
	int rc = 0, fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (!buf || fd < 0 || ftruncate(fd, (off_t)size) < 0)
		rc = fail(name);
	for (uint64_t i = 0; i < count && rc == 0; i++) {
		uint64_t off = next_random(&state) % (size / piece) * piece;

		memset(buf, (int)(1 + i % 255), piece);
		if (pwrite(fd, buf, piece, (off_t)off) != (ssize_t)piece)
			rc = fail(name);
	}
	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = fail(name);
	free(buf);
	return rc;
}

/* A part of a file, zeros behind its end. */
static bool read_part(int fd, unsigned char *buf, uint64_t off)
{
	ssize_t n = pread(fd, buf, PART, (off_t)off);

	if (n < 0)
		return false;
	memset(buf + n, 0, PART - (size_t)n);
	return true;
}

struct range {
	uint64_t off, len;
};

static void add_block(struct range *r, uint64_t off)
{
	if (r->len && r->off + r->len == off && r->len < LONGEST) {
		r->len += BLOCK;
		return;
	}
	if (r->len)
		printf("%" PRIu64 " %" PRIu64 "\n", r->off, r->len);
	*r = (struct range){ off, BLOCK };
}

static int freed(const char *before, const char *after)
{
	static const unsigned char zeros[BLOCK];
	int fd[2] = { open(before, O_RDONLY | O_CLOEXEC), open(after, O_RDONLY | O_CLOEXEC) };
	unsigned char *buf[2] = { malloc(PART), malloc(PART) };
	struct range r = { 0, 0 };
	struct stat st;
	int rc = 0;

	if (fd[0] < 0 || fstat(fd[0], &st) < 0)
		return fail(before);
	if (fd[1] < 0 || !buf[0] || !buf[1])
		return fail(after);
	for (uint64_t off = 0; off < (uint64_t)st.st_size && rc == 0; off += PART) {
		if (!read_part(fd[0], buf[0], off) || !read_part(fd[1], buf[1], off))
			rc = fail("read");
		for (size_t i = 0; i < PART && rc == 0; i += BLOCK)
			if (memcmp(buf[0] + i, zeros, BLOCK) != 0 &&
			    memcmp(buf[1] + i, zeros, BLOCK) == 0)
				add_block(&r, off + i);
	}
	if (r.len)
		printf("%" PRIu64 " %" PRIu64 "\n", r.off, r.len);
	free(buf[0]);
	free(buf[1]);
	close(fd[0]);
	close(fd[1]);
	return rc || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "scatter") == 0)
		return scatter(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
			       strtoull(argv[5], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "freed") == 0)
		return freed(argv[2], argv[3]);
	fprintf(stderr, "usage: disks scatter FILE SIZE PIECE COUNT | disks freed BEFORE AFTER\n");
	return 2;
}
