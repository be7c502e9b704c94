/* SPDX-License-Identifier: BSD-2-Clause */
/* One look at everything, without a write. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "ops/check_private.h"
#include "util/num.h"

#define SPARE_NUMBERS 65536u
#define SHARED_TRIES 16

struct problems {
	struct check *c;
	struct fvd_error *err;
	int ret;
};

static void header_problem(void *opaque, const char *text)
{
	struct problems *p = opaque;

	if (p->ret == 0)
		p->ret = check_find(p->c, FVD_DAMAGE, "header", CHECK_UNFIXABLE, p->err,
				    "%s; this cannot be mended", text);
}

static int look_header(struct check *c, struct fvd_error *err)
{
	struct problems p = { c, err, 0 };
	struct fvd_ext *x = &c->m->ext;

	c->unmendable = fvd_header_problems(&c->m->h, header_problem, &p) > 0;
	if (p.ret < 0)
		return -1;
	if (x->state == FVD_EXT_DAMAGED &&
	    check_find(c, FVD_DAMAGE, "extension-damaged", CHECK_FIX_ALL, err,
		       "extension area: %s; until it is mended the image opens read-only",
		       x->damage) < 0)
		return -1;
	if (x->state == FVD_EXT_OK && x->unknown_required != 0) {
		c->unmendable = true;
		return check_find(c, FVD_DAMAGE, "extension-unknown", CHECK_UNFIXABLE, err,
				  "extension of type 0x%x is required and not known to this "
				  "version", (unsigned)x->unknown_required);
	}
	return 0;
}

/* A header so wrong that bitmap and table cannot be found is a finding; the rest an error. */
static int load_failed(struct check *c, const char *code, const struct fvd_error *why,
		       struct fvd_error *err)
{
	c->unmendable = true;
	if (why->class != FVD_ERR_CORRUPT) {
		if (err != NULL)
			*err = *why;
		return -1;
	}
	if (c->found.by_severity[FVD_DAMAGE] > 0 && strcmp(code, "header") != 0)
		return 0;	/* said already, more precisely */
	return check_find(c, FVD_DAMAGE, code, CHECK_UNFIXABLE, err, "%s; this cannot be mended",
			  why->text);
}

static int look_journal(struct check *c, struct fvd_error *err)
{
	const struct fvd_replay_result *r = &c->r;
	const char *code = c->dirty ? "journal-damaged" : "journal-old-damage";
	uint64_t top = fvd_max(r->max_epoch, c->m->h.stable_epoch);

	if (r->damaged > 0 &&
	    check_find(c, c->dirty ? FVD_DAMAGE : FVD_NOTE, code,
		       CHECK_FIX_ALL, err,
		       "journal: %" PRIu64 " damaged sectors, the first is %" PRIu64 ": %s; %s",
		       r->damaged, r->first_damaged, r->first_damage,
		       c->dirty ? "mending replays the others, and the updates of these are lost" :
		       "the image is clean, so nothing of it is used; mending zeroes it") < 0)
		return -1;
	if (c->m->h.revision == 1)
		return 0;
	if (!c->dirty && r->used > 0 && r->max_epoch > c->m->h.stable_epoch &&
	    check_find(c, FVD_NOTE, "journal-epoch", CHECK_UNFIXABLE, err,
		       "journal: epoch %" PRIu64 " in a clean image is above the stable epoch %"
		       PRIu64, r->max_epoch, c->m->h.stable_epoch) < 0)
		return -1;
	if (c->dirty && top >= FVD_MAX_EPOCH)
		return check_find(c, FVD_DAMAGE, "epochs-used-up", CHECK_UNFIXABLE, err,
				  "journal: epoch %" PRIu64 " leaves none above it for a clean "
				  "state", top);
	return 0;
}

static int look_state(struct check *c, struct fvd_error *err)
{
	bool journal = fvd_header_has_journal(&c->m->h);
	bool reachable = c->storage != NULL && !c->unmendable;

	if (!c->dirty)
		return 0;
	if (!journal)
		return check_find(c, FVD_DIRTY, "dirty-no-journal",
				  reachable ? CHECK_FIX_ALL : CHECK_UNFIXABLE, err,
				  "not closed, and there is no journal to replay: what the last "
				  "writer did may be lost%s",
				  c->storage ? "" : "; mending needs its data file (--follow)");
	return check_find(c, c->opts->force_share ? FVD_NOTE : FVD_DIRTY, "journal-needs-replay",
			  !reachable ? CHECK_UNFIXABLE :
			  c->r.damaged > 0 || c->damaged_entries > 0 || c->duplicates > 0 ?
			  CHECK_FIX_ALL : CHECK_FIX_SAFE, err,
			  "not closed: %" PRIu64 " journal sectors wait to be replayed%s",
			  c->r.applied,
			  c->storage ? "" : "; that needs its data file (--follow)");
}

