/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/stat.h>

#include "ops/chain.h"

struct fvd_io_identity fvd_name_identity(const char *name)
{
	struct fvd_io_identity id = { 0 };
	struct stat st;

	if (stat(name, &st) < 0)
		return id;
	id.known = true;
	/* As for an open file: two nodes of one device are one file. */
	id.dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	id.ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	return id;
}

bool fvd_same_identity(const struct fvd_io_identity *a, const struct fvd_io_identity *b)
{
	return a->known && b->known && a->dev == b->dev && a->ino == b->ino;
}

bool fvd_chain_has(struct fvd_image *img, struct fvd_io *io, const struct fvd_io_identity *id)
{
	if (io && fvd_same_identity(&io->id, id))
		return true;
	while (img) {
		if (fvd_same_identity(&fvd_image_io(img)->id, id) ||
		    fvd_same_identity(&fvd_image_data(img)->id, id))
			return true;
		io = fvd_image_base_io(img);
		if (io && fvd_same_identity(&io->id, id))
			return true;
		img = fvd_image_base(img);
	}
	return false;
}
