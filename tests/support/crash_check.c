/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "crash_run.h"
#include "ops/check.h"

static void note(void *opaque, const struct fvd_finding *f)
{
	char *text = opaque;

	if (f->severity >= FVD_DIRTY && text[0] == '\0')
		snprintf(text, 512, "%s", f->text);
}

bool cr_check_clean(struct cr *r, struct cw *w)
{
	char text[512] = "";
	struct fvd_check_opts opts = { .follow = true, .opener = &w->opener, .finding = note,
				       .opaque = text };
	struct fvd_check_report report;
	struct fvd_error err;

	if (fvd_check("img", &opts, &report, &err) < 0)
		return cr_violation(r, "check failed: %s", err.text);
	if (report.left[FVD_DIRTY] == 0 && report.left[FVD_DAMAGE] == 0)
		return true;
	return cr_violation(r, "check after a replay or close: %s", text);
}
