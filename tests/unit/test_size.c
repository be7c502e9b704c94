/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/num.h"
#include "util/size.h"

static void parses(const char *text, uint64_t want)
{
	struct fvd_error err = { .text = "" };
	uint64_t got = 0;

	if (fvd_size_parse(text, &got, &err) < 0)
		fail_msg("'%s': %s", text, err.text);
	if (got != want)
		fail_msg("'%s' gave %" PRIu64 ", want %" PRIu64, text, got, want);
}

static void refuses(const char *text, const char *why)
{
	struct fvd_error err = { .text = "" };
	uint64_t got = 77;

	assert_int_equal(fvd_size_parse(text, &got, &err), -1);
	assert_int_equal(err.class, FVD_ERR_INVALID);
	if (!strstr(err.text, why))
		fail_msg("'%s': \"%s\" does not say \"%s\"", text, err.text, why);
	assert_int_equal(got, 77);
}

static void test_parse(void **state)
{
	(void)state;
	parses("0", 0);
	parses("512", 512);
	parses("512B", 512);
	parses("64K", 64 * FVD_KIB);
	parses("64k", 64 * FVD_KIB);
	parses("10MiB", 10 * FVD_MIB);
	parses("10mib", 10 * FVD_MIB);
	parses("1.5G", 3 * FVD_GIB / 2);
	parses("1.50G", 3 * FVD_GIB / 2);
	parses("0.5K", 512);
	parses("3.0", 3);
	parses("64T", 64 * FVD_TIB);
	parses("1P", 1024 * FVD_TIB);
	parses("7E", 7 * 1024 * 1024 * FVD_TIB);
	parses("0.0009765625K", 1);
	parses("9223372036854775807", FVD_MAX_OFF);
	parses("0.0000019073486328125P", UINT64_C(1) << 31);
}

static void test_parse_refuses(void **state)
{
	(void)state;
	refuses("", "no number");
	refuses("K", "no number");
	refuses(" 1", "no number");
	refuses("+1", "no number");
	refuses("0x10", "suffix");
	refuses("-1", "negative");
	refuses("1Q", "suffix");
	refuses("1KB", "suffix");
	refuses("1BiB", "suffix");
	refuses("1K ", "suffix");
	refuses("1.K", "digit");
	refuses(".5K", "no number");
	refuses("1.5", "whole number");
	refuses("0.0001K", "whole number");
	refuses("0.3G", "whole number");
	refuses("0.000000000000000000000000000001E", "whole number");
	refuses("8E", "2^63-1");
	refuses("9223372036854775808", "2^63-1");
	refuses("99999999999999999999999", "2^63-1");
	refuses("18014398509481985K", "2^63-1");
	refuses("1\033[2J", "\\x1B[2J");
}

static void formats(uint64_t bytes, const char *want, const char *exact)
{
	char buf[32];
	uint64_t back;

	assert_string_equal(fvd_size_format(bytes, buf, sizeof(buf)), want);
	assert_string_equal(fvd_size_format_exact(bytes, buf, sizeof(buf)), exact);
	assert_int_equal(fvd_size_parse(buf, &back, NULL), 0);
	assert_true(back == bytes);
}

static void test_format(void **state)
{
	(void)state;
	formats(0, "0 bytes", "0");
	formats(1, "1 byte", "1");
	formats(512, "512 bytes", "512");
	formats(1023, "1023 bytes", "1023");
	formats(1024, "1 KiB", "1K");
	formats(65536, "64 KiB", "64K");
	formats(1536 * FVD_MIB, "1.5 GiB", "1536M");
	formats(100 * FVD_MIB, "100 MiB", "100M");
	formats(1023 * FVD_KIB, "1023 KiB", "1023K");
	formats(FVD_MIB - 1, "1 MiB", "1048575");
	formats(1234567, "1.18 MiB", "1234567");
	formats(64 * FVD_TIB, "64 TiB", "64T");
	formats(FVD_MAX_OFF, "8 EiB", "9223372036854775807");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
