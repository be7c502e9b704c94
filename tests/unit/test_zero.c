/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "util/crc32c.h"
#include "util/zero.h"

/* Every length and alignment about the steps of the scan, each byte in turn not zero. */
static void test_is_zero(void **state)
{
	(void)state;
	for (size_t len = 0; len < 600; len += len < 80 ? 1 : 37)
		for (size_t align = 0; align < 9; align++) {
			uint8_t *mem = calloc(1, align + len + 1), *p;

			assert_non_null(mem);
			/* What lies around the buffer does not count. */
			p = mem + align;
			if (align)
				p[-1] = 1;
			p[len] = 1;
			assert_true(fvd_is_zero(p, len));
			for (size_t i = 0; i < len; i++) {
				p[i] = (uint8_t)(1u << (i & 7));
				assert_false(fvd_is_zero(p, len));
				p[i] = 0;
			}
			free(mem);
		}
}

static void test_is_zero_large(void **state)
{
	size_t len = 1 << 20;
	uint8_t *p = calloc(1, len);

	(void)state;
	assert_true(fvd_is_zero(p, len));
	for (size_t i = 5; i < len; i += 9973) {
		p[i] = 0x80;
		assert_false(fvd_is_zero(p, len));
		p[i] = 0;
	}
	free(p);
}

static void test_zero_run(void **state)
{
	uint8_t buf[10 * 64 + 10] = { 0 };
	bool zero;

	(void)state;
	assert_int_equal(fvd_zero_run(buf, sizeof(buf), 64, &zero), sizeof(buf));
	assert_true(zero);
	buf[3 * 64 + 63] = 1;
	buf[4 * 64] = 1;
	assert_int_equal(fvd_zero_run(buf, sizeof(buf), 64, &zero), 3 * 64);
	assert_true(zero);
	assert_int_equal(fvd_zero_run(buf + 3 * 64, sizeof(buf) - 3 * 64, 64, &zero), 2 * 64);
	assert_false(zero);
	/* The short piece at the end is a piece of its own. */
	buf[sizeof(buf) - 1] = 1;
	assert_int_equal(fvd_zero_run(buf + 5 * 64, sizeof(buf) - 5 * 64, 64, &zero), 5 * 64);
	assert_true(zero);
	assert_int_equal(fvd_zero_run(buf + 10 * 64, 10, 64, &zero), 10);
	assert_false(zero);
}

static void test_crc32c(void **state)
{
	uint8_t buf[300];
	uint32_t whole;

	(void)state;
	assert_int_equal(fvd_crc32c(0, "", 0), 0);
	assert_int_equal(fvd_crc32c(0, "123456789", 9), 0xE3069283);
	/* RFC 3720 B.4 */
	memset(buf, 0, 32);
	assert_int_equal(fvd_crc32c(0, buf, 32), 0x8A9136AA);
	memset(buf, 0xFF, 32);
	assert_int_equal(fvd_crc32c(0, buf, 32), 0x62A8AB43);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7);
	whole = fvd_crc32c(0, buf, sizeof(buf));
	for (size_t cut = 0; cut <= sizeof(buf); cut += 13)
		assert_int_equal(fvd_crc32c(fvd_crc32c(0, buf, cut), buf + cut,
					    sizeof(buf) - cut), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_zero),
		cmocka_unit_test(test_is_zero_large),
		cmocka_unit_test(test_zero_run),
		cmocka_unit_test(test_crc32c),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
