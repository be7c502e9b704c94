/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/ext.h"
#include "util/crc32c.h"
#include "util/endian.h"

#define EXT_MAGIC UINT32_C(0x58445646)	/* "FVDX" */
#define EXT_REQUIRED 0x8000u

enum { EXT_UUID = 1, EXT_CREATOR = 2, EXT_VALIDATOR = 3, EXT_GENERATION = 4 };

struct ext_head {
	fvd_le32 magic;		/* 0 */
	fvd_le32 length;	/* 4  of the entries */
	fvd_le32 crc;		/* 8  CRC-32C of the entries */
};

struct ext_entry {
	fvd_le16 type;		/* 0 */
	fvd_le16 length;	/* 2 */
};

static_assert(sizeof(struct ext_head) == 12, "FORMAT 7");
static_assert(sizeof(struct ext_entry) == 4, "FORMAT 7");
static_assert(sizeof(struct ext_head) + FVD_EXT_MAX_PAYLOAD == FVD_EXT_AREA, "FORMAT 7");

static void damage(struct fvd_ext *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Nothing of a damaged area is believed. */
static void damage(struct fvd_ext *x, const char *fmt, ...)
{
	va_list ap;

	memset(x, 0, sizeof(*x));
	x->state = FVD_EXT_DAMAGED;
	va_start(ap, fmt);
	vsnprintf(x->damage, sizeof(x->damage), fmt, ap);
	va_end(ap);
}

/*
 * A text too long for its room is cut between characters; @by_line: between lines, since
 * half a validator would match nothing.
 */
static bool get_text(char *out, size_t cap, const uint8_t *p, size_t len, bool by_line)
{
	size_t n = len;

	if (memchr(p, '\0', len))
		return false;
	if (n >= cap) {
		n = cap - 1;
		while (n > 0 && (p[n] & 0xC0) == 0x80)
			n--;
		for (size_t i = n; by_line && i > 0; i--)
			if (p[i] == '\n') {
				n = i;
				break;
			}
	}
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

/* False after damage. @seen has a bit for each known type that came before. */
static bool decode_entry(struct fvd_ext *x, unsigned type, const uint8_t *p, unsigned len,
			 unsigned *seen, bool first)
{
	bool repeated = type <= EXT_GENERATION && (*seen & 1u << type);
	bool good = true;
	fvd_le64 wide;

	if (type >= EXT_REQUIRED && !x->unknown_required)
		x->unknown_required = type;
	if (type == EXT_GENERATION && !repeated && !first) {
		damage(x, "the generation is not the first entry");
		return false;
	}
	if ((type == EXT_UUID && len != 16) || (type == EXT_GENERATION && len != 8)) {
		damage(x, "entry of type %u has %u bytes", type, len);
		return false;
	}
	if (type == 0 || type > EXT_GENERATION || repeated)
		return true;
	*seen |= 1u << type;
	switch (type) {
	case EXT_UUID:
		x->has_uuid = true;
		memcpy(x->uuid, p, sizeof(x->uuid));
		break;
	case EXT_CREATOR:
		good = get_text(x->creator, sizeof(x->creator), p, len, false);
		break;
	case EXT_VALIDATOR:
		good = get_text(x->validator, sizeof(x->validator), p, len, true);
		break;
	case EXT_GENERATION:
		memcpy(&wide, p, sizeof(wide));
		x->has_generation = true;
		x->generation = fvd_get_le64(wide);
		break;
	}
	if (!good)
		damage(x, "entry of type %u holds a NUL byte", type);
	return good;
}

static void decode_entries(const uint8_t *p, unsigned length, struct fvd_ext *x)
{
	unsigned seen = 0, pos = 0;
	struct ext_entry entry;

	while (pos < length) {
		unsigned len;

		if (length - pos < sizeof(entry)) {
			damage(x, "an entry at byte %u runs over the end", pos);
			return;
		}
		memcpy(&entry, p + pos, sizeof(entry));
		len = fvd_get_le16(entry.length);
		if (len > length - pos - sizeof(entry)) {
			damage(x, "the entry at byte %u, %u bytes, runs over the end", pos, len);
			return;
		}
		if (!decode_entry(x, fvd_get_le16(entry.type), p + pos + sizeof(entry), len, &seen,
				  pos == 0))
			return;
		pos += (unsigned)sizeof(entry) + len;
	}
}

void fvd_ext_decode(const uint8_t *area, struct fvd_ext *x)
{
	const uint8_t *entries = area + sizeof(struct ext_head);
	struct ext_head head;
	uint32_t length;

	memset(x, 0, sizeof(*x));
	memcpy(&head, area, sizeof(head));
	if (fvd_get_le32(head.magic) != EXT_MAGIC)
		return;
	length = fvd_get_le32(head.length);
	if (length > FVD_EXT_MAX_PAYLOAD) {
		damage(x, "length %u is above %u", length, FVD_EXT_MAX_PAYLOAD);
		return;
	}
	if (fvd_crc32c(0, entries, length) != fvd_get_le32(head.crc)) {
		damage(x, "the checksum does not match");
		return;
	}
	for (uint32_t i = length; i < FVD_EXT_MAX_PAYLOAD; i++)
		if (entries[i]) {
			damage(x, "byte %u after the entries is not zero", i);
			return;
		}
	x->state = FVD_EXT_OK;
	decode_entries(entries, length, x);
}

static void put_entry(uint8_t *area, size_t *used, unsigned type, const void *data, size_t len)
{
	struct ext_entry entry = { fvd_to_le16((uint16_t)type), fvd_to_le16((uint16_t)len) };

	memcpy(area + *used, &entry, sizeof(entry));
	memcpy(area + *used + sizeof(entry), data, len);
	*used += sizeof(entry) + len;
}

static_assert(sizeof(struct ext_head) + 4 + 8 + 4 + 16 + 4 + sizeof(((struct fvd_ext *)0)->creator)
	      + 4 + sizeof(((struct fvd_ext *)0)->validator) <= FVD_EXT_AREA,
	      "all entries of a struct fvd_ext fit");

int fvd_ext_encode(const struct fvd_ext *x, uint8_t *area, struct fvd_error *err)
{
	size_t creator = strnlen(x->creator, sizeof(x->creator));
	size_t validator = strnlen(x->validator, sizeof(x->validator));
	size_t used = sizeof(struct ext_head);
	struct ext_head head;
	fvd_le64 generation = fvd_to_le64(x->generation);

	if (creator == sizeof(x->creator) || validator == sizeof(x->validator))
		return fvd_error_set(err, FVD_ERR_INVALID,
				     "extension text is longer than %zu bytes",
				     (creator == sizeof(x->creator) ? creator : validator) - 1);
	memset(area, 0, FVD_EXT_AREA);
	if (x->has_generation)
		put_entry(area, &used, EXT_GENERATION, &generation, sizeof(generation));
	if (x->has_uuid)
		put_entry(area, &used, EXT_UUID, x->uuid, sizeof(x->uuid));
	if (creator)
		put_entry(area, &used, EXT_CREATOR, x->creator, creator);
	if (validator)
		put_entry(area, &used, EXT_VALIDATOR, x->validator, validator);
	if (used == sizeof(head))
		return 0;
	head.magic = fvd_to_le32(EXT_MAGIC);
	head.length = fvd_to_le32((uint32_t)(used - sizeof(head)));
	head.crc = fvd_to_le32(fvd_crc32c(0, area + sizeof(head), used - sizeof(head)));
	memcpy(area, &head, sizeof(head));
	return 0;
}

bool fvd_ext_set_generation(uint8_t *area, uint64_t generation)
{
	fvd_le64 value = fvd_to_le64(generation);
	struct ext_head head;
	struct fvd_ext x;

	fvd_ext_decode(area, &x);
	if (x.state != FVD_EXT_OK || !x.has_generation)
		return false;
	/* It was found good, so it is the first entry. */
	memcpy(area + sizeof(head) + sizeof(struct ext_entry), &value, sizeof(value));
	memcpy(&head, area, sizeof(head));
	head.crc = fvd_to_le32(fvd_crc32c(0, area + sizeof(head), fvd_get_le32(head.length)));
	memcpy(area, &head, sizeof(head));
	return true;
}
