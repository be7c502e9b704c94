/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens to one sector (FORMAT 6.4):
 *
 *   behind stop_at, or all dropped      nothing applied, noted for zeroing
 *   unreadable, or framing wrong        damaged
 *   a TABLE record below stable epoch   void: none of its records
 *   range, kind or entry wrong          damaged
 *   else                                its records applied in order
 *
 * Damaged sectors are passed over; whether that is acceptable is decided after the walk, when
 * everything is counted.
 */
#include "image/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "image/replay_walk.h"
#include "util/num.h"

#define PAGE_BITS (UINT64_C(8) * FVD_PAGE)

struct scan {
	struct fvd_meta *m;		/* NULL for a survey: nothing is applied */
	const struct fvd_meta *view;
	const struct fvd_replay_opts *opts;
	struct fvd_replay_result *r;
	struct fvd_bitset full;		/* bitmap pages known to be all ones */
	struct fvd_bitset changed;	/* chunks whose entry has changed, when applying */
	uint64_t before_cap, after_cap;
};

static const struct fvd_replay_opts default_opts = FVD_REPLAY_OPTS_INIT;

void fvd_replay_result_fini(struct fvd_replay_result *r)
{
	free(r->zero_before);
	free(r->zero_after);
	r->zero_before = NULL;
	r->zero_after = NULL;
	r->zero_before_count = 0;
	r->zero_after_count = 0;
}

static int list_add(uint64_t **list, uint64_t *count, uint64_t *cap, uint64_t value,
		    struct fvd_error *err)
{
	if (*count == *cap) {
		uint64_t want = *cap ? *cap * 2 : 64;
		uint64_t *grown = realloc(*list, want * sizeof(*grown));

		if (grown == NULL)
			return fvd_error_set(err, FVD_ERR_NOMEM, "list of %" PRIu64
					     " journal sectors", want);
		*list = grown;
		*cap = want;
	}
	(*list)[(*count)++] = value;
	return 0;
}

static int note_dropped(struct scan *s, uint64_t index, bool before, struct fvd_error *err)
{
	struct fvd_replay_result *r = s->r;

	r->dropped++;
	/* Without epochs nothing makes a sector void but zeroing it. */
	if (before || s->view->h.revision == 1)
		return list_add(&r->zero_before, &r->zero_before_count, &s->before_cap, index,
				err);
	return list_add(&r->zero_after, &r->zero_after_count, &s->after_cap, index, err);
}

static int tell(const struct scan *s, uint64_t index, enum fvd_verdict verdict,
		const struct fvd_jsector *js, const char *why, struct fvd_error *err)
{
	struct fvd_replay_record rec = { index, verdict, NULL, why };
	unsigned i = 0;

	if (s->opts->record == NULL || (js->count == 0 && verdict != FVD_REC_DAMAGED))
		return 0;
	do {
		rec.rec = js->count > 0 ? &js->rec[i] : NULL;
		if (s->opts->record(s->opts->opaque, &rec) != 0)
			return fvd_error_set(err, FVD_ERR_CANCELLED, "journal sector %" PRIu64
					     ": stopped by the caller", index);
	} while (++i < js->count);
	return 0;
}

/*
 * How many of the bits [first, first + count) are 0; sets them when applying. Pages seen to be
 * full are stepped over, so that a journal of records that all cover the whole disk costs no
 * more than one pass.
 */
static uint64_t missing_bits(struct scan *s, uint64_t first, uint64_t count)
{
	uint64_t end = first + count, missing = 0;

	while (first < end) {
		uint64_t page = first / PAGE_BITS;
		uint64_t stop = fvd_min(end, (page + 1) * PAGE_BITS);
		uint64_t before = missing;
		bool whole = first == page * PAGE_BITS &&
			     stop == fvd_min((page + 1) * PAGE_BITS, s->view->block_count);

		if (fvd_bitset_test(&s->full, page)) {
			first = fvd_min(end, fvd_bitset_next_clear(&s->full, page) * PAGE_BITS);
			continue;
		}
		while (first < stop) {
			bool value;
			uint64_t run = fvd_bitmap_run(s->view->bitmap, first, stop, &value);

			if (!value) {
				missing += run;
				if (s->m != NULL)
					fvd_meta_set_bits(s->m, first, run);
			}
			first += run;
		}
		if (whole && (s->m != NULL || missing == before))
			fvd_bitset_set(&s->full, page);
	}
	return missing;
}

static uint64_t bitmap_record_bits(struct scan *s, const struct fvd_jrec *rec)
{
	const struct fvd_header *h = &s->view->h;
	uint64_t off = (uint64_t)rec->first_sector * FVD_SECTOR;
	uint64_t end = fvd_min(off + (uint64_t)rec->sector_count * FVD_SECTOR, h->base_size);
	uint64_t first = off / h->block_size;

	if (off >= end)
		return 0;
	end = fvd_min(fvd_div_up(end, h->block_size), s->view->block_count);
	return end > first ? missing_bits(s, first, end - first) : 0;
}

static void apply_table(struct scan *s, const struct fvd_jrec *rec)
{
	for (uint32_t i = 0; i < rec->entry_count; i++) {
		uint64_t chunk = (uint64_t)rec->first_chunk + i;
		uint32_t entry = fvd_jrec_entry(rec, i);

		if (s->m->table[chunk] != entry) {
			fvd_meta_set_entry(s->m, chunk, entry);
			s->r->entries_set += !fvd_bitset_test(&s->changed, chunk);
			fvd_bitset_set(&s->changed, chunk);
		}
	}
	s->r->table_records++;
}

