/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "format/bitmap.h"
#include "image/meta.h"
#include "ops/convert.h"
#include "ops/copy.h"
#include "support/tempdir.h"
#include "util/num.h"
#include "util/zero.h"

#define MOST (5u << 20)

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % below;
}

/* Runs of zeros and of bytes, of all lengths. */
static void fill(uint8_t *data, size_t len)
{
	size_t off = 0;

	while (off < len) {
		size_t n = (size_t)(rnd(3) ? 512 * (1 + rnd(64)) : 1 + rnd(700000));
		bool zero = rnd(2);

		n = n < len - off ? n : len - off;
		for (size_t i = 0; i < n; i++)
			data[off + i] = zero ? 0 : (uint8_t)(rnd(8) ? i * 7 + off : 0);
		off += n;
	}
}

/* A base like @data, other in places. */
static void vary(uint8_t *base, const uint8_t *data, size_t len)
{
	memcpy(base, data, len);
	for (unsigned k = 0; k < 12; k++) {
		size_t off = (size_t)rnd(len), n = (size_t)(1 + rnd(rnd(2) ? 3000 : 300000));
		int what = (int)rnd(3);

		n = n < len - off ? n : len - off;
		for (size_t i = 0; i < n; i++)
			base[off + i] = what == 0 ? 0 : what == 1 ? (uint8_t)~base[off + i] : 0x5a;
	}
}

static uint8_t *array(void)
{
	uint8_t *a = calloc(1, MOST + (2 << 20));

	assert_non_null(a);
	return a;
}

static size_t sector_up(size_t len)
{
	return (len + 511) / 512 * 512;
}

static void convert(const char *src, const char *dst, const struct fvd_convert_opts *opts)
{
	struct fvd_error err = { .text = "" };

	assert_ok(fvd_convert(src, dst, opts, NULL, &err), &err);
}

static void convert_to_raw(const char *src, const char *dst, unsigned threads)
{
	struct fvd_convert_opts opts = FVD_CONVERT_OPTS_INIT;

	opts.target_format = FVD_FORMAT_RAW;
	opts.threads = threads;
	convert(src, dst, &opts);
}

static void load_meta(const char *name, struct fvd_meta *m)
{
	struct fvd_error err = { .text = "" };
	struct fvd_opener *files = fvd_opener_files();
	struct fvd_io *io;

	memset(m, 0, sizeof(*m));
	assert_ok(files->open(files, name, 0, FVD_LOCK_NONE, &io, &err), &err);
	assert_ok(fvd_meta_load(io, NULL, 0, m, &err), &err);
	assert_ok(fvd_meta_judge_table(m, NULL, &err), &err);
	fvd_io_close(io);
}

/* The blocks that differ are local, and no other; zeros, which take no storage, may be. */
static void assert_differing_local(const char *name, const uint8_t *data, const uint8_t *base)
{
	struct fvd_meta m;

	load_meta(name, &m);
	for (uint64_t b = 0; b < m.block_count; b++) {
		uint64_t off = b * m.h.block_size;
		size_t n = (size_t)fvd_min(m.h.block_size, m.h.base_size - off);
		bool differs = memcmp(data + off, base + off, n) != 0;
		bool local = fvd_bitmap_get(m.bitmap, b);

		if (local != differs && (differs || !fvd_is_zero(data + off, n)))
			fail_msg("block %u: local %d", (unsigned)b, local);
	}
	fvd_meta_fini(&m);
}

static const uint64_t chunks[] = { 0, 4096, 65536, 1 << 20 };
static const uint64_t blocks[] = { 512, 4096, 65536, 1 << 20 };
static const uint64_t sparses[] = { 0, 512, 4096, 65536 };

static void random_opts(struct fvd_convert_opts *o, size_t len)
{
	o->create.no_table = rnd(3) == 0;
	if (!o->create.no_table)
		o->create.chunk_size = chunks[rnd(4)];
	o->create.block_size = blocks[rnd(4)];
	if (o->create.chunk_size == 4096 && o->create.block_size > 64 * 4096)
		o->create.block_size = 65536;
	if (rnd(3) == 0)
		o->create.size = sector_up(len) + 512 * rnd(3000);
	if (rnd(4) == 0)
		o->create.journal_size = 0;
	if (rnd(4) == 0)
		o->create.data_file = "data";
	o->sparse = sparses[rnd(4)];
	o->threads = (unsigned)(1 + rnd(4));
	o->verify = rnd(2);
	o->source_format = FVD_FORMAT_RAW;
	o->create.detect_zeroes = o->create.base && rnd(4) == 0;
}

