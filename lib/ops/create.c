/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new image is mostly a length: bitmap and journal are holes, which read as the zeros
 * that FORMAT 2 wants; only the header and the table's 0xFF are written. On a block device
 * the zeros are written too, and the header last, so that a device whose creation was cut
 * short is no image.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/layout.h"
#include "image/base.h"
#include "ops/chain.h"
#include "ops/create.h"
#include "ops/detect.h"
#include "ops/target.h"
#include "util/buf.h"
#include "util/num.h"
#include "util/uuid.h"

#ifndef FVD_VERSION
#define FVD_VERSION "1.0"
#endif

#define PREFETCH_PIECE FVD_MIB
#define WRITE_PIECE FVD_MIB

struct creation {
	const char *name;		/* the final one */
	const struct fvd_create_opts *opts;
	struct fvd_header h;
	struct fvd_ext ext;
	struct fvd_base *base;		/* NULL: none, or not to be opened */
};

/* @field has one byte more than the disk, where @cap bytes hold the text and its NUL. */
static int set_text(char *field, size_t cap, const char *text, const char *what,
		    struct fvd_error *err)
{
	size_t len = strlen(text);

	if (len >= cap)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "%s of %zu bytes: an image holds at most %zu", what, len,
				     cap - 1);
	memcpy(field, text, len + 1);
	return 0;
}

static int check_opts(const struct fvd_create_opts *o, struct fvd_error *err)
{
	if (!o->base && o->size == 0)
		return fvd_error_set(err, FVD_ERR_INVALID, "a disk without a base needs a size");
	if (!o->base && (o->base_format || o->detect_zeroes || o->no_base_check))
		return fvd_error_set(err, FVD_ERR_INVALID, "%s says nothing without a base",
				     o->base_format ? "a base format" :
				     o->detect_zeroes ? "detecting zeroes" :
				     "leaving out the check of the base");
	if (o->base && o->base[0] == '\0')
		return fvd_error_set(err, FVD_ERR_INVALID, "the base's name is empty");
	if (o->data_file && o->data_file[0] == '\0')
		return fvd_error_set(err, FVD_ERR_INVALID, "the data file's name is empty");
	if (o->no_base_check && (o->size == 0 || o->detect_zeroes))
		return fvd_error_set(err, FVD_ERR_INVALID, "%s needs the base, which is not "
				     "opened without its check",
				     o->size ? "detecting zeroes" : "leaving out the size");
	if (o->no_base_check && o->base_format && strcmp(o->base_format, "raw") != 0 &&
	    strcmp(o->base_format, "fvd") != 0)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "base format \"%s\" is neither \"raw\" nor \"fvd\"",
				     o->base_format);
	if (o->no_table && o->chunk_size)
		return fvd_error_set(err, FVD_ERR_INVALID, "chunk size %" PRIu64
				     " says nothing without a table", o->chunk_size);
	if (o->grow_unit % FVD_SECTOR || o->grow_unit > FVD_MAX_OFF)
		return fvd_error_set(err, FVD_ERR_INVALID, "grow unit %" PRIu64
				     " is not a multiple of %u up to 2^63-1", o->grow_unit,
				     FVD_SECTOR);
	if (o->prefetch_delay < -1)
		return fvd_error_set(err, FVD_ERR_INVALID, "prefetch delay %" PRId64
				     " is below -1, which means none", o->prefetch_delay);
	return 0;
}

static void set_defaults(struct fvd_header *h, const struct fvd_create_opts *o)
{
	h->revision = 2;
	h->stable_epoch = 1;
	h->clean_shutdown = 1;
	h->block_size = o->block_size ? o->block_size : FVD_DEFAULT_BLOCK;
	h->journal_size = o->journal_size == FVD_CREATE_DEFAULT ? FVD_DEFAULT_JOURNAL :
								  o->journal_size;
	h->grow_unit = o->grow_unit ? o->grow_unit : FVD_DEFAULT_GROW;
	h->copy_on_read = o->copy_on_read;
	h->max_outstanding_cor = 2 * FVD_MIB;
	h->prefetch_start_delay = o->prefetch_delay;
	h->prefetch_slots = 2;
	h->bytes_per_prefetch = fvd_max(PREFETCH_PIECE, h->block_size);
	h->prefetch_max_read_kbps = UINT32_MAX;
	h->prefetch_max_write_kbps = UINT32_MAX;
	h->prefetch_throttle_ms = 10000;
	h->prefetch_read_measure_ms = 500;
	h->prefetch_write_measure_ms = 500;
}

static bool is_target(const struct creation *c, const char *base_name)
{
	struct fvd_io_identity base = fvd_name_identity(base_name);
	struct fvd_io_identity name = fvd_name_identity(c->name);

	return strcmp(base_name, c->name) == 0 || fvd_same_identity(&base, &name);
}

