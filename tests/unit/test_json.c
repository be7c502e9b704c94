/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <time.h>

#include "util/json.h"
#include "util/progress.h"

static void fill(struct fvd_json *j)
{
	fvd_json_object_begin(j, NULL);
	fvd_json_string(j, "name", "a\"b\\c\n\x01\x7f");
	fvd_json_uint(j, "size", UINT64_MAX);
	fvd_json_int(j, "delay", -1);
	fvd_json_array_begin(j, "list");
	fvd_json_uint(j, NULL, 1);
	fvd_json_object_begin(j, NULL);
	fvd_json_bool(j, "on", true);
	fvd_json_object_end(j);
	fvd_json_array_end(j);
	fvd_json_array_begin(j, "empty");
	fvd_json_array_end(j);
	fvd_json_null(j, "none");
	fvd_json_double(j, "rate", 1.5);
	fvd_json_double(j, "bad", NAN);
	fvd_json_object_end(j);
}

static void test_pretty(void **state)
{
	struct fvd_json j;

	(void)state;
	fvd_json_init(&j, false);
	fill(&j);
	assert_string_equal(fvd_json_finish(&j, NULL),
			    "{\n"
			    "    \"name\": \"a\\\"b\\\\c\\n\\u0001\\u007f\",\n"
			    "    \"size\": 18446744073709551615,\n"
			    "    \"delay\": -1,\n"
			    "    \"list\": [\n"
			    "        1,\n"
			    "        {\n"
			    "            \"on\": true\n"
			    "        }\n"
			    "    ],\n"
			    "    \"empty\": [],\n"
			    "    \"none\": null,\n"
			    "    \"rate\": 1.5,\n"
			    "    \"bad\": null\n"
			    "}\n");
	fvd_json_fini(&j);
}

static void test_compact(void **state)
{
	struct fvd_json j;

	(void)state;
	fvd_json_init(&j, true);
	fill(&j);
	assert_string_equal(fvd_json_finish(&j, NULL),
			    "{\"name\": \"a\\\"b\\\\c\\n\\u0001\\u007f\", "
			    "\"size\": 18446744073709551615, \"delay\": -1, "
			    "\"list\": [1, {\"on\": true}], \"empty\": [], \"none\": null, "
			    "\"rate\": 1.5, \"bad\": null}\n");
	fvd_json_fini(&j);
}

static void test_utf8(void **state)
{
	struct fvd_json j;

	(void)state;
	fvd_json_init(&j, true);
	fvd_json_string(&j, NULL, "\xC3\xBC|\xFF|\xC3|\xC2\x9B|\xF0\x9F\x98\x80");
	assert_string_equal(fvd_json_finish(&j, NULL),
			    "\"\xC3\xBC|\xEF\xBF\xBD|\xEF\xBF\xBD|\\u009b|\xF0\x9F\x98\x80\"\n");
	fvd_json_fini(&j);
}

struct watch {
	unsigned calls;
	uint64_t done, total;
	bool stop;
};

static void watch_report(void *opaque, const char *what, uint64_t done, uint64_t total)
{
	struct watch *w = opaque;

	assert_string_equal(what, "convert");
	w->calls++;
	w->done = done;
	w->total = total;
}

static bool watch_cancelled(void *opaque)
{
	return ((struct watch *)opaque)->stop;
}

static void test_progress(void **state)
{
	struct watch w = { 0 };
	struct fvd_progress p = { .report = watch_report, .cancelled = watch_cancelled,
				  .opaque = &w };
	struct timespec pause = { 0, 110 * 1000 * 1000 };
	struct fvd_error err;

	(void)state;
	fvd_progress_start(&p, "convert", 1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fvd_progress_add(&p, 1, NULL), 0);
	/* Never a report for each of them. */
	assert_true(w.calls <= 1);
	nanosleep(&pause, NULL);
	assert_int_equal(fvd_progress_add(&p, 400, NULL), 0);
	assert_true(w.calls >= 1);
	assert_int_equal(w.done, 500);
	assert_int_equal(w.total, 1000);
	w.stop = true;
	assert_int_equal(fvd_progress_add(&p, 1, &err), -1);
	assert_int_equal(err.class, FVD_ERR_CANCELLED);
	w.calls = 0;
	fvd_progress_finish(&p);
	assert_int_equal(w.calls, 1);
}

static void test_progress_null(void **state)
{
	struct fvd_progress silent = { 0 };

	(void)state;
	fvd_progress_start(NULL, "x", 1);
	assert_int_equal(fvd_progress_add(NULL, 1, NULL), 0);
	fvd_progress_finish(NULL);
	fvd_progress_start(&silent, "x", 1);
	assert_int_equal(fvd_progress_add(&silent, 1, NULL), 0);
	fvd_progress_finish(&silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pretty),
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_progress_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
