/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/bitmap.h"
#include "image/meta.h"
#include "ops/info.h"

#define SHARED_TRIES 16

static void count(const struct fvd_meta *m, struct fvd_info *info)
{
	info->chunks = m->chunk_count;
	info->blocks = m->block_count;
	if (m->bitmap)
		info->blocks_local = fvd_bitmap_count(m->bitmap, m->block_count);
	if (m->table) {
		for (uint64_t i = 0; i < m->chunk_count; i++)
			info->chunks_allocated += m->table[i] != FVD_UNALLOCATED;
	}
	info->allocation_known = true;
}

/* The journal's content, and for a dirty image what it makes of the allocation. */
static int look_at_journal(struct fvd_io *io, struct fvd_meta *m, struct fvd_info *info,
			   struct fvd_error *err)
{
	static const struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct fvd_error e = { 0 };

	if (fvd_replay_scan(io, m, &opts, &info->journal, &e) == 0)
		return 0;
	if (e.class == FVD_ERR_IO || e.class == FVD_ERR_NOMEM)
		return fvd_error_set(err, e.class, "%s", e.text);
	snprintf(info->replay_error, sizeof(info->replay_error), "%.*s",
		 (int)sizeof(info->replay_error) - 1, e.text);
	return 0;
}

/* One that a writer is using right now: as it is at one moment, replayed. */
static int load_shared(struct fvd_io *io, struct fvd_info *info, struct fvd_error *err)
{
	struct fvd_meta m = { 0 };
	int ret = fvd_replay_load_shared(io, NULL, SHARED_TRIES, &m, err);

	if (ret < 0)
		return -1;
	info->h = m.h;
	info->ext = m.ext;
	info->dirty = m.h.clean_shutdown != 1;
	count(&m, info);
	fvd_meta_fini(&m);
	return 0;
}

static int load(struct fvd_io *io, const struct fvd_info_opts *opts, struct fvd_info *info,
		struct fvd_error *err)
{
	struct fvd_meta m = { 0 };
	int ret = 0;

	if (fvd_meta_load(io, NULL, 0, &m, err) < 0)
		return -1;
	info->h = m.h;
	info->ext = m.ext;
	info->dirty = m.h.clean_shutdown != 1;
	info->chunks = m.chunk_count;
	info->blocks = m.block_count;
	if (!info->dirty)
		count(&m, info);
	if (info->dirty && !fvd_header_has_journal(&m.h))
		strcpy(info->replay_error, "not closed cleanly, and no journal to replay");
	else if (info->dirty || opts->journal)
		ret = look_at_journal(io, &m, info, err);
	if (ret == 0 && info->dirty && !info->replay_error[0])
		count(&m, info);
	fvd_meta_fini(&m);
	return ret;
}

static int resolve(const char *name, struct fvd_info *info, struct fvd_error *err)
{
	if (info->h.base_img[0]) {
		info->base_resolved = fvd_name_resolve(name, info->h.base_img, err);
		if (!info->base_resolved)
			return -1;
	}
	if (info->h.data_file[0]) {
		info->data_resolved = fvd_name_resolve(name, info->h.data_file, err);
		if (!info->data_resolved)
			return -1;
	}
	return 0;
}

int fvd_info(const char *name, const struct fvd_info_opts *opts, struct fvd_info *info,
	     struct fvd_error *err)
{
	struct fvd_opener *opener = opts->opener ? opts->opener : fvd_opener_files();
	enum fvd_io_lock lock = opts->force_share ? FVD_LOCK_NONE : FVD_LOCK_SHARED;
	struct fvd_io *io;
	int ret;

	memset(info, 0, sizeof(*info));
	info->journal.first_damaged = UINT64_MAX;
	if (opener->open(opener, name, 0, lock, &io, err) < 0)
		return -1;
	ret = opts->force_share && !opts->journal ? load_shared(io, info, err) :
						    load(io, opts, info, err);
	if (ret == 0)
		ret = fvd_io_length(io, &info->file_length, err);
	if (ret == 0)
		ret = fvd_io_allocated(io, 0, info->file_length, &info->actual_size, err);
	fvd_io_close(io);
	if (ret == 0)
		ret = resolve(name, info, err);
	if (ret < 0) {
		fvd_info_fini(info);
		return fvd_error_name(err, name);
	}
	return 0;
}

void fvd_info_fini(struct fvd_info *info)
{
	fvd_replay_result_fini(&info->journal);
	free(info->base_resolved);
	free(info->data_resolved);
	info->base_resolved = NULL;
	info->data_resolved = NULL;
}
