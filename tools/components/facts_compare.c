/* SPDX-License-Identifier: MIT */
/* What was recorded beside what is found: one verdict an item, and the two values that show why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/facts.h"
#include "tools/text.h"

static const char *text_of(const json_t *item, const char *key)
{
	return json_string_value(json_object_get(item, key));
}

static bool is_set(const json_t *item, const char *key)
{
	return json_is_true(json_object_get(item, key));
}

/* At most what fits, and no half character. */
static void shorten(char out[96], const char *s)
{
	size_t len = strlen(s), n = 0, step;
	uint32_t c;

	while (n < len) {
		step = text_utf8(s + n, len - n, &c);
		step = step ? step : 1;
		if (n + step > 95)
			break;
		n += step;
	}
	memcpy(out, s, n);
	out[n] = '\0';
}

/* rows or value; of a definition alone that it is there. */
static void show(const json_t *item, char out[96])
{
	const char *rows = text_of(item, "rows"), *value = text_of(item, "value");

	shorten(out, !item ? "" : rows ? rows : value ? value : "yes");
}

static void show_sums(struct facts_row *r, const char *a, const char *b)
{
	size_t n = strlen(r->recorded), m = strlen(r->found);

	(void)snprintf(r->recorded + n, sizeof(r->recorded) - n, " (sum %.12s)", a);
	(void)snprintf(r->found + m, sizeof(r->found) - m, " (sum %.12s)", b);
}

/* Two long texts: from shortly before where they part. */
static void show_texts(struct facts_row *r, const char *a, const char *b)
{
	size_t at = 0;

	while (a[at] && a[at] == b[at])
		at++;
	at = at > 24 ? at - 24 : 0;
	while (at > 0 && ((unsigned char)a[at] & 0xc0) == 0x80)
		at--;
	shorten(r->recorded, a + at);
	shorten(r->found, b + at);
}

/* Decimal numbers without leading zeros: the longer is the larger. */
static int compare_numbers(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	return la != lb ? (la < lb ? -1 : 1) : strcmp(a, b);
}

static bool is_common(const char *key)
{
	static const char *const names[] = { "kind", "name", "rows", "sum", "value", "at_least", "moving", "is", "info" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	return false;
}

static void show_member(char out[96], const char *key, const json_t *v)
{
	char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_ENSURE_ASCII) : NULL;
	char line[96];

	(void)snprintf(line, sizeof(line), "%.40s %.50s", key, text ? text : "none");
	free(text);
	shorten(out, line);
}

/* Members of a service's own, as dimension and distance. */
static bool own_equal(json_t *a, json_t *b, struct facts_row *r)
{
	const char *key;
	json_t *v;

	json_object_foreach(a, key, v) {
		if (is_common(key) || json_equal(v, json_object_get(b, key)))
			continue;
		show_member(r->recorded, key, v);
		show_member(r->found, key, json_object_get(b, key));
		return false;
	}
	return true;
}

/* Where writers went on, rows and values are not looked at; what the item is, is. */
static const char *verdict(json_t *a, json_t *b, bool moving, struct facts_row *r)
{
	const char *va = text_of(a, "value"), *vb = text_of(b, "value");
	const char *ra = text_of(a, "rows"), *rb = text_of(b, "rows");
	const char *sa = text_of(a, "sum"), *sb = text_of(b, "sum");
	const char *ia = text_of(a, "is"), *ib = text_of(b, "is");
	int order;

	if (!moving && ra && (!rb || strcmp(ra, rb) != 0))
		return "differs";
	if (!moving && sa && sb && strcmp(sa, sb) != 0) {
		show_sums(r, sa, sb);
		return "differs";
	}
	if (!moving && va) {
		order = vb ? compare_numbers(vb, va) : -1;
		if (order < 0 || (order > 0 && !is_set(a, "at_least")))
			return "differs";
	}
	if (ia && (!ib || strcmp(ia, ib) != 0)) {
		show_texts(r, ia, ib ? ib : "");
		return "differs";
	}
	if (!own_equal(a, b, r))
		return "differs";
	return moving || (sa && !sb) ? "not compared" : "equal";
}

static void compare_item(json_t *a, json_t *b, struct facts_row *r)
{
	r->kind = text_of(a, "kind");
	r->name = text_of(a, "name");
	show(a, r->recorded);
	show(b, r->found);
	if (!b) {
		r->verdict = "missing";
		r->agrees = false;
	} else {
		bool moving = is_set(a, "moving") || is_set(b, "moving");

		r->verdict = verdict(a, b, moving, r);
		r->agrees = strcmp(r->verdict, moving ? "not compared" : "equal") == 0;
	}
}

size_t facts_compare(const struct facts *recorded, const struct facts *found, facts_choose_fn *choose, void *choose_ctx,
		     bool extra_ok, facts_row_fn *fn, void *ctx)
{
	size_t bad = 0, i;
	json_t *v;

	json_array_foreach(json_object_get(recorded->root, "items"), i, v) {
		struct facts_row r = { .kind = text_of(v, "kind"), .name = text_of(v, "name") };

		if (choose && !choose(choose_ctx, r.kind, r.name))
			continue;
		compare_item(v, facts_item(found, r.kind, r.name), &r);
		bad += !r.agrees;
		if (fn)
			fn(ctx, &r);
	}
	json_array_foreach(json_object_get(found->root, "items"), i, v) {
		struct facts_row r = { .kind = text_of(v, "kind"), .name = text_of(v, "name"), .verdict = "extra",
				       .agrees = extra_ok };

		if (facts_item(recorded, r.kind, r.name) || (choose && !choose(choose_ctx, r.kind, r.name)))
			continue;
		show(v, r.found);
		bad += !r.agrees;
		if (fn)
			fn(ctx, &r);
	}
	return bad;
}
