/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Salvage of a damaged extension area: its entries are taken one by one; each that the area
 * still decodes with is kept, byte for byte, so that types unknown here survive too.
 */
#include <string.h>

#include "format/ext.h"
#include "ops/check_private.h"
#include "util/crc32c.h"
#include "util/endian.h"

#define HEAD 12u

static void seal(uint8_t *area, uint32_t used)
{
	fvd_le32 length = fvd_to_le32(used);
	fvd_le32 crc = fvd_to_le32(fvd_crc32c(0, area + HEAD, used));

	memcpy(area + 4, &length, 4);
	memcpy(area + 8, &crc, 4);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

void check_salvage_ext(uint8_t *area)
{
	uint8_t good[FVD_EXT_AREA] = { 0 }, trial[FVD_EXT_AREA];
	uint32_t pos = 0, used = 0;

	memcpy(good, area, 4);
	while (FVD_EXT_MAX_PAYLOAD - pos >= 4) {
		const uint8_t *entry = area + HEAD + pos;
		uint32_t len = 4 + get16(entry + 2);
		struct fvd_ext x;

		if (get16(entry) == 0 || len > FVD_EXT_MAX_PAYLOAD - pos)
			break;
		memcpy(trial, good, sizeof(trial));
		memcpy(trial + HEAD + used, entry, len);
		seal(trial, used + len);
		fvd_ext_decode(trial, &x);
		if (x.state == FVD_EXT_OK) {
			memcpy(good, trial, sizeof(good));
			used += len;
		}
		pos += len;
	}
	if (used == 0)
		memset(good, 0, sizeof(good));
	memcpy(area, good, sizeof(good));
}
