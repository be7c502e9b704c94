/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/io_open.h"
#include "util/num.h"

static char dir[PATH_MAX];

/*
 * In place of the C library's, for a system that interrupts and transfers less than
 * asked: never more than @stingy bytes, and every third call fails with EINTR.
 */
static size_t stingy;

static ssize_t transfer(long number, int fd, const struct iovec *iov, int count, off_t off)
{
	static unsigned calls;
	struct iovec one;

	if (stingy && calls++ % 3 == 2) {
		errno = EINTR;
		return -1;
	}
	if (stingy) {
		one = (struct iovec){ iov->iov_base, fvd_min(iov->iov_len, stingy) };
		iov = &one;
		count = 1;
	}
	return syscall(number, fd, iov, (long)count, (long)off, (long)((uint64_t)off >> 32));
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t off)
{
	return transfer(SYS_preadv, fd, iov, count, off);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
	return transfer(SYS_pwritev, fd, iov, count, off);
}

static const char *path(const char *name)
{
	static char out[2][PATH_MAX + 64];
	static int turn;

	turn = !turn;
	snprintf(out[turn], sizeof(out[turn]), "%s/%s", dir, name);
	return out[turn];
}

static int try_open(const char *name, int flags, enum fvd_io_lock lock, struct fvd_io **io,
		    struct fvd_error *err)
{
	struct fvd_opener *files = fvd_opener_files();

	return files->open(files, name, flags, lock, io, err);
}

static struct fvd_io *open_ok(const char *name, int flags, enum fvd_io_lock lock)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io;

	if (try_open(name, flags, lock, &io, &err) < 0)
		fail_msg("%s", err.text);
	return io;
}

static struct fvd_io *create(const char *name)
{
	unlink(path(name));
	return open_ok(path(name), FVD_IO_CREATE, FVD_LOCK_NONE);
}

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/fvd-io-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "a", "b", "c", "fifo", "socket", "link", "dangling" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(names[i]));
	return rmdir(dir);
}

static void writes_come_back_and_the_rest_is_zero(void **state)
{
	struct fvd_io *io = create("a");
	uint8_t buf[100];
	uint64_t len;

	(void)state;
	assert_int_equal(fvd_io_pwrite(io, "hello", 5, 10, NULL), 0);
	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	assert_int_equal(len, 15);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(fvd_io_pread(io, buf, sizeof(buf), 0, NULL), 0);
	assert_memory_equal(buf + 10, "hello", 5);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_true((i >= 10 && i < 15) || buf[i] == 0);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(fvd_io_pread(io, buf, sizeof(buf), FVD_MAX_OFF - sizeof(buf), NULL), 0);
	assert_int_equal(buf[0] | buf[99], 0);
	assert_int_equal(fvd_io_flush(io, NULL), 0);
	fvd_io_writeback(io, 0, 15);
	assert_true(io->id.known);
	fvd_io_close(io);
}

/* More vectors than the system takes at once, empty ones too, ending past the end. */
static void long_vectors_are_not_modified(void **state)
{
	enum { COUNT = 3 * IOV_MAX + 7 };
	struct iovec *iov = calloc(COUNT, sizeof(*iov)), *copy = calloc(COUNT, sizeof(*iov));
	uint8_t *data = malloc(COUNT * 16), *back = malloc(COUNT * 16);
	struct fvd_io *io = create("a");
	size_t total = 0;

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		iov[i] = (struct iovec){ data + total, i % 5 == 0 ? 0 : i % 16 };
		total += iov[i].iov_len;
	}
	for (size_t i = 0; i < total; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(copy, iov, COUNT * sizeof(*iov));
	assert_int_equal(fvd_io_pwritev(io, iov, COUNT, 3, NULL), 0);
	assert_memory_equal(iov, copy, COUNT * sizeof(*iov));
	assert_int_equal(fvd_io_pread(io, back, total, 3, NULL), 0);
	assert_memory_equal(back, data, total);
	memset(data, 0xee, total);
	assert_int_equal(fvd_io_preadv(io, iov, COUNT, 1003, NULL), 0);
	assert_memory_equal(data, back + 1000, total - 1000);
	for (size_t i = total - 1000; i < total; i++)
		assert_int_equal(data[i], 0);
	fvd_io_close(io);
	free(iov);
	free(copy);
	free(data);
	free(back);
}

