/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One buffer of journal records on its way to the disk: packing into sectors. FORMAT 6, 6.1, J10.
 */
#ifndef FVD_IMAGE_JOURNAL_BUF_H
#define FVD_IMAGE_JOURNAL_BUF_H

#include "image/engine.h"

/* Room for @cap sectors, to be written at journal sector @sector. */
struct fvd_jbuf *fvd_jbuf_new(uint64_t seq, uint64_t sector, size_t cap, struct fvd_error *err);
void fvd_jbuf_free(struct fvd_jbuf *b);	/* NULL is fine */

/*
 * Put the records of @p, all in one sector: merged into the last record where that says the
 * same, else behind it, else in the next sector. Gives TABLE records their epoch. False,
 * with nothing changed, when the buffer is full. Lock held, never let go.
 */
bool fvd_jbuf_put(struct fvd_image *img, struct fvd_jbuf *b, const struct fvd_piece *p);

#endif
