/* SPDX-License-Identifier: MIT */
/* What a dump holds: written, read back, compared; and text from outside, of which nothing is believed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/components/facts.h"

#define SUM_A "0123456789abcdef0123456789abcdef"
#define SUM_B "1123456789abcdef0123456789abcdef"
#define SHA "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void fill(struct facts *f)
{
	struct object_id id;

	assert_true(id_parse(SHA, &id));
	facts_begin(f, "postgres", "crm");
	facts_set_in(f, "settings", "encoding", "UTF8");
	facts_set_in(f, "settings", "wal_level", "replica");
	facts_set(f, "extra", "kept");
	facts_set(f, "server", "15.18");
	facts_set_u64(f, "bytes", UINT64_MAX);
	facts_set_real(f, "seconds", 1.5);
	facts_file(f, "database.dump", 1, &id);
	facts_file(f, "tables/a.sql", 4, &id);
	facts_file(f, "database.dump", 51006108, &id);
	facts_rows(f, "table", "public.orders", 50000, SUM_A);
	facts_is(f, "index", "public.orders_pkey", "CREATE UNIQUE INDEX \"o\" ...");
	facts_value(f, "sequence", "public.orders_id_seq", 50450, true);
	facts_rows(f, "table", "public.t\xfc", 1, FACTS_NO_SUM);
	facts_moving(f, "table", "public.log");
	facts_rows(f, "table", "public.log", 7, SUM_A);
	assert_int_equal(facts_check(f, NULL), ERR_OK);
}

static char *text_of(const struct facts *f)
{
	struct buf b = BUF_INIT;

	assert_int_equal(facts_text(f, &b, NULL), ERR_OK);
	buf_add_u8(&b, '\0');
	assert_false(b.bad);
	return (char *)b.p;
}

static void test_round_trip(void **state)
{
	struct facts f, g = { 0 };
	char *a, *b;
	uint64_t rows = 0;

	(void)state;
	fill(&f);
	a = text_of(&f);
	assert_int_equal(facts_parse(a, strlen(a), &g, NULL), ERR_OK);
	b = text_of(&g);
	assert_string_equal(a, b);
	assert_string_equal(facts_get(&g, "bytes"), "18446744073709551615");
	assert_string_equal(facts_get_in(&g, "settings", "wal_level"), "replica");
	assert_null(facts_get(&g, "tool"));
	assert_null(facts_get_in(&g, "position", "wal"));
	assert_true(facts_rows_of(&g, "table", "public.orders", &rows));
	assert_int_equal(rows, 50000);
	assert_false(facts_rows_of(&g, "table", "public.nothing", &rows));
	assert_false(facts_rows_of(&g, "index", "public.orders_pkey", &rows));
	assert_non_null(facts_item(&g, "table", "public.t\xfc"));	/* found again under what it was written as */
	assert_int_equal(facts_compare(&f, &g, NULL, NULL, false, NULL, NULL), 0);
	free(a);
	free(b);
	facts_release(&f);
	facts_release(&g);
}

/* The text itself: what people and other programs read. */
static void test_layout(void **state)
{
	static const char want[] =
		" \"seconds\":1.5,\n \"bytes\":\"18446744073709551615\",\n \"server\":\"15.18\",\n"
		" \"settings\":{\"encoding\":\"UTF8\",\"wal_level\":\"replica\"},\n \"extra\":\"kept\",\n"
		" \"files\":[\n"
		"  {\"name\":\"database.dump\",\"bytes\":\"51006108\",\"sha256\":\"" SHA "\"},\n"
		"  {\"name\":\"tables/a.sql\",\"bytes\":\"4\",\"sha256\":\"" SHA "\"}],\n"
		" \"items\":[\n"
		"  {\"kind\":\"table\",\"name\":\"public.orders\",\"rows\":\"50000\",\"sum\":\"" SUM_A "\"},\n"
		"  {\"kind\":\"index\",\"name\":\"public.orders_pkey\",\"is\":\"CREATE UNIQUE INDEX \\\"o\\\" ...\"},\n"
		"  {\"kind\":\"sequence\",\"name\":\"public.orders_id_seq\",\"value\":\"50450\",\"at_least\":true},\n"
		"  {\"kind\":\"table\",\"name\":\"public.t\\\\xfc\",\"rows\":\"1\"},\n"
		"  {\"kind\":\"table\",\"name\":\"public.log\",\"moving\":true,\"rows\":\"7\",\"sum\":\"" SUM_A "\"}]}\n";
	struct facts f;
	char *text, *at;

	(void)state;
	fill(&f);
	text = text_of(&f);
	assert_int_equal(strncmp(text, "{\"type\":\"postgres\",\n \"component\":\"crm\",\n \"instant\":\"2", 52), 0);
	at = strstr(text, " \"seconds\"");
	assert_non_null(at);
	assert_string_equal(at, want);
	free(text);
	facts_release(&f);
}

