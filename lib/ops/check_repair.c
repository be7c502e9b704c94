/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mending, in this order, each step synced before the next:
 *
 *   1  table and bitmap: the replay as usual for a dirty image; pages in place for a clean one
 *   2  state sector: the prefetched mark
 *   3  extension area, damaged old journal (only while clean)
 *   4  length: what is missing is added, a leaked tail is cut off
 *   5  leaked storage between chunks is punched
 *
 * A cut leaves an image that the same repair goes on with.
 */
#include <stdlib.h>
#include <string.h>

#include "ops/check_private.h"
#include "ops/undo_file.h"
#include "util/num.h"

#define EXT_OFFSET 3316u
#define EXT_SECTORS_END 7680u

/* From here on every old byte is kept. Once, and only when something is to be written. */
static int begin_writing(struct check *c, bool *did, struct fvd_error *err)
{
	bool shared = c->storage == c->io;
	char *name;
	int ret;

	*did = true;
	if (c->opts->undo_file == NULL || c->undo_open)
		return 0;
	c->undo_open = true;
	if (fvd_undo_file_begin(c->opener, c->opts->undo_file, &c->io, err) < 0)
		return -1;
	if (shared)
		c->storage = c->io;
	if (shared || c->storage == NULL)
		return 0;
	name = malloc(strlen(c->opts->undo_file) + sizeof(".data"));
	if (name == NULL)
		return fvd_error_set(err, FVD_ERR_NOMEM, "name of the undo file");
	strcpy(name, c->opts->undo_file);
	strcat(name, ".data");
	ret = fvd_undo_file_begin(c->opener, name, &c->storage, err);
	free(name);
	return ret;
}

static bool replay_allowed(const struct check *c)
{
	bool sound = c->r.damaged == 0 && c->damaged_entries == 0 && c->duplicates == 0;

	if (c->storage == NULL)
		return false;
	if (c->m->h.revision == 2 &&
	    fvd_max(c->r.max_epoch, c->m->h.stable_epoch) >= FVD_MAX_EPOCH)
		return false;
	if (c->opts->repair == FVD_REPAIR_ALL)
		return true;
	return sound && fvd_header_has_journal(&c->m->h);
}

static bool table_wants_mending(const struct check *c)
{
	return c->damaged_entries > 0 || (c->duplicates > 0 && c->storage != NULL) ||
	       c->dirty_marks > 0 || c->table_slack || c->bitmap_slack;
}

/* Overlays recognise their base by it: raised before what the guest sees becomes other. */
static int raise_generation(struct check *c, struct fvd_error *err)
{
	if (fvd_meta_write_generation(c->io, c->m, err) < 0)
		return -1;
	return fvd_io_flush(c->io, err);
}

static int mend_metadata(struct check *c, bool *did, struct fvd_error *err)
{
	bool loses = c->damaged_entries > 0 || (c->dirty && c->r.dropped > 0);
	bool all = c->opts->repair == FVD_REPAIR_ALL;

	if (c->dirty ? !replay_allowed(c) : !all || !table_wants_mending(c))
		return 0;
	if (begin_writing(c, did, err) < 0 || (loses && raise_generation(c, err) < 0) ||
	    (all && check_mend_table(c, err) < 0))
		return -1;
	if (c->dirty) {
		if (fvd_replay_commit(c->io, c->storage, c->m, &c->r, err) < 0)
			return -1;
		c->dirty = false;
		return 0;
	}
	if (fvd_meta_write_table(c->io, c->m, err) < 0 ||
	    fvd_meta_write_bitmap(c->io, c->m, err) < 0)
		return -1;
	return fvd_io_flush(c->io, err);
}

static int mend_prefetched(struct check *c, bool *did, struct fvd_error *err)
{
	if (!c->prefetched_wrong)
		return 0;
	if (begin_writing(c, did, err) < 0 || raise_generation(c, err) < 0)
		return -1;
	c->m->h.fully_prefetched = false;
	if (fvd_meta_write_state(c->io, c->m, err) < 0)
		return -1;
	return fvd_io_flush(c->io, err);
}