/* Raw to an image, to raw, to another image, to raw. */
static void one_round(bool with_base)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT, flat = FVD_CONVERT_OPTS_INIT;
	uint8_t *data = array(), *base = array();
	size_t len = (size_t)(1 + rnd(MOST / 2)), base_len = (size_t)(1 + rnd(MOST / 2)), out;
	uint64_t began = seed;

	fill(data, len);
	vary(base, data, len > base_len ? len : base_len);
	memset(base + base_len, 0, MOST - base_len);
	put_file(in_tempdir("in"), data, len);
	put_file(in_tempdir("base"), base, base_len);
	o.create.base = with_base ? "base" : NULL;
	random_opts(&o, len);
	print_message("seed %llu, %zu bytes, base %zu\n", (unsigned long long)began, len, base_len);
	convert(in_tempdir("in"), in_tempdir("a.fvd"), &o);
	convert_to_raw(in_tempdir("a.fvd"), in_tempdir("out"), o.threads);
	out = o.create.size ? (size_t)o.create.size : sector_up(len);
	assert_file(in_tempdir("out"), data, out);
	if (with_base && !o.create.detect_zeroes)
		assert_differing_local(in_tempdir("a.fvd"), data, base);
	flat.create.no_table = rnd(2);
	convert(in_tempdir("a.fvd"), in_tempdir("b.fvd"), &flat);
	convert_to_raw(in_tempdir("b.fvd"), in_tempdir("out"), o.threads);
	assert_file(in_tempdir("out"), data, out);
	tempdir_empty();
	free(data);
	free(base);
}

static unsigned rounds(void)
{
	const char *text = getenv("ROUNDS");

	return text ? (unsigned)atoi(text) : 40;
}

static void test_random_plain(void **state)
{
	(void)state;
	for (unsigned i = 0; i < rounds(); i++)
		one_round(false);
}

static void test_random_on_base(void **state)
{
	(void)state;
	for (unsigned i = 0; i < rounds(); i++)
		one_round(true);
}

/* Storage is that of the 4 KiB clusters that are not zero, whatever the chunk. */
static void test_storage(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	uint8_t *data = array();
	uint64_t want = 0, meta;
	static const uint8_t zeros[4096];

	(void)state;
	fill(data, MOST);
	for (size_t off = 0; off < MOST; off += 4096)
		want += memcmp(data + off, zeros, 4096) ? 4096 : 0;
	/* Zeros that take storage, to be found. */
	put_file(in_tempdir("in.raw"), data, MOST);
	truncate(in_tempdir("in.raw"), 0);
	{
		FILE *f = fopen(in_tempdir("in.raw"), "w");

		assert_int_equal(fwrite(data, 1, MOST, f), MOST);
		fclose(f);
	}
	for (unsigned i = 0; i < 4; i++) {
		o.create.chunk_size = chunks[i];
		convert(in_tempdir("in.raw"), in_tempdir("a.fvd"), &o);
		meta = 8192 + fvd_round_up(4 * fvd_div_up(MOST, chunks[i] ? chunks[i] : 1 << 20),
					   4096);
		assert_in_range(file_storage(in_tempdir("a.fvd")), want + meta,
				want + meta + 16384);
	}
	o.target_format = FVD_FORMAT_RAW;
	convert(in_tempdir("in.raw"), in_tempdir("out.raw"), &o);
	assert_in_range(file_storage(in_tempdir("out.raw")), want, want + 16384);
	assert_file(in_tempdir("out.raw"), data, MOST);
	o.sparse = 0;
	convert(in_tempdir("in.raw"), in_tempdir("out.raw"), &o);
	assert_true(file_storage(in_tempdir("out.raw")) >= MOST);
	free(data);
}

