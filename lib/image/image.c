/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and closing. FORMAT 6.3-6.6, 7, 8.
 *
 * Order of a writable opening, so that nothing is changed before all that can fail has
 * passed (FORMAT 10, fault 2): lock, header, data file, base, bitmap and table, replay in
 * memory, judgement of the table; only then the replay is made durable.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "image/engine.h"
#include "image/policy.h"
#include "image/replay.h"
#include "util/buf.h"

#define SHARED_TRIES 100

int fvd_engine_fail(struct fvd_image *img, const struct fvd_error *err)
{
	if (!img->failed && FVD_RULE(img, 13)) {
		img->failed = true;
		if (err)
			img->failure = *err;
		pthread_cond_broadcast(&img->cond);
	}
	return -1;
}

int fvd_engine_alive(struct fvd_image *img, struct fvd_error *err)
{
	if (!img->failed)
		return 0;
	if (err)
		*err = img->failure;
	return -1;
}

static struct fvd_image *image_new(const char *name, const struct fvd_open_opts *opts,
				   struct fvd_error *err)
{
	struct fvd_image *img = fvd_alloc_array(1, sizeof(*img), "an image", err);

	if (!img)
		return NULL;
	img->name = strdup(name);
	if (!img->name) {
		free(img);
		fvd_error_set(err, FVD_ERR_NOMEM, "no memory for a name");
		return NULL;
	}
	img->opts = *opts;
	img->opener = opts->opener ? opts->opener : fvd_opener_files();
	img->broken = opts->broken_rules;
	img->bulk = opts->flags & FVD_OPEN_BULK;
	img->writable = img->bulk || (opts->flags & FVD_OPEN_WRITE);
	img->next_serial = 1;
	pthread_mutex_init(&img->lock, NULL);
	pthread_cond_init(&img->cond, NULL);
	return img;
}

void fvd_image_drop(struct fvd_image *img)
{
	if (!img)
		return;
	fvd_journal_fini(img);
	fvd_alloc_fini(img);
	fvd_base_close(img->base);
	if (img->data != img->io)
		fvd_io_close(img->data);
	fvd_io_close(img->io);
	fvd_meta_fini(&img->m);
	pthread_cond_destroy(&img->cond);
	pthread_mutex_destroy(&img->lock);
	free(img->name);
	free(img);
}

static enum fvd_io_lock lock_mode(const struct fvd_image *img)
{
	if (img->opts.flags & FVD_OPEN_NO_LOCK)
		return FVD_LOCK_NONE;
	if (img->writable)
		return FVD_LOCK_EXCLUSIVE;
	return img->opts.flags & FVD_OPEN_FORCE_SHARE ? FVD_LOCK_NONE : FVD_LOCK_SHARED;
}

static int open_file(struct fvd_image *img, const char *name, struct fvd_io **io,
		     struct fvd_error *err)
{
	return img->opener->open(img->opener, name, img->writable ? FVD_IO_WRITE : 0,
				 lock_mode(img), io, err);
}

/* The caller of BULK has made the file itself. */
static int check_data_policy(const struct fvd_image *img, const char *name, struct fvd_error *err)
{
	const char *given = img->opts.data_file;

	if ((img->opts.flags & FVD_OPEN_GIVEN_DATA) && fvd_policy_given_data(name, given, err) < 0)
		return -1;
	if (((img->writable && !img->bulk) || (img->opts.flags & FVD_OPEN_INSIDE_DIR)) &&
	    fvd_policy_write_data(name, given, err) < 0)
		return -1;
	return 0;
}

static int open_data(struct fvd_image *img, const struct fvd_header *h, struct fvd_error *err)
{
	char *path;
	int rc;

	img->data = img->io;
	if (h->data_file[0] == '\0')
		return 0;
	if (check_data_policy(img, h->data_file, err) < 0)
		return fvd_error_name(err, img->name);
	path = fvd_name_resolve(img->name, h->data_file, err);
	if (!path)
		return -1;
	rc = open_file(img, path, &img->data, err);
	free(path);
	if (rc < 0) {
		img->data = img->io;
		return fvd_error_prefix(err, "data file of %s", img->name);
	}
	if (img->data->id.known && img->data->id.dev == img->io->id.dev &&
	    img->data->id.ino == img->io->id.ino)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: the data file is the image itself",
				     img->name);
	return 0;
}

