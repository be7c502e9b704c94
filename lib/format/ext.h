/* SPDX-License-Identifier: BSD-2-Clause */
/* The extension area (`reserved` of a revision-2 header). FORMAT 7. */
#ifndef FVD_FORMAT_EXT_H
#define FVD_FORMAT_EXT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

#define FVD_EXT_AREA 4096u
#define FVD_EXT_MAX_PAYLOAD 4084u

enum fvd_ext_state { FVD_EXT_ABSENT, FVD_EXT_OK, FVD_EXT_DAMAGED };

struct fvd_ext {
	enum fvd_ext_state state;
	bool has_uuid, has_generation;
	uint8_t uuid[16];
	uint64_t generation;
	char creator[256];		/* "" when absent; longer ones are cut */
	char validator[2048];		/* "" when absent */
	uint32_t unknown_required;	/* first unknown type >= 0x8000, else 0 */
	char damage[128];		/* what is wrong, when DAMAGED */
};

/* Read @area (FVD_EXT_AREA bytes). Never fails: @x->state says what was found. Bytes
 * after the entries that are not zero, and generation not being first, are damage. */
void fvd_ext_decode(const uint8_t *area, struct fvd_ext *x);

/* Write the whole @area from @x (generation first, then uuid, creator, validator; what
 * is absent is left out; all absent = all zero). INVALID when it does not fit. Unknown
 * entries are not kept: for new images and for repair only. */
int fvd_ext_encode(const struct fvd_ext *x, uint8_t *area, struct fvd_error *err);

/* Raise the generation inside @area in place and mend the CRC; only bytes that lie in
 * the state sector change. False when the area is not OK or has no generation. */
bool fvd_ext_set_generation(uint8_t *area, uint64_t generation);

#endif
