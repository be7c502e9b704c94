/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io_open.h"

/* Not isalpha(): a locale must not change what a name means. */
static bool scheme_char(char c, bool first)
{
	if (c >= 'a' && c <= 'z')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-');
}

bool fvd_name_has_scheme(const char *name, size_t *len)
{
	size_t n = 0;

	while (scheme_char(name[n], n == 0))
		n++;
	/* A single letter is a drive of another system, or simply a file. */
	if (n < 2 || name[n] != ':')
		return false;
	if (len)
		*len = n;
	return true;
}

char *fvd_name_resolve(const char *image, const char *name, struct fvd_error *err)
{
	const char *slash = strrchr(image, '/');
	size_t dir_len = 0, name_len = strlen(name);
	char *out;

	if (slash && name[0] != '/' && !fvd_name_has_scheme(name, NULL))
		dir_len = (size_t)(slash - image) + 1;
	out = malloc(dir_len + name_len + 1);
	if (!out) {
		fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory for a file name of %zu bytes",
			      image, dir_len + name_len);
		return NULL;
	}
	memcpy(out, image, dir_len);
	memcpy(out + dir_len, name, name_len + 1);
	return out;
}

int fvd_io_sync_directory(const char *name, struct fvd_error *err)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) + 1 : 1;
	char *dir = strndup(slash ? name : ".", len);
	int fd, ret = 0;

	if (!dir)
		return fvd_error_set(err, FVD_ERR_NOMEM, "%s: no memory", name);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Some file systems have no fsync for directories: EINVAL. */
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		ret = fvd_error_sys(err, errno, "%s: cannot sync the directory", dir);
	if (fd >= 0)
		close(fd);
	free(dir);
	return ret;
}
