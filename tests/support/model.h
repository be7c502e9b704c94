/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a virtual disk must hold: its content as a plain array, and for every 512-byte sector
 * all values that a reader may find after a power cut.
 *
 * A value is acceptable from the moment its write is called. It stops being so when another
 * write of that sector, called after the first had returned, was complete before a flush was
 * called that returned without error. Values are told apart by a 64-bit hash of the whole sector.
 */
#ifndef TESTS_SUPPORT_MODEL_H
#define TESTS_SUPPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_NEVER UINT64_MAX

struct model_value {
	uint64_t hash;
	uint64_t begin, end;	/* called, returned; end MODEL_NEVER while in flight */
	uint32_t id;		/* of the write */
	bool ok;
};

struct model_sector {
	struct model_value *value;
	uint32_t count, cap;
	uint64_t floor;		/* values that ended before this moment are gone */
};

struct model {
	uint64_t size;		/* bytes, multiple of 512 */
	uint8_t *live;		/* what reads return now */
	struct model_sector *sector;
	struct { uint64_t begin, end; } *flush;
	size_t flushes, flush_cap;
	uint64_t barrier;	/* floors are valid for flushes called at or before this */
	uint32_t next_id;
};

/* @initial: content at the start, durable. */
void model_init(struct model *m, uint64_t size, const uint8_t *initial);
void model_fini(struct model *m);

/* A write (@buf NULL: of zeros) is about to be called at moment @now; the number names it. */
uint32_t model_write(struct model *m, const void *buf, uint64_t len, uint64_t off, uint64_t now);
/* It has returned. After a failure any of its bytes may be old or new: see model_settle. */
void model_written(struct model *m, uint32_t id, uint64_t len, uint64_t off, bool ok,
		   uint64_t now);
/* A flush called at @begin returned without error at @end. */
void model_flushed(struct model *m, uint64_t begin, uint64_t end);
/*
 * [@off, @off + @len) was read as @content at @now, after a failed write or a crash: that is
 * what it is from here on.
 * Returns the first sector whose content was not acceptable, UINT64_MAX for none.
 */
uint64_t model_settle(struct model *m, const uint8_t *content, uint64_t len, uint64_t off,
		      uint64_t now);
/*
 * Judge the whole content of a disk that lost its power at @now: the first sector that holds
 * what it must not, UINT64_MAX for none. Moments must not go back, and a flush counts
 * from the moment it returned.
 */
uint64_t model_judge(struct model *m, const uint8_t *content, uint64_t now);
/* Go to a moment: what flushes promise there is in m->barrier. The judges do it themselves. */
void model_advance(struct model *m, uint64_t now);
/* What is at @content, in words: "an old value of write 17", for messages. */
const char *model_explain(const struct model *m, uint64_t sector, const uint8_t *content,
			  char *out, size_t cap);

uint64_t model_hash(const uint8_t *sector);
/* Fill @count sectors with content that nothing else has. */
void model_stamp(void *buf, uint64_t count, uint64_t first_sector, uint64_t serial);

#endif
