/* SPDX-License-Identifier: MIT */
/* What is there after a recover beside what was recorded, and the verdict. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/jsonout.h"
#include "tools/recover.h"
#include "tools/text.h"

#define COLUMNS 5
#define NAME_WIDTH_MAX 60u

#define OF_MAX 16		/* partitions of partitions */

/** One comparison under way: first only counted and measured, then printed. */
struct comparing {
	struct recovery *r;
	const struct facts *recorded, *found;
	bool others;			/* of those that were not chosen: before and after */
	bool print;
	size_t printed;
	size_t width[COLUMNS];
	struct recover_counts counts;
};

/* What is compared */

static bool chosen(const struct recovery *r, const char *kind, const char *name)
{
	if (strcmp(kind, r->c->ops->item_kind) != 0)
		return false;
	for (size_t i = 0; i < r->items.nr; i++)
		if (strcmp(r->items.v[i], name) == 0)
			return true;
	return false;
}

/*
 * What belongs to a chosen one (its index, its sequence, its partition and the index of that) says so: "of", in the item or in its
 * info.
 */
static bool of_chosen(const struct recovery *r, const char *kind, const char *name)
{
	for (int depth = 0; depth < OF_MAX; depth++) {
		const json_t *item = facts_item(&r->recorded, kind, name);
		const json_t *of = json_object_get(item, "of");

		if (!of)
			of = json_object_get(json_object_get(item, "info"), "of");
		if (!json_is_string(of))
			return false;
		kind = r->c->ops->item_kind;
		name = json_string_value(of);
		if (chosen(r, kind, name))
			return true;
	}
	return false;
}

static bool is_wanted(void *ctx, const char *kind, const char *name)
{
	const struct comparing *k = ctx;

	return chosen(k->r, kind, name) || of_chosen(k->r, kind, name);
}

static bool is_other(void *ctx, const char *kind, const char *name)
{
	const struct comparing *k = ctx;

	return strcmp(kind, k->r->c->ops->item_kind) == 0 && !chosen(k->r, kind, name) && !of_chosen(k->r, kind, name);
}

/* Rows */

/* Merged into what was there: newer rows stay. */
static bool is_more(const struct comparing *k, const struct facts_row *row)
{
	uint64_t was, is;

	return k->r->c->ops->merges_items && k->r->items.nr > 0 && strcmp(row->verdict, "differs") == 0 &&
	       facts_rows_of(k->recorded, row->kind, row->name, &was) &&
	       facts_rows_of(k->found, row->kind, row->name, &is) && is > was;
}

static const char *sums(const struct comparing *k, const struct facts_row *row)
{
	const char *a = json_string_value(json_object_get(facts_item(k->recorded, row->kind, row->name), "sum"));
	const char *b = json_string_value(json_object_get(facts_item(k->found, row->kind, row->name), "sum"));

	return !a || !b ? "-" : strcmp(a, b) == 0 ? "equal" : "differs";
}

static void print_row(struct comparing *k, const char *const *cells)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "  ");
	for (size_t i = 0; i < COLUMNS; i++) {
		struct buf cell = BUF_INIT;
		size_t width;

		text_escape_str(&cell, cells[i]);
		width = cell.bad ? 0 : text_columns((const char *)cell.p, cell.len);
		if (k->print)
			text_squeeze(&b, (const char *)cell.p, cell.bad ? 0 : cell.len, NAME_WIDTH_MAX);
		if (width > NAME_WIDTH_MAX)
			width = NAME_WIDTH_MAX;
		if (width > k->width[i])
			k->width[i] = width;
		for (size_t n = width; k->print && n < k->width[i] + 2; n++)
			buf_add_u8(&b, ' ');
		buf_release(&cell);
	}
	while (b.len > 0 && b.p[b.len - 1] == ' ')
		b.len--;
	if (k->print && !b.bad)
		printf("%.*s\n", (int)b.len, (const char *)b.p);
	buf_release(&b);
}

