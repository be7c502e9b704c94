/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/jrecord.h"
#include "model.h"
#include "util/num.h"

#define BASE_SERIAL UINT64_C(0xBA5E)

static void base_content(uint8_t *buf, uint64_t len)
{
	uint64_t whole = fvd_round_up(len, CW_SECTOR);
	uint8_t *tmp = calloc(1, whole);

	if (!tmp)
		abort();
	model_stamp(tmp, whole / CW_SECTOR, 0, BASE_SERIAL);
	for (uint64_t page = 3; page * 4096 < whole; page += 5)
		memset(tmp + page * 4096, 0, fvd_min(4096, whole - page * 4096));
	memcpy(buf, tmp, len);
	free(tmp);
}

static void add_region(uint64_t *off, uint64_t size, uint64_t *end)
{
	if (size == 0)
		return;
	*off = fvd_round_up(*end, 4096);
	*end = *off + size;
}

static void place_data(struct ci *c, uint64_t *end)
{
	struct fvd_header *h = &c->h;
	uint64_t chunk = c->cfg.chunk;

	if (c->cfg.data_file)
		return;
	h->data_offset = fvd_round_up(*end, 4096) + c->cfg.data_skew;
	if (c->cfg.order != CI_DATA_FIRST)
		return;
	/* What is behind limits a disk without table to its size, and makes one with table jump. */
	*end = h->data_offset + (chunk ? fvd_div_up(h->virtual_size, chunk) / 2 * chunk :
					 h->virtual_size);
}

static void place_regions(struct ci *c)
{
	struct fvd_header *h = &c->h;
	uint64_t end = FVD_HEADER_REGION;

	if (c->cfg.order == CI_DATA_FIRST)
		place_data(c, &end);
	if (c->cfg.order == CI_NORMAL) {
		add_region(&h->bitmap_offset, h->bitmap_size, &end);
		add_region(&h->journal_offset, h->journal_size, &end);
		add_region(&h->table_offset, h->table_size, &end);
	} else {
		add_region(&h->table_offset, h->table_size, &end);
		add_region(&h->journal_offset, h->journal_size, &end);
		add_region(&h->bitmap_offset, h->bitmap_size, &end);
	}
	if (c->cfg.order != CI_DATA_FIRST)
		place_data(c, &end);
}

static void fill_header(struct ci *c)
{
	const struct ci_cfg *cfg = &c->cfg;
	struct fvd_header *h = &c->h;

	*h = (struct fvd_header){ .revision = 2, .virtual_size = cfg->vsize, .stable_epoch = 1,
				  .clean_shutdown = 1, .prefetch_start_delay = -1,
				  .need_zero_init = true };
	h->block_size = cfg->block ? cfg->block : 4096;
	h->bytes_per_prefetch = h->block_size;
	h->chunk_size = cfg->chunk ? cfg->chunk : 4096;
	h->grow_unit = cfg->grow ? cfg->grow : 16384;
	h->journal_size = cfg->journal;
	if (cfg->base_len > 0) {
		strcpy(h->base_img, "base");
		strcpy(h->base_img_fmt, cfg->base == CI_RAW ? "raw" : "fvd");
		h->base_size = fvd_min(cfg->vsize, fvd_round_up(cfg->base_len, CW_SECTOR));
		h->bitmap_size = fvd_round_up(fvd_div_up(fvd_div_up(h->base_size, h->block_size),
							 8), 4096);
	}
	if (cfg->chunk > 0)
		h->table_size = fvd_round_up(fvd_div_up(cfg->vsize, cfg->chunk) * 4, 4096);
	if (cfg->data_file)
		strcpy(h->data_file, "img.data");
	place_regions(c);
}

static int add_extensions(struct fvd_header *h, struct fvd_error *err)
{
	struct fvd_ext x = { .state = FVD_EXT_OK, .has_generation = true, .generation = 1,
			     .creator = "crash tests" };

	return fvd_ext_encode(&x, h->reserved, err);
}

static void write_image(struct ci *c, struct cw *w)
{
	uint8_t region[FVD_HEADER_REGION];
	uint8_t *table;

	c->image = cw_add(w, "img", 0);
	fvd_header_encode(&c->h, region);
	cw_poke(w, c->image, region, sizeof(region), 0);
	if (c->h.table_size > 0) {
		table = malloc(c->h.table_size);
		if (!table)
			abort();
		memset(table, 0xff, c->h.table_size);
		cw_poke(w, c->image, table, c->h.table_size, c->h.table_offset);
		free(table);
	}
	c->data = c->cfg.data_file ? cw_add(w, "img.data", 0) : c->image;
}

/*
 * What a clean image may hold of another writer: sectors of either kind, alone and together. Any
 * of them that came alive would set wrong bits or map wrong chunks.
 */
static void old_journal(const struct ci *c, struct cw *w)
{
	const struct fvd_header *h = &c->h;
	uint32_t entries[3] = { 5, 0, 3 };

	for (uint64_t i = 0; i < h->journal_size / CW_SECTOR; i++) {
		uint8_t sector[CW_SECTOR] = { 0 };
		size_t used = 0;

		if (h->table_size > 0 && i % 3 != 0)
			fvd_jsector_put_table(sector, &used, 1000 + i, (uint32_t)(i % 4),
					      entries, 3);
		if (h->bitmap_size > 0 && i % 3 != 1)
			fvd_jsector_put_bitmap(sector, &used, i * 8, 8);
		cw_poke(w, c->image, sector, sizeof(sector), h->journal_offset + i * CW_SECTOR);
	}
}

