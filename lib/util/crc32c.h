/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FVD_UTIL_CRC32C_H
#define FVD_UTIL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli). Start with 0; feed the result back in to go on. */
uint32_t fvd_crc32c(uint32_t crc, const void *buf, size_t len);

#endif
