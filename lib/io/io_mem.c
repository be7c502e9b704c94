/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A radix tree of pages, 9 bits of the page number to a level, as high as the highest
 * page needs: a sparse file of 64 TiB costs what was written to it. A page that is not
 * there is a hole. What a page holds beyond the file's length is zero.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_mem.h"
#include "util/num.h"

#define PAGE 4096
#define BITS 9
#define FANOUT (1u << BITS)
#define MAX_RUN 1024		/* pages counted for one extent of data */

struct node {
	unsigned used;			/* slots that are not NULL */
	void *slot[FANOUT];		/* of struct node, at the lowest level of pages */
};

struct mem {
	struct fvd_io io;
	pthread_rwlock_t lock;
	uint64_t len;
	struct node *root;
	unsigned levels;		/* of nodes above the pages; 0: no root */
};

static struct mem *to_mem(struct fvd_io *io)
{
	return (struct mem *)io;
}

/* Pages below a slot of a node that has @level levels of nodes below itself. */
static uint64_t slot_pages(unsigned level)
{
	return UINT64_C(1) << (level * BITS);
}

static bool covered(const struct mem *m, uint64_t page)
{
	return m->levels > 0 && page >> (m->levels * BITS) == 0;
}

static uint8_t *page_get(const struct mem *m, uint64_t page)
{
	void *p = m->root;

	if (!covered(m, page))
		return NULL;
	for (unsigned level = m->levels; p && level-- > 0;)
		p = ((struct node *)p)->slot[page >> (level * BITS) & (FANOUT - 1)];
	return p;
}

static int tree_grow(struct mem *m, uint64_t page)
{
	while (!covered(m, page)) {
		struct node *n;

		if (m->levels > 0 && m->root->used == 0) {
			/* Higher over nothing: the old root serves as the new one. */
			m->levels++;
			continue;
		}
		n = calloc(1, sizeof(*n));
		if (!n)
			return -1;
		if (m->root) {
			n->slot[0] = m->root;
			n->used = 1;
		}
		m->root = n;
		m->levels++;
	}
	return 0;
}

/* The page, made when it is missing; NULL when there is no memory. */
static uint8_t *page_make(struct mem *m, uint64_t page)
{
	struct node *n;

	if (tree_grow(m, page) < 0)
		return NULL;
	n = m->root;
	for (unsigned level = m->levels - 1;; level--) {
		void **slot = &n->slot[page >> (level * BITS) & (FANOUT - 1)];

		if (!*slot) {
			*slot = calloc(1, level > 0 ? sizeof(*n) : PAGE);
			if (!*slot)
				return NULL;
			n->used++;
		}
		if (level == 0)
			return *slot;
		n = *slot;
	}
}

/* Free the pages [first, last] of those below @n, and nodes that become empty. */
static void drop(struct node *n, unsigned level, uint64_t first, uint64_t last)
{
	uint64_t span = slot_pages(level);

	for (uint64_t i = first / span; i <= last / span; i++) {
		uint64_t base = i * span;

		if (!n->slot[i])
			continue;
		if (level > 0) {
			struct node *child = n->slot[i];

			drop(child, level - 1, first > base ? first - base : 0,
			     fvd_min(last - base, span - 1));
			if (child->used > 0)
				continue;
		}
		free(n->slot[i]);
		n->slot[i] = NULL;
		n->used--;
	}
}

static void drop_pages(struct mem *m, uint64_t first, uint64_t count)
{
	uint64_t all = m->levels > 0 ? slot_pages(m->levels) : 0;

	if (count > 0 && first < all)
		drop(m->root, m->levels - 1, first, fvd_min(first + count, all) - 1);
}

/* First page at or after @from below @n, UINT64_MAX when there is none. */
static uint64_t next_page(const struct node *n, unsigned level, uint64_t from)
{
	uint64_t span = slot_pages(level);

	for (uint64_t i = from / span; i < FANOUT; i++) {
		uint64_t base = i * span, at = from > base ? from - base : 0;

		if (n->slot[i] && level > 0)
			at = next_page(n->slot[i], level - 1, at);
		if (n->slot[i] && at != UINT64_MAX)
			return base + at;
	}
	return UINT64_MAX;
}

/* Both edges inside pages are zeroed, whole pages freed. */
static void zero_range(struct mem *m, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, first = fvd_div_up(off, PAGE), last = end / PAGE;

	while (off < end && (off % PAGE != 0 || end - off < PAGE)) {
		uint64_t n = fvd_min(PAGE - off % PAGE, end - off);
		uint8_t *p = page_get(m, off / PAGE);

		if (p)
			memset(p + off % PAGE, 0, n);
		off += n;
	}
	if (first < last)
		drop_pages(m, first, last - first);
	if (off < end && end % PAGE != 0) {
		uint8_t *p = page_get(m, last);

		if (p)
			memset(p, 0, end % PAGE);
	}
}

