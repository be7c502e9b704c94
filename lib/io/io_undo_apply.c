/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting the content back. The file is walked three times: forwards to validate all of
 * it, backwards to see what the start of the image would become, backwards to write.
 * Every step decodes and checks again, so a file that changes meanwhile is an error, too.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_undo.h"
#include "io/io_undo_disk.h"
#include "util/buf.h"
#include "util/num.h"
#include "util/zero.h"

#define HEAD sizeof(struct fvd_disk_undo_head)
#define ENTRY sizeof(struct fvd_disk_undo_entry)

struct entry {
	uint64_t pos, size;	/* in the undo file, with the filling */
	uint64_t off, len;
	uint64_t back;		/* bytes to the entry before */
	uint32_t kind;
};

struct reader {
	struct fvd_io *undo;
	uint64_t file_len;
	uint64_t orig_len;
	uint32_t sample_crc;
	uint64_t last;		/* where the last whole entry begins; 0: none */
	uint8_t *data;		/* of the entry read last */
};

static int read_head(struct reader *r, struct fvd_error *err)
{
	struct fvd_disk_undo_head head;
	uint64_t name_len;

	if (fvd_io_length(r->undo, &r->file_len, err) < 0 ||
	    fvd_io_pread(r->undo, &head, sizeof(head), 0, err) < 0)
		return -1;
	if (r->file_len < HEAD || memcmp(head.magic, FVD_UNDO_MAGIC, sizeof(head.magic)) != 0)
		return fvd_error_set(err, FVD_ERR_FORMAT, "%s: not an undo file", r->undo->name);
	if (fvd_get_le32(head.crc) != fvd_undo_head_crc(&head))
		return fvd_error_set(err, FVD_ERR_CORRUPT,
				     "%s: the head of the undo file is damaged", r->undo->name);
	r->orig_len = fvd_get_le64(head.len);
	r->sample_crc = fvd_get_le32(head.sample_crc);
	name_len = fvd_get_le64(head.name_len);
	if (r->orig_len > FVD_MAX_OFF || name_len > FVD_UNDO_MAX_NAME)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: a length of %" PRIu64
				     " or a name of %" PRIu64 " bytes is out of bounds",
				     r->undo->name, r->orig_len, name_len);
	return 0;
}

static int damaged(const struct reader *r, uint64_t pos, const char *what, struct fvd_error *err)
{
	return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: undo entry at %" PRIu64 ": %s",
			     r->undo->name, pos, what);
}

static int check_entry(const struct reader *r, const struct entry *e, struct fvd_error *err)
{
	uint64_t bound = r->orig_len;

	if (e->kind == FVD_UNDO_BECOMES)
		bound = sizeof(struct fvd_disk_undo_becomes);
	else if (e->kind != FVD_UNDO_DATA && e->kind != FVD_UNDO_HOLE)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: undo entry at %" PRIu64 ": kind %"
				     PRIu32 " is not known", r->undo->name, e->pos, e->kind);
	if (e->len == 0 || !fvd_in_range(e->off, e->len, bound) ||
	    (e->kind == FVD_UNDO_BECOMES && e->len != bound) ||
	    (e->kind == FVD_UNDO_DATA && e->len > FVD_UNDO_MAX_DATA))
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: undo entry at %" PRIu64 ": %"
				     PRIu64 " bytes at %" PRIu64 " are out of bounds",
				     r->undo->name, e->pos, e->len, e->off);
	/* The first one is 0 behind the head, the others are behind something. */
	if (e->back > e->pos - HEAD || (e->back == 0) != (e->pos == HEAD))
		return damaged(r, e->pos, "it does not follow another one", err);
	return 0;
}

/*
 * 1: the entry at @pos is in @e and r->data. 0: the log ends here, maybe in an entry that
 * a crash cut short. -1: damage, or an I/O error.
 */
static int read_entry(struct reader *r, uint64_t pos, struct entry *e, struct fvd_error *err)
{
	struct fvd_disk_undo_entry d;
	uint64_t left = r->file_len - pos;
	size_t data;

	if (left < ENTRY)
		return 0;
	if (fvd_io_pread(r->undo, &d, sizeof(d), pos, err) < 0)
		return -1;
	/* The data of an entry can reach the disk before its head. */
	if (fvd_is_zero(&d, sizeof(d)) && left <= ENTRY + FVD_UNDO_MAX_DATA)
		return 0;
	if (fvd_get_le32(d.magic) != FVD_UNDO_ENTRY_MAGIC)
		return damaged(r, pos, "no entry begins here", err);
	/* A head lies in one sector: it is there or not, never half. */
	if (fvd_get_le32(d.crc) != fvd_undo_entry_crc(&d))
		return damaged(r, pos, "wrong checksum of its head", err);
	*e = (struct entry){ .pos = pos, .off = fvd_get_le64(d.off), .len = fvd_get_le64(d.len),
			     .back = (uint64_t)fvd_get_le32(d.back) * FVD_UNDO_ALIGN,
			     .kind = fvd_get_le32(d.kind) };
	if (check_entry(r, e, err) < 0)
		return -1;
	data = e->kind == FVD_UNDO_HOLE ? 0 : (size_t)e->len;
	e->size = fvd_round_up(ENTRY + data, FVD_UNDO_ALIGN);
	if (e->size > left)
		return 0;
	if (fvd_io_pread(r->undo, r->data, data, pos + ENTRY, err) < 0)
		return -1;
	if (fvd_get_le32(d.data_crc) == fvd_crc32c(0, r->data, data))
		return 1;
	return e->size == left ? 0 : damaged(r, pos, "wrong checksum of its data", err);
}

