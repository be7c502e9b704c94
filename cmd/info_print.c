/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "info_print.h"
#include "report.h"
#include "util/uuid.h"

/* Header fields that are plain numbers. The JSON key with blanks is the label. */
enum unit { UNIT_BYTES, UNIT_KBPS, UNIT_MS };
enum when { WHEN_ALWAYS, WHEN_BITMAP, WHEN_TABLE, WHEN_JOURNAL, WHEN_BASE, WHEN_REV1 };

static const struct field {
	const char *key;
	size_t off;
	enum unit unit;
	enum when when;
} fields[] = {
#define FIELD(key, member, unit, when) { key, offsetof(struct fvd_header, member), unit, when }
	FIELD("data-offset", data_offset, UNIT_BYTES, WHEN_ALWAYS),
	FIELD("metadata-size", metadata_size, UNIT_BYTES, WHEN_REV1),
	FIELD("base-size", base_size, UNIT_BYTES, WHEN_BASE),
	FIELD("bitmap-offset", bitmap_offset, UNIT_BYTES, WHEN_BITMAP),
	FIELD("bitmap-size", bitmap_size, UNIT_BYTES, WHEN_BITMAP),
	FIELD("block-size", block_size, UNIT_BYTES, WHEN_BITMAP),
	FIELD("table-offset", table_offset, UNIT_BYTES, WHEN_TABLE),
	FIELD("table-size", table_size, UNIT_BYTES, WHEN_TABLE),
	FIELD("chunk-size", chunk_size, UNIT_BYTES, WHEN_TABLE),
	FIELD("grow-unit", grow_unit, UNIT_BYTES, WHEN_ALWAYS),
	FIELD("journal-offset", journal_offset, UNIT_BYTES, WHEN_JOURNAL),
	FIELD("journal-size", journal_size, UNIT_BYTES, WHEN_JOURNAL),
	FIELD("max-outstanding-copy-on-read-data", max_outstanding_cor, UNIT_BYTES, WHEN_BASE),
	FIELD("bytes-per-prefetch", bytes_per_prefetch, UNIT_BYTES, WHEN_BASE),
	FIELD("prefetch-min-read-throughput", prefetch_min_read_kbps, UNIT_KBPS, WHEN_BASE),
	FIELD("prefetch-max-read-throughput", prefetch_max_read_kbps, UNIT_KBPS, WHEN_BASE),
	FIELD("prefetch-min-write-throughput", prefetch_min_write_kbps, UNIT_KBPS, WHEN_BASE),
	FIELD("prefetch-max-write-throughput", prefetch_max_write_kbps, UNIT_KBPS, WHEN_BASE),
	FIELD("prefetch-throttle-time", prefetch_throttle_ms, UNIT_MS, WHEN_BASE),
	FIELD("prefetch-read-throughput-measure-time", prefetch_read_measure_ms, UNIT_MS,
	      WHEN_BASE),
	FIELD("prefetch-write-throughput-measure-time", prefetch_write_measure_ms, UNIT_MS,
	      WHEN_BASE),
#undef FIELD
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static bool field_wanted(const struct field *f, const struct fvd_header *h)
{
	switch (f->when) {
	case WHEN_BITMAP:
		return fvd_header_has_bitmap(h);
	case WHEN_TABLE:
		return fvd_header_has_table(h);
	case WHEN_JOURNAL:
		return fvd_header_has_journal(h);
	case WHEN_BASE:
		return h->base_img[0] != '\0';
	case WHEN_REV1:
		return h->revision == 1;
	case WHEN_ALWAYS:
		break;
	}
	return true;
}

static uint64_t field_value(const struct field *f, const struct fvd_header *h)
{
	uint64_t v;

	memcpy(&v, (const char *)h + f->off, sizeof(v));
	return v;
}

static const char *layout_name(const struct fvd_header *h)
{
	bool base = fvd_header_has_base(h), table = fvd_header_has_table(h);

	return base && table ? "compact-copy-on-write" : base ? "copy-on-write" :
	       table ? "compact" : "plain";
}

static const char *state_text(const struct fvd_info *info)
{
	if (!info->dirty)
		return "clean";
	if (!fvd_header_has_journal(&info->h))
		return "dirty, and no journal to replay: 'fvdtool check' tells more";
	if (info->replay_error[0])
		return "dirty, and the journal is damaged: 'fvdtool check' tells more";
	return "dirty, the journal is replayed when it is opened";
}

static void print_field(const struct field *f, const struct fvd_header *h)
{
	uint64_t v = field_value(f, h);
	char label[48];

	snprintf(label, sizeof(label), "%s", f->key);
	for (char *p = label; (p = strchr(p, '-'));)
		*p = ' ';
	if (f->unit == UNIT_BYTES)
		printf("    %s: %s\n", label, size_text_exact(v));
	else
		printf("    %s: %" PRIu64 " %s\n", label, v,
		       f->unit == UNIT_KBPS ? "KB/s" : "ms");
}

static const char *yes_no(bool v)
{
	return v ? "yes" : "no";
}

static void print_extensions(const struct fvd_ext *x)
{
	char uuid[37];

	if (x->state == FVD_EXT_DAMAGED)
		printf("    extensions: damaged: %s\n", shown(x->damage));
	if (x->state != FVD_EXT_OK)
		return;
	if (x->has_uuid)
		printf("    uuid: %s\n", fvd_uuid_format(x->uuid, uuid));
	if (x->creator[0])
		printf("    creator: %s\n", shown(x->creator));
	if (x->has_generation)
		printf("    content generation: %" PRIu64 "\n", x->generation);
	if (x->validator[0])
		printf("    base validator: %s\n", shown(x->validator));
	if (x->unknown_required)
		printf("    unknown extension: type 0x%" PRIx32 ", needed to open the image\n",
		       x->unknown_required);
}

static void print_specific(const struct fvd_info *info)
{
	const struct fvd_header *h = &info->h;

	puts("Format specific information:");
	printf("    revision: %d\n", h->revision);
	print_extensions(&info->ext);
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (field_wanted(&fields[i], h))
			print_field(&fields[i], h);
	if (h->add_storage_cmd[0])
		printf("    add storage command (never run): %s\n", shown(h->add_storage_cmd));
	if (h->revision == 2)
		printf("    stable journal epoch: %" PRIu64 "\n", h->stable_epoch);
	printf("    clean shutdown: %" PRIu32 "\n", h->clean_shutdown);
	printf("    need zero init: %s\n", yes_no(h->need_zero_init));
	if (!h->base_img[0])
		return;
	printf("    fully prefetched: %s\n", yes_no(h->fully_prefetched));
	printf("    copy on read: %s\n", yes_no(h->copy_on_read));
	if (h->prefetch_start_delay < 0)
		puts("    prefetch start delay: never");
	else
		printf("    prefetch start delay: %" PRId64 " s\n", h->prefetch_start_delay);
	printf("    prefetch slots: %" PRIu32 "\n", h->prefetch_slots);
}

static void print_journal(const struct fvd_replay_result *r)
{
	puts("Journal:");
	printf("    sectors: %" PRIu64 ", %" PRIu64 " used, %" PRIu64 " void, %" PRIu64
	       " damaged\n", r->sectors, r->used, r->void_sectors, r->damaged);
	printf("    records to apply: %" PRIu64 " table, %" PRIu64 " bitmap\n", r->table_records,
	       r->bitmap_records);
	printf("    highest epoch: %" PRIu64 "\n", r->max_epoch);
	if (r->damaged)
		printf("    first damaged: sector %" PRIu64 ": %s\n", r->first_damaged,
		       shown(r->first_damage));
}

static void print_allocation(const struct fvd_info *info)
{
	if (!info->allocation_known) {
		printf("allocation: not known: %s\n", shown(info->replay_error));
		return;
	}
	if (fvd_header_has_table(&info->h))
		printf("chunks allocated: %" PRIu64 " of %" PRIu64 " (%s)\n",
		       info->chunks_allocated, info->chunks,
		       size_text(info->chunks_allocated * info->h.chunk_size));
	if (fvd_header_has_bitmap(&info->h))
		printf("blocks local: %" PRIu64 " of %" PRIu64 " (%s)\n", info->blocks_local,
		       info->blocks, size_text(info->blocks_local * info->h.block_size));
}

/* "NAME (actual path: RESOLVED)" where they differ, as qemu-img says it. */
static void print_file(const char *label, const char *name, const char *resolved)
{
	printf("%s: %s", label, shown(name));
	if (resolved && strcmp(name, resolved) != 0)
		printf(" (actual path: %s)", shown(resolved));
	putchar('\n');
}

void info_print(const char *name, const struct fvd_info *info, bool journal)
{
	const struct fvd_header *h = &info->h;

	printf("image: %s\n", shown(name));
	puts("file format: fvd");
	printf("virtual size: %s\n", size_text_exact(h->virtual_size));
	printf("disk size: %s\n", size_text(info->actual_size));
	printf("file length: %s\n", size_text(info->file_length));
	printf("layout: %s\n", layout_name(h));
	if (fvd_header_has_table(h))
		printf("chunk size: %s\n", size_text(h->chunk_size));
	if (h->data_file[0])
		print_file("data file", h->data_file, info->data_resolved);
	if (h->base_img[0]) {
		print_file("backing file", h->base_img, info->base_resolved);
		printf("backing file format: %s%s\n",
		       h->base_img_fmt[0] ? shown(h->base_img_fmt) : "raw",
		       h->fully_prefetched ? " (no longer needed)" : "");
	}
	printf("state: %s\n", state_text(info));
	print_allocation(info);
	print_specific(info);
	if (journal && fvd_header_has_journal(h))
		print_journal(&info->journal);
}

static void json_extensions(struct fvd_json *j, const struct fvd_ext *x)
{
	char uuid[37];

	if (x->state == FVD_EXT_DAMAGED)
		fvd_json_string(j, "extensions-damage", x->damage);
	if (x->state != FVD_EXT_OK)
		return;
	if (x->has_uuid)
		fvd_json_string(j, "uuid", fvd_uuid_format(x->uuid, uuid));
	if (x->creator[0])
		fvd_json_string(j, "creator", x->creator);
	if (x->has_generation)
		fvd_json_uint(j, "content-generation", x->generation);
	if (x->validator[0])
		fvd_json_string(j, "base-validator", x->validator);
	if (x->unknown_required)
		fvd_json_uint(j, "unknown-required-extension", x->unknown_required);
}

static void json_journal(struct fvd_json *j, const struct fvd_replay_result *r)
{
	fvd_json_object_begin(j, "journal");
	fvd_json_uint(j, "sectors", r->sectors);
	fvd_json_uint(j, "used-sectors", r->used);
	fvd_json_uint(j, "void-sectors", r->void_sectors);
	fvd_json_uint(j, "damaged-sectors", r->damaged);
	fvd_json_uint(j, "table-records", r->table_records);
	fvd_json_uint(j, "bitmap-records", r->bitmap_records);
	fvd_json_uint(j, "max-epoch", r->max_epoch);
	if (r->damaged) {
		fvd_json_uint(j, "first-damaged-sector", r->first_damaged);
		fvd_json_string(j, "first-damage", r->first_damage);
	}
	fvd_json_object_end(j);
}

static void json_allocation(struct fvd_json *j, const struct fvd_info *info)
{
	if (!info->allocation_known) {
		fvd_json_string(j, "replay-error", info->replay_error);
		return;
	}
	if (fvd_header_has_table(&info->h)) {
		fvd_json_uint(j, "chunks", info->chunks);
		fvd_json_uint(j, "chunks-allocated", info->chunks_allocated);
	}
	if (fvd_header_has_bitmap(&info->h)) {
		fvd_json_uint(j, "blocks", info->blocks);
		fvd_json_uint(j, "blocks-local", info->blocks_local);
	}
}

static void json_specific(struct fvd_json *j, const struct fvd_info *info, bool journal)
{
	const struct fvd_header *h = &info->h;

	fvd_json_object_begin(j, "format-specific");
	fvd_json_string(j, "type", "fvd");
	fvd_json_object_begin(j, "data");
	fvd_json_int(j, "revision", h->revision);
	fvd_json_string(j, "layout", layout_name(h));
	json_extensions(j, &info->ext);
	json_allocation(j, info);
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (field_wanted(&fields[i], h))
			fvd_json_uint(j, fields[i].key, field_value(&fields[i], h));
	if (h->data_file[0]) {
		fvd_json_string(j, "data-file", h->data_file);
		fvd_json_string(j, "full-data-file", info->data_resolved);
	}
	if (h->add_storage_cmd[0])
		fvd_json_string(j, "add-storage-command", h->add_storage_cmd);
	if (h->revision == 2)
		fvd_json_uint(j, "stable-journal-epoch", h->stable_epoch);
	fvd_json_uint(j, "clean-shutdown", h->clean_shutdown);
	fvd_json_bool(j, "need-zero-init", h->need_zero_init);
	if (h->base_img[0]) {
		fvd_json_bool(j, "fully-prefetched", h->fully_prefetched);
		fvd_json_bool(j, "copy-on-read", h->copy_on_read);
		fvd_json_int(j, "prefetch-start-delay", h->prefetch_start_delay);
		fvd_json_uint(j, "prefetch-slots", h->prefetch_slots);
	}
	if (journal && fvd_header_has_journal(h))
		json_journal(j, &info->journal);
	fvd_json_object_end(j);
	fvd_json_object_end(j);
}

void info_json(struct fvd_json *j, const char *name, const struct fvd_info *info, bool journal)
{
	const struct fvd_header *h = &info->h;

	fvd_json_string(j, "filename", name);
	fvd_json_string(j, "format", "fvd");
	fvd_json_uint(j, "virtual-size", h->virtual_size);
	fvd_json_uint(j, "actual-size", info->actual_size);
	fvd_json_uint(j, "file-length", info->file_length);
	if (fvd_header_has_table(h))
		fvd_json_uint(j, "cluster-size", h->chunk_size);
	if (h->base_img[0]) {
		fvd_json_string(j, "backing-filename", h->base_img);
		if (info->base_resolved)
			fvd_json_string(j, "full-backing-filename", info->base_resolved);
		fvd_json_string(j, "backing-filename-format",
				h->base_img_fmt[0] ? h->base_img_fmt : "raw");
	}
	fvd_json_bool(j, "dirty-flag", info->dirty);
	json_specific(j, info, journal);
}