static void json_row(const struct comparing *k, const struct facts_row *row, const char *verdict, bool agrees)
{
	struct jsonout j = jsonout_begin("comparison");

	jsonout_str(&j, "component", k->r->c->name);
	jsonout_str(&j, "kind", row->kind);
	jsonout_str(&j, "name", row->name);
	jsonout_str(&j, k->others ? "before" : "recorded", row->recorded);
	jsonout_str(&j, "found", row->found);
	jsonout_str(&j, "checksum", sums(k, row));
	jsonout_str(&j, "verdict", verdict);
	jsonout_bool(&j, "agrees", agrees);
	(void)jsonout_end(&j);		/* standard output that fails is seen at the end */
}

static void take_row(void *ctx, const struct facts_row *row)
{
	static const char *const heads[2][COLUMNS] = { { "KIND AND NAME", "RECORDED", "FOUND", "CHECKSUM", "" },
						       { "KIND AND NAME", "BEFORE", "FOUND", "CHECKSUM", "" } };
	struct comparing *k = ctx;
	bool more = is_more(k, row), agrees = row->agrees || more;
	bool plain = strcmp(row->verdict, "equal") == 0;
	const char *verdict = more ? "more: newer ones stayed" : row->verdict;
	char name[1024];

	k->counts.equal += plain;
	k->counts.kept += agrees && !plain;
	k->counts.differ += !agrees;
	if ((plain && !k->r->o->verbose) || (plain && k->others))
		return;
	if (k->r->a->json) {
		if (k->print)
			json_row(k, row, verdict, agrees);
		return;
	}
	if (k->printed++ == 0)
		print_row(k, heads[k->others]);
	(void)snprintf(name, sizeof(name), "%s %s", row->kind, row->name);
	print_row(k, (const char *const[COLUMNS]){ name, row->recorded, row->found, sums(k, row), verdict });
}

static struct recover_counts compare(struct recovery *r, bool others)
{
	struct comparing k = { .r = r, .others = others, .found = &r->found };
	facts_choose_fn *choose = others ? is_other : r->items.nr ? is_wanted : NULL;

	k.recorded = others ? &r->before : &r->recorded;
	for (int pass = 0; pass < 2; pass++) {
		k.print = pass > 0;
		k.printed = 0;
		k.counts = (struct recover_counts){ 0 };
		(void)facts_compare(k.recorded, k.found, choose, &k, r->c->ops->keeps_extra, take_row, &k);
	}
	return k.counts;
}

void recovery_compare(struct recovery *r)
{
	progress_clear(r->a->progress);
	r->counts = compare(r, false);
	if (r->has_before)
		r->others_changed = compare(r, true).differ;
	(void)fflush(stdout);
}

/* The verdict */

static bool json_summary(const struct recovery *r)
{
	struct jsonout j = jsonout_begin("summary");

	jsonout_str(&j, "component", r->c->name);
	jsonout_str(&j, "component_type", r->c->ops->type);
	jsonout_str(&j, "snapshot", r->snapshot ? r->snapshot->name : "");
	jsonout_str(&j, "from_way_back", r->way ? r->way->id : "");
	jsonout_str(&j, "outcome", recover_outcome_name(r->outcome));
	jsonout_u64(&j, "equal", r->counts.equal);
	jsonout_u64(&j, "differ", r->counts.differ);
	jsonout_u64(&j, "kept", r->counts.kept);
	jsonout_u64(&j, "others_changed", r->others_changed);
	jsonout_bool(&j, "hook_failed", r->hook_failed);
	jsonout_real(&j, "seconds", r->seconds);
	jsonout_u64(&j, "rto_seconds", r->c->rto);
	jsonout_real(&j, "age_seconds", recovery_age(r));
	jsonout_u64(&j, "rpo_seconds", r->c->rpo);
	jsonout_str(&j, "way_back", r->way_made ? r->way_id : "");
	if (r->e.code)
		jsonout_err(&j, "error", &r->e);
	return jsonout_end(&j);
}

void recovery_target(struct buf *b, const char *what, double seconds, uint64_t target)
{
	char is[TEXT_LEN], wanted[TEXT_LEN];

	buf_printf(b, "%s %s, ", what, text_duration(seconds, is));
	if (target == 0)
		buf_add_str(b, "no target");
	else
		buf_printf(b, "%s the target of %s", seconds > (double)target ? "OVER" : "within",
			   text_duration((double)target, wanted));
}