/* What the header says about whether this image can be opened like this at all. */
static int check_header(struct fvd_image *img, const struct fvd_meta *m, struct fvd_error *err)
{
	if (fvd_header_validate(&m->h, err) < 0)
		return fvd_error_name(err, img->name);
	if (m->ext.unknown_required)
		return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "%s: needs extension 0x%" PRIx32
				     ", which this version does not know", img->name,
				     m->ext.unknown_required);
	if (!img->writable)
		return 0;
	if (m->h.revision == 1)
		return fvd_error_set(err, FVD_ERR_UNSUPPORTED, "%s: revision 1 images are not"
				     " written; \"fvdtool convert\" makes a revision 2 image of it",
				     img->name);
	if (m->ext.state == FVD_EXT_DAMAGED)
		return fvd_error_set(err, FVD_ERR_CORRUPT, "%s: the extension area is damaged (%s):"
				     " read-only; mend it with \"fvdtool check -y\"", img->name,
				     m->ext.damage);
	return 0;
}

static int check_cycle(const struct fvd_image *img, const struct fvd_seen *seen,
		       struct fvd_error *err)
{
	for (; seen; seen = seen->above)
		if (seen->id.known && img->io->id.known && seen->id.dev == img->io->id.dev &&
		    seen->id.ino == img->io->id.ino)
			return fvd_error_set(err, FVD_ERR_BASE, "%s: the chain of base images comes"
					     " back to it", img->name);
	return 0;
}

static int open_base(struct fvd_image *img, const struct fvd_seen *above, int depth,
		     struct fvd_error *err)
{
	struct fvd_seen here = { .above = above, .id = img->io->id, .name = img->name };

	img->uses_base = fvd_header_needs_base(&img->m.h);
	if (!img->uses_base || (img->opts.flags & FVD_OPEN_NO_BASE))
		return 0;
	return fvd_base_open(img->name, &img->m.h, img->m.ext.validator, &img->opts, &here,
			     depth + 1, &img->base, err);
}

static int sync_both(struct fvd_image *img, struct fvd_error *err)
{
	if (fvd_io_flush(img->io, err) < 0)
		return -1;
	return img->data != img->io ? fvd_io_flush(img->data, err) : 0;
}

/* A dirty image: into memory, and for a writer onto the disk. */
static int replay(struct fvd_image *img, int depth, struct fvd_error *err)
{
	struct fvd_replay_opts opts = FVD_REPLAY_OPTS_INIT;
	struct fvd_replay_result r = { 0 };
	int rc = 0;

	/*
	 * A base goes back to its past after a power cut unless what we replay is on the
	 * disk (6.5).
	 */
	if (depth > 0 && sync_both(img, err) < 0)
		return -1;
	rc = fvd_replay_scan(img->io, &img->m, &opts, &r, err);
	if (rc == 0 && img->writable)
		rc = fvd_replay_commit(img->io, img->data, &img->m, &r, err);
	fvd_replay_result_fini(&r);
	return rc < 0 ? fvd_error_name(err, img->name) : 0;
}

/* Dirty without a journal: FORMAT 6.6. An image without metadata to lose is fine. */
static int accept_unclean(struct fvd_image *img, struct fvd_error *err)
{
	if (!img->writable || (!img->has_table && !img->uses_base))
		return 0;
	img->unclean = true;
	if (img->opts.flags & FVD_OPEN_ACCEPT_UNCLEAN)
		return 0;
	return fvd_error_set(err, FVD_ERR_DIRTY, "%s: was not closed and has no journal: not written"
			     " to; \"fvdtool check -y\" verifies it and sets it clean", img->name);
}

static int load(struct fvd_image *img, struct fvd_error *err)
{
	bool shared = !img->writable && (img->opts.flags & FVD_OPEN_FORCE_SHARE);

	if (shared)
		return fvd_replay_load_shared(img->io, img->data, SHARED_TRIES, &img->m, err);
	if (fvd_meta_load(img->io, img->data, 0, &img->m, err) < 0)
		return fvd_error_name(err, img->name);
	return 0;
}

