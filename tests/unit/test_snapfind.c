/* SPDX-License-Identifier: MIT */
/* Which snapshot an argument means: no repository needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/snapshot.h"

/* In order of time. The digits in a name begin its id. */
static struct made {
	const char *name, *host, *source, *tag;
	uint8_t id[4];
	const char *second_tag;
} made[] = {
	{ "2026-11-20T02-00-00Z-aaaaaa0000000000", "alpha", "/etc", "nightly",
	  { 0xaa, 0xaa, 0xaa }, NULL },
	{ "2026-11-21T02-00-00Z-aaaaaa1100000000", "beta", "/srv/app/", "nightly",
	  { 0xaa, 0xaa, 0xaa, 0x11 }, NULL },
	{ "2026-11-21T14-30-00Z-bbbbbb0000000000", "alpha", "/", NULL, { 0xbb, 0xbb, 0xbb }, NULL },
	{ "2026-11-22T02-00-00Z-cccccc0000000000", "alpha", "/usr", "weekly",
	  { 0xcc, 0xcc, 0xcc }, NULL },
	{ "2026-11-22T02-00-00Z-cdcdcd0000000000", "beta", "/usr", NULL, { 0xcd, 0xcd, 0xcd }, NULL },
	/* Kept for a way back, and of dumps that failed: by their names, ids or tags alone. */
	{ "2026-11-22T02-00-00Z-9999990000000000", "beta", "shop", TAG_SAFETY, { 0x99, 0x99, 0x99 }, NULL },
	{ "2026-11-23T02-00-00Z-eeeeee0000000000", "beta", "crm", TAG_PARTIAL, { 0xee, 0xee, 0xee },
	  "nightly" },
};

static struct snapshot all[ARRAY_LEN(made)];
static char *sources[ARRAY_LEN(made)][1], *tags[ARRAY_LEN(made)][2];
static char texts[ARRAY_LEN(made)][5][64];
static struct snapshot_list list = { .all = all, .nr = ARRAY_LEN(made) };

static char *keep(size_t i, size_t k, const char *s)
{
	(void)snprintf(texts[i][k], sizeof(texts[i][k]), "%s", s);
	return texts[i][k];
}

static int make_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		struct snapshot *s = &all[i];

		memcpy(s->id.b, made[i].id, sizeof(made[i].id));
		s->name = keep(i, 0, made[i].name);
		s->host = keep(i, 1, made[i].host);
		sources[i][0] = keep(i, 2, made[i].source);
		s->sources = sources[i];
		s->nr_sources = 1;
		s->tags = tags[i];
		if (made[i].tag) {
			tags[i][0] = keep(i, 3, made[i].tag);
			s->nr_tags = 1;
		}
		if (made[i].second_tag)
			tags[i][s->nr_tags++] = keep(i, 4, made[i].second_tag);
	}
	return 0;
}