/* An overlay converted against its own base: what they share is not read, and stays shared. */
static void test_overlay_against_its_base(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_convert_report report;
	struct fvd_error err = { .text = "" };
	uint8_t *data = array(), *base = array();

	(void)state;
	memset(base, 1, MOST);
	memcpy(data, base, MOST);
	memset(data + 100000, 2, 70000);
	put_file(in_tempdir("in"), data, MOST);
	put_file(in_tempdir("base"), base, MOST);
	o.source_format = FVD_FORMAT_RAW;
	o.create.base = "base";
	convert(in_tempdir("in"), in_tempdir("a.fvd"), &o);
	o.source_format = FVD_FORMAT_FVD;
	assert_ok(fvd_convert(in_tempdir("a.fvd"), in_tempdir("b.fvd"), &o, &report, &err), &err);
	assert_int_equal(report.read_bytes, 2 * 65536);
	assert_int_equal(report.same_bytes, MOST - 2 * 65536);
	assert_int_equal(report.written_bytes, 2 * 65536);
	convert_to_raw(in_tempdir("b.fvd"), in_tempdir("out"), 2);
	assert_file(in_tempdir("out"), data, MOST);
	free(data);
	free(base);
}

struct feed {
	int fd;
	const uint8_t *data;
	size_t len;
};

static void *feed(void *opaque)
{
	struct feed *f = opaque;

	for (size_t off = 0; off < f->len;) {
		size_t n = f->len - off < 70001 ? f->len - off : 70001;
		ssize_t done = write(f->fd, f->data + off, n);

		if (done <= 0)
			break;
		off += (size_t)done;
	}
	close(f->fd);
	return NULL;
}

static int convert_pipe(const uint8_t *data, size_t len, const char *dst,
			struct fvd_convert_opts *o, struct fvd_error *err)
{
	struct feed f = { .data = data, .len = len };
	pthread_t thread;
	int fds[2], ret;

	assert_int_equal(pipe(fds), 0);
	f.fd = fds[1];
	o->stdin_fd = fds[0];
	assert_int_equal(pthread_create(&thread, NULL, feed, &f), 0);
	ret = fvd_convert("-", dst, o, NULL, err);
	close(fds[0]);
	pthread_join(thread, NULL);
	return ret;
}

static void stdin_round(bool with_base)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	uint8_t *data = array(), *base = array();
	size_t len = (size_t)(1 + rnd(MOST)), base_len = (size_t)(1 + rnd(MOST)), out;

	print_message("seed %llu, %zu bytes, base %zu\n", (unsigned long long)seed, len, base_len);
	fill(data, len);
	vary(base, data, MOST);
	memset(base + base_len, 0, MOST - base_len);
	put_file(in_tempdir("base"), base, base_len);
	o.create.base = with_base ? "base" : NULL;
	random_opts(&o, len);
	o.verify = false;
	assert_ok(convert_pipe(data, len, in_tempdir("a.fvd"), &o, &err), &err);
	convert_to_raw(in_tempdir("a.fvd"), in_tempdir("out"), 2);
	out = o.create.size ? (size_t)o.create.size : sector_up(len);
	assert_file(in_tempdir("out"), data, out);
	assert_true(file_storage(in_tempdir("a.fvd")) < MOST + (3 << 20));
	tempdir_empty();
	free(data);
	free(base);
}

static void test_stdin(void **state)
{
	(void)state;
	for (unsigned i = 0; i < rounds() / 2; i++)
		stdin_round(i % 2);
}

/* 300,000 chunks of 4 KiB: the table has to be made larger on the way. */
static void test_stdin_grows(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	size_t len = (size_t)4096 * 300000;
	uint8_t *data = calloc(1, len);
	struct fvd_meta m;

	(void)state;
	assert_non_null(data);
	memset(data + 4096, 1, 8192);
	memset(data + len - 8192, 2, 8192);
	o.create.chunk_size = 4096;
	assert_ok(convert_pipe(data, len, in_tempdir("a.fvd"), &o, &err), &err);
	load_meta(in_tempdir("a.fvd"), &m);
	assert_int_equal(m.h.virtual_size, len);
	assert_int_equal(m.h.table_size, fvd_round_up(300000 * 4, 4096));
	fvd_meta_fini(&m);
	assert_true(file_storage(in_tempdir("a.fvd")) < 2 << 20);
	convert_to_raw(in_tempdir("a.fvd"), in_tempdir("out"), 2);
	assert_file(in_tempdir("out"), data, len);
	free(data);
}

