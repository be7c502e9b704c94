/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest operations in progress: who must wait for whom. FORMAT 6.2, J6, J8. */
#include "image/engine.h"

static bool excludes(enum fvd_request_kind a, enum fvd_request_kind b)
{
	if (a == FVD_REQ_READ || b == FVD_REQ_READ)
		return false;
	return a == FVD_REQ_UPDATE || b == FVD_REQ_UPDATE;
}

bool fvd_request_conflicts(struct fvd_image *img, enum fvd_request_kind kind, uint64_t lo,
			   uint64_t hi)
{
	if (!FVD_RULE(img, 8))
		return false;
	for (const struct fvd_request *r = img->requests; r; r = r->next)
		if (excludes(r->kind, kind) && r->lo < hi && lo < r->hi)
			return true;
	return false;
}

void fvd_request_begin(struct fvd_image *img, struct fvd_request *req,
		       enum fvd_request_kind kind, uint64_t lo, uint64_t hi)
{
	while (fvd_request_conflicts(img, kind, lo, hi))
		fvd_engine_wait(img);
	*req = (struct fvd_request){ .next = img->requests, .lo = lo, .hi = hi, .kind = kind,
				     .serial = img->next_serial++ };
	if (req->next)
		req->next->prev = req;
	img->requests = req;
}

void fvd_request_end(struct fvd_image *img, struct fvd_request *req)
{
	if (req->prev)
		req->prev->next = req->next;
	else
		img->requests = req->next;
	if (req->next)
		req->next->prev = req->prev;
	pthread_cond_broadcast(&img->cond);
}

void fvd_request_widen(const struct fvd_image *img, uint64_t *lo, uint64_t *hi)
{
	const struct fvd_header *h = &img->m.h;

	if (img->uses_base && *lo < h->base_size) {
		*lo = fvd_round_down(*lo, h->block_size);
		if (*hi <= h->base_size)
			*hi = fvd_min(fvd_round_up(*hi, h->block_size), h->virtual_size);
		else	/* the last block may reach beyond the base's end */
			*hi = fvd_max(*hi, fvd_min(fvd_round_up(h->base_size, h->block_size),
						   h->virtual_size));
	} else if (img->uses_base && *lo < fvd_round_up(h->base_size, h->block_size)) {
		*lo = fvd_round_down(*lo, h->block_size);
	}
	if (img->has_table) {
		*lo = fvd_round_down(*lo, h->chunk_size);
		*hi = fvd_min(fvd_round_up(*hi, h->chunk_size), h->virtual_size);
	}
}
