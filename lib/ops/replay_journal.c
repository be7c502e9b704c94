/* SPDX-License-Identifier: BSD-2-Clause */
#include "ops/replay_journal.h"

#include <stdlib.h>
#include <string.h>

#include "image/policy.h"
#include "ops/undo_file.h"

struct job {
	const char *name;
	const struct fvd_replay_op_opts *opts;
	struct fvd_opener *opener;
	struct fvd_io *io, *data;
	struct fvd_meta *m;
};

static int open_data(struct job *j, struct fvd_error *err)
{
	char *name;
	int ret;

	if (j->m->h.data_file[0] == '\0') {
		j->data = j->io;
		return 0;
	}
	if (fvd_policy_write_data(j->m->h.data_file, j->opts->data_file, err) < 0)
		return -1;
	name = fvd_name_resolve(j->name, j->m->h.data_file, err);
	if (name == NULL)
		return -1;
	ret = j->opener->open(j->opener, name, FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE, &j->data, err);
	free(name);
	if (ret < 0) {
		j->data = NULL;
		return fvd_error_prefix(err, "data file, which replay has to sync");
	}
	return 0;
}

static int wrap_undo(struct job *j, struct fvd_error *err)
{
	bool shared = j->data == j->io;

	if (j->opts->undo_file == NULL)
		return 0;
	if (fvd_undo_file_begin(j->opener, j->opts->undo_file, &j->io, err) < 0)
		return -1;
	if (shared)
		j->data = j->io;
	return 0;
}

static int run(struct job *j, struct fvd_replay_result *r, bool *was_clean,
	       struct fvd_error *err)
{
	struct fvd_meta *m = j->m;

	if (fvd_meta_load(j->io, NULL, 0, m, err) < 0)
		return -1;
	*was_clean = m->h.clean_shutdown == 1;
	if (m->ext.unknown_required != 0)
		return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "extension of type 0x%x is "
				     "required and not known to this version",
				     (unsigned)m->ext.unknown_required);
	if (!*was_clean && !fvd_header_has_journal(&m->h))
		return fvd_error_set(err, FVD_ERR_DIRTY, "not closed, and there is no journal to "
				     "replay; \"fvdtool check -y\" sets it clean after a look");
	if (!*was_clean && !j->opts->dry_run) {
		/* A device's end bounds the chunks, so it is known before records are judged. */
		if (open_data(j, err) < 0)
			return -1;
		fvd_meta_fini(m);
		if (fvd_meta_load(j->io, j->data, 0, m, err) < 0)
			return -1;
	}
	if (fvd_replay_scan(j->io, m, &j->opts->replay, r, err) < 0) {
		/* What a clean image holds in its journal is history, not a reason to fail. */
		if (!*was_clean || err == NULL || err->class != FVD_ERR_CORRUPT)
			return -1;
		return 0;
	}
	if (*was_clean || j->opts->dry_run)
		return 0;
	if (wrap_undo(j, err) < 0)
		return -1;
	/* What is dropped may have been read by somebody: overlays shall see another base. */
	if (r->dropped > 0 && (fvd_meta_write_generation(j->io, m, err) < 0 ||
			       fvd_io_flush(j->io, err) < 0))
		return -1;
	return fvd_replay_commit(j->io, j->data, m, r, err);
}

int fvd_replay_journal(const char *name, const struct fvd_replay_op_opts *opts,
		       struct fvd_replay_result *r, bool *was_clean, struct fvd_error *err)
{
	struct job j = { .name = name, .opts = opts };
	struct fvd_error why = { 0 };
	bool write = !opts->dry_run;
	int ret;

	memset(r, 0, sizeof(*r));
	*was_clean = false;
	j.opener = opts->opener != NULL ? opts->opener : fvd_opener_files();
	if (j.opener->open(j.opener, name, write ? FVD_IO_WRITE : 0,
			   write ? FVD_LOCK_EXCLUSIVE : FVD_LOCK_SHARED, &j.io, err) < 0)
		return -1;
	j.m = calloc(1, sizeof(*j.m));
	ret = j.m == NULL ? fvd_error_set(&why, FVD_ERR_NOMEM, "metadata of the image") :
	      run(&j, r, was_clean, &why);
	if (ret < 0)
		fvd_error_name(&why, name);
	if (ret < 0 && err != NULL)
		*err = why;
	if (j.m != NULL)
		fvd_meta_fini(j.m);
	free(j.m);
	if (j.data != j.io)
		fvd_io_close(j.data);
	fvd_io_close(j.io);
	return ret;
}
