/* SPDX-License-Identifier: MIT */
#include "tools/run.h"

#include <stdio.h>
#include <string.h>

#include "tools/jsonout.h"
#include "tools/text.h"

#define SMALL_BYTES	((uint64_t)1 << 20)	/* a whole database's dump is seldom smaller */
#define SMALL_LINES	1000u

static void warn(struct run *r, const struct run_part *p, const char *text)
{
	r->nr_warnings++;
	app_say(r->a, "warning", "%s: %s", p->name, text);
}

void run_warn(struct run *r, const struct run_part *p)
{
	char text[200], now[TEXT_LEN], then[TEXT_LEN];
	uint64_t differs = p->bytes > p->last_bytes ? p->bytes - p->last_bytes : p->last_bytes - p->bytes;

	if (p->bytes < SMALL_BYTES) {
		(void)snprintf(text, sizeof(text), "the dump has only %s; is that all there is?", text_size(p->bytes, now));
		warn(r, p, text);
	}
	if (p->has_lines && p->lines < SMALL_LINES) {
		(void)snprintf(text, sizeof(text), "the dump has only %llu lines; is that all there is?",
			       (unsigned long long)p->lines);
		warn(r, p, text);
	}
	if (p->has_last && differs > p->last_bytes / 2) {
		(void)snprintf(text, sizeof(text), "the dump has %s, and the last good one had %s; 'vouch history --of %s.ITEM' "
			       "tells when rows went", text_size(p->bytes, now), text_size(p->last_bytes, then), p->name);
		warn(r, p, text);
	}
}

void run_tell_failed(struct run *r, const struct run_part *p)
{
	/* Of the other codes it knows what to do about the repository, and this is of a database. */
	const char *next = p->e.code == ERR_IO || p->e.code == ERR_NOMEM ? app_advice(&p->e) : NULL;

	app_say(r->a, "failed", "%s: %s%s%s", p->name, p->e.code == ERR_CANCELED ? "interrupted" : p->e.msg, next ? "; " : "",
		next ? next : "");
}

bool run_tell_plan(struct run *r)
{
	char size[TEXT_LEN], time[TEXT_LEN];
	struct jsonout j;
	bool ok = true;

	for (size_t i = 0; i < r->nr && ok; i++) {
		const struct run_part *p = &r->parts[i];

		if (p->e.code) {
			run_tell_failed(r, p);
			continue;
		}
		if (r->a->json) {
			j = jsonout_begin("would_run");
			jsonout_str(&j, "name", p->name);
			jsonout_str(&j, "component_type", p->type);
			jsonout_str(&j, "folder", p->folder);
			if (p->has_last) {
				jsonout_u64(&j, "last_bytes", p->last_bytes);
				jsonout_real(&j, "last_seconds", p->last_seconds);
			}
			ok = jsonout_end(&j);
			continue;
		}
		printf("would dump %s %s into %s", p->type, p->name, p->folder);
		if (p->has_last)
			printf(" (%s in %s the last time)", text_size(p->last_bytes, size), text_duration(p->last_seconds, time));
		putchar('\n');
	}
	return ok;
}

/* What a type's items and their rows are called. */
static void print_items(const struct run_part *p)
{
	const char *kind = p->c->ops->item_kind;
	const char *rows = strcmp(kind, "label") == 0 ? "node" : strcmp(kind, "collection") == 0 ? "point" : "row";
	char items[TEXT_LEN], count[TEXT_LEN];

	printf(", %s %s%s, %s %s%s", text_count(p->items, items), kind, p->items == 1 ? "" : "s", text_count(p->rows, count),
	       rows, p->rows == 1 ? "" : "s");
}

static void print_part(const struct run_part *p)
{
	char bytes[TEXT_LEN], new_bytes[TEXT_LEN], time[TEXT_LEN];

	printf("%-10s %s: ", p->type, p->name);
	if (p->e.code) {
		text_print("FAILED: ", p->e.code == ERR_CANCELED ? "interrupted" : p->e.msg);
		putchar('\n');
		return;
	}
	printf("%s, %s new", text_size(p->bytes, bytes), text_size(p->new_bytes, new_bytes));
	print_items(p);
	printf(", %s\n", text_duration(p->seconds, time));
}

static void print_summary(struct run *r)
{
	char new_bytes[TEXT_LEN], stored[TEXT_LEN], time[TEXT_LEN];

	for (size_t i = 0; i < r->nr; i++)
		print_part(&r->parts[i]);
	if (r->snapshot)
		printf("snapshot   %s\nnew        %s, stored in %s\n", r->snapshot, text_size(r->new_bytes, new_bytes),
		       text_size(r->stored_bytes, stored));
	else
		puts("snapshot   none: nothing was saved");
	if (r->partial)
		printf("partial    %s: what there is of dumps that failed\n", r->partial);
	printf("time       %s\n", text_duration(progress_seconds(r->a->progress), time));
}

static bool part_json(const struct run *r, const struct run_part *p)
{
	struct jsonout j = jsonout_begin("component");

	jsonout_str(&j, "name", p->name);
	jsonout_str(&j, "component_type", p->type);
	jsonout_str(&j, "backup_id", p->id);
	jsonout_str(&j, "status", p->e.code ? "failed" : "ok");
	jsonout_time(&j, "began", p->began);
	jsonout_real(&j, "seconds", p->seconds);
	if (p->e.code) {
		jsonout_err(&j, "error", &p->e);
		return jsonout_end(&j);
	}
	jsonout_str(&j, "instant", p->instant);
	jsonout_str(&j, "folder", p->folder);
	jsonout_u64(&j, "bytes", p->bytes);
	jsonout_u64(&j, "new_bytes", p->new_bytes);
	jsonout_str(&j, "item_kind", p->c->ops->item_kind);
	jsonout_u64(&j, "items", p->items);
	jsonout_u64(&j, "rows", p->rows);
	if (p->has_checksum)
		jsonout_id(&j, "checksum", &p->checksum);
	if (r->snapshot)
		jsonout_str(&j, "snapshot", r->snapshot);
	return jsonout_end(&j);
}

static bool print_json(struct run *r, int status)
{
	struct jsonout j;
	uint64_t failed = 0;
	bool ok = true;

	for (size_t i = 0; i < r->nr && ok; i++) {
		ok = part_json(r, &r->parts[i]);
		failed += r->parts[i].e.code != ERR_OK;
	}
	if (!ok)
		return false;
	j = jsonout_begin("summary");
	jsonout_u64(&j, "status", (uint64_t)status);
	jsonout_u64(&j, "saved", r->nr - failed);
	jsonout_u64(&j, "failed", failed);
	jsonout_u64(&j, "warnings", r->nr_warnings);
	jsonout_bool(&j, "hook_failed", r->hook_failed);
	if (r->snapshot)
		jsonout_str(&j, "snapshot", r->snapshot);
	if (r->partial)
		jsonout_str(&j, "partial_snapshot", r->partial);
	jsonout_u64(&j, "new_bytes", r->new_bytes);
	jsonout_u64(&j, "stored_bytes", r->stored_bytes);
	jsonout_real(&j, "seconds", progress_seconds(r->a->progress));
	return jsonout_end(&j);
}

bool run_tell_summary(struct run *r, int status)
{
	if (r->a->json)
		return print_json(r, status);
	if (!r->a->quiet)
		print_summary(r);
	return true;
}