/* The file must reach to the end of bitmap, journal and, on a device, of the chunks. */
static void size_files(struct ci *c, struct cw *w)
{
	const struct fvd_header *h = &c->h;
	struct cw_file *f = &w->file[c->image];
	uint64_t end = fvd_max(FVD_HEADER_REGION, h->table_offset + h->table_size);

	end = fvd_max(end, h->journal_offset + h->journal_size);
	end = fvd_max(end, h->bitmap_offset + h->bitmap_size);
	cw_resize(f, end);
	f->len = fvd_max(f->len, end);
	if (c->cfg.device_chunks == 0)
		return;
	f = &w->file[c->data];
	end = h->data_offset + c->cfg.device_chunks * c->cfg.chunk;
	cw_resize(f, end);
	f->len = f->max_len = end;
	f->block_device = true;
}

static void raw_base(struct cw *w, const char *name, uint64_t len)
{
	int file = cw_add(w, name, len);
	uint8_t *buf = malloc(len);

	if (!buf)
		abort();
	base_content(buf, len);
	cw_poke(w, file, buf, len, 0);
	w->file[file].constant = true;
	free(buf);
}

/* An fvd base with chunks of its own over base.raw; @content follows. */
static int fvd_base(const struct ci_cfg *top, struct cw *w, uint8_t *content,
		    struct fvd_error *err)
{
	struct ci base = { .cfg = { .vsize = top->base_len, .chunk = 4096, .block = 8192,
				    .base_len = top->base_len / 2, .journal = 4096 } };
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;
	struct fvd_image *img;
	int ret = 0;

	fill_header(&base);
	strcpy(base.h.base_img, "base.raw");
	strcpy(base.h.base_img_fmt, "raw");
	raw_base(w, "base.raw", base.cfg.base_len);
	write_image(&base, w);
	size_files(&base, w);
	strcpy(w->file[base.image].name, "base");
	opts.flags = FVD_OPEN_WRITE;
	opts.opener = &w->opener;
	opts.commit_interval_ms = 0;
	if (fvd_image_open("base", &opts, &img, err) < 0)
		return -1;
	for (uint64_t off = 2048; ret == 0 && off + 6144 <= top->base_len; off += 20480) {
		model_stamp(content + off, 6144 / CW_SECTOR, off / CW_SECTOR, 0xF7D);
		ret = fvd_image_write(img, content + off, 6144, off, err);
	}
	if (ret == 0 && top->base == CI_FVD)
		ret = fvd_image_close(img, err);
	else
		fvd_image_drop(img);
	w->file[base.image].constant = true;
	return ret;
}

int ci_make(struct ci *c, const struct ci_cfg *cfg, struct cw *w, struct fvd_error *err)
{
	uint64_t base_bytes = fvd_min(cfg->base_len, cfg->vsize);
	uint8_t *content = calloc(1, cfg->base_len + cfg->vsize + CW_SECTOR);
	int ret = 0;

	*c = (struct ci){ .cfg = *cfg };
	c->initial = calloc(1, cfg->vsize);
	if (!content || !c->initial)
		abort();
	if (cfg->base_len > 0 && cfg->base == CI_RAW) {
		base_content(content, cfg->base_len);
		raw_base(w, "base", cfg->base_len);
	} else if (cfg->base_len > 0) {
		base_content(content, cfg->base_len / 2);
		ret = fvd_base(cfg, w, content, err);
	}
	memcpy(c->initial, content, base_bytes);
	free(content);
	fill_header(c);
	if (ret == 0 && cfg->generation)
		ret = add_extensions(&c->h, err);
	write_image(c, w);
	size_files(c, w);
	if (cfg->old_journal)
		old_journal(c, w);
	return ret;
}

void ci_fini(struct ci *c)
{
	free(c->initial);
	*c = (struct ci){ .image = 0 };
}

int ci_classify(void *ci, int file, uint64_t off)
{
	const struct ci *c = ci;
	const struct fvd_header *h = &c->h;

	if (file != c->image)
		return CI_DATA;
	if (off / CW_SECTOR == FVD_STATE_SECTOR_REV2 / CW_SECTOR)
		return CI_STATE;
	if (off >= h->journal_offset && off - h->journal_offset < h->journal_size)
		return CI_JOURNAL;
	if (off >= h->table_offset && off - h->table_offset < h->table_size)
		return CI_TABLE;
	if (off >= h->bitmap_offset && off - h->bitmap_offset < h->bitmap_size)
		return CI_BITMAP;
	return off < FVD_HEADER_REGION ? CI_HEADER : CI_DATA;
}

struct fvd_open_opts ci_opts(const struct ci *c, struct cw *w, unsigned flags)
{
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;

	opts.flags = flags;
	opts.opener = &w->opener;
	opts.commit_interval_ms = c->cfg.commit;
	opts.journal_buffer = c->cfg.buffer;
	return opts;
}

int ci_read_all(struct fvd_image *img, uint8_t *buf, uint64_t size, struct fvd_error *err)
{
	return fvd_image_read(img, buf, size, 0, err);
}
