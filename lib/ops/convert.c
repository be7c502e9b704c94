/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/layout.h"
#include "ops/chain.h"
#include "ops/convert.h"
#include "ops/stream.h"
#include "util/num.h"

#define DEFAULT_THREADS 2

/*
 * A disk whose size shows at the end of a pipe: the image's layout has room for this much (holes,
 * which cost nothing), its table starts with this many entries and is doubled when more comes.
 */
#define STREAM_RESERVE (64 * FVD_TIB)
#define STREAM_ENTRIES UINT64_C(262144)

struct job {
	const char *src_name, *dst_name;
	const struct fvd_convert_opts *opts;
	struct fvd_create_opts create;
	bool from_stdin, to_stdout, to_fvd;
	struct fvd_source src, base_view;
	struct fvd_base *base;
	uint64_t base_len;
	struct fvd_sink sink;
	struct fvd_copy copy;
};

static int check_names(const struct job *j, struct fvd_error *err)
{
	const struct fvd_convert_opts *o = j->opts;

	if (j->from_stdin && o->source_format == FVD_FORMAT_FVD)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "an FVD image cannot be read from a pipe, only raw");
	if (j->to_stdout && o->target_format != FVD_FORMAT_RAW)
		return fvd_error_set(err, FVD_ERR_INVALID, "only raw can be written to standard "
				     "output: say -O raw");
	if (o->verify && (j->from_stdin || j->to_stdout))
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "a pipe cannot be read again to verify it");
	return 0;
}

static int check_opts(const struct job *j, struct fvd_error *err)
{
	const struct fvd_convert_opts *o = j->opts;

	if (check_names(j, err) < 0)
		return -1;
	if (o->sparse % FVD_SECTOR || o->sparse > FVD_GIB)
		return fvd_error_set(err, FVD_ERR_INVALID, "zero granularity %" PRIu64
				     " is not a multiple of %u up to 1 GiB", o->sparse, FVD_SECTOR);
	if (o->create.size % FVD_SECTOR || o->create.size > FVD_MAX_OFF)
		return fvd_error_set(err, FVD_ERR_INVALID, "size %" PRIu64
				     " is not a multiple of %u up to 2^63-1", o->create.size,
				     FVD_SECTOR);
	if (!j->to_fvd && (o->create.base || o->create.data_file))
		return fvd_error_set(err, FVD_ERR_INVALID, "a raw disk has no %s",
				     o->create.base ? "base" : "data file");
	if (o->create.base && o->create.no_base_check)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "base %s: must be read to be compared with", o->create.base);
	return 0;
}

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len >= n && strcmp(name + len - n, end) == 0;
}

/* Raw is never assumed of a name that does not say so: a guest can write any magic. */
static int probe(struct job *j, bool *raw, struct fvd_error *err)
{
	struct fvd_opener *opener = j->create.opener ? j->create.opener : fvd_opener_files();
	uint8_t magic[8];
	struct fvd_io *io;
	int ret;

	*raw = j->opts->source_format == FVD_FORMAT_RAW;
	if (j->opts->source_format != FVD_FORMAT_AUTO)
		return 0;
	if (opener->open(opener, j->src_name, 0, FVD_LOCK_NONE, &io, err) < 0)
		return -1;
	ret = fvd_io_pread(io, magic, sizeof(magic), 0, err);
	fvd_io_close(io);
	if (ret < 0)
		return -1;
	*raw = fvd_header_probe(magic, sizeof(magic)) == 0;
	if (!*raw || ends_in(j->src_name, ".raw") || ends_in(j->src_name, ".img"))
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "%s: not an FVD image; say -f raw if it is a "
			     "raw disk", j->src_name);
}