static int mend_ext(struct check *c, bool *did, struct fvd_error *err)
{
	struct fvd_meta *m = c->m;

	if (m->ext.state != FVD_EXT_DAMAGED)
		return 0;
	if (begin_writing(c, did, err) < 0)
		return -1;
	check_salvage_ext(m->region + EXT_OFFSET);
	if (fvd_io_pwrite(c->io, m->region + FVD_STATE_SECTOR_REV2,
			  EXT_SECTORS_END - FVD_STATE_SECTOR_REV2, FVD_STATE_SECTOR_REV2, err) < 0)
		return -1;
	return fvd_io_flush(c->io, err);
}

/* History that a writer would have to zero before its first change: nothing of it counts now. */
static int mend_old_journal(struct check *c, bool *did, struct fvd_error *err)
{
	if (c->r.damaged == 0)
		return 0;
	if (begin_writing(c, did, err) < 0 ||
	    fvd_io_zero(c->io, c->m->h.journal_offset, c->m->h.journal_size, err) < 0)
		return -1;
	return fvd_io_flush(c->io, err);
}

static int set_length(struct check *c, struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	if (fvd_io_truncate(io, len, err) < 0 || fvd_io_flush(io, err) < 0)
		return -1;
	return fvd_progress_add(c->opts->progress, 0, err);
}

/* An entry may name a place that no file of this file system can reach: that stays. */
static int mend_short(struct check *c, bool *did, struct fvd_error *err)
{
	struct fvd_error why = { 0 };

	if (begin_writing(c, did, err) < 0)
		return -1;
	if (set_length(c, c->storage, c->use_end, &why) == 0 || why.class == FVD_ERR_NOSPACE)
		return 0;
	if (err != NULL)
		*err = why;
	return -1;
}

/* Table mending may have moved the end: it is worked out again by the next look. */
static int mend_length(struct check *c, bool *did, struct fvd_error *err)
{
	if (c->file_short)
		return mend_short(c, did, err);
	if (c->leaked_tail > 0) {
		if (begin_writing(c, did, err) < 0 ||
		    set_length(c, c->storage, c->use_end, err) < 0)
			return -1;
	}
	if (c->own_tail > 0) {
		if (begin_writing(c, did, err) < 0)
			return -1;
		return set_length(c, c->io, fvd_meta_file_end(c->m, 0), err);
	}
	return 0;
}

static int punch_leak(struct check *c, uint64_t off, uint64_t len, struct fvd_error *err)
{
	bool punched;

	return fvd_io_punch(c->storage, off, len, &punched, err);
}

static int mend_leaks(struct check *c, bool *did, struct fvd_error *err)
{
	if (c->leaked_inside == 0)
		return 0;
	if (begin_writing(c, did, err) < 0 || check_each_leak(c, punch_leak, err) < 0)
		return -1;
	return fvd_io_flush(c->storage, err);
}

int check_repair(struct check *c, bool *did, struct fvd_error *err)
{
	bool all = c->opts->repair == FVD_REPAIR_ALL;

	*did = false;
	if (c->unmendable || !c->loaded)
		return 0;
	if (mend_metadata(c, did, err) < 0)
		return -1;
	/* Storage is judged anew against what the table has become. */
	if (*did || c->dirty)
		return 0;
	if (all && (mend_prefetched(c, did, err) < 0 || mend_ext(c, did, err) < 0 ||
		    mend_old_journal(c, did, err) < 0))
		return -1;
	/* Free is only what no entry names, and an entry that is damaged may have named it. */
	if (c->damaged_entries > 0 || c->duplicates > 0 || c->storage == NULL)
		return 0;
	if (mend_length(c, did, err) < 0)
		return -1;
	return all ? mend_leaks(c, did, err) : 0;
}