static void test_stdin_bounds(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	uint8_t *data = array();

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	o.create.size = 1 << 20;
	assert_fails(convert_pipe(data, MOST, in_tempdir("a.fvd"), &o, &err), &err, FVD_ERR_INVALID,
		     "the disk can have 1048576");
	o.create.size = 0;
	assert_fails(convert_pipe(data, 0, in_tempdir("a.fvd"), &o, &err), &err, FVD_ERR_INVALID,
		     "standard input: is empty");
	o.verify = true;
	assert_fails(convert_pipe(data, 1, in_tempdir("a.fvd"), &o, &err), &err, FVD_ERR_INVALID,
		     "cannot be read again");
	assert_int_equal(tempdir_count(), 0);
	free(data);
}

/* Standard input that is a file knows its size; raw targets take what comes. */
static void test_stdin_file_and_raw(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	uint8_t *data = array();
	size_t len = 1234567;

	(void)state;
	fill(data, len);
	put_file(in_tempdir("in"), data, len);
	o.stdin_fd = open(in_tempdir("in"), O_RDONLY);
	convert("-", in_tempdir("a.fvd"), &o);
	close(o.stdin_fd);
	convert_to_raw(in_tempdir("a.fvd"), in_tempdir("out"), 2);
	assert_file(in_tempdir("out"), data, sector_up(len));
	o.target_format = FVD_FORMAT_RAW;
	assert_ok(convert_pipe(data, len, in_tempdir("out2"), &o, &err), &err);
	assert_file(in_tempdir("out2"), data, sector_up(len));
	free(data);
}

static void test_stdout(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	uint8_t *data = array();

	(void)state;
	fill(data, MOST);
	put_file(in_tempdir("in.img"), data, MOST);
	convert(in_tempdir("in.img"), in_tempdir("a.fvd"), &o);
	assert_fails(fvd_convert(in_tempdir("a.fvd"), "-", &o, NULL, &err), &err, FVD_ERR_INVALID,
		     "-O raw");
	o.target_format = FVD_FORMAT_RAW;
	o.stdout_fd = open(in_tempdir("out"), O_WRONLY | O_CREAT, 0600);
	convert(in_tempdir("a.fvd"), "-", &o);
	close(o.stdout_fd);
	assert_file(in_tempdir("out"), data, MOST);
	o.stdout_fd = open("/dev/full", O_WRONLY);
	assert_fails(fvd_convert(in_tempdir("a.fvd"), "-", &o, NULL, &err), &err, FVD_ERR_NOSPACE,
		     "standard output: cannot write");
	close(o.stdout_fd);
	free(data);
}

static void test_refusals(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	uint8_t *data = array();

	(void)state;
	fill(data, MOST);
	put_file(in_tempdir("in"), data, MOST);
	put_file(in_tempdir("in.raw"), data, MOST);
	assert_fails(fvd_convert(in_tempdir("in"), in_tempdir("a"), &o, NULL, &err), &err,
		     FVD_ERR_INVALID, "say -f raw");
	assert_fails(fvd_convert(in_tempdir("in.raw"), in_tempdir("in.raw"), &o, NULL, &err), &err,
		     FVD_ERR_INVALID, "is the source");
	o.create.base = "in.raw";
	assert_fails(fvd_convert(in_tempdir("in.raw"), in_tempdir("in.raw"), &o, NULL, &err), &err,
		     FVD_ERR_INVALID, "is the source");
	convert(in_tempdir("in.raw"), in_tempdir("a.fvd"), &o);
	o.create.base = NULL;
	assert_fails(fvd_convert(in_tempdir("a.fvd"), in_tempdir("in.raw"), &o, NULL, &err), &err,
		     FVD_ERR_INVALID, "one of its bases");
	o.create.size = 512;
	assert_fails(fvd_convert(in_tempdir("in.raw"), in_tempdir("b"), &o, NULL, &err), &err,
		     FVD_ERR_INVALID, "size 512 is below the 5242880");
	o.create.size = 0;
	o.sparse = 1000;
	assert_fails(fvd_convert(in_tempdir("in.raw"), in_tempdir("b"), &o, NULL, &err), &err,
		     FVD_ERR_INVALID, "granularity 1000");
	o.sparse = 4096;
	assert_fails(fvd_convert(in_tempdir("none.raw"), in_tempdir("b"), &o, NULL, &err), &err,
		     FVD_ERR_IO, "none.raw");
	assert_file(in_tempdir("in.raw"), data, MOST);
	assert_int_equal(tempdir_count(), 3);
	free(data);
}

