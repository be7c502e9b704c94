/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/types.h>

#include "util/uuid.h"

int fvd_uuid_new(uint8_t uuid[16], struct fvd_error *err)
{
	for (size_t have = 0; have < 16; ) {
		ssize_t n = getrandom(uuid + have, 16 - have, 0);

		if (n < 0 && errno != EINTR)
			return fvd_error_sys(err, errno, "getrandom for a UUID");
		if (n > 0)
			have += (size_t)n;
	}
	uuid[6] = (uint8_t)((uuid[6] & 0x0F) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3F) | 0x80);
	return 0;
}

const char *fvd_uuid_format(const uint8_t uuid[16], char out[37])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = '\0';
	return out;
}
