/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash_disk.h"

#include <stdlib.h>
#include <string.h>

#include "util/num.h"

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void grow(struct cd_file *f, uint64_t len)
{
	uint64_t cap = fvd_round_up(len, 4096);

	if (cap <= f->cap)
		return;
	f->data = must(realloc(f->data, cap));
	f->hole = must(realloc(f->hole, cap / CW_SECTOR));
	f->newest = must(realloc(f->newest, cap / CW_SECTOR * sizeof(*f->newest)));
	memset(f->data + f->cap, 0, cap - f->cap);
	memset(f->hole + f->cap / CW_SECTOR, 1, (cap - f->cap) / CW_SECTOR);
	memset(f->newest + f->cap / CW_SECTOR, 0,
	       (cap - f->cap) / CW_SECTOR * sizeof(*f->newest));
	f->cap = cap;
}

void cd_init(struct cd *d, const struct cw *w)
{
	*d = (struct cd){ .w = w, .generation = 1 };
	for (int i = 0; i < w->files; i++) {
		const struct cw_file *from = &w->file[i];
		struct cd_file *f = &d->file[i];

		grow(f, from->cap);
		memcpy(f->data, from->data, from->cap);
		memcpy(f->hole, from->hole, from->cap / CW_SECTOR);
		f->len = from->len;
	}
}

void cd_fini(struct cd *d)
{
	for (int i = 0; i < CW_FILES; i++) {
		free(d->file[i].data);
		free(d->file[i].hole);
		free(d->file[i].newest);
	}
	free(d->durable);
	free(d->piece);
	*d = (struct cd){ 0 };
}

static void clear_from(uint8_t *data, uint8_t *hole, uint64_t len, uint64_t cap)
{
	uint64_t from = fvd_div_up(len, CW_SECTOR);

	memset(data + len, 0, cap - len);
	memset(hole + from, 1, cap / CW_SECTOR - from);
}

static void settle_length(struct cd_file *f, const struct cw_op *op)
{
	grow(f, fvd_max(op->length, 1));
	if (op->kind == CW_TRUNCATE && op->length < f->len)
		clear_from(f->data, f->hole, op->length, f->cap);
	if (op->kind == CW_TRUNCATE || op->length > f->len)
		f->len = op->length;
}

/* The operation is on the disk for good. */
static void settle(struct cd *d, size_t number)
{
	const struct cw_op *op = &d->w->op[number];
	struct cd_file *f = &d->file[op->file];

	uint64_t end = fvd_min((op->first + op->count) * CW_SECTOR, op->length);

	if (op->kind == CW_TRUNCATE || op->grew)
		settle_length(f, op);
	/* One in flight had made the file long enough: what has returned counts all the same. */
	if (op->kind == CW_WRITE && end > f->len) {
		grow(f, end);
		f->len = end;
	}
	for (uint64_t i = 0; i < op->count; i++) {
		uint64_t s = op->first + i;

		/* One that ran beside a later one, and was made durable after it. */
		if (s * CW_SECTOR >= f->len || f->newest[s] > number)
			continue;
		memcpy(f->data + s * CW_SECTOR, op->after + i * CW_SECTOR, CW_SECTOR);
		f->hole[s] = op->hole[i];
		f->newest[s] = (uint32_t)number + 1;
	}
	d->durable[number] = 1;
	d->generation++;
}

static void settle_flush(struct cd *d, const struct cw_op *flush)
{
	for (size_t i = 0; i < d->w->ops; i++) {
		const struct cw_op *op = &d->w->op[i];

		if (op->kind != CW_FLUSH && op->file == flush->file && op->end < flush->begin &&
		    !d->durable[i] && !op->lost)
			settle(d, i);
	}
}

static void add_piece(struct cd *d, size_t op, uint32_t sector, uint64_t off)
{
	struct cd_piece *p;

	if (d->pieces == d->piece_cap) {
		d->piece_cap = d->piece_cap ? d->piece_cap * 2 : 64;
		d->piece = must(realloc(d->piece, d->piece_cap * sizeof(*d->piece)));
	}
	p = &d->piece[d->pieces++];
	*p = (struct cd_piece){ .op = (uint32_t)op, .sector = sector };
	if (d->classify)
		p->class = d->classify(d->opaque, d->w->op[op].file, off);
}

static void list_pieces(struct cd *d)
{
	d->pieces = 0;
	for (size_t i = 0; i < d->w->ops; i++) {
		const struct cw_op *op = &d->w->op[i];

		if (op->kind == CW_FLUSH || op->applied > d->now || d->durable[i])
			continue;
		if (op->kind == CW_TRUNCATE || op->grew)
			add_piece(d, i, CD_LENGTH, op->length);
		for (uint64_t s = 0; s < op->count; s++)
			add_piece(d, i, (uint32_t)s, (op->first + s) * CW_SECTOR);
	}
}