static int open_source(struct job *j, struct fvd_error *err)
{
	const struct fvd_convert_opts *o = j->opts;
	struct fvd_io_identity id = fvd_name_identity(j->dst_name);
	unsigned flags = 0;
	bool raw;

	if (j->from_stdin)
		return 0;
	if (probe(j, &raw, err) < 0)
		return -1;
	if (o->force_share)
		flags |= FVD_OPEN_FORCE_SHARE;
	if (o->confined)
		flags |= FVD_OPEN_INSIDE_DIR;
	if (o->ignore_base_change)
		flags |= FVD_OPEN_IGNORE_BASE_CHANGE;
	if (fvd_source_open(&j->src, j->src_name, raw, flags, j->create.opener, err) < 0)
		return -1;
	if (!j->to_stdout && fvd_chain_has(j->src.img, j->src.io, &id))
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "%s: is the source %s, or one of its bases or data files",
				     j->dst_name, j->src_name);
	return 0;
}

static int open_base(struct job *j, struct fvd_error *err)
{
	struct fvd_open_opts how = FVD_OPEN_OPTS_INIT;
	const struct fvd_create_opts *o = &j->create;
	char *name;
	int ret;

	if (!o->base)
		return 0;
	name = fvd_name_resolve(j->dst_name, o->base, err);
	if (!name)
		return -1;
	how.opener = o->opener;
	if (j->opts->ignore_base_change)
		how.flags |= FVD_OPEN_IGNORE_BASE_CHANGE;
	ret = fvd_base_open_name(name, o->base_format ? o->base_format : "raw", &how, &j->base,
				 err);
	free(name);
	if (ret < 0)
		return -1;
	j->base_len = fvd_base_length(j->base);
	fvd_source_from_base(&j->base_view, j->base);
	return 0;
}

/* What the copy has to know about the image just made. */
static void start_copy(struct job *j, uint64_t size)
{
	struct fvd_copy *c = &j->copy;

	c->src = &j->src;
	c->sink = &j->sink;
	c->size = size;
	c->sparse = j->opts->sparse;
	c->threads = j->opts->threads ? j->opts->threads : DEFAULT_THREADS;
	c->progress = j->opts->progress;
	if (j->base && j->sink.img) {
		c->base = &j->base_view;
		c->base_size = fvd_image_header(j->sink.img)->base_size;
		c->block_size = fvd_image_header(j->sink.img)->block_size;
	}
}

static int open_sink(struct job *j, uint64_t size, struct fvd_error *err)
{
	if (!j->to_fvd)
		return fvd_sink_open_raw(&j->sink, j->dst_name, size, err);
	j->create.size = size;
	return fvd_sink_open_fvd(&j->sink, j->dst_name, &j->create, err);
}

static int verify(struct job *j, struct fvd_error *err)
{
	struct fvd_source target;
	int ret;

	/* Beside our own lock; and the base may not change while it is being compared with. */
	if (fvd_source_open(&target, fvd_target_temp_name(j->sink.target), !j->to_fvd,
			    FVD_OPEN_NO_LOCK | FVD_OPEN_IGNORE_BASE_CHANGE, NULL, err) < 0)
		return -1;
	ret = fvd_copy_verify(&j->copy, &target, err);
	fvd_source_close(&target);
	return ret < 0 ? fvd_error_prefix(err, "%s", j->dst_name) : 0;
}

static int target_size(const struct job *j, uint64_t *size, struct fvd_error *err)
{
	*size = j->create.size ? j->create.size : j->src.size;
	if (*size < j->src.size)
		return fvd_error_set(err, FVD_ERR_INVALID, "size %" PRIu64 " is below the %" PRIu64
				     " bytes of %s", *size, j->src.size, j->src_name);
	if (*size == 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "%s: is empty", j->src_name);
	return 0;
}

static int convert_file(struct job *j, struct fvd_error *err)
{
	uint64_t size;

	if (target_size(j, &size, err) < 0)
		return -1;
	if (j->to_stdout) {
		start_copy(j, size);
		return fvd_stream_out(&j->copy, j->opts->stdout_fd, "standard output", err);
	}
	if (open_sink(j, size, err) < 0)
		return -1;
	start_copy(j, size);
	if (fvd_copy_run(&j->copy, err) < 0 || fvd_sink_finish(&j->sink, err) < 0)
		return -1;
	return j->opts->verify ? verify(j, err) : 0;
}