static void short_transfers_go_on_where_they_stopped(void **state)
{
	uint8_t data[5000], back[5200], wiped[200] = { 0 };
	struct iovec iov[3] = { { data, 1 }, { data + 1, 3000 }, { data + 3001, 1999 } };
	struct iovec into[3] = { { back, 2500 }, { back + 2500, 0 }, { back + 2500, 2700 } };
	struct fvd_io *io = create("a");
	uint64_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + i / 251);
	stingy = 699;
	assert_int_equal(fvd_io_pwritev(io, iov, 3, 10, NULL), 0);
	memset(back, 0xee, sizeof(back));
	assert_int_equal(fvd_io_preadv(io, into, 3, 10, NULL), 0);
	stingy = 0;
	assert_memory_equal(back, data, sizeof(data));
	assert_memory_equal(back + sizeof(data), wiped, sizeof(wiped));
	assert_int_equal(fvd_io_pread(io, back, sizeof(data), 10, NULL), 0);
	assert_memory_equal(back, data, sizeof(data));
	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	assert_int_equal(len, sizeof(data) + 10);
	fvd_io_close(io);
}

static void fill(struct fvd_io *io, uint64_t off, size_t len, int byte)
{
	uint8_t *buf = malloc(len);

	memset(buf, byte, len);
	assert_int_equal(fvd_io_pwrite(io, buf, len, off, NULL), 0);
	free(buf);
}

static void holes_are_seen_and_made(void **state)
{
	struct fvd_io *io = create("a");
	uint64_t bytes, len;
	struct fvd_io_extent ext;
	bool punched;

	(void)state;
	fill(io, 8 * FVD_MIB, FVD_MIB, 1);
	assert_int_equal(fvd_io_truncate(io, 20 * FVD_MIB, NULL), 0);
	assert_int_equal(fvd_io_extent(io, 0, 4096, &ext, NULL), 0);
	if (!ext.hole)
		skip();		/* a file system without holes */
	assert_int_equal(ext.len, 4096);
	assert_int_equal(fvd_io_extent(io, FVD_MIB, FVD_GIB, &ext, NULL), 0);
	assert_true(ext.hole && ext.len == 7 * FVD_MIB);
	assert_int_equal(fvd_io_extent(io, 8 * FVD_MIB + 5, FVD_GIB, &ext, NULL), 0);
	assert_true(!ext.hole && ext.len == FVD_MIB - 5);
	assert_int_equal(fvd_io_extent(io, 9 * FVD_MIB, FVD_GIB, &ext, NULL), 0);
	assert_true(ext.hole && ext.len == FVD_GIB);
	assert_int_equal(fvd_io_allocated(io, 0, FVD_TIB, &bytes, NULL), 0);
	assert_int_equal(bytes, FVD_MIB);
	/* Edges that are not on blocks are zeroed. */
	assert_int_equal(fvd_io_punch(io, 8 * FVD_MIB + 100, 64 * FVD_KIB, &punched, NULL), 0);
	assert_true(punched);
	assert_int_equal(fvd_io_allocated(io, 0, FVD_TIB, &bytes, NULL), 0);
	assert_true(bytes < FVD_MIB);
	assert_int_equal(fvd_io_zero(io, 19 * FVD_MIB, FVD_TIB, NULL), 0);
	assert_int_equal(fvd_io_length(io, &len, NULL), 0);
	assert_int_equal(len, 20 * FVD_MIB);
	fvd_io_close(io);
}

static void zeroed_edges_are_exact(void **state)
{
	struct fvd_io *io = create("a");
	uint8_t buf[5 * 4096];

	(void)state;
	fill(io, 0, sizeof(buf), 0x55);
	assert_int_equal(fvd_io_zero(io, 4000, 9001, NULL), 0);
	assert_int_equal(fvd_io_pread(io, buf, sizeof(buf), 0, NULL), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i >= 4000 && i < 13001 ? 0 : 0x55);
	fvd_io_close(io);
}

static void copies_between_and_inside_files(void **state)
{
	struct fvd_io *a = create("a"), *b = create("b");
	uint8_t buf[20000], want[20000];
	uint64_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 31 + i / 199);
	memcpy(want, buf, sizeof(buf));
	assert_int_equal(fvd_io_pwrite(a, buf, sizeof(buf), 0, NULL), 0);
	assert_int_equal(fvd_io_copy(a, 100, b, 7, 15000, NULL), 0);
	assert_int_equal(fvd_io_pread(b, buf, 15000, 7, NULL), 0);
	assert_memory_equal(buf, want + 100, 15000);
	/* What lies beyond the source's end arrives as zeros. */
	fill(b, 0, sizeof(buf), 0xaa);
	assert_int_equal(fvd_io_copy(a, 19990, b, 0, 5000, NULL), 0);
	assert_int_equal(fvd_io_pread(b, buf, 5001, 0, NULL), 0);
	assert_memory_equal(buf, want + 19990, 10);
	for (size_t i = 10; i < 5000; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[5000], 0xaa);
	/* Inside one file, overlapping both ways. */
	memmove(want + 500, want, 10000);
	assert_int_equal(fvd_io_copy(a, 0, a, 500, 10000, NULL), 0);
	memmove(want + 3, want + 4000, 12000);
	assert_int_equal(fvd_io_copy(a, 4000, a, 3, 12000, NULL), 0);
	assert_int_equal(fvd_io_pread(a, buf, sizeof(buf), 0, NULL), 0);
	assert_memory_equal(buf, want, sizeof(buf));
	assert_int_equal(fvd_io_length(a, &len, NULL), 0);
	assert_int_equal(len, sizeof(buf));
	fvd_io_close(a);
	fvd_io_close(b);
}