static int validate(struct reader *r, struct fvd_error *err)
{
	struct entry e;
	uint64_t pos = HEAD;
	int ret;

	while ((ret = read_entry(r, pos, &e, err)) == 1) {
		if (r->last && e.back != pos - r->last)
			return damaged(r, pos, "it does not follow the one before it", err);
		r->last = pos;
		pos += e.size;
	}
	return ret;
}

/* Call @each for the entries from the last to the first. */
static int walk_back(struct reader *r, int (*each)(const struct entry *, const uint8_t *data,
						   void *, struct fvd_error *),
		     void *opaque, struct fvd_error *err)
{
	uint64_t pos = r->last;
	struct entry e;
	int ret;

	while (pos) {
		ret = read_entry(r, pos, &e, err);
		if (ret == 0)
			return damaged(r, pos, "it changed while it was read", err);
		if (ret < 0 || each(&e, r->data, opaque, err) < 0)
			return -1;
		pos = pos == HEAD ? 0 : pos - e.back;
	}
	return 0;
}

/* The first bytes of the image: as they are, as they would be, and which sectors are known. */
struct sample {
	uint8_t bytes[FVD_UNDO_SAMPLE];
	struct fvd_disk_undo_becomes now;
	bool known[FVD_UNDO_SAMPLE_SECTORS];
};

static void note_known(struct sample *s, const struct fvd_disk_undo_becomes *state)
{
	for (unsigned i = 0; i < FVD_UNDO_SAMPLE_SECTORS; i++)
		if (fvd_get_le32(state->crc[i]) == fvd_get_le32(s->now.crc[i]))
			s->known[i] = true;
}

static int apply_to_sample(const struct entry *e, const uint8_t *data, void *opaque,
			   struct fvd_error *err)
{
	struct sample *s = opaque;
	size_t n;

	(void)err;
	if (e->kind == FVD_UNDO_BECOMES)
		note_known(s, (const struct fvd_disk_undo_becomes *)data);
	if (e->kind == FVD_UNDO_BECOMES || e->off >= FVD_UNDO_SAMPLE)
		return 0;
	n = (size_t)fvd_min(e->len, FVD_UNDO_SAMPLE - e->off);
	if (e->kind == FVD_UNDO_HOLE)
		memset(s->bytes + e->off, 0, n);
	else
		memcpy(s->bytes + e->off, data, n);
	return 0;
}

/* Every sector is as it was, or as a change noted in the undo file left it. */
static bool all_known(struct sample *s)
{
	struct fvd_disk_undo_becomes original;

	fvd_undo_becomes_set(&original, s->bytes);
	note_known(s, &original);
	for (unsigned i = 0; i < FVD_UNDO_SAMPLE_SECTORS; i++)
		if (!s->known[i])
			return false;
	return true;
}

static int check_belongs(struct reader *r, struct fvd_io *image, struct fvd_error *err)
{
	struct sample s = { .known = { false } };
	uint64_t len;

	if (fvd_io_length(image, &len, err) < 0 ||
	    fvd_io_pread(image, s.bytes, sizeof(s.bytes), 0, err) < 0)
		return -1;
	if (image->block_device && len != r->orig_len)
		return fvd_error_set(err, FVD_ERR_INVALID, "%s: its length is fixed at %" PRIu64
				     ", but undo file %s is of one with %" PRIu64 " bytes",
				     image->name, len, r->undo->name, r->orig_len);
	fvd_undo_becomes_set(&s.now, s.bytes);
	if (walk_back(r, apply_to_sample, &s, err) < 0)
		return -1;
	if (r->orig_len < sizeof(s.bytes))
		memset(s.bytes + r->orig_len, 0, sizeof(s.bytes) - r->orig_len);
	if (fvd_crc32c(0, s.bytes, sizeof(s.bytes)) == r->sample_crc && all_known(&s))
		return 0;
	return fvd_error_set(err, FVD_ERR_INVALID, "%s: undo file %s is of another image, or this "
			     "one was written to since", image->name, r->undo->name);
}

struct target {
	struct fvd_io *image;
	uint64_t bytes;
};

static int apply_to_image(const struct entry *e, const uint8_t *data, void *opaque,
			  struct fvd_error *err)
{
	struct target *t = opaque;

	if (e->kind == FVD_UNDO_BECOMES)
		return 0;
	t->bytes += e->len;
	if (e->kind == FVD_UNDO_HOLE)
		return fvd_io_zero(t->image, e->off, e->len, err);
	return fvd_io_pwrite(t->image, data, (size_t)e->len, e->off, err);
}

static int apply(struct reader *r, struct fvd_io *image, uint64_t *bytes, struct fvd_error *err)
{
	struct target t = { image, 0 };
	uint64_t len;

	if (read_head(r, err) < 0 || validate(r, err) < 0 || check_belongs(r, image, err) < 0 ||
	    fvd_io_length(image, &len, err) < 0)
		return -1;
	/* A length that this file system cannot give fails before anything is written. */
	if (len < r->orig_len && fvd_io_truncate(image, r->orig_len, err) < 0)
		return -1;
	if (walk_back(r, apply_to_image, &t, err) < 0 ||
	    fvd_io_truncate(image, r->orig_len, err) < 0 || fvd_io_flush(image, err) < 0)
		return -1;
	*bytes = t.bytes;
	return 0;
}

int fvd_undo_apply(struct fvd_io *undo, struct fvd_io *image, uint64_t *bytes,
		   struct fvd_error *err)
{
	struct reader r = { .undo = undo };
	int ret;

	*bytes = 0;
	r.data = fvd_alloc_io(FVD_UNDO_MAX_DATA, err);
	if (!r.data)
		return -1;
	ret = apply(&r, image, bytes, err);
	free(r.data);
	return ret;
}
