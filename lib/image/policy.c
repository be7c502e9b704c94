/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/policy.h"

#include <string.h>

#include "io/io_open.h"
#include "util/buf.h"

bool fvd_name_inside(const char *name)
{
	size_t len;

	if (name[0] == '/' || fvd_name_has_scheme(name, &len))
		return false;
	for (const char *part = name; *part != '\0'; part += len + (part[len] == '/')) {
		len = strcspn(part, "/");
		if (len == 2 && memcmp(part, "..", 2) == 0)
			return false;
	}
	return true;
}

static bool same(const char *name, const char *given)
{
	return given != NULL && strcmp(name, given) == 0;
}

int fvd_policy_write_data(const char *name, const char *given, struct fvd_error *err)
{
	char shown[512];

	if (fvd_name_inside(name) || same(name, given))
		return 0;
	fvd_text_escape(name, shown, sizeof(shown));
	return fvd_error_set(err, FVD_ERR_POLICY, "the data file \"%s\" lies outside the image's"
			     " directory: it is written to only when you name it as well:"
			     " --data-file=%s", shown, shown);
}

int fvd_policy_given_data(const char *name, const char *given, struct fvd_error *err)
{
	char shown[512];

	if (same(name, given))
		return 0;
	fvd_text_escape(name, shown, sizeof(shown));
	return fvd_error_set(err, FVD_ERR_POLICY, "the data is in \"%s\", which is not opened for"
			     " looking unless you name it as well: --data-file=%s", shown, shown);
}
