/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests on real files: a folder that goes away, and whole files as arrays. */
#ifndef FVD_TESTS_TEMPDIR_H
#define FVD_TESTS_TEMPDIR_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

/* The folder of this process; made at the first call. */
static inline const char *tempdir(void)
{
	static char dir[256];
	const char *top = getenv("TMPDIR");

	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "%s/fvd-test-XXXXXX", top ? top : "/tmp");
		assert_non_null(mkdtemp(dir));
	}
	return dir;
}

/* "DIR/NAME"; up to eight are kept. */
static inline const char *in_tempdir(const char *name)
{
	static char names[8][512];
	static unsigned at;
	char *out = names[at++ % 8];

	snprintf(out, sizeof(names[0]), "%s/%s", tempdir(), name);
	return out;
}

/* How many files there are in the folder. */
static inline int tempdir_count(void)
{
	DIR *d = opendir(tempdir());
	int count = 0;

	assert_non_null(d);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return count;
}

static inline void tempdir_empty(void)
{
	DIR *d = opendir(tempdir());

	assert_non_null(d);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

static inline int tempdir_teardown(void **state)
{
	(void)state;
	tempdir_empty();
	return 0;
}

static inline int tempdir_group_teardown(void **state)
{
	(void)state;
	tempdir_empty();
	return rmdir(tempdir());
}

/* Write @len bytes as file @name, pages of zeros as holes. */
static inline void put_file(const char *name, const uint8_t *data, size_t len)
{
	static const uint8_t zeros[4096];
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	for (size_t off = 0; off < len; off += 4096) {
		size_t n = len - off < 4096 ? len - off : 4096;

		if (memcmp(data + off, zeros, n) != 0)
			assert_int_equal(pwrite(fd, data + off, n, (off_t)off), n);
	}
	close(fd);
}

static inline uint64_t file_size(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return (uint64_t)st.st_size;
}

static inline uint64_t file_storage(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* The file is @len bytes long and holds @data. */
static inline void assert_file(const char *name, const uint8_t *data, size_t len)
{
	int fd = open(name, O_RDONLY);
	uint8_t got[65536];

	assert_true(fd >= 0);
	assert_int_equal(file_size(name), len);
	for (size_t off = 0; off < len; off += sizeof(got)) {
		size_t n = len - off < sizeof(got) ? len - off : sizeof(got);

		assert_int_equal(pread(fd, got, n, (off_t)off), n);
		if (memcmp(got, data + off, n) == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (got[i] != data[off + i])
				fail_msg("%s differs at %zu of %zu", name, off + i, len);
	}
	close(fd);
}

static inline void assert_ok(int ret, const struct fvd_error *err)
{
	if (ret != 0)
		fail_msg("%s: %s", fvd_error_class_name(err->class), err->text);
}

static inline void assert_fails(int ret, const struct fvd_error *err,
				enum fvd_error_class class, const char *text)
{
	if (ret == 0)
		fail_msg("works; \"%s\" expected", text);
	if (err->class != class || !strstr(err->text, text))
		fail_msg("%s: \"%s\", not %s: \"%s\"", fvd_error_class_name(err->class), err->text,
			 fvd_error_class_name(class), text);
}

#endif