/* The size to begin with, and *limit, when a pipe does not say how much will come. */
static uint64_t open_ended(struct job *j, uint64_t *limit)
{
	uint64_t chunk = j->create.chunk_size ? j->create.chunk_size : FVD_DEFAULT_CHUNK, most;

	*limit = fvd_round_down(FVD_MAX_OFF, FVD_SECTOR);
	if (!j->to_fvd)
		return 0;
	if (!j->create.no_table)
		j->create.chunk_size = chunk;
	*limit = STREAM_RESERVE;
	if (fvd_mul(chunk, FVD_MAX_CHUNKS, &most))
		*limit = fvd_min(*limit, most);
	j->create.reserve = *limit;
	return fvd_mul(chunk, STREAM_ENTRIES, &most) ? fvd_min(*limit, most) : *limit;
}

/* A fixed size, and less came: the rest reads as zero, over a base and on a device too. */
static int zero_tail(struct job *j, uint64_t length, struct fvd_error *err)
{
	struct fvd_copy *c = &j->copy;
	uint64_t unit = c->base ? c->block_size : FVD_SECTOR;
	uint64_t off = fvd_round_up(length, unit), end = c->base ? c->base_size : c->size;

	if (off >= end || !(c->base || j->sink.device))
		return 0;
	c->zero_bytes += end - off;
	return fvd_sink_zero(&j->sink, off, end - off, err);
}

static int end_stream(struct job *j, uint64_t length, bool fixed, struct fvd_error *err)
{
	if (fixed)
		return zero_tail(j, length, err);
	if (length == 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "standard input: is empty");
	j->copy.size = fvd_round_up(length, FVD_SECTOR);
	return fvd_sink_resize(&j->sink, j->copy.size, j->base_len, err);
}

static int convert_stream(struct job *j, struct fvd_error *err)
{
	uint64_t size = j->create.size, limit, length;
	bool fixed = true;

	if (size == 0 && fvd_stream_length(j->opts->stdin_fd, &size))
		size = fvd_round_up(size, FVD_SECTOR);
	limit = size;
	length = size;
	if (size == 0) {
		fixed = false;
		size = open_ended(j, &limit);
	}
	if (open_sink(j, size, err) < 0)
		return -1;
	/* A raw file grows by being written. */
	start_copy(j, j->to_fvd ? size : limit);
	if (fvd_stream_in(&j->copy, j->opts->stdin_fd, "standard input", limit, j->base_len,
			  &length, err) < 0 ||
	    end_stream(j, length, fixed, err) < 0)
		return -1;
	return fvd_sink_finish(&j->sink, err);
}

static int run(struct job *j, struct fvd_error *err)
{
	if (check_opts(j, err) < 0 || open_source(j, err) < 0 || open_base(j, err) < 0)
		return -1;
	if ((j->from_stdin ? convert_stream(j, err) : convert_file(j, err)) < 0)
		return -1;
	return j->to_stdout ? 0 : fvd_sink_commit(&j->sink, j->opts->no_sync, err);
}

int fvd_convert(const char *src, const char *dst, const struct fvd_convert_opts *opts,
		struct fvd_convert_report *report, struct fvd_error *err)
{
	struct job j = { .src_name = src, .dst_name = dst, .opts = opts, .create = opts->create };
	int ret;

	j.from_stdin = strcmp(src, "-") == 0;
	j.to_stdout = strcmp(dst, "-") == 0;
	j.to_fvd = opts->target_format != FVD_FORMAT_RAW;
	ret = run(&j, err);
	fvd_sink_abort(&j.sink);
	fvd_source_close(&j.base_view);
	fvd_base_close(j.base);
	fvd_source_close(&j.src);
	if (ret == 0 && report)
		*report = (struct fvd_convert_report){
			.virtual_size = j.copy.size,
			.read_bytes = j.copy.read_bytes,
			.zero_bytes = j.copy.zero_bytes,
			.written_bytes = j.copy.written_bytes,
			.same_bytes = j.copy.same_bytes,
			.verified = opts->verify,
		};
	return ret;
}