/* Everything is open and loaded: make the image ready. */
static int settle(struct fvd_image *img, int depth, struct fvd_error *err)
{
	const struct fvd_header *h = &img->m.h;
	bool dirty = h->clean_shutdown != 1;
	bool shared = !img->writable && (img->opts.flags & FVD_OPEN_FORCE_SHARE);

	img->has_table = fvd_header_has_table(h);
	img->has_journal = fvd_header_has_journal(h) && !img->bulk;
	img->content_changed = img->bulk || !img->m.ext.has_generation;
	if (dirty && shared) {
			if (depth > 0 && sync_both(img, err) < 0)
			return -1;
	} else if (dirty && (fvd_header_has_journal(h) ? replay(img, depth, err)
						     : accept_unclean(img, err)) < 0) {
		return -1;
	}
	/* What the page cache shows as a hole may be data on the disk until this sync (6.3). */
	if (img->writable && !img->bulk && img->has_table && sync_both(img, err) < 0)
		return -1;
	if (img->writable && img->has_table && fvd_meta_judge_table(&img->m, NULL, err) < 0)
		return fvd_error_name(err, img->name);
	return fvd_journal_open(img, err);
}

static int open_all(struct fvd_image *img, const struct fvd_seen *seen, int depth,
		    struct fvd_error *err)
{
	struct fvd_meta head = { 0 };
	int rc;

	if (open_file(img, img->name, &img->io, err) < 0)
		return -1;
	rc = check_cycle(img, seen, err);
	if (rc == 0) {
		rc = fvd_meta_load_header(img->io, &head, err);
		if (rc < 0)
			fvd_error_name(err, img->name);
	}
	if (rc == 0)
		rc = check_header(img, &head, err);
	if (rc == 0)
		rc = open_data(img, &head.h, err);
	fvd_meta_fini(&head);
	if (rc < 0 || load(img, err) < 0 || check_header(img, &img->m, err) < 0 ||
	    open_base(img, seen, depth, err) < 0)
		return -1;
	return settle(img, depth, err);
}

int fvd_image_open_chain(const char *name, const struct fvd_open_opts *opts,
			 const struct fvd_seen *seen, int depth, struct fvd_image **out,
			 struct fvd_error *err)
{
	struct fvd_image *img = image_new(name, opts, err);

	if (!img)
		return -1;
	if (open_all(img, seen, depth, err) < 0) {
		fvd_image_drop(img);
		return -1;
	}
	*out = img;
	return 0;
}

int fvd_image_open(const char *name, const struct fvd_open_opts *opts, struct fvd_image **img,
		   struct fvd_error *err)
{
	static const struct fvd_open_opts standard = FVD_OPEN_OPTS_INIT;

	return fvd_image_open_chain(name, opts ? opts : &standard, NULL, 0, img, err);
}

int fvd_image_close(struct fvd_image *img, struct fvd_error *err)
{
	int rc;

	pthread_mutex_lock(&img->lock);
	rc = fvd_state_close(img, err);
	pthread_mutex_unlock(&img->lock);
	fvd_image_drop(img);
	return rc;
}

int fvd_image_flush(struct fvd_image *img, struct fvd_error *err)
{
	int rc = 0;

	if (!img->writable || img->bulk)
		return 0;
	pthread_mutex_lock(&img->lock);
	rc = fvd_journal_flush(img, err);
	pthread_mutex_unlock(&img->lock);
	return rc;
}

const struct fvd_header *fvd_image_header(const struct fvd_image *img)
{
	return &img->m.h;
}

struct fvd_io *fvd_image_io(struct fvd_image *img)
{
	return img->io;
}

struct fvd_io *fvd_image_data(struct fvd_image *img)
{
	return img->data;
}

struct fvd_image *fvd_image_base(struct fvd_image *img)
{
	return img->base ? fvd_base_image(img->base) : NULL;
}

struct fvd_io *fvd_image_base_io(struct fvd_image *img)
{
	return img->base ? fvd_base_io(img->base) : NULL;
}

void fvd_image_stats(struct fvd_image *img, struct fvd_image_stats *out)
{
	pthread_mutex_lock(&img->lock);
	*out = img->stats;
	pthread_mutex_unlock(&img->lock);
}