/* Raw is what no format means; a guest that wrote the magic must not decide otherwise. */
static int refuse_guess(const struct creation *c, struct fvd_error *err)
{
	uint8_t magic[8];

	if (c->opts->base_format)
		return 0;
	if (fvd_io_pread(fvd_base_io(c->base), magic, sizeof(magic), 0, err) < 0)
		return -1;
	if (fvd_header_probe(magic, sizeof(magic)) == 0)
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "base %s: starts like an FVD image: say "
			     "-F fvd, or -F raw to use its bytes as they are", c->opts->base);
}

static int open_base(struct creation *c, const char *base_name, const struct fvd_io *target,
		     struct fvd_error *err)
{
	struct fvd_io_identity id = fvd_name_identity(c->name);
	const struct fvd_create_opts *o = c->opts;
	struct fvd_open_opts how = FVD_OPEN_OPTS_INIT;
	struct fvd_image *img;
	struct fvd_io *io;

	how.opener = o->opener;
	if (fvd_base_open_name(base_name, o->base_format ? o->base_format : "raw", &how, &c->base,
			       err) < 0)
		return -1;
	img = fvd_base_image(c->base);
	io = fvd_base_io(c->base);
	if (fvd_chain_has(img, io, &id) || fvd_chain_has(img, io, &target->id))
		return fvd_error_set(err, FVD_ERR_BASE,
				     "base %s: is %s itself, or has it among its own bases",
				     o->base, c->name);
	if (refuse_guess(c, err) < 0)
		return -1;
	fvd_base_validator(c->base, c->ext.validator, sizeof(c->ext.validator));
	return 0;
}

static int set_base(struct creation *c, const struct fvd_io *target, struct fvd_error *err)
{
	const struct fvd_create_opts *o = c->opts;
	char *base_name;
	int ret = 0;

	if (set_text(c->h.base_img, sizeof(c->h.base_img) - 1, o->base, "the base's name",
		     err) < 0 ||
	    (o->base_format && set_text(c->h.base_img_fmt, sizeof(c->h.base_img_fmt) - 1,
					o->base_format, "the base's format", err) < 0))
		return -1;
	base_name = fvd_name_resolve(c->name, o->base, err);
	if (!base_name)
		return -1;
	if (is_target(c, base_name))
		ret = fvd_error_set(err, FVD_ERR_BASE, "base %s: is %s itself", o->base, c->name);
	else if (!o->no_base_check)
		ret = open_base(c, base_name, target, err);
	free(base_name);
	return ret;
}

static int set_sizes(struct creation *c, struct fvd_error *err)
{
	const struct fvd_create_opts *o = c->opts;
	uint64_t base_len = c->base ? fvd_base_length(c->base) : UINT64_MAX;
	uint64_t size = o->size;

	if (size == 0)
		size = base_len > FVD_MAX_OFF ? base_len : fvd_round_up(base_len, FVD_SECTOR);
	if (size == 0)
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "base %s: is empty; a disk of its size cannot be", o->base);
	c->h.virtual_size = fvd_max(size, o->reserve);
	if (o->base) {
		base_len = fvd_min(base_len, c->h.virtual_size);
		c->h.base_size = fvd_round_up(base_len, FVD_SECTOR);
	}
	if (!o->no_table)
		c->h.chunk_size = o->chunk_size ? o->chunk_size : fvd_layout_default_chunk(size);
	if (fvd_layout_plan(&c->h, err) < 0)
		return -1;
	/* Regions stay where the larger disk will want them. */
	c->h.virtual_size = size;
	c->h.base_size = fvd_min(c->h.base_size, size);
	if (fvd_header_has_table(&c->h))
		c->h.table_size = fvd_round_up(4 * fvd_header_chunk_count(&c->h), FVD_PAGE);
	else
		c->h.chunk_size = FVD_DEFAULT_CHUNK;
	return 0;
}

static int set_extensions(struct creation *c, struct fvd_error *err)
{
	c->ext.has_generation = true;
	c->ext.generation = 1;
	c->ext.has_uuid = true;
	strcpy(c->ext.creator, "fvdtool " FVD_VERSION);
	if (fvd_uuid_new(c->ext.uuid, err) < 0)
		return -1;
	return fvd_ext_encode(&c->ext, c->h.reserved, err);
}

static int plan(struct creation *c, const struct fvd_io *target, struct fvd_error *err)
{
	const struct fvd_create_opts *o = c->opts;

	if (check_opts(o, err) < 0)
		return -1;
	set_defaults(&c->h, o);
	if (o->data_file && set_text(c->h.data_file, sizeof(c->h.data_file) - 1, o->data_file,
				     "the data file's name", err) < 0)
		return -1;
	if ((o->base && set_base(c, target, err) < 0) || set_sizes(c, err) < 0 ||
	    set_extensions(c, err) < 0)
		return -1;
	return fvd_header_validate(&c->h, err);
}