static bool stop_now(void *opaque)
{
	unsigned *left = opaque;

	return (*left)-- == 0;
}

static void test_cancelled_leaves_nothing(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	unsigned left;
	struct fvd_progress p = { .cancelled = stop_now, .opaque = &left };
	uint8_t *data = array();

	(void)state;
	memset(data, 1, MOST);
	put_file(in_tempdir("in.raw"), data, MOST);
	put_file(in_tempdir("a.fvd"), data, 10);
	o.progress = &p;
	o.threads = 1;
	o.create.data_file = "data";
	for (unsigned stop = 0; stop < 5; stop++) {
		left = stop;
		assert_fails(fvd_convert(in_tempdir("in.raw"), in_tempdir("a.fvd"), &o, NULL, &err),
			     &err, FVD_ERR_CANCELLED, "interrupted");
		assert_int_equal(tempdir_count(), 2);
		assert_file(in_tempdir("a.fvd"), data, 10);
	}
	free(data);
}

static void test_full_disk_leaves_nothing(void **state)
{
	struct fvd_convert_opts o = FVD_CONVERT_OPTS_INIT;
	struct fvd_error err = { .text = "" };
	struct rlimit old, limit;
	uint8_t *data = array();

	(void)state;
	memset(data, 1, MOST);
	put_file(in_tempdir("in.raw"), data, MOST);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	o.create.journal_size = 0;
	for (limit.rlim_cur = 0; limit.rlim_cur < MOST; limit.rlim_cur += 777777) {
		int ret;

		o.target_format = limit.rlim_cur % 2 ? FVD_FORMAT_RAW : FVD_FORMAT_FVD;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		ret = fvd_convert(in_tempdir("in.raw"), in_tempdir("out"), &o, NULL, &err);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_fails(ret, &err, FVD_ERR_NOSPACE, "");
		assert_int_equal(tempdir_count(), 1);
	}
	free(data);
}

/* The first difference, whatever order the workers come in. */
static void test_verify_names_the_first_difference(void **state)
{
	struct fvd_error err = { .text = "" };
	uint8_t *data = array();
	struct fvd_source a, b;

	(void)state;
	memset(data, 1, MOST);
	put_file(in_tempdir("a"), data, MOST);
	data[3000000] = 0;
	data[3000777] = 7;
	memset(data + 4000000, 9, 100);
	put_file(in_tempdir("b"), data, MOST);
	assert_ok(fvd_source_open(&a, in_tempdir("a"), true, 0, NULL, &err), &err);
	assert_ok(fvd_source_open(&b, in_tempdir("b"), true, 0, NULL, &err), &err);
	for (unsigned threads = 1; threads < 20; threads++) {
		struct fvd_copy c = { .src = &a, .size = MOST, .threads = threads };

		assert_fails(fvd_copy_verify(&c, &b, &err), &err, FVD_ERR_DIFFERENT,
			     "at offset 3000000");
	}
	fvd_source_close(&a);
	fvd_source_close(&b);
	free(data);
}

int main(void)
{
	const char *text = getenv("SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_random_plain, tempdir_teardown),
		cmocka_unit_test_teardown(test_random_on_base, tempdir_teardown),
		cmocka_unit_test_teardown(test_storage, tempdir_teardown),
		cmocka_unit_test_teardown(test_overlay_against_its_base, tempdir_teardown),
		cmocka_unit_test_teardown(test_stdin, tempdir_teardown),
		cmocka_unit_test_teardown(test_stdin_grows, tempdir_teardown),
		cmocka_unit_test_teardown(test_stdin_bounds, tempdir_teardown),
		cmocka_unit_test_teardown(test_stdin_file_and_raw, tempdir_teardown),
		cmocka_unit_test_teardown(test_stdout, tempdir_teardown),
		cmocka_unit_test_teardown(test_refusals, tempdir_teardown),
		cmocka_unit_test_teardown(test_cancelled_leaves_nothing, tempdir_teardown),
		cmocka_unit_test_teardown(test_full_disk_leaves_nothing, tempdir_teardown),
		cmocka_unit_test_teardown(test_verify_names_the_first_difference,
					  tempdir_teardown),
	};

	seed = text ? strtoull(text, NULL, 0) : 1;
	return cmocka_run_group_tests_name("convert", tests, NULL, tempdir_group_teardown);
}