static void create_refuses_what_exists(void **state)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io;

	(void)state;
	fvd_io_close(create("a"));
	assert_int_equal(symlink("nowhere", path("dangling")), 0);
	assert_int_equal(try_open(path("a"), FVD_IO_CREATE, FVD_LOCK_NONE, &io, &err), -1);
	assert_int_equal(err.class, FVD_ERR_IO);
	assert_int_equal(err.errnum, EEXIST);
	assert_non_null(strstr(err.text, "/a: cannot create: "));
	assert_int_equal(try_open(path("dangling"), FVD_IO_CREATE, FVD_LOCK_NONE, &io, &err), -1);
	assert_int_equal(err.errnum, EEXIST);
	assert_int_equal(access(path("a"), F_OK), 0);
}

static void missing_file_is_named(void **state)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io;
	char want[PATH_MAX + 64];

	(void)state;
	assert_int_equal(try_open(path("none"), FVD_IO_WRITE, FVD_LOCK_NONE, &io, &err), -1);
	assert_null(io);
	assert_int_equal(err.class, FVD_ERR_IO);
	assert_int_equal(err.errnum, ENOENT);
	snprintf(want, sizeof(want), "%s: cannot open: No such file or directory", path("none"));
	assert_string_equal(err.text, want);
}

static void special_files_are_refused_at_once(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct fvd_error err = { 0 };
	struct fvd_io *io;

	(void)state;
	alarm(5);
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	if (strlen(path("socket")) < sizeof(sa.sun_path)) {
		strcpy(sa.sun_path, path("socket"));
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(try_open(path("socket"), 0, FVD_LOCK_NONE, &io, &err), -1);
		assert_int_equal(err.class, FVD_ERR_UNSUPPORTED);
	}
	close(fd);
	for (int write = 0; write < 2; write++) {
		int flags = write ? FVD_IO_WRITE : 0;

		assert_int_equal(try_open(path("fifo"), flags, FVD_LOCK_NONE, &io, &err), -1);
		assert_int_equal(err.class, FVD_ERR_UNSUPPORTED);
		assert_non_null(strstr(err.text, "fifo: is a FIFO, not a regular file"));
		assert_int_equal(try_open(dir, flags, FVD_LOCK_NONE, &io, &err), -1);
		assert_int_equal(err.class, FVD_ERR_UNSUPPORTED);
		assert_non_null(strstr(err.text, "is a directory"));
		assert_int_equal(try_open("/dev/null", flags, FVD_LOCK_NONE, &io, &err), -1);
		assert_int_equal(err.class, FVD_ERR_UNSUPPORTED);
	}
	alarm(0);
}

static void nofollow_refuses_a_link(void **state)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io;

	(void)state;
	fvd_io_close(create("a"));
	assert_int_equal(symlink("a", path("link")), 0);
	assert_int_equal(try_open(path("link"), FVD_IO_NOFOLLOW, FVD_LOCK_NONE, &io, &err), -1);
	assert_int_equal(err.class, FVD_ERR_IO);
	assert_int_equal(err.errnum, ELOOP);
	fvd_io_close(open_ok(path("link"), 0, FVD_LOCK_NONE));
	fvd_io_close(open_ok(path("a"), FVD_IO_NOFOLLOW, FVD_LOCK_NONE));
}

static void links_to_one_file_have_one_identity(void **state)
{
	struct fvd_io *a = create("a"), *b = create("b"), *c;

	(void)state;
	unlink(path("c"));
	assert_int_equal(link(path("a"), path("c")), 0);
	c = open_ok(path("c"), 0, FVD_LOCK_NONE);
	assert_true(a->id.dev == c->id.dev && a->id.ino == c->id.ino);
	assert_false(a->id.dev == b->id.dev && a->id.ino == b->id.ino);
	assert_true(a->id.mtime_ns > INT64_C(1000000000) * 1000000000);
	fvd_io_close(a);
	fvd_io_close(b);
	fvd_io_close(c);
}

