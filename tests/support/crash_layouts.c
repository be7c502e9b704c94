/* SPDX-License-Identifier: BSD-2-Clause */
/* What the crash tests go through: every layout, with tiny journals and buffers. */
#include "crash_layouts.h"

#include <stdlib.h>
#include <string.h>

#define ON_DEMAND FVD_COMMIT_ON_DEMAND

const struct ci_cfg cr_layouts[] = {
	{ .name = "raw-like without base", .vsize = 65536, .commit = ON_DEMAND },
	{ .name = "raw-like without base, data file", .vsize = 65536, .data_file = true,
	  .commit = ON_DEMAND },
	{ .name = "compact", .vsize = 98304, .chunk = 4096, .journal = 4096, .buffer = 512,
	  .commit = ON_DEMAND, .generation = true },
	{ .name = "compact, written through", .vsize = 98304, .chunk = 8192, .journal = 8192 },
	{ .name = "compact, default buffer", .vsize = 65536, .chunk = 4096, .journal = 16384,
	  .commit = ON_DEMAND },
	{ .name = "compact, data file", .vsize = 65536, .chunk = 4096, .journal = 4096,
	  .buffer = 1024, .data_file = true, .commit = ON_DEMAND },
	{ .name = "compact, small chunks", .vsize = 131072, .chunk = 512, .journal = 4096,
	  .buffer = 1024, .commit = ON_DEMAND },
	{ .name = "compact, full device", .vsize = 65536, .chunk = 4096, .journal = 4096,
	  .buffer = 512, .data_file = true, .device_chunks = 10, .commit = ON_DEMAND },
	{ .name = "compact on a device", .vsize = 65536, .chunk = 8192, .journal = 4096,
	  .buffer = 512, .device_chunks = 8, .commit = ON_DEMAND },
	{ .name = "copy-on-write", .vsize = 65536, .block = 4096, .base_len = 65536,
	  .journal = 4096, .buffer = 512, .commit = ON_DEMAND },
	{ .name = "copy-on-write, short base, written through", .vsize = 65536, .block = 8192,
	  .base_len = 40000, .journal = 4096, .buffer = 512, .generation = true },
	{ .name = "copy-on-write, long base, data file", .vsize = 49152, .block = 1024,
	  .base_len = 70000, .journal = 8192, .buffer = 1024, .data_file = true,
	  .commit = ON_DEMAND },
	{ .name = "both", .vsize = 65536, .chunk = 4096, .block = 4096, .base_len = 65536,
	  .journal = 4096, .buffer = 512, .commit = ON_DEMAND },
	{ .name = "both, blocks of 512", .vsize = 49152, .chunk = 4096, .block = 512,
	  .base_len = 49152, .journal = 4096, .buffer = 1024, .commit = ON_DEMAND },
	{ .name = "both, blocks larger than chunks", .vsize = 98304, .chunk = 4096,
	  .block = 16384, .base_len = 90000, .journal = 4096, .buffer = 1024,
	  .commit = ON_DEMAND, .generation = true },
	{ .name = "both, blocks of 128 chunks", .vsize = 131072, .chunk = 512, .block = 65536,
	  .base_len = 131072, .journal = 8192, .buffer = 2048, .commit = ON_DEMAND },
	{ .name = "both, short base, written through", .vsize = 65536, .chunk = 8192,
	  .block = 2048, .base_len = 30000, .journal = 4096, .buffer = 512 },
	{ .name = "both, data file, long base", .vsize = 49152, .chunk = 4096, .block = 4096,
	  .base_len = 80000, .journal = 4096, .buffer = 1024, .data_file = true,
	  .commit = ON_DEMAND },
	{ .name = "both, full device", .vsize = 49152, .chunk = 4096, .block = 2048,
	  .base_len = 40960, .journal = 4096, .buffer = 512, .data_file = true,
	  .device_chunks = 8, .commit = ON_DEMAND },
	{ .name = "both on fvd on raw", .vsize = 65536, .chunk = 4096, .block = 8192,
	  .base_len = 65536, .base = CI_FVD, .journal = 4096, .buffer = 512,
	  .commit = ON_DEMAND },
	{ .name = "both on a dirty fvd", .vsize = 65536, .chunk = 4096, .block = 4096,
	  .base_len = 49152, .base = CI_FVD_DIRTY, .journal = 4096, .buffer = 512,
	  .commit = ON_DEMAND },
	{ .name = "both, regions reversed, data not aligned", .vsize = 65536, .chunk = 4096,
	  .block = 4096, .base_len = 50000, .journal = 4096, .buffer = 512,
	  .order = CI_REVERSED, .data_skew = 1536, .commit = ON_DEMAND },
	{ .name = "compact, old journal", .vsize = 65536, .chunk = 4096, .journal = 4096,
	  .buffer = 512, .old_journal = true, .commit = ON_DEMAND },
	{ .name = "copy-on-write, old journal", .vsize = 65536, .block = 4096,
	  .base_len = 65536, .journal = 4096, .buffer = 512, .old_journal = true,
	  .commit = ON_DEMAND },
	{ .name = "both, old journal", .vsize = 65536, .chunk = 4096, .block = 4096,
	  .base_len = 65536, .journal = 8192, .buffer = 1024, .old_journal = true },
	{ .name = "both, odd sizes", .vsize = 65024, .chunk = 3584, .block = 1536,
	  .base_len = 51234, .journal = 12288, .buffer = 1536, .commit = ON_DEMAND },
};

const size_t cr_layout_count = sizeof(cr_layouts) / sizeof(cr_layouts[0]);

/* Small disks are full at once: hot ones, where chunks come and go. */
static const struct cr_profile hot_profile = {
	.write = 40, .zero = 6, .discard = 30, .flush = 16, .reopen = 1, .kill = 2,
	.odd_percent = 15, .aligned_percent = 85, .max_bytes = 8192, .window = 24576, .ops = 26,
	.phases = 3, .close_percent = 30, .states_per_cut = 12,
};

static const struct cr_profile large_profile = {
	.write = 50, .zero = 10, .discard = 20, .flush = 20, .reopen = 2,
	.odd_percent = 30, .aligned_percent = 70, .max_bytes = 131072, .ops = 12, .phases = 2,
	.close_percent = 50, .states_per_cut = 10,
};

/* Long enough for a small journal to be used several times over. */
static const struct cr_profile long_profile = {
	.write = 40, .zero = 5, .discard = 25, .flush = 30, .odd_percent = 10,
	.aligned_percent = 80, .max_bytes = 6144, .window = 40960, .ops = 90, .phases = 2,
	.close_percent = 30, .states_per_cut = 8,
};

/* Compaction between: bits go back, chunks move down, the file gets shorter. */
static const struct cr_profile compact_profile = {
	.write = 40, .zero = 15, .discard = 15, .flush = 10, .compact = 10, .kill = 1,
	.odd_percent = 10, .aligned_percent = 60, .base_percent = 15, .max_bytes = 16384,
	.ops = 20, .phases = 3, .close_percent = 40, .states_per_cut = 8,
};

const struct cr_profile *const cr_profiles[] = {
	&cr_default_profile, &hot_profile, &large_profile, &long_profile, &compact_profile,
};

const size_t cr_profile_count = sizeof(cr_profiles) / sizeof(cr_profiles[0]);

const struct ci_cfg *cr_layout(const char *name)
{
	for (size_t i = 0; i < cr_layout_count; i++) {
		if (strcmp(cr_layouts[i].name, name) == 0)
			return &cr_layouts[i];
	}
	abort();
}