static void apply_sector(struct scan *s, const struct fvd_jsector *js)
{
	uint64_t missing = 0;

	for (unsigned i = 0; i < js->count; i++) {
		if (js->rec[i].kind == FVD_JREC_KIND_BITMAP) {
			missing += bitmap_record_bits(s, &js->rec[i]);
			s->r->bitmap_records++;
		} else if (s->m != NULL) {
			apply_table(s, &js->rec[i]);
		}
	}
	s->r->bits_set += missing;
	s->r->applied++;
	if (missing > 0 && !js->has_table)
		s->r->would_set_old_bit = true;
}

static int damaged_sector(struct scan *s, uint64_t index, const struct fvd_jsector *js,
			  struct fvd_error *err)
{
	struct fvd_replay_result *r = s->r;

	if (r->damaged++ == 0) {
		r->first_damaged = index;
		memcpy(r->first_damage, js->damage, sizeof(r->first_damage));
	}
	r->would_set_old_bit = true;
	if (tell(s, index, FVD_REC_DAMAGED, js, js->damage, err) < 0)
		return -1;
	return s->opts->skip_damaged ? note_dropped(s, index, true, err) : 0;
}

static int judge_sector(struct scan *s, uint64_t index, struct fvd_jsector *js,
			struct fvd_error *err)
{
	uint64_t stable = s->view->h.stable_epoch;
	int revision = s->view->h.revision;
	char why[80];

	if (index >= s->opts->stop_at || s->opts->drop_all) {
		if (!js->damaged && !fvd_jsector_void(js, revision, stable))
			fvd_jsector_validate(js, &s->view->bounds);
		if (tell(s, index, FVD_REC_DROPPED, js, "dropped on demand", err) < 0)
			return -1;
		return note_dropped(s, index, js->damaged || !js->has_table, err);
	}
	if (!js->damaged && fvd_jsector_void(js, revision, stable)) {
		s->r->void_sectors++;
		snprintf(why, sizeof(why), "a TABLE record's epoch < stable epoch %" PRIu64,
			 stable);
		return tell(s, index, FVD_REC_VOID, js, why, err);
	}
	if (!js->damaged)
		fvd_jsector_validate(js, &s->view->bounds);
	if (js->damaged)
		return damaged_sector(s, index, js, err);
	apply_sector(s, js);
	return tell(s, index, FVD_REC_APPLIED, js, "", err);
}

static int scan_sector(void *opaque, uint64_t index, const uint8_t *sector, const char *why,
		       struct fvd_error *err)
{
	struct scan *s = opaque;
	struct fvd_jsector js;

	if (sector != NULL) {
		fvd_jsector_decode(sector, s->view->h.revision, &js);
	} else {
		memset(&js, 0, sizeof(js));
		js.damaged = true;
		snprintf(js.damage, sizeof(js.damage), "cannot be read: %.120s", why);
	}
	s->r->used++;
	s->r->max_epoch = fvd_max(s->r->max_epoch, js.max_epoch);
	return judge_sector(s, index, &js, err);
}

static int walk(struct fvd_io *io, struct scan *s, struct fvd_error *err)
{
	const struct fvd_meta *m = s->view;
	int ret;

	memset(s->r, 0, sizeof(*s->r));
	s->r->first_damaged = UINT64_MAX;
	if (!fvd_header_has_journal(&m->h))
		return 0;
	s->r->sectors = m->h.journal_size / FVD_SECTOR;
	if (fvd_bitset_init(&s->full, fvd_div_up(m->block_count, PAGE_BITS) + 1, err) < 0)
		return -1;
	ret = fvd_bitset_init(&s->changed, s->m != NULL ? m->chunk_count + 1 : 1, err);
	if (ret == 0)
		ret = fvd_journal_walk(io, &m->h, scan_sector, s, err);
	fvd_bitset_fini(&s->changed);
	fvd_bitset_fini(&s->full);
	return ret;
}

int fvd_replay_apply(struct fvd_io *io, struct fvd_meta *m, const struct fvd_replay_opts *opts,
		     struct fvd_replay_result *r, struct fvd_error *err)
{
	struct scan s = { .m = m, .view = m, .opts = opts ? opts : &default_opts, .r = r };

	return walk(io, &s, err);
}

int fvd_replay_scan(struct fvd_io *io, struct fvd_meta *m, const struct fvd_replay_opts *opts,
		    struct fvd_replay_result *r, struct fvd_error *err)
{
	if (fvd_replay_apply(io, m, opts, r, err) < 0)
		return -1;
	if (r->damaged > 0 && (opts == NULL || !opts->skip_damaged))
		return fvd_error_set(err, FVD_ERR_CORRUPT, "journal sector %" PRIu64
				     " is damaged: %s (%" PRIu64 " damaged in all); "
				     "\"fvdtool replay-journal --skip-damaged\" leaves them out",
				     r->first_damaged, r->first_damage, r->damaged);
	return fvd_meta_judge_table(m, NULL, err);
}

int fvd_replay_survey(struct fvd_io *io, const struct fvd_meta *m, struct fvd_replay_result *r,
		      struct fvd_error *err)
{
	struct scan s = { .view = m, .opts = &default_opts, .r = r };

	return walk(io, &s, err);
}
