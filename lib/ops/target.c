/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_open.h"
#include "ops/target.h"

/* Bytes of the final name kept in the temporary one, so that it stays below NAME_MAX. */
#define KEEP_NAME 200
#define TRIES 100

struct fvd_target {
	char *name, *temp;		/* temp is NULL for a block device */
	char *data_name;		/* NULL without a data file */
	struct fvd_io *io, *data;
	bool replace, exists;
	mode_t mode;			/* of the file to be replaced */
};

static void target_free(struct fvd_target *t)
{
	fvd_io_close(t->io);
	fvd_io_close(t->data);
	free(t->name);
	free(t->temp);
	free(t->data_name);
	free(t);
}

static int refuse_type(const char *name, mode_t mode, struct fvd_error *err)
{
	char real[PATH_MAX];

	if (S_ISLNK(mode) && realpath(name, real))
		return fvd_error_set(err, FVD_ERR_UNSUPPORTED,
				     "%s: is a symbolic link, not written through: name %s itself",
				     name, real);
	return fvd_error_set(err, FVD_ERR_UNSUPPORTED,
			     "%s: is %s, not a regular file or block device", name,
			     S_ISLNK(mode) ? "a symbolic link" : S_ISDIR(mode) ? "a directory" :
			     S_ISFIFO(mode) ? "a FIFO" : "a special file");
}

/* @t->exists, @t->mode and *device, from what the final name is now. */
static int look(struct fvd_target *t, bool *device, struct fvd_error *err)
{
	struct stat st;
	size_t n;

	*device = false;
	if (fvd_name_has_scheme(t->name, &n))
		return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "%s: \"%.*s:\" cannot be written; "
				     "write ./NAME for a file of that name", t->name, (int)n,
				     t->name);
	if (lstat(t->name, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return fvd_error_sys(err, errno, "%s: cannot create", t->name);
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return refuse_type(t->name, st.st_mode, err);
	*device = S_ISBLK(st.st_mode);
	if (!*device && !t->replace)
		return fvd_error_sys(err, EEXIST, "%s: cannot create", t->name);
	t->exists = !*device;
	t->mode = st.st_mode & 0777;
	return 0;
}

static char *temp_name(const char *name, struct fvd_error *err)
{
	const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
	uint64_t number;
	char *out = NULL;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number)) {
		fvd_error_sys(err, errno, "%s: cannot get random bytes for a temporary name", name);
		return NULL;
	}
	if (asprintf(&out, "%.*s.%.*s.%016" PRIx64, (int)(last - name), name, KEEP_NAME, last,
		     number) < 0) {
		fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory for a temporary name", name);
		return NULL;
	}
	return out;
}

static int open_temp(struct fvd_target *t, struct fvd_error *err)
{
	struct fvd_opener *files = fvd_opener_files();
	struct fvd_error e = { 0 };

	for (int i = 0; i < TRIES; i++) {
		free(t->temp);
		t->temp = temp_name(t->name, err);
		if (!t->temp)
			return -1;
		if (files->open(files, t->temp, FVD_IO_CREATE | FVD_IO_NOFOLLOW, FVD_LOCK_NONE,
				&t->io, &e) == 0)
			break;
		if (e.errnum != EEXIST) {
			/* Nothing of ours to remove; and the final name is what people know. */
			free(t->temp);
			t->temp = NULL;
			if (e.class != FVD_ERR_IO || e.errnum == 0)
				return fvd_error_set(err, e.class, "%s", e.text);
			return fvd_error_sys(err, e.errnum, "%s: cannot create", t->name);
		}
	}
	if (!t->io) {
		free(t->temp);
		t->temp = NULL;
		return fvd_error_sys(err, EEXIST, "%s: no temporary name is free", t->name);
	}
	/* A private disk must not become readable by being written anew. */
	if (t->exists && chmod(t->temp, t->mode) < 0)
		return fvd_error_sys(err, errno, "%s: cannot set the mode", t->temp);
	return 0;
}

/* Messages name what the user asked for, not the temporary file. */
static int call_it(struct fvd_target *t, struct fvd_error *err)
{
	char *name = strdup(t->name);

	if (!name)
		return fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory", t->name);
	free(t->io->name);
	t->io->name = name;
	return 0;
}

