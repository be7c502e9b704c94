/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

uint64_t model_hash(const uint8_t *sector)
{
	uint64_t a = 1, b = 2, word[8];

	for (unsigned i = 0; i < SECTOR; i += 64) {
		memcpy(word, sector + i, sizeof(word));
		a = (a ^ word[0] ^ word[2] * 7) * UINT64_C(0x9E3779B97F4A7C15);
		b = (b ^ word[1] ^ word[3] * 7) * UINT64_C(0xff51afd7ed558ccd);
		a = (a ^ (a >> 29) ^ word[4] ^ word[6] * 7) * UINT64_C(0x9E3779B97F4A7C15);
		b = (b ^ (b >> 31) ^ word[5] ^ word[7] * 7) * UINT64_C(0xff51afd7ed558ccd);
		a ^= a >> 32;
		b ^= b >> 29;
	}
	return a ^ b * 3;
}

void model_stamp(void *buf, uint64_t count, uint64_t first_sector, uint64_t serial)
{
	uint8_t *p = buf;

	for (uint64_t s = 0; s < count; s++) {
		uint64_t x = (first_sector + s) * UINT64_C(0x9E3779B97F4A7C15) ^ serial << 20;

		for (unsigned i = 0; i < SECTOR; i += 8, p += 8) {
			uint64_t v = (x | 1) + i * UINT64_C(0x0101010101010101);

			memcpy(p, &v, 8);
		}
	}
}

static void add_value(struct model_sector *s, uint64_t hash, uint64_t begin, uint64_t end,
		      uint32_t id)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 4;
		s->value = must(realloc(s->value, s->cap * sizeof(*s->value)));
	}
	s->value[s->count++] = (struct model_value){ .hash = hash, .begin = begin, .end = end,
						     .id = id, .ok = end != MODEL_NEVER };
}

void model_init(struct model *m, uint64_t size, const uint8_t *initial)
{
	*m = (struct model){ .size = size, .next_id = 1 };
	m->live = must(malloc(size));
	memcpy(m->live, initial, size);
	m->sector = must(calloc(size / SECTOR, sizeof(*m->sector)));
	for (uint64_t s = 0; s < size / SECTOR; s++)
		add_value(&m->sector[s], model_hash(initial + s * SECTOR), 0, 0, 0);
}

void model_fini(struct model *m)
{
	for (uint64_t s = 0; s < m->size / SECTOR; s++)
		free(m->sector[s].value);
	free(m->sector);
	free(m->live);
	free(m->flush);
	*m = (struct model){ 0 };
}

uint32_t model_write(struct model *m, const void *buf, uint64_t len, uint64_t off, uint64_t now)
{
	uint32_t id = m->next_id++;

	if (buf)
		memcpy(m->live + off, buf, len);
	else
		memset(m->live + off, 0, len);
	for (uint64_t s = off / SECTOR; s * SECTOR < off + len; s++)
		add_value(&m->sector[s], model_hash(m->live + s * SECTOR), now, MODEL_NEVER, id);
	return id;
}

void model_written(struct model *m, uint32_t id, uint64_t len, uint64_t off, bool ok,
		   uint64_t now)
{
	for (uint64_t s = off / SECTOR; s * SECTOR < off + len; s++) {
		struct model_sector *sec = &m->sector[s];

		for (uint32_t i = sec->count; i-- > 0;) {
			if (sec->value[i].id != id)
				continue;
			sec->value[i].end = now;
			sec->value[i].ok = ok;
			break;
		}
	}
}

void model_flushed(struct model *m, uint64_t begin, uint64_t end)
{
	if (m->flushes == m->flush_cap) {
		m->flush_cap = m->flush_cap ? m->flush_cap * 2 : 16;
		m->flush = must(realloc(m->flush, m->flush_cap * sizeof(*m->flush)));
	}
	m->flush[m->flushes].begin = begin;
	m->flush[m->flushes++].end = end;
}

static void raise_floor(struct model_sector *sec, uint64_t barrier)
{
	sec->floor = 0;
	for (uint32_t i = 0; i < sec->count; i++) {
		const struct model_value *v = &sec->value[i];

		if (v->ok && v->end < barrier && v->begin > sec->floor)
			sec->floor = v->begin;
	}
}

void model_advance(struct model *m, uint64_t now)
{
	uint64_t barrier = 0;

	for (size_t i = 0; i < m->flushes; i++) {
		if (m->flush[i].end <= now && m->flush[i].begin > barrier)
			barrier = m->flush[i].begin;
	}
	if (barrier == m->barrier)
		return;
	m->barrier = barrier;
	for (uint64_t s = 0; s < m->size / SECTOR; s++)
		raise_floor(&m->sector[s], barrier);
}

static bool acceptable(const struct model_sector *sec, const uint8_t *content, uint64_t now)
{
	uint64_t hash = model_hash(content);

	for (uint32_t i = sec->count; i-- > 0;) {
		const struct model_value *v = &sec->value[i];

		if (v->hash == hash && v->begin <= now && v->end >= sec->floor)
			return true;
	}
	return false;
}

uint64_t model_judge(struct model *m, const uint8_t *content, uint64_t now)
{
	model_advance(m, now);
	for (uint64_t s = 0; s < m->size / SECTOR; s++) {
		if (!acceptable(&m->sector[s], content + s * SECTOR, now))
			return s;
	}
	return UINT64_MAX;
}

uint64_t model_settle(struct model *m, const uint8_t *content, uint64_t len, uint64_t off,
		      uint64_t now)
{
	uint64_t bad = UINT64_MAX;

	model_advance(m, now);
	for (uint64_t s = off / SECTOR; s * SECTOR < off + len; s++) {
		const uint8_t *found = content + (s * SECTOR - off);

		if (memcmp(m->live + s * SECTOR, found, SECTOR) == 0 &&
		    m->sector[s].value[m->sector[s].count - 1].ok)
			continue;
		if (bad == UINT64_MAX && !acceptable(&m->sector[s], found, now))
			bad = s;
		add_value(&m->sector[s], model_hash(found), now, now, 0);
		memcpy(m->live + s * SECTOR, found, SECTOR);
	}
	return bad;
}

const char *model_explain(const struct model *m, uint64_t sector, const uint8_t *content,
			  char *out, size_t cap)
{
	const struct model_sector *sec = &m->sector[sector];
	uint64_t hash = model_hash(content);
	size_t used;

	used = (size_t)snprintf(out, cap, "sector %" PRIu64 " (floor %" PRIu64 "): ", sector,
				sec->floor);
	for (uint32_t i = sec->count; i-- > 0;) {
		const struct model_value *v = &sec->value[i];

		if (v->hash != hash)
			continue;
		snprintf(out + used, cap - used, "has the value of write %" PRIu32 " (%" PRIu64
			 "..%" PRIu64 "); the newest is write %" PRIu32, v->id, v->begin, v->end,
			 sec->value[sec->count - 1].id);
		return out;
	}
	for (size_t i = 0; i < SECTOR; i++) {
		if (content[i] != 0) {
			snprintf(out + used, cap - used, "has a value never written there");
			return out;
		}
	}
	snprintf(out + used, cap - used, "is zero, which it never was");
	return out;
}