/* A child that holds @name until its pipe is closed. */
static pid_t hold(const char *name, int flags, enum fvd_io_lock lock, int *pipe_fd)
{
	int ready[2], stop[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(stop), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct fvd_io *io;

		close(stop[1]);
		if (try_open(name, flags, lock, &io, NULL) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		_exit(read(stop[0], &c, 1) != 0);
	}
	close(ready[1]);
	close(stop[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*pipe_fd = stop[1];
	return pid;
}

static void release(pid_t pid, int pipe_fd)
{
	int status;

	close(pipe_fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_writers_lock_names_its_pid(void **state)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io;
	char want[100];
	pid_t pid;
	int stop;

	(void)state;
	fvd_io_close(create("a"));
	pid = hold(path("a"), FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE, &stop);
	snprintf(want, sizeof(want), "in use by another process (PID %ld holds a write lock)",
		 (long)pid);
	assert_int_equal(try_open(path("a"), FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE, &io, &err), -1);
	assert_int_equal(err.class, FVD_ERR_LOCKED);
	assert_non_null(strstr(err.text, want));
	assert_null(strchr(err.text, '\n'));
	assert_null(strstr(err.text, "--force-share"));
	assert_int_equal(try_open(path("a"), 0, FVD_LOCK_SHARED, &io, &err), -1);
	assert_non_null(strstr(err.text, want));
	assert_non_null(strstr(err.text, "possible with --force-share"));
	/* Without a lock, beside the writer. */
	fvd_io_close(open_ok(path("a"), 0, FVD_LOCK_NONE));
	release(pid, stop);
	fvd_io_close(open_ok(path("a"), FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE));
}

static void readers_share_and_keep_writers_out(void **state)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io;
	char want[100];
	pid_t pid;
	int stop;

	(void)state;
	fvd_io_close(create("a"));
	pid = hold(path("a"), 0, FVD_LOCK_SHARED, &stop);
	fvd_io_close(open_ok(path("a"), 0, FVD_LOCK_SHARED));
	assert_int_equal(try_open(path("a"), FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE, &io, &err), -1);
	snprintf(want, sizeof(want), "(PID %ld holds a read lock)", (long)pid);
	assert_non_null(strstr(err.text, want));
	release(pid, stop);
}

static void a_second_opening_here_is_locked_out_too(void **state)
{
	struct fvd_error err = { 0 };
	struct fvd_io *io, *other;

	(void)state;
	fvd_io_close(create("a"));
	io = open_ok(path("a"), FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE);
	assert_int_equal(try_open(path("a"), 0, FVD_LOCK_SHARED, &other, &err), -1);
	assert_int_equal(err.class, FVD_ERR_LOCKED);
	assert_non_null(strstr(err.text, "already in use by this process"));
	fvd_io_close(io);
	assert_int_equal(try_open(path("a"), 0, FVD_LOCK_EXCLUSIVE, &other, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
}

static void a_posix_lock_names_its_pid(void **state)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct fvd_error err = { 0 };
	int fd, status;
	pid_t pid;

	(void)state;
	fvd_io_close(create("a"));
	fd = open(path("a"), O_RDWR);
	assert_int_equal(fcntl(fd, F_SETLK, &fl), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct fvd_io *io;
		char want[100];

		snprintf(want, sizeof(want), "(PID %ld holds a write lock)", (long)getppid());
		_exit(try_open(path("a"), 0, FVD_LOCK_SHARED, &io, &err) != -1 ||
		      !strstr(err.text, want));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
}

static void a_failed_write_says_where(void **state)
{
	struct fvd_io *io = create("a");
	struct fvd_error err = { 0 };
	struct rlimit old, limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 8192;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	/* Short first, then refused: the loop goes on and reports what is left. */
	assert_int_equal(fvd_io_pwrite(io, dir, 4096, 6144, &err), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(err.class, FVD_ERR_NOSPACE);
	assert_int_equal(err.errnum, EFBIG);
	assert_non_null(strstr(err.text, "/a: cannot write 2048 bytes at offset 8192: "));
	fvd_io_close(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_come_back_and_the_rest_is_zero),
		cmocka_unit_test(long_vectors_are_not_modified),
		cmocka_unit_test(short_transfers_go_on_where_they_stopped),
		cmocka_unit_test(holes_are_seen_and_made),
		cmocka_unit_test(zeroed_edges_are_exact),
		cmocka_unit_test(copies_between_and_inside_files),
		cmocka_unit_test(create_refuses_what_exists),
		cmocka_unit_test(missing_file_is_named),
		cmocka_unit_test(special_files_are_refused_at_once),
		cmocka_unit_test(nofollow_refuses_a_link),
		cmocka_unit_test(links_to_one_file_have_one_identity),
		cmocka_unit_test(a_writers_lock_names_its_pid),
		cmocka_unit_test(readers_share_and_keep_writers_out),
		cmocka_unit_test(a_second_opening_here_is_locked_out_too),
		cmocka_unit_test(a_posix_lock_names_its_pid),
		cmocka_unit_test(a_failed_write_says_where),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
