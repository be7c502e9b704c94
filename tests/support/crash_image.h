/* SPDX-License-Identifier: BSD-2-Clause */
/* Fresh images of every shape in a crash world, laid out by hand: header, table, base. */
#ifndef TESTS_SUPPORT_CRASH_IMAGE_H
#define TESTS_SUPPORT_CRASH_IMAGE_H

#include "crash_world.h"
#include "format/header.h"
#include "image/image.h"

enum ci_order { CI_NORMAL, CI_REVERSED, CI_DATA_FIRST };
enum ci_base { CI_RAW, CI_FVD, CI_FVD_DIRTY };

struct ci_cfg {
	const char *name;
	uint64_t vsize;
	uint64_t chunk;			/* 0: no table */
	uint64_t block;			/* 0: 4096 */
	uint64_t base_len;		/* bytes of the base's disk; 0: no base */
	enum ci_base base;
	uint64_t journal;
	bool data_file;
	uint64_t device_chunks;		/* > 0: the chunks live on a block device of that many */
	uint64_t data_skew;		/* added to data_offset */
	enum ci_order order;
	uint64_t grow;			/* 0: 16 KiB */
	bool generation;
	bool old_journal;		/* full of records of another writer, with high epochs */
	uint32_t commit;		/* commit interval, ms */
	size_t buffer;			/* journal buffer, bytes */
};

struct ci {
	struct ci_cfg cfg;
	struct fvd_header h;
	int image, data;		/* files of the world; often the same */
	uint8_t *initial;		/* content of the disk */
};

enum ci_class { CI_STATE, CI_JOURNAL, CI_TABLE, CI_BITMAP, CI_DATA, CI_HEADER };

/* Files "img", and as needed "img.data", "base", "base.raw" in @w. */
int ci_make(struct ci *c, const struct ci_cfg *cfg, struct cw *w, struct fvd_error *err);
void ci_fini(struct ci *c);
/* enum ci_class of a byte, for cd.classify; @ci is a struct ci. */
int ci_classify(void *ci, int file, uint64_t off);
struct fvd_open_opts ci_opts(const struct ci *c, struct cw *w, unsigned flags);
/* Read the whole disk of an open image. */
int ci_read_all(struct fvd_image *img, uint8_t *buf, uint64_t size, struct fvd_error *err);

#endif
