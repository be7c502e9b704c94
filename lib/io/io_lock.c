/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel does not tell who holds an open file description lock: F_GETLK says PID -1,
 * for such a lock may belong to several processes. It does list the locks of each open
 * file in /proc/PID/fdinfo/FD, so the holder is found there, as far as we may look:
 *
 *	lock:	1: OFDLCK ADVISORY  WRITE -1 fe:00:10952730 0 EOF
 *
 * The device and inode of that line are the file system's own numbers, which btrfs and
 * overlayfs show differently to stat(2), so /proc/PID/fd/FD is compared instead.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_lock.h"

#define MAX_FDS 100000		/* descriptors looked at before the search is given up */
#define ATTEMPTS 3

struct search {
	struct stat st;
	bool want_write;
	unsigned left;
};

/* A line of fdinfo that is a lock in our way. */
static bool line_conflicts(const char *line, const struct search *s)
{
	char kind[16], mode[16];

	if (sscanf(line, "lock: %*d: %15s %*s %15s", kind, mode) != 2)
		return false;
	return strcmp(kind, "OFDLCK") == 0 &&
	       (strcmp(mode, "WRITE") == 0 || (s->want_write && strcmp(mode, "READ") == 0));
}

/* Locks come first in fdinfo, so a part of a long one is enough. */
static bool fd_conflicts(int fdinfo_dir, const char *fd_name, const struct search *s)
{
	int fd = openat(fdinfo_dir, fd_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char text[2048], *save = NULL;
	bool found = false;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line && !found;
	     line = strtok_r(NULL, "\n", &save))
		found = line_conflicts(line, s);
	return found;
}

static bool process_holds(const char *pid, struct search *s)
{
	char path[300];
	struct dirent *e;
	struct stat st;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && s->left > 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		s->left--;
		if (!fd_conflicts(dirfd(dir), e->d_name, s))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
		found = stat(path, &st) == 0 && st.st_dev == s->st.st_dev &&
			st.st_ino == s->st.st_ino;
	}
	closedir(dir);
	return found;
}

/* 0 when nobody is found. */
static long find_holder(int fd, bool want_write)
{
	struct search s = { .want_write = want_write, .left = MAX_FDS };
	struct dirent *e;
	long pid = 0;
	DIR *dir;

	if (fstat(fd, &s.st) < 0)
		return 0;
	dir = opendir("/proc");
	if (!dir)
		return 0;
	while (pid == 0 && s.left > 0 && (e = readdir(dir))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && process_holds(e->d_name, &s))
			pid = strtol(e->d_name, NULL, 10);
	}
	closedir(dir);
	return pid;
}

static int conflict(int fd, const char *name, bool want_write, const struct flock *holder,
		    struct fvd_error *err)
{
	const char *mode = holder->l_type == F_WRLCK ? "write" : "read";
	const char *hint = want_write ? "" :
			   "; reading beside it is possible with --force-share";
	long pid = holder->l_pid > 0 ? (long)holder->l_pid : find_holder(fd, want_write);

	if (pid == (long)getpid())
		return fvd_error_set(err, FVD_ERR_LOCKED,
				     "%s: already in use by this process, with a %s lock", name,
				     mode);
	if (pid == 0)
		return fvd_error_set(err, FVD_ERR_LOCKED,
				     "%s: in use by another process, which holds a %s lock%s",
				     name, mode, hint);
	return fvd_error_set(err, FVD_ERR_LOCKED,
			     "%s: in use by another process (PID %ld holds a %s lock)%s", name,
			     pid, mode, hint);
}

int fvd_lock_fd(int fd, const char *name, enum fvd_io_lock lock, struct fvd_error *err)
{
	bool want_write = lock == FVD_LOCK_EXCLUSIVE;

	if (lock == FVD_LOCK_NONE)
		return 0;
	for (int attempt = 1;; attempt++) {
		struct flock fl = { .l_type = want_write ? F_WRLCK : F_RDLCK,
				    .l_whence = SEEK_SET };

		if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
			return 0;
		if (errno == EOPNOTSUPP || errno == ENOLCK || errno == EINVAL || errno == ENOSYS)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return fvd_error_sys(err, errno, "%s: cannot lock", name);
		fl.l_pid = 0;
		if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
			fl.l_type = F_WRLCK;
		/* Let go in between: it may be ours now. */
		if (fl.l_type == F_UNLCK && attempt < ATTEMPTS)
			continue;
		return conflict(fd, name, want_write, &fl, err);
	}
}