static void read_piece(const struct mem *m, uint8_t *buf, uint64_t len, uint64_t off)
{
	while (len > 0) {
		uint64_t n = fvd_min(PAGE - off % PAGE, len);
		const uint8_t *p = page_get(m, off / PAGE);

		if (p)
			memcpy(buf, p + off % PAGE, n);
		else
			memset(buf, 0, n);
		buf += n;
		off += n;
		len -= n;
	}
}

static int write_piece(struct mem *m, const uint8_t *buf, uint64_t len, uint64_t off)
{
	while (len > 0) {
		uint64_t n = fvd_min(PAGE - off % PAGE, len);
		uint8_t *p = page_make(m, off / PAGE);

		if (!p)
			return -1;
		memcpy(p + off % PAGE, buf, n);
		buf += n;
		off += n;
		len -= n;
		m->len = fvd_max(m->len, off);
	}
	return 0;
}

static int mem_preadv(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		      struct fvd_error *err)
{
	struct mem *m = to_mem(io);

	(void)err;
	pthread_rwlock_rdlock(&m->lock);
	for (int i = 0; i < iovcnt; off += iov[i++].iov_len)
		read_piece(m, iov[i].iov_base, iov[i].iov_len, off);
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int mem_pwritev(struct fvd_io *io, const struct iovec *iov, int iovcnt, uint64_t off,
		       struct fvd_error *err)
{
	struct mem *m = to_mem(io);
	int ret = 0;

	pthread_rwlock_wrlock(&m->lock);
	for (int i = 0; ret == 0 && i < iovcnt; off += iov[i++].iov_len)
		ret = write_piece(m, iov[i].iov_base, iov[i].iov_len, off);
	pthread_rwlock_unlock(&m->lock);
	if (ret < 0)
		return fvd_error_set(err, FVD_ERR_NOMEM, "%s: cannot write before offset %" PRIu64
				     ": no memory", io->name, off);
	return 0;
}

static int mem_length(struct fvd_io *io, uint64_t *len, struct fvd_error *err)
{
	struct mem *m = to_mem(io);

	(void)err;
	pthread_rwlock_rdlock(&m->lock);
	*len = m->len;
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int mem_truncate(struct fvd_io *io, uint64_t len, struct fvd_error *err)
{
	struct mem *m = to_mem(io);

	(void)err;
	pthread_rwlock_wrlock(&m->lock);
	if (len < m->len)
		zero_range(m, len, fvd_round_up(m->len, PAGE) - len);
	m->len = len;
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int mem_punch(struct fvd_io *io, uint64_t off, uint64_t len, struct fvd_error *err)
{
	struct mem *m = to_mem(io);

	(void)err;
	pthread_rwlock_wrlock(&m->lock);
	/* The last page may be freed whole: what it holds beyond the end is zero. */
	if (off < m->len) {
		if (len >= m->len - off)
			len = fvd_round_up(m->len, PAGE) - off;
		zero_range(m, off, len);
	}
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int mem_extent(struct fvd_io *io, uint64_t off, struct fvd_io_extent *ext,
		      struct fvd_error *err)
{
	struct mem *m = to_mem(io);
	uint64_t page = off / PAGE, next = UINT64_MAX;

	(void)err;
	pthread_rwlock_rdlock(&m->lock);
	ext->hole = off >= m->len || !page_get(m, page);
	if (!ext->hole) {
		while (page - off / PAGE < MAX_RUN && page_get(m, page))
			page++;
		ext->len = fvd_min(page * PAGE, m->len) - off;
	} else {
		if (covered(m, page))
			next = next_page(m->root, m->levels - 1, page);
		ext->len = off >= m->len || next == UINT64_MAX ? UINT64_MAX : next * PAGE - off;
	}
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static void mem_close(struct fvd_io *io)
{
	struct mem *m = to_mem(io);

	drop_pages(m, 0, UINT64_MAX / PAGE);
	free(m->root);
	pthread_rwlock_destroy(&m->lock);
	free(io->name);
	free(m);
}

static const struct fvd_io_ops mem_ops = {
	.name = "memory",
	.preadv = mem_preadv,
	.pwritev = mem_pwritev,
	.length = mem_length,
	.truncate = mem_truncate,
	.punch = mem_punch,
	.extent = mem_extent,
	.close = mem_close,
};

struct fvd_io *fvd_io_mem_new(const char *name, uint64_t len, struct fvd_error *err)
{
	struct mem *m = NULL;
	char *copy;

	if (len > FVD_MAX_OFF) {
		fvd_error_set(err, FVD_ERR_INVALID, "%s: a length of %" PRIu64
			      " is above the largest offset, %" PRIu64, name, len, FVD_MAX_OFF);
		return NULL;
	}
	copy = strdup(name);
	if (copy)
		m = calloc(1, sizeof(*m));
	if (!m || pthread_rwlock_init(&m->lock, NULL) != 0) {
		fvd_error_set(err, FVD_ERR_NOMEM, "%s: cannot open: no memory", name);
		free(copy);
		free(m);
		return NULL;
	}
	m->io.ops = &mem_ops;
	m->io.name = copy;
	m->len = len;
	return &m->io;
}