#define HEAD "{\"type\":\"t\",\"component\":\"c\",\"instant\":\"i\","
#define LISTS "\"files\":[],\"items\":[]}"
#define ITEM(x) HEAD "\"files\":[],\"items\":[{" x "}]}"
#define FILE_(x) HEAD "\"items\":[],\"files\":[{" x "}]}"
#define SHA_ "\"sha256\":\"" SHA "\""

static const struct row {
	const char *name, *text;
	enum err_code want;
} rows[] = {
	{ "least", HEAD LISTS, ERR_OK },
	{ "an item with members of its own", ITEM("\"kind\":\"collection\",\"name\":\"\",\"dim\":768"), ERR_OK },
	{ "empty", "", ERR_CORRUPT },
	{ "null", "null", ERR_CORRUPT },
	{ "list", "[]", ERR_CORRUPT },
	{ "something after it", HEAD LISTS "x", ERR_CORRUPT },
	{ "a member twice", HEAD "\"type\":\"u\"," LISTS, ERR_CORRUPT },
	{ "no type", "{\"component\":\"c\",\"instant\":\"i\"," LISTS, ERR_CORRUPT },
	{ "type no text", "{\"type\":1,\"component\":\"c\",\"instant\":\"i\"," LISTS, ERR_CORRUPT },
	{ "server no text", HEAD "\"server\":15," LISTS, ERR_CORRUPT },
	{ "position no object", HEAD "\"position\":\"x\"," LISTS, ERR_CORRUPT },
	{ "seconds negative", HEAD "\"seconds\":-1," LISTS, ERR_CORRUPT },
	{ "seconds text", HEAD "\"seconds\":\"1\"," LISTS, ERR_CORRUPT },
	{ "seconds endless", HEAD "\"seconds\":1e999," LISTS, ERR_CORRUPT },
	{ "bytes a number", HEAD "\"bytes\":1," LISTS, ERR_CORRUPT },
	{ "bytes too large", HEAD "\"bytes\":\"18446744073709551616\"," LISTS, ERR_CORRUPT },
	{ "no files", HEAD "\"items\":[]}", ERR_CORRUPT },
	{ "no items", HEAD "\"files\":[]}", ERR_CORRUPT },
	{ "files no list", HEAD "\"files\":{},\"items\":[]}", ERR_CORRUPT },
	{ "item no object", HEAD "\"files\":[],\"items\":[[]]}", ERR_CORRUPT },
	{ "item without name", ITEM("\"kind\":\"table\""), ERR_CORRUPT },
	{ "item without kind", ITEM("\"name\":\"t\""), ERR_CORRUPT },
	{ "kind with a separator", ITEM("\"kind\":\"a\\u001fb\",\"name\":\"t\""), ERR_CORRUPT },
	{ "kind empty", ITEM("\"kind\":\"\",\"name\":\"t\""), ERR_CORRUPT },
	{ "NUL in a name", ITEM("\"kind\":\"table\",\"name\":\"t\\u0000\""), ERR_CORRUPT },
	{ "not UTF-8", ITEM("\"kind\":\"table\",\"name\":\"t\xfc\""), ERR_CORRUPT },
	{ "rows a number", ITEM("\"kind\":\"table\",\"name\":\"t\",\"rows\":5"), ERR_CORRUPT },
	{ "rows signed", ITEM("\"kind\":\"table\",\"name\":\"t\",\"rows\":\"+5\""), ERR_CORRUPT },
	{ "rows with a leading zero", ITEM("\"kind\":\"table\",\"name\":\"t\",\"rows\":\"05\""), ERR_CORRUPT },
	{ "rows empty", ITEM("\"kind\":\"table\",\"name\":\"t\",\"rows\":\"\""), ERR_CORRUPT },
	{ "sum short", ITEM("\"kind\":\"table\",\"name\":\"t\",\"sum\":\"01\""), ERR_CORRUPT },
	{ "sum in capitals", ITEM("\"kind\":\"t\",\"name\":\"t\",\"sum\":\"0123456789ABCDEF0123456789abcdef\""), ERR_CORRUPT },
	{ "is a list", ITEM("\"kind\":\"index\",\"name\":\"t\",\"is\":[]"), ERR_CORRUPT },
	{ "moving a word", ITEM("\"kind\":\"table\",\"name\":\"t\",\"moving\":\"yes\""), ERR_CORRUPT },
	{ "an item twice", ITEM("\"kind\":\"table\",\"name\":\"t\"},{\"kind\":\"table\",\"name\":\"t\""), ERR_CORRUPT },
	{ "file", FILE_("\"name\":\"a/..b\",\"bytes\":\"1\"," SHA_), ERR_OK },
	{ "file twice", FILE_("\"name\":\"a\",\"bytes\":\"1\"," SHA_ "},{\"name\":\"a\",\"bytes\":\"1\"," SHA_), ERR_CORRUPT },
	{ "file above", FILE_("\"name\":\"a/../../b\",\"bytes\":\"1\"," SHA_), ERR_CORRUPT },
	{ "file absolute", FILE_("\"name\":\"/a\",\"bytes\":\"1\"," SHA_), ERR_CORRUPT },
	{ "file a folder", FILE_("\"name\":\"a/\",\"bytes\":\"1\"," SHA_), ERR_CORRUPT },
	{ "file with an empty part", FILE_("\"name\":\"a//b\",\"bytes\":\"1\"," SHA_), ERR_CORRUPT },
	{ "file without digest", FILE_("\"name\":\"a\",\"bytes\":\"1\""), ERR_CORRUPT },
};