static void print_targets(const struct recovery *r)
{
	struct buf b = BUF_INIT;

	recovery_target(&b, "  recovery time", r->seconds, r->c->rto);
	recovery_target(&b, "; age of the dump", recovery_age(r), r->c->rpo);
	if (!b.bad)
		printf("%.*s\n", (int)b.len, (const char *)b.p);
	buf_release(&b);
}

static void print_counts(const struct recovery *r)
{
	char n[TEXT_LEN], m[TEXT_LEN];

	printf(": %s compared and equal, ", text_count(r->counts.equal, n));
	if (r->counts.kept)
		printf("%s more than recorded or not compared, and rightly so, ", text_count(r->counts.kept, n));
	printf("%s different\n", text_count(r->counts.differ, m));
	if (r->has_before)
		printf("  the others are %s\n", r->others_changed ? "NOT as before, see above" : "as they were before");
}

static void print_text(const struct recovery *r)
{
	bool restored = r->outcome == RECOVER_OK || r->outcome == RECOVER_DIFFERS;

	if (restored) {
		if (r->way)
			printf("%s is what it was before the recover", r->o->into ? r->o->into : r->c->name);
		else
			printf("%s%s%s from snapshot %.*s", r->c->name, r->o->into ? " into " : "", r->o->into ? r->o->into : "",
			       SNAPSHOT_DATE_LEN, r->snapshot->name);
		if (r->recorded.root)
			print_counts(r);
		else
			printf(" (there is nothing recorded to compare it with)\n");
	}
	if (restored && !r->way)
		print_targets(r);
	if (r->outcome == RECOVER_OK && r->way_made)
		printf("  what was there is kept for seven days: vouch rollback %s\n", r->c->name);
}

/* On standard error: what state it is in, and what to run. */
static void say_trouble(const struct recovery *r)
{
	const char *name = r->c->name;
	/* The way back is written down before the first thing is overwritten; on a read-only medium it is told instead. */
	bool touched = r->way_made || (r->o->no_notes && r->job.way_back);

	switch (r->outcome) {
	case RECOVER_NOT_BEGUN:
		app_say(r->a, NULL, "%s: %s", name, r->e.code == ERR_CANCELED ? "interrupted, nothing was touched" : r->e.msg);
		return;
	case RECOVER_DIFFERS:
		app_say(r->a, NULL, "%s: restored, but %llu of what is there %s not what was recorded (above)%s%s", name,
			(unsigned long long)(r->counts.differ + r->others_changed),
			r->counts.differ + r->others_changed == 1 ? "is" : "are",
			r->way_made ? "; to have back what was there before, run: vouch rollback " : "",
			r->way_made ? name : "");
		return;
	case RECOVER_FAILED:
	case RECOVER_CANCELED:
		app_say(r->a, NULL, "%s: %s; %s%s%s%s", name, r->outcome == RECOVER_CANCELED ? "interrupted" : r->e.msg,
			touched ? "it may be half restored: " : r->way ? "" : "nothing was overwritten: ",
			r->way ? "run the rollback again" : "run the recover again",
			r->way_made ? ", or, to have back what was there before: vouch rollback " : "",
			r->way_made ? name : "");
		return;
	case RECOVER_OK:
		if (r->hook_failed)
			app_say(r->a, NULL, "%s: the data is back and right, but a hook after it failed (above)", name);
	}
}

int recover_fail(struct app *a, const char *name, const struct err *e)
{
	progress_clear(a->progress);
	app_say(a, NULL, "%s: %s", name, e->code == ERR_CANCELED ? "interrupted; nothing was touched" : e->msg);
	if (e->code == ERR_USAGE)
		return STATUS_USAGE;
	return e->code == ERR_CORRUPT || e->code == ERR_INCOMPLETE ? STATUS_DAMAGE : STATUS_FAILED;
}

int recovery_report(struct recovery *r)
{
	bool printed = true;

	progress_clear(r->a->progress);
	if (r->a->json)
		printed = json_summary(r);
	else if (!r->a->quiet)
		print_text(r);
	(void)fflush(stdout);
	say_trouble(r);
	if (r->e.code == ERR_CORRUPT || r->e.code == ERR_INCOMPLETE)
		return STATUS_DAMAGE;
	return r->outcome == RECOVER_OK && !r->hook_failed && printed ? STATUS_DONE : STATUS_FAILED;
}
