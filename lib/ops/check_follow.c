/* SPDX-License-Identifier: BSD-2-Clause */
/* The only place where check opens a file that an image names, and only when told to. */
#include <stdlib.h>

#include "image/base.h"
#include "image/policy.h"
#include "ops/check_private.h"

int check_open_data(struct check *c, const struct fvd_header *h, struct fvd_error *err)
{
	bool write = c->opts->repair != FVD_REPAIR_NONE;
	char *name;
	int ret;

	if (h->data_file[0] == '\0') {
		c->storage = c->io;
		return 0;
	}
	if (!c->opts->follow)
		return 0;
	if (write && fvd_policy_write_data(h->data_file, c->opts->data_file, err) < 0)
		return -1;
	name = fvd_name_resolve(c->name, h->data_file, err);
	if (name == NULL)
		return -1;
	ret = c->opener->open(c->opener, name, write ? FVD_IO_WRITE : 0,
			      c->opts->force_share ? FVD_LOCK_NONE :
			      write ? FVD_LOCK_EXCLUSIVE : FVD_LOCK_SHARED, &c->storage, err);
	free(name);
	if (ret < 0) {
		c->storage = NULL;
		return fvd_error_prefix(err, "data file");
	}
	return 0;
}

int check_look_base(struct check *c, struct fvd_error *err)
{
	const struct fvd_header *h = &c->m->h;
	struct fvd_open_opts opts = FVD_OPEN_OPTS_INIT;
	struct fvd_seen seen = { NULL, c->io->id, c->name };
	struct fvd_base *base = NULL;
	struct fvd_error why = { 0 };

	if (!fvd_header_needs_base(h))
		return 0;
	opts.opener = c->opener;
	opts.flags = c->opts->ignore_base_change ? FVD_OPEN_IGNORE_BASE_CHANGE : 0;
	if (fvd_base_open(c->name, h, c->m->ext.validator, &opts, &seen, 1, &base, &why) == 0) {
		fvd_base_close(base);
		return 0;
	}
	if (why.class == FVD_ERR_NOMEM) {
		if (err != NULL)
			*err = why;
		return -1;
	}
	return check_find(c, FVD_DAMAGE,
			  why.class == FVD_ERR_BASE_CHANGED ? "base-changed" : "base",
			  CHECK_UNFIXABLE, err, "%.500s", why.text);
}
