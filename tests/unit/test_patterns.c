/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/backup.h"
#include "store/base/checked.h"

static const struct row {
	const char *name;
	const char *patterns[4];
	const char *path;
	bool is_dir;
	enum pattern_answer want;
} rows[] = {
	{ "no pattern", { NULL }, "a", false, PATTERN_NONE },
	{ "name at the root", { "a.o" }, "a.o", false, PATTERN_MATCH },
	{ "name at any depth", { "a.o" }, "x/y/a.o", false, PATTERN_MATCH },
	{ "name is whole", { "a.o" }, "x/ba.o", false, PATTERN_NONE },
	{ "name is not a prefix", { "a.o" }, "a.orig", false, PATTERN_NONE },
	{ "name of a folder above is not the path's", { "x" }, "x/y", false, PATTERN_NONE },
	{ "star", { "*.o" }, "x/a.o", false, PATTERN_MATCH },
	{ "star takes a leading dot", { "*.o" }, ".o", false, PATTERN_MATCH },
	{ "star does not cross a slash", { "/x*z" }, "x/z", false, PATTERN_NONE },
	{ "question mark", { "a?c" }, "abc", false, PATTERN_MATCH },
	{ "question mark is one", { "a?c" }, "ac", false, PATTERN_NONE },
	{ "class", { "[ab].c" }, "b.c", false, PATTERN_MATCH },
	{ "class not", { "[!ab].c" }, "b.c", false, PATTERN_NONE },
	{ "class range", { "v[0-9]" }, "v7", false, PATTERN_MATCH },
	{ "escaped star", { "a\\*" }, "a*", false, PATTERN_MATCH },
	{ "escaped star is literal", { "a\\*" }, "ab", false, PATTERN_NONE },
	{ "escaped exclamation", { "\\!a" }, "!a", false, PATTERN_MATCH },
	{ "anchored", { "/a" }, "a", false, PATTERN_MATCH },
	{ "anchored not deeper", { "/a" }, "x/a", false, PATTERN_NONE },
	{ "slash within anchors", { "x/a" }, "x/a", false, PATTERN_MATCH },
	{ "slash within anchors: not deeper", { "x/a" }, "y/x/a", false, PATTERN_NONE },
	{ "slash within: not what is below", { "x/a" }, "x/a/b", false, PATTERN_NONE },
	{ "double slash", { "x//a" }, "x/a", false, PATTERN_MATCH },
	{ "folders only: folder", { "tmp/" }, "x/tmp", true, PATTERN_MATCH },
	{ "folders only: file", { "tmp/" }, "x/tmp", false, PATTERN_NONE },
	{ "folders only does not anchor", { "tmp/" }, "a/b/tmp", true, PATTERN_MATCH },
	{ "anchored folder", { "/var/tmp/" }, "var/tmp", true, PATTERN_MATCH },
	{ "stars first: none", { "**/a" }, "a", false, PATTERN_MATCH },
	{ "stars first: some", { "**/a" }, "x/y/a", false, PATTERN_MATCH },
	{ "stars within: none", { "a/**/b" }, "a/b", false, PATTERN_MATCH },
	{ "stars within: two", { "a/**/b" }, "a/x/y/b", false, PATTERN_MATCH },
	{ "stars within: other end", { "a/**/b" }, "a/x/y/c", false, PATTERN_NONE },
	{ "stars within: goes back", { "a/**/b/c" }, "a/b/x/b/c", false, PATTERN_MATCH },
	{ "stars twice", { "a/**/b/**/c" }, "a/x/b/y/b/z/c", false, PATTERN_MATCH },
	{ "stars twice, none", { "a/**/b/**/c" }, "a/x/c/y", false, PATTERN_NONE },
	{ "stars last: below", { "a/**" }, "a/x/y", false, PATTERN_MATCH },
	{ "stars last: not itself", { "a/**" }, "a", true, PATTERN_NONE },
	{ "stars alone", { "**" }, "a/b", false, PATTERN_MATCH },
	{ "star component", { "a/*/c" }, "a/b/c", false, PATTERN_MATCH },
	{ "star component is one", { "a/*/c" }, "a/c", false, PATTERN_NONE },
	{ "taken back", { "*.o", "!keep.o" }, "x/keep.o", false, PATTERN_TAKEN_BACK },
	{ "taken back, others not", { "*.o", "!keep.o" }, "x/a.o", false, PATTERN_MATCH },
	{ "last wins", { "!keep.o", "*.o" }, "keep.o", false, PATTERN_MATCH },
	{ "three", { "*", "!a", "a" }, "a", false, PATTERN_MATCH },
	{ "not UTF-8", { "*\xff" }, "x\xff", false, PATTERN_MATCH },
	{ "newline", { "a*" }, "a\nb", false, PATTERN_MATCH },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct err e = ERR_INIT;
	struct patterns *p;
	size_t nr = 0;

	while (nr < ARRAY_LEN(t->patterns) && t->patterns[nr])
		nr++;
	assert_int_equal(patterns_open(t->patterns, nr, &p, &e), ERR_OK);
	assert_int_equal(patterns_match(p, t->path, t->is_dir), t->want);
	patterns_close(p);
}

static void test_empty_is_refused(void **state)
{
	static const char *const bad[] = { "", "!", "/", "!//" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		struct patterns *p;

		assert_int_equal(patterns_open(&bad[i], 1, &p, &e), ERR_USAGE);
		assert_non_null(strstr(e.msg, "empty"));
	}
}

/* A component longer than any name matches nothing, and does no harm. */
static void test_long_component(void **state)
{
	static const char *const list[] = { "a*", "x/**/b" };
	char path[1200];
	struct err e = ERR_INIT;
	struct patterns *p;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(patterns_open(list, 2, &p, &e), ERR_OK);
	assert_int_equal(patterns_match(p, path, false), PATTERN_NONE);
	patterns_close(p);
}

/* Many "**" over a deep path: work stays pieces times components. */
static void test_no_explosion(void **state)
{
	static const char *const list[] = { "**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b" };
	char path[4001];
	struct err e = ERR_INIT;
	struct patterns *p;

	(void)state;
	for (size_t i = 0; i < 4000; i += 2)
		memcpy(path + i, "a/", 2);
	path[3999] = '\0';
	assert_int_equal(patterns_open(list, 1, &p, &e), ERR_OK);
	assert_int_equal(patterns_match(p, path, false), PATTERN_NONE);
	patterns_close(p);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows)];
	const struct CMUnitTest others[] = {
		cmocka_unit_test(test_empty_is_refused),
		cmocka_unit_test(test_long_component),
		cmocka_unit_test(test_no_explosion),
	};
	int bad;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
						(void *)(uintptr_t)&rows[i] };
	bad = cmocka_run_group_tests_name("patterns", tests, NULL, NULL);
	return bad + cmocka_run_group_tests_name("patterns: limits", others, NULL, NULL);
}