static void test_row(void **state)
{
	const struct row *t = *state;
	struct facts f = { 0 };
	struct err e = ERR_INIT;

	assert_int_equal(facts_parse(t->text, strlen(t->text), &f, &e), t->want);
	assert_int_equal(e.code, t->want);
	if (t->want)
		assert_null(f.root);
	facts_release(&f);
}

/* Cut anywhere, and with any one byte changed: an error or a whole object, never more. */
static void test_hostile(void **state)
{
	struct facts f;
	char *text;
	size_t len;

	(void)state;
	fill(&f);
	text = text_of(&f);
	len = strlen(text) - 1;			/* without the newline */
	facts_release(&f);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(facts_parse(text, i, &f, NULL), ERR_CORRUPT);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] = (char)(was ^ (1 << bit));
			if (facts_parse(text, len, &f, NULL))
				continue;
			assert_int_equal(facts_check(&f, NULL), ERR_OK);
			facts_release(&f);
		}
		text[i] = was;
	}
	free(text);
}

static void test_deep(void **state)
{
	size_t len = 1u << 20;
	char *text = malloc(len);
	struct facts f = { 0 };

	(void)state;
	assert_non_null(text);
	memset(text, '[', len);
	assert_int_equal(facts_parse(text, len, &f, NULL), ERR_CORRUPT);
	assert_int_equal(facts_parse(text, (size_t)FACTS_TEXT_MAX + 1, &f, NULL), ERR_LIMIT);	/* before a byte of it is read */
	free(text);
}

struct seen {
	char text[1024];
};

static void see(void *ctx, const struct facts_row *r)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%s %s [%s] [%s] %s %d\n", r->kind, r->name, r->recorded, r->found,
		       r->verdict, r->agrees);
}

static bool only_tables(void *ctx, const char *kind, const char *name)
{
	(void)ctx;
	(void)name;
	return strcmp(kind, "table") == 0;
}