void cd_advance(struct cd *d, uint64_t now)
{
	if (d->durable_cap < d->w->ops) {
		d->durable = must(realloc(d->durable, d->w->ops));
		memset(d->durable + d->durable_cap, 0, d->w->ops - d->durable_cap);
		d->durable_cap = d->w->ops;
	}
	for (size_t i = 0; i < d->w->ops; i++) {
		const struct cw_op *op = &d->w->op[i];

		if (op->kind != CW_FLUSH || d->durable[i] || op->end > now)
			continue;
		if (!op->failed)
			settle_flush(d, op);
		d->durable[i] = 1;
	}
	d->now = now;
	list_pieces(d);
}

static void copy_file(const struct cd_file *from, struct cw_file *f)
{
	cw_resize(f, from->cap);
	if (from->cap > 0) {	/* else it was made after the log began */
		memcpy(f->data, from->data, from->cap);
		memcpy(f->hole, from->hole, from->cap / CW_SECTOR);
	}
	if (f->cap > from->cap) {
		memset(f->data + from->cap, 0, f->cap - from->cap);
		memset(f->hole + from->cap / CW_SECTOR, 1, (f->cap - from->cap) / CW_SECTOR);
	}
	f->len = from->len;
}

static void put_length(struct cw_file *f, const struct cw_op *op)
{
	cw_resize(f, fvd_max(op->length, 1));
	if (op->kind == CW_TRUNCATE && op->length < f->len)
		clear_from(f->data, f->hole, op->length, f->cap);
	if (op->kind == CW_TRUNCATE || op->length > f->len)
		f->len = op->length;
}

static void put_piece(const struct cd *d, const struct cd_piece *p, struct cw *scratch)
{
	const struct cw_op *op = &d->w->op[p->op];
	struct cw_file *f = &scratch->file[op->file];
	uint64_t s;

	if (p->sector == CD_LENGTH) {
		put_length(f, op);
		return;
	}
	s = op->first + p->sector;
	if (d->file[op->file].cap > s * CW_SECTOR && d->file[op->file].newest[s] > p->op)
		return;
	/* A write that arrived took the file's length with it. */
	if ((s + 1) * CW_SECTOR > f->len) {
		if (op->hole[p->sector])
			return;
		cw_resize(f, (s + 1) * CW_SECTOR);
		f->len = f->block_device ? f->len : fvd_min((s + 1) * CW_SECTOR, op->length);
	}
	memcpy(f->data + s * CW_SECTOR, op->after + p->sector * CW_SECTOR, CW_SECTOR);
	f->hole[s] = op->hole[p->sector];
}

void cd_build(const struct cd *d, struct cw *scratch)
{
	cw_clear_log(scratch);
	for (int i = 0; i < d->w->files; i++) {
		struct cw_file *f = &scratch->file[i];

		if (scratch->files <= i)
			cw_add(scratch, d->w->file[i].name, 0);
		if (d->w->file[i].constant) {
			cw_borrow(scratch, d->w, i);
			continue;
		}
		if (f->borrowed)
			*f = (struct cw_file){ 0 };
		memcpy(f->name, d->w->file[i].name, sizeof(f->name));
		f->block_device = d->w->file[i].block_device;
		f->max_len = d->w->file[i].max_len;
		f->readers = f->writers = f->opens = 0;
		copy_file(&d->file[i], f);
	}
	for (size_t i = 0; i < d->pieces; i++) {
		if (d->piece[i].chosen)
			put_piece(d, &d->piece[i], scratch);
	}
	scratch->changes = 0;
	scratch->flushes = 0;
}

uint64_t cd_choice_hash(const struct cd *d)
{
	uint64_t hash = d->generation * UINT64_C(0x9E3779B97F4A7C15);

	for (size_t i = 0; i < d->pieces; i++) {
		if (!d->piece[i].chosen)
			continue;
		hash = (hash ^ ((uint64_t)d->piece[i].op << 32 | d->piece[i].sector)) *
		       UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	return hash;
}

void cd_choose_all(struct cd *d, bool chosen)
{
	for (size_t i = 0; i < d->pieces; i++)
		d->piece[i].chosen = chosen;
}

void cd_choose_random(struct cd *d, struct cw_rng *r, unsigned percent)
{
	for (size_t i = 0; i < d->pieces; i++)
		d->piece[i].chosen = cw_chance(r, percent);
}

void cd_choose_ops(struct cd *d, struct cw_rng *r, unsigned percent)
{
	for (size_t i = 0; i < d->pieces; i++) {
		if (i > 0 && d->piece[i].op == d->piece[i - 1].op)
			d->piece[i].chosen = d->piece[i - 1].chosen;
		else
			d->piece[i].chosen = cw_chance(r, percent);
	}
}

void cd_choose_classes(struct cd *d, unsigned mask)
{
	for (size_t i = 0; i < d->pieces; i++)
		d->piece[i].chosen = mask >> d->piece[i].class & 1;
}

void cd_choose_prefix(struct cd *d, size_t pieces)
{
	for (size_t i = 0; i < d->pieces; i++)
		d->piece[i].chosen = i < pieces;
}
