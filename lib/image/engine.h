/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of an open image, shared by the files of lib/image/. FORMAT 5, 6.
 *
 * One mutex guards all of it; it is never held across reads and writes of data, syncs or punches
 * (taking a chunk may ask the file's map and lengthen the file under it). A function whose comment
 * says "lock held" may still let go of it while it waits or does journal I/O. One condition
 * variable is broadcast on every change that somebody may wait for.
 *
 * Who waits for whom (never in a circle):
 *   a request waits for overlapping updates;
 *   a holder of a request waits for the journal (room, recycling, writes, syncs);
 *   the journal waits for nobody's request.
 */
#ifndef FVD_IMAGE_ENGINE_H
#define FVD_IMAGE_ENGINE_H

#include <pthread.h>

#include "image/base.h"
#include "image/image.h"
#include "image/meta.h"
#include "util/num.h"

/* Rule Jn of FORMAT 6.2 holds; tests switch single ones off to see what they are for. */
#ifdef FVD_TEST_HOOKS
#define FVD_RULE(img, n) (((img)->broken >> (n) & 1) == 0)
#else
#define FVD_RULE(img, n) true
#endif

/* A guest operation in progress, on its caller's stack. */
enum fvd_request_kind {
	FVD_REQ_READ,		/* only counted: freed chunks wait for it (J6) */
	FVD_REQ_WRITE,		/* overwrites what is local and allocated */
	FVD_REQ_UPDATE,		/* changes bits or entries: alone on its blocks and chunks (J8) */
};

struct fvd_request {
	struct fvd_request *next, *prev;
	uint64_t lo, hi;	/* guest bytes */
	uint64_t serial;	/* order of beginning */
	enum fvd_request_kind kind;
};

/* A chunk that lost its virtual chunk, and when it may be used again (J6). */
struct fvd_freed {
	uint64_t chunk;		/* the virtual chunk that named it */
	uint32_t number;
	uint64_t seq;		/* the buffer that holds the record */
	uint64_t serial;	/* requests begun before may still use it */
};

struct fvd_alloc {
	bool ready;
	struct fvd_bitset used;		/* named by an entry, handed out, or freed and waiting */
	struct fvd_bitset handed;	/* handed out since the opening: not "never written" (J5) */
	uint64_t hint;			/* no free number below */
	uint64_t hole_lo, hole_hi;	/* storage known to be a hole when last looked at */
	uint64_t length;		/* of the data file, regular files */
	uint64_t first_length;		/* the same at opening */
	bool keep_freed;		/* do not punch what was freed */
	unsigned punching;		/* callers that punch: numbers in no list meanwhile */
	struct fvd_freed *freed;
	size_t freed_count, freed_cap;
};

/* Records collected for one write of the journal. It has its place from the start (J1). */
struct fvd_jbuf {
	struct fvd_jbuf *next;
	uint64_t seq;
	uint64_t sector;		/* place in the journal */
	size_t sectors, cap;		/* in use, room */
	size_t used;			/* bytes in the last sector */
	size_t last_table, last_bitmap;	/* byte in the last sector, SIZE_MAX: none */
	bool needs_sync;		/* data must be durable first (J4) */
	uint64_t close_mark;		/* syncs begun when it stopped taking records */
	int64_t first_ms;		/* when its first record came */
	uint8_t *bytes;
};

#define FVD_MARKS 64

struct fvd_journal {
	uint64_t sectors, tail;		/* length; where the next buffer goes */
	size_t buffer_sectors;
	uint64_t next_epoch;
	uint64_t next_seq, closed_seq, written_seq, synced_seq;
	struct fvd_jbuf *cur, *head, **end;
	bool busy;			/* somebody writes the queue */
	bool hold;			/* recycling: no metadata change may enter */
	uint64_t sync_begun, sync_done;
	bool sync_running;
	/* syncs begun when buffer seq was written, for the last few buffers */
	struct { uint64_t seq, begun; } mark[FVD_MARKS];
	pthread_t thread;		/* sends buffers that get old */
	bool thread_runs, thread_stop;
	pthread_cond_t tick;
};

struct fvd_image {
	char *name;
	struct fvd_open_opts opts;
	struct fvd_opener *opener;
	uint32_t broken;
	bool writable, bulk, unclean;
	struct fvd_io *io, *data;	/* data may be io */
	struct fvd_base *base;		/* NULL: none, not needed, or not opened */
	struct fvd_meta m;
	bool uses_base;			/* 0 bits mean the base */
	bool has_table, has_journal;

	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct fvd_request *requests;
	uint64_t next_serial;
	struct fvd_alloc a;
	struct fvd_journal j;
	bool content_changed;		/* generation raised, or there is none */
	bool dirty_marked;		/* clean_shutdown is 0 on disk, by us */
	bool state_busy, changed;
	bool failed;			/* J13 */
	struct fvd_error failure;
	struct fvd_image_stats stats;
};

/* image.c */
int fvd_image_open_chain(const char *name, const struct fvd_open_opts *opts,
			 const struct fvd_seen *seen, int depth, struct fvd_image **img,
			 struct fvd_error *err);
/*
 * Lock held. The image is failed from now on, with @err as the reason (the first counts).
 * Returns -1.
 */
int fvd_engine_fail(struct fvd_image *img, const struct fvd_error *err);
/* Lock held. 0, or -1 with the reason why the image takes no changes any more. */
int fvd_engine_alive(struct fvd_image *img, struct fvd_error *err);
static inline void fvd_engine_wait(struct fvd_image *img)
{
	pthread_cond_wait(&img->cond, &img->lock);
}

/* state.c: lock held, let go inside. FORMAT 6.3, 7 (type 4). */
int fvd_state_before_content(struct fvd_image *img, struct fvd_error *err);
int fvd_state_before_metadata(struct fvd_image *img, struct fvd_error *err);
int fvd_state_close(struct fvd_image *img, struct fvd_error *err);
/* Lock not needed: the whole journal zero, and synced, so that no old record can come back. */
int fvd_state_void_journal(struct fvd_image *img, struct fvd_error *err);

/* request.c: lock held. */
bool fvd_request_conflicts(struct fvd_image *img, enum fvd_request_kind kind, uint64_t lo,
			   uint64_t hi);
void fvd_request_begin(struct fvd_image *img, struct fvd_request *req,
		       enum fvd_request_kind kind, uint64_t lo, uint64_t hi);
void fvd_request_end(struct fvd_image *img, struct fvd_request *req);
/* Grow [*lo, *hi) to whole blocks of the base, then to whole chunks: what an update owns. */
void fvd_request_widen(const struct fvd_image *img, uint64_t *lo, uint64_t *hi);

/* map.c. [off, off + len) lies on the disk, or INVALID naming @what. */
int fvd_map_check(const struct fvd_image *img, uint64_t len, uint64_t off, const char *what,
		  struct fvd_error *err);
/* Lock held. Where the run at @off is; kind, len, io, io_off of @ext. Own level only. */
int fvd_map_run(struct fvd_image *img, uint64_t off, uint64_t max, struct fvd_extent *ext,
		struct fvd_error *err);

/* alloc.c: lock held. */
int fvd_alloc_open(struct fvd_image *img, struct fvd_error *err);
void fvd_alloc_fini(struct fvd_image *img);
/*
 * A free number. *fresh: never written (J5); else its content is anything. May flush to
 * find one.
 */
int fvd_alloc_take(struct fvd_image *img, uint32_t *number, bool *fresh, struct fvd_error *err);
/* The same for the lowest free number below @below; FVD_UNALLOCATED when there is none. */
int fvd_alloc_take_below(struct fvd_image *img, uint32_t below, uint32_t *number, bool *fresh,
			 struct fvd_error *err);
/* Give back a number that no record names. */
void fvd_alloc_untake(struct fvd_image *img, uint32_t number);
/* @number lost its entry for @chunk by a record in the current buffer. */
int fvd_alloc_freed(struct fvd_image *img, uint64_t chunk, uint32_t number,
		    struct fvd_error *err);
/* Make freed chunks free whose records are synced and whose I/O has ended. Punches them; where that
 * fails the storage is not given back, and nothing else is lost. */
void fvd_alloc_reclaim(struct fvd_image *img);
/* 1 + the highest number in use. */
uint64_t fvd_alloc_end(struct fvd_image *img);
/* Cut off what this opening added beyond the last chunk. */
int fvd_alloc_trim(struct fvd_image *img, struct fvd_error *err);

/* journal.c: lock held, let go inside. */
int fvd_journal_open(struct fvd_image *img, struct fvd_error *err);
void fvd_journal_fini(struct fvd_image *img);	/* frees; writes nothing */
/* Everything written so far is durable afterwards. */
int fvd_journal_flush(struct fvd_image *img, struct fvd_error *err);
/* A sync of image and data that begins after this call. */
int fvd_journal_sync(struct fvd_image *img, struct fvd_error *err);
/* The buffer a record put now would be in (J6). */
uint64_t fvd_journal_seq(const struct fvd_image *img);

/*
 * One consistent change: at most one sector of records. Memory changes with it, in one step (J7).
 * @entries: the new entries of chunks [chunk, chunk + chunk_count), unchanged ones included where
 * J2 wants them. Bits [block, block + block_count) become 1.
 */
struct fvd_piece {
	uint64_t chunk;
	uint32_t chunk_count;
	const uint32_t *entries;
	uint64_t block, block_count;
	bool needs_sync;
};
int fvd_journal_put(struct fvd_image *img, const struct fvd_piece *piece, struct fvd_error *err);

/* update.c: lock held. Split a change into pieces (J2, J3) and put them. */
struct fvd_update {
	uint64_t chunk, chunk_count;	/* @entries covers these: all that the blocks touch */
	uint32_t *entries;
	uint64_t block, block_count;
	bool needs_sync;		/* an entry names a re-used chunk, or moves (J4) */
};
int fvd_update_commit(struct fvd_image *img, const struct fvd_update *u, struct fvd_error *err);

#endif