static uint64_t metadata_end(const struct fvd_header *h)
{
	uint64_t end = FVD_HEADER_REGION;

	if (fvd_header_has_bitmap(h))
		end = fvd_max(end, h->bitmap_offset + h->bitmap_size);
	if (fvd_header_has_journal(h))
		end = fvd_max(end, h->journal_offset + h->journal_size);
	if (fvd_header_has_table(h))
		end = fvd_max(end, h->table_offset + h->table_size);
	return end;
}

static uint64_t file_length(const struct fvd_header *h)
{
	if (h->data_file[0])
		return metadata_end(h);
	return h->data_offset + (fvd_header_has_table(h) ? 0 : h->virtual_size);
}

static int write_table(struct fvd_io *io, const struct fvd_header *h, struct fvd_error *err)
{
	size_t cap = (size_t)fvd_min(WRITE_PIECE, h->table_size);
	uint8_t *buf;
	int ret = 0;

	if (!fvd_header_has_table(h))
		return 0;
	buf = fvd_alloc_io(cap, err);
	if (!buf)
		return -1;
	memset(buf, 0xFF, cap);
	for (uint64_t done = 0; ret == 0 && done < h->table_size; done += cap) {
		size_t n = (size_t)fvd_min(cap, h->table_size - done);

		ret = fvd_io_pwrite(io, buf, n, h->table_offset + done, err);
	}
	free(buf);
	return ret;
}

static int prepare_device(struct fvd_io *io, const struct fvd_header *h, struct fvd_error *err)
{
	uint64_t length, need = file_length(h);

	if (fvd_io_length(io, &length, err) < 0)
		return -1;
	if (length < need)
		return fvd_error_set(err, FVD_ERR_NOSPACE, "%s: %" PRIu64 " bytes long, the image "
				     "needs %" PRIu64, io->name, length, need);
	if (fvd_io_zero(io, 0, FVD_HEADER_REGION, err) < 0)
		return -1;
	if (fvd_header_has_bitmap(h) &&
	    fvd_io_zero(io, h->bitmap_offset, h->bitmap_size, err) < 0)
		return -1;
	if (fvd_header_has_journal(h) &&
	    fvd_io_zero(io, h->journal_offset, h->journal_size, err) < 0)
		return -1;
	return 0;
}

static int write_image(struct creation *c, struct fvd_io *io, struct fvd_error *err)
{
	struct fvd_header *h = &c->h;
	uint8_t region[FVD_HEADER_REGION];
	bool found = false;

	if (io->block_device ? prepare_device(io, h, err) < 0 :
			       fvd_io_truncate(io, file_length(h), err) < 0)
		return -1;
	if (write_table(io, h, err) < 0)
		return -1;
	if (c->opts->detect_zeroes && fvd_header_has_bitmap(h) &&
	    fvd_detect_zeroes(c->base, h, io, c->opts->progress, &found, err) < 0)
		return -1;
	/* These blocks have no storage of their own but what has never been written. */
	h->need_zero_init = found && !fvd_header_has_table(h);
	if (io->block_device && fvd_io_flush(io, err) < 0)
		return -1;
	fvd_header_encode(h, region);
	return fvd_io_pwrite(io, region, sizeof(region), 0, err);
}

int fvd_create_on(struct fvd_io *io, const char *name, const struct fvd_create_opts *opts,
		  struct fvd_header *h, struct fvd_error *err)
{
	struct creation c = { .name = name, .opts = opts };
	int ret = plan(&c, io, err);

	if (ret == 0)
		ret = write_image(&c, io, err);
	if (ret == 0 && h)
		*h = c.h;
	fvd_base_close(c.base);
	return ret;
}

int fvd_create(const char *name, const struct fvd_create_opts *opts, struct fvd_header *h,
	       struct fvd_error *err)
{
	struct creation c = { .name = name, .opts = opts };
	struct fvd_target *t;
	int ret;

	if (check_opts(opts, err) < 0 || fvd_target_begin(name, opts->replace, &t, err) < 0)
		return -1;
	ret = plan(&c, fvd_target_io(t), err);
	if (ret == 0 && opts->data_file)
		ret = fvd_target_add_data(t, opts->data_file,
					  fvd_header_has_table(&c.h) ? 0 : c.h.virtual_size, err);
	if (ret == 0)
		ret = write_image(&c, fvd_target_io(t), err);
	fvd_base_close(c.base);
	if (ret < 0) {
		fvd_target_abort(t);
		return -1;
	}
	if (fvd_target_commit(t, opts->no_sync, err) < 0)
		return -1;
	if (h)
		*h = c.h;
	return 0;
}
