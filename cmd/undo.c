/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "io/io_open.h"
#include "io/io_undo.h"
#include "options.h"
#include "report.h"

static struct poptOption options[] = {
	COMMON_OPTIONS,
	POPT_TABLEEND
};

static int apply(const char *undo_name, const char *image_name, uint64_t *bytes,
		 struct fvd_error *err)
{
	struct fvd_opener *files = fvd_opener_files();
	struct fvd_io *undo = NULL, *image = NULL;
	int rc;

	rc = files->open(files, undo_name, 0, FVD_LOCK_SHARED, &undo, err);
	if (rc == 0)
		rc = files->open(files, image_name, FVD_IO_WRITE, FVD_LOCK_EXCLUSIVE, &image, err);
	if (rc == 0)
		rc = fvd_undo_apply(undo, image, bytes, err);
	fvd_io_close(image);
	fvd_io_close(undo);
	return rc;
}

static int undo_run(const struct call *call)
{
	const char *image = call->operand[1];
	struct fvd_error err;
	struct fvd_json j;
	uint64_t bytes;

	if (apply(call->operand[0], image, &bytes, &err) < 0)
		return report_failure(call->cmd, &err);
	if (common.json) {
		fvd_json_init(&j, false);
		fvd_json_object_begin(&j, NULL);
		fvd_json_string(&j, "filename", image);
		fvd_json_uint(&j, "restored-bytes", bytes);
		fvd_json_object_end(&j);
		return report_json(call->cmd, &j);
	}
	if (!common.quiet)
		printf("%s: as before, %s restored\n", shown(image), size_text_exact(bytes));
	return STATUS_OK;
}

const struct command cmd_undo = {
	.name = "undo", .operands = "FILE IMAGE",
	.summary = "take a repair back, from its --undo file",
	.example = "fvdtool undo disk.undo disk.fvd",
	.options = options, .min_operands = 2, .max_operands = 2, .run = undo_run,
};