int fvd_target_begin(const char *name, bool replace, struct fvd_target **out,
		     struct fvd_error *err)
{
	struct fvd_opener *files = fvd_opener_files();
	struct fvd_target *t = calloc(1, sizeof(*t));
	bool device;
	int ret = -1;

	*out = NULL;
	if (t)
		t->name = strdup(name);
	if (!t || !t->name) {
		free(t);
		return fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory", name);
	}
	t->replace = replace;
	if (look(t, &device, err) < 0)
		goto out;
	if (device)
		ret = files->open(files, name, FVD_IO_WRITE | FVD_IO_NOFOLLOW, FVD_LOCK_EXCLUSIVE,
				  &t->io, err);
	else
		ret = open_temp(t, err);
	if (ret == 0 && !device)
		ret = call_it(t, err);
out:
	if (ret < 0)
		fvd_target_abort(t);
	else
		*out = t;
	return ret;
}

struct fvd_io *fvd_target_io(struct fvd_target *t)
{
	return t->io;
}

struct fvd_io *fvd_target_data(struct fvd_target *t)
{
	return t->data;
}

const char *fvd_target_temp_name(const struct fvd_target *t)
{
	return t->temp ? t->temp : t->name;
}

/* The image's final name may be the data file that has just been made. */
static int check_distinct(const struct fvd_target *t, struct fvd_error *err)
{
	struct stat image, data;

	if (lstat(t->name, &image) < 0 || lstat(t->data_name, &data) < 0 ||
	    image.st_dev != data.st_dev || image.st_ino != data.st_ino)
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "data file %s: is the image itself",
			     t->data_name);
}

int fvd_target_add_data(struct fvd_target *t, const char *data_file, uint64_t len,
			struct fvd_error *err)
{
	struct fvd_opener *files = fvd_opener_files();
	char *name = fvd_name_resolve(t->name, data_file, err);

	if (!name)
		return -1;
	if (files->open(files, name, FVD_IO_CREATE | FVD_IO_NOFOLLOW, FVD_LOCK_NONE, &t->data,
			err) < 0) {
		free(name);
		return fvd_error_prefix(err, "data file");
	}
	t->data_name = name;
	if (check_distinct(t, err) < 0)
		return -1;
	if (fvd_io_truncate(t->data, len, err) < 0)
		return fvd_error_prefix(err, "data file");
	return 0;
}

static int move_into_place(struct fvd_target *t, struct fvd_error *err)
{
	int ret = -1;

	if (!t->replace) {
		ret = renameat2(AT_FDCWD, t->temp, AT_FDCWD, t->name, RENAME_NOREPLACE);
		if (ret < 0 && errno != EINVAL && errno != ENOSYS)
			return fvd_error_sys(err, errno, "%s: cannot create", t->name);
	}
	/* The file system cannot promise it: look() has found the name free. */
	if (ret < 0)
		ret = rename(t->temp, t->name);
	if (ret < 0)
		return fvd_error_sys(err, errno, "%s: cannot rename %s to it", t->name, t->temp);
	free(t->temp);
	t->temp = NULL;
	return 0;
}

static int sync_files(struct fvd_target *t, struct fvd_error *err)
{
	if (t->data && (fvd_io_flush(t->data, err) < 0 ||
			fvd_io_sync_directory(t->data_name, err) < 0))
		return -1;
	return fvd_io_flush(t->io, err);
}

int fvd_target_commit(struct fvd_target *t, bool no_sync, struct fvd_error *err)
{
	bool renamed = t->temp != NULL;
	int ret = 0;

	if ((!no_sync && sync_files(t, err) < 0) || (t->temp && move_into_place(t, err) < 0)) {
		fvd_target_abort(t);
		return -1;
	}
	if (renamed && !no_sync)
		ret = fvd_io_sync_directory(t->name, err);
	target_free(t);
	return ret;
}

void fvd_target_abort(struct fvd_target *t)
{
	if (!t)
		return;
	if (t->temp)
		unlink(t->temp);
	if (t->data_name)
		unlink(t->data_name);
	target_free(t);
}