static void test_compare(void **state)
{
	struct facts a, b;
	struct seen s = { "" };

	(void)state;
	facts_begin(&a, "postgres", "crm");
	facts_begin(&b, "postgres", "crm");
	facts_rows(&a, "table", "same", 5, SUM_A);
	facts_rows(&b, "table", "same", 5, SUM_A);
	facts_rows(&a, "table", "fewer", 5, SUM_A);
	facts_rows(&b, "table", "fewer", 4, SUM_A);
	facts_rows(&a, "table", "changed", 5, SUM_A);
	facts_rows(&b, "table", "changed", 5, SUM_B);
	facts_rows(&a, "table", "unsummed", 5, SUM_A);
	facts_rows(&b, "table", "unsummed", 5, FACTS_NO_SUM);
	facts_rows(&a, "table", "gone", 5, SUM_A);
	facts_rows(&a, "table", "moving", 5, SUM_A);
	facts_moving(&a, "table", "moving");
	facts_rows(&b, "table", "moving", 6, SUM_B);
	facts_rows(&a, "collection", "moving", 5, FACTS_NO_SUM);
	facts_moving(&a, "collection", "moving");
	facts_rows(&b, "collection", "moving", 6, FACTS_NO_SUM);
	assert_int_equal(json_object_set_new(facts_item(&a, "collection", "moving"), "dimension", json_integer(768)), 0);
	assert_int_equal(json_object_set_new(facts_item(&b, "collection", "moving"), "dimension", json_integer(384)), 0);
	facts_rows(&b, "table", "new", 1, SUM_A);
	facts_value(&a, "sequence", "later", 9, true);
	facts_value(&b, "sequence", "later", 10, true);
	facts_value(&a, "sequence", "earlier", 10, true);
	facts_value(&b, "sequence", "earlier", 9, true);
	facts_value(&a, "sequence", "exact", 9, false);
	facts_value(&b, "sequence", "exact", 10, false);
	facts_is(&a, "index", "i", "CREATE INDEX i ON a_table_with_a_long_name (x)");
	facts_is(&b, "index", "i", "CREATE INDEX i ON a_table_with_a_long_name (y)");
	facts_is(&a, "index", "j", "CREATE INDEX j");
	facts_is(&b, "index", "j", "CREATE INDEX j");
	facts_rows(&a, "collection", "docs", 3, FACTS_NO_SUM);
	facts_rows(&b, "collection", "docs", 3, FACTS_NO_SUM);
	assert_int_equal(json_object_set_new(facts_item(&a, "collection", "docs"), "dimension", json_integer(768)), 0);
	assert_int_equal(json_object_set_new(facts_item(&b, "collection", "docs"), "dimension", json_integer(384)), 0);
	assert_int_equal(facts_compare(&a, &b, NULL, NULL, false, see, &s), 10);
	assert_string_equal(s.text,
		"table same [5] [5] equal 1\n"
		"table fewer [5] [4] differs 0\n"
		"table changed [5 (sum 0123456789ab)] [5 (sum 1123456789ab)] differs 0\n"
		"table unsummed [5] [5] not compared 0\n"
		"table gone [5] [] missing 0\n"
		"table moving [5] [6] not compared 1\n"
		"collection moving [dimension 768] [dimension 384] differs 0\n"
		"sequence later [9] [10] equal 1\n"
		"sequence earlier [10] [9] differs 0\n"
		"sequence exact [9] [10] differs 0\n"
		"index i [table_with_a_long_name (x)] [table_with_a_long_name (y)] differs 0\n"
		"index j [yes] [yes] equal 1\n"
		"collection docs [dimension 768] [dimension 384] differs 0\n"
		"table new [] [1] extra 0\n");
	assert_int_equal(facts_compare(&a, &b, only_tables, NULL, true, NULL, NULL), 4);
	facts_release(&a);
	facts_release(&b);
}

/* 10,000 tables with their indexes: found by name at once. */
static void test_many(void **state)
{
	struct facts a, b = { 0 };
	char name[32], *text;

	(void)state;
	facts_begin(&a, "mysql", "shop");
	for (unsigned i = 0; i < 40000; i++) {
		(void)snprintf(name, sizeof(name), "t%u", i);
		facts_rows(&a, "table", name, i, SUM_A);
	}
	text = text_of(&a);
	assert_int_equal(facts_parse(text, strlen(text), &b, NULL), ERR_OK);
	assert_int_equal(facts_compare(&a, &b, NULL, NULL, false, NULL, NULL), 0);
	free(text);
	facts_release(&a);
	facts_release(&b);
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_layout), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_deep), cmocka_unit_test(test_compare), cmocka_unit_test(test_many),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(more)];

	memcpy(tests, more, sizeof(more));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[ARRAY_LEN(more) + i] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL,
								  (void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