static const struct row {
	const char *spec;
	struct snapshot_filter f;
	enum err_code want;
	int which;			/* of made */
	const char *says;		/* in the message */
} rows[] = {
	{ "latest", { 0 }, ERR_OK, 4, NULL },
	{ "latest~0", { 0 }, ERR_OK, 4, NULL },
	{ "latest", { .tag = TAG_SAFETY }, ERR_OK, 5, NULL },
	{ "latest", { .tag = TAG_PARTIAL }, ERR_OK, 6, NULL },
	{ "999999", { 0 }, ERR_OK, 5, NULL },
	{ "2026-11-23T02-00-00Z-eeeeee0000000000", { 0 }, ERR_OK, 6, NULL },
	{ "2026-11-23", { 0 }, ERR_NOT_FOUND, 0, NULL },
	{ "latest~1", { 0 }, ERR_OK, 3, NULL },
	{ "latest~4", { 0 }, ERR_OK, 0, NULL },
	{ "latest~5", { 0 }, ERR_NOT_FOUND, 0, "only 5" },
	{ "latest~18446744073709551615", { 0 }, ERR_USAGE, 0, NULL },
	{ "latest~", { 0 }, ERR_USAGE, 0, NULL },
	{ "latest~x", { 0 }, ERR_USAGE, 0, NULL },
	{ "latest", { .host = "alpha" }, ERR_OK, 3, NULL },
	{ "latest~1", { .host = "alpha" }, ERR_OK, 2, NULL },
	{ "latest", { .host = "gamma" }, ERR_NOT_FOUND, 0, "no snapshot of that host" },
	{ "latest", { .tag = "nightly" }, ERR_OK, 1, NULL },
	{ "latest", { .tag = "night" }, ERR_NOT_FOUND, 0, NULL },
	{ "latest", { .path = "/etc" }, ERR_OK, 2, NULL },
	{ "latest~1", { .path = "/etc" }, ERR_OK, 0, NULL },
	{ "latest", { .path = "/srv/app" }, ERR_OK, 2, NULL },
	{ "latest", { .host = "beta", .path = "/srv/app/x" }, ERR_OK, 1, NULL },
	{ "latest", { .host = "beta", .path = "/srv/apple" }, ERR_NOT_FOUND, 0, NULL },
	{ "latest", { .host = "beta", .path = "/srv" }, ERR_NOT_FOUND, 0, NULL },
	{ "2026-11-21", { 0 }, ERR_OK, 2, NULL },
	{ "2026-11-21T", { 0 }, ERR_OK, 2, NULL },
	{ "2026-11-21T02", { 0 }, ERR_OK, 1, NULL },
	{ "2026-11-21", { .host = "beta" }, ERR_OK, 1, NULL },
	{ "2026-11-22", { 0 }, ERR_OK, 4, NULL },
	{ "2026-11-22T02-00-00", { 0 }, ERR_OK, 4, NULL },
	{ "2026-11-22T02-00-00Z", { 0 }, ERR_USAGE, 0,
	  "2026-11-22T02-00-00Z-cccccc0000000000, 2026-11-22T02-00-00Z-cdcdcd0000000000" },
	{ "2026-11-22T02-00-00Z", { .host = "alpha" }, ERR_OK, 3, NULL },
	{ "2026-11-22T02-00-00Z-cc", { 0 }, ERR_OK, 3, NULL },
	{ "2026-11-22T02-00-00Z-c", { 0 }, ERR_USAGE, 0, "any of 2" },
	{ "2026-11-22T02-00-00Z-cdcdcd0000000000", { .host = "gamma" }, ERR_OK, 4, NULL },
	{ "2026-11-22T02-00-00Z-cdcdcd00000000000", { 0 }, ERR_USAGE, 0, NULL },
	{ "2026-11-23", { 0 }, ERR_NOT_FOUND, 0, "2026-11-23" },
	{ "2026-11", { 0 }, ERR_USAGE, 0, NULL },
	{ "bbbbbb", { 0 }, ERR_OK, 2, NULL },
	{ "bbbbbb", { .host = "gamma" }, ERR_OK, 2, NULL },
	{ "aaaaaa", { 0 }, ERR_USAGE, 0,
	  "2026-11-20T02-00-00Z-aaaaaa0000000000, 2026-11-21T02-00-00Z-aaaaaa1100000000" },
	{ "aaaaaa1", { 0 }, ERR_OK, 1, NULL },
	{ "bbbbbb0000000000000000000000000000000000000000000000000000000000", { 0 }, ERR_OK, 2,
	  NULL },
	{ "bbbbbb00000000000000000000000000000000000000000000000000000000000", { 0 }, ERR_USAGE, 0,
	  NULL },
	{ "BBBBBB", { 0 }, ERR_USAGE, 0, NULL },
	{ "bbbbb", { 0 }, ERR_USAGE, 0, "6 of its digits" },
	{ "dddddd", { 0 }, ERR_NOT_FOUND, 0, "dddddd" },
	{ "", { 0 }, ERR_USAGE, 0, NULL },
	{ "yesterday", { 0 }, ERR_USAGE, 0, "latest~1" },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	const struct snapshot *got = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(snapshot_find(&list, t->spec, &t->f, &got, &e), t->want);
	assert_int_equal(e.code, t->want);
	if (!t->want)
		assert_ptr_equal(got, &all[t->which]);
	else
		assert_null(got);
	if (t->says && !strstr(e.msg, t->says))
		fail_msg("\"%s\" is not in \"%s\"", t->says, e.msg);
}

static void test_empty(void **state)
{
	const struct snapshot_list none = { 0 };
	const struct snapshot *got = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(snapshot_find(&none, "latest", NULL, &got, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "yet"));
}

static void test_many_candidates(void **state)
{
	static struct snapshot many[20];
	const struct snapshot_list l = { .all = many, .nr = ARRAY_LEN(many) };
	const struct snapshot *got = NULL;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = all[0];
	assert_int_equal(snapshot_find(&l, "aaaaaa", NULL, &got, &e), ERR_USAGE);
	assert_non_null(strstr(e.msg, "and 12 more"));
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows) + 2] = {
		cmocka_unit_test(test_empty), cmocka_unit_test(test_many_candidates),
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i + 2] = (struct CMUnitTest){ rows[i].spec, test_row, NULL, NULL,
						    (void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("snapfind", tests, make_list, NULL);
}
