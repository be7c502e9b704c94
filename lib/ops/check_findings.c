/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/check_private.h"

/* "-more" names, so that codes stay static text. */
static const char *const more_codes[][2] = {
	{ "header", "header-more" },
	{ "journal-damaged", "journal-damaged-more" },
	{ "table-entry-damaged", "table-entry-damaged-more" },
	{ "table-duplicate", "table-duplicate-more" },
};

static int append(struct check_findings *all, const struct fvd_finding *f, struct fvd_error *err)
{
	if (all->count == all->cap) {
		size_t want = all->cap ? all->cap * 2 : 16;
		struct fvd_finding *grown = realloc(all->list, want * sizeof(*grown));

		if (grown == NULL)
			return fvd_error_set(err, FVD_ERR_NOMEM, "list of %zu findings", want);
		all->list = grown;
		all->cap = want;
	}
	all->list[all->count++] = *f;
	return 0;
}

static uint64_t count_code(struct check_findings *all, const struct fvd_finding *f)
{
	unsigned i = 0;

	while (i < all->code_count && strcmp(all->code[i].code, f->code) != 0)
		i++;
	if (i == all->code_count) {
		if (i == CHECK_MAX_CODES)
			return 0;
		all->code_count++;
		all->code[i].code = f->code;
		all->code[i].seen = 0;
		all->code[i].like = *f;
	}
	return all->code[i].seen++;
}

int check_add(struct check *c, const struct fvd_finding *f, struct fvd_error *err)
{
	c->found.by_severity[f->severity]++;
	if (count_code(&c->found, f) >= CHECK_DETAILED)
		return 0;
	return append(&c->found, f, err);
}

void check_count_more(struct check *c, enum fvd_severity severity, const char *code, uint64_t n)
{
	c->found.by_severity[severity] += n;
	for (unsigned i = 0; i < c->found.code_count; i++) {
		if (strcmp(c->found.code[i].code, code) == 0)
			c->found.code[i].seen += n;
	}
}

int check_find(struct check *c, enum fvd_severity severity, const char *code, int fixable,
	       struct fvd_error *err, const char *fmt, ...)
{
	struct fvd_finding f = { .severity = severity, .code = code };
	va_list ap;

	f.fixable_safe = fixable == CHECK_FIX_SAFE;
	f.fixable = fixable != CHECK_UNFIXABLE;
	va_start(ap, fmt);
	vsnprintf(f.text, sizeof(f.text), fmt, ap);
	va_end(ap);
	return check_add(c, &f, err);
}

int check_findings_close(struct check *c, struct fvd_error *err)
{
	unsigned n = c->found.code_count;

	for (unsigned i = 0; i < n; i++) {
		struct fvd_finding f = c->found.code[i].like;
		uint64_t seen = c->found.code[i].seen;

		if (seen <= CHECK_DETAILED)
			continue;
		for (size_t k = 0; k < sizeof(more_codes) / sizeof(more_codes[0]); k++) {
			if (strcmp(more_codes[k][0], f.code) == 0) {
				f.code = more_codes[k][1];
				break;
			}
		}
		snprintf(f.text, sizeof(f.text), "%s: %" PRIu64 " more of these",
			 c->found.code[i].code, seen - CHECK_DETAILED);
		if (append(&c->found, &f, err) < 0)
			return -1;
	}
	return 0;
}

void check_findings_fini(struct check_findings *f)
{
	free(f->list);
	memset(f, 0, sizeof(*f));
}

static bool contains(const struct check_findings *set, const struct fvd_finding *f)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->list[i].code, f->code) == 0 &&
		    strcmp(set->list[i].text, f->text) == 0)
			return true;
	}
	return false;
}

int check_findings_merge(struct check_findings *all, const struct check_findings *now,
			 struct fvd_error *err)
{
	size_t before = all->count;

	for (size_t i = 0; i < before; i++)
		all->list[i].fixed = !contains(now, &all->list[i]);
	for (size_t i = 0; i < now->count; i++) {
		if (contains(all, &now->list[i]))
			continue;
		all->by_severity[now->list[i].severity]++;
		if (append(all, &now->list[i], err) < 0)
			return -1;
	}
	return 0;
}