/*
 * An entry may lie behind the end of a regular file, but no writer needs more numbers than the file
 * has room for and the disk has chunks, with some lost in crashes. One farther out is damage: made
 * good by lengthening the file, it would give a file of any size.
 */
static int bound_entries(struct check *c, struct fvd_error *err)
{
	struct fvd_chunk_geometry *g = &c->m->bounds.geometry;
	uint64_t length, room;

	if (c->storage == NULL || c->storage->block_device || c->m->table == NULL)
		return 0;
	if (fvd_io_length(c->storage, &length, err) < 0)
		return -1;
	if (fvd_mul(c->m->chunk_count + SPARE_NUMBERS, g->chunk_size, &room) &&
	    fvd_add(room, fvd_max(length, g->data_offset), &room))
		g->limit = fvd_min(g->limit, room);
	return 0;
}

static int load(struct check *c, struct fvd_error *err)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct fvd_error why = { 0 };

	if (c->opts->force_share && !c->unmendable) {
		if (fvd_replay_load_shared(c->io, c->storage, SHARED_TRIES, c->m, &why) == 0) {
			c->loaded = true;
			c->dirty = c->m->h.clean_shutdown != 1;
			return fvd_replay_survey(c->io, c->m, &c->r, err);
		}
		if (why.class != FVD_ERR_CORRUPT)
			return load_failed(c, "header", &why, err);
	}
	if (fvd_meta_load(c->io, c->storage, FVD_META_LENIENT, c->m, &why) < 0 ||
	    bound_entries(c, &why) < 0)
		return load_failed(c, "region-past-end", &why, err);
	c->loaded = true;
	c->dirty = c->m->h.clean_shutdown != 1;
	if (c->unmendable)
		return 0;	/* no offset of such a header is followed further */
	if (!c->dirty)
		return fvd_replay_survey(c->io, c->m, &c->r, err);
	opts.skip_damaged = true;
	return fvd_replay_apply(c->io, c->m, &opts, &c->r, err);
}

static int look_contents(struct check *c, struct fvd_error *err)
{
	if (look_journal(c, err) < 0 || check_look_table(c, err) < 0 ||
	    check_look_bitmap(c, err) < 0 || look_state(c, err) < 0)
		return -1;
	if (c->unmendable)
		return 0;
	return check_look_storage(c, err);
}

int check_look(struct check *c, struct fvd_error *err)
{
	struct fvd_error why = { 0 };

	c->m = calloc(1, sizeof(*c->m));
	if (c->m == NULL)
		return fvd_error_set(err, FVD_ERR_NOMEM, "metadata of the image");
	if (fvd_meta_load_header(c->io, c->m, &why) < 0)
		return load_failed(c, "header", &why, err);
	if (look_header(c, err) < 0)
		return -1;
	if (!c->unmendable && c->storage == NULL && check_open_data(c, &c->m->h, err) < 0)
		return -1;
	if (load(c, err) < 0 || (c->loaded && look_contents(c, err) < 0))
		return -1;
	if (!c->unmendable && c->opts->follow && check_look_base(c, err) < 0)
		return -1;
	return check_findings_close(c, err);
}

void check_look_fini(struct check *c)
{
	check_findings_fini(&c->found);
	if (c->m != NULL)
		fvd_meta_fini(c->m);
	free(c->m);
	c->m = NULL;
	fvd_replay_result_fini(&c->r);
	fvd_bitset_fini(&c->used);
	memset(&c->used, 0, sizeof(c->used));
	memset(&c->r, 0, sizeof(c->r));
	c->loaded = c->unmendable = c->dirty = false;
	c->end = c->damaged_entries = c->duplicates = c->dirty_marks = 0;
	c->table_slack = c->bitmap_slack = c->prefetched_wrong = c->file_short = false;
	c->length = c->use_end = c->leaked_inside = c->leaked_tail = c->own_tail = 0;
}
