/* SPDX-License-Identifier: BSD-2-Clause */
/* One image in a name space in memory, what check says of it, and the life of one defect. */
#ifndef TESTS_SUPPORT_CHECK_WORLD_H
#define TESTS_SUPPORT_CHECK_WORLD_H

#include "mem_opener.h"
#include "mkimage.h"
#include "ops/check.h"
#include "util/num.h"

#define SIZE (64 * FVD_MIB)
#define CHUNK (64 * FVD_KIB)

struct world {
	struct fvd_opener *opener;
	struct fvd_header h;
	struct fvd_io *io;	/* borrowed from the opener */
	struct fvd_check_opts opts;
	struct fvd_check_report report;
	struct fvd_error err;
	struct fvd_finding list[400];
	unsigned count;
};

/* "disk.fvd", made from @h, or with base, table, bitmap and journal. */
void check_make_with(struct world *w, struct fvd_header h);
void check_make(struct world *w);
void check_done(struct world *w);
/* Run it; findings go to w->list. */
int check_run(struct world *w, enum fvd_check_repair repair);
/* The first finding of @code, or NULL. */
const struct fvd_finding *check_get(const struct world *w, const char *code);
void check_expect(struct world *w, const char *code, enum fvd_severity severity, bool safe,
		  bool fixable);
/* Allocate: entry and content. */
void check_place(struct world *w, uint64_t chunk, uint32_t entry, uint8_t value);
uint8_t check_byte(struct world *w, uint64_t off);
uint64_t check_length(struct fvd_io *io);
/*
 * The life of one defect: looking changes nothing; -p mends it or leaves every byte; -y mends
 * it (or says it cannot); the next look is clean; undo brings the old bytes back.
 */
void check_one_defect(struct world *w, const char *code, enum fvd_severity severity, bool safe,
		      bool fixable);

#endif
