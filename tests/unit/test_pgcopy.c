/* SPDX-License-Identifier: MIT */
/* pg_restore's output cut anywhere: the same tables, rows, sums, sequences and large objects; and what is none is said. */
#include <stdarg.h>
#include <setjmp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "tools/components/pgcopy.h"
#include "tools/components/pgdsn.h"
#include "tools/components/pgname.h"

struct seen {
	struct buf text;	/* a line each */
};

static enum err_code on_table(void *ctx, const char *name, const struct rowsum *rows, struct err *e)
{
	struct seen *s = ctx;
	char sum[ROWSUM_TEXT_LEN + 1];

	(void)e;
	rowsum_text(rows, sum);
	buf_printf(&s->text, "table %s %" PRIu64 " %s\n", name, rows->rows, sum);
	return ERR_OK;
}

static enum err_code on_sequence(void *ctx, const char *name, int64_t value, bool called, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	buf_printf(&s->text, "sequence %s %" PRId64 " %s\n", name, value, called ? "called" : "fresh");
	return ERR_OK;
}

/* Fed in pieces of up to max bytes (0: all at once). */
static enum err_code feed(const char *text, size_t len, size_t max, unsigned seed, struct seen *s,
			  struct rowsum *objects, struct err *e)
{
	struct pgcopy_sink sink = { on_table, on_sequence, s };
	struct pgcopy *p = NULL;
	enum err_code rc;

	assert_int_equal(pgcopy_open(&sink, &p, e), ERR_OK);
	rc = ERR_OK;
	for (size_t at = 0; !rc && at < len;) {
		size_t n = max ? 1 + (size_t)rand_r(&seed) % max : len;

		if (n > len - at)
			n = len - at;
		rc = pgcopy_feed(p, text + at, n, e);
		at += n;
	}
	if (!rc)
		rc = pgcopy_finish(p, objects, e);
	pgcopy_close(p);
	return rc;
}

static const char dump[] =
	"--\n-- PostgreSQL database dump\n--\n\n\\restrict aB3;'\"x\n\n"
	"SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n"
	"--\n-- Data for Name: it's \"; Type: TABLE DATA; Schema: public; Owner: -\n--\n\n"
	"COPY public.orders (id, note) FROM stdin;\n"
	"1\tone\n2\ttab\\tnew\\nline\n3\t\\N\n4\t\\\\.\n5\tCOPY public.x (a) FROM stdin;\n\\.\n\n\n"
	"COPY public.empty (id) FROM stdin;\n\\.\n\n"
	"COPY public.no_columns  FROM stdin;\n\n\n\\.\n\n"
	"COPY \"Odd schema\".\"a \"\"quoted\"\"; -- 'name'\nof two lines\" (\"x;y\", \"z)\") FROM stdin;\nr\n\\.\n"
	"SELECT pg_catalog.setval('public.orders_id_seq', 5, true);\n"
	"SELECT pg_catalog.setval('\"Odd schema\".\"it''s\"', -7, false);\n"
	"SELECT pg_catalog.setval(E'public.\"back\\\\slash\"', 9223372036854775807, true);\n"
	"BEGIN;\n\nSELECT pg_catalog.lo_open('16457', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00ff0a');\n"
	"SELECT pg_catalog.lowrite(0, '\\\\x41');\nSELECT pg_catalog.lo_close(0);\n\n"
	"SELECT pg_catalog.lo_open('16458', 131072);\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n"
	"REFRESH MATERIALIZED VIEW public.m;\n"
	"\\unrestrict aB3\n--\n-- PostgreSQL database dump complete\n--\n";

static void sum_line(struct buf *out, const char *name, const char *const *rows, size_t nr)
{
	struct rowsum s = { 0 };
	char sum[ROWSUM_TEXT_LEN + 1];

	for (size_t i = 0; i < nr; i++)
		rowsum_add(&s, rows[i], strlen(rows[i]));
	rowsum_text(&s, sum);
	buf_printf(out, "table %s %zu %s\n", name, nr, sum);
}

static void wanted(struct buf *out)
{
	static const char *const orders[] = { "1\tone", "2\ttab\\tnew\\nline", "3\t\\N", "4\t\\\\.",
					      "5\tCOPY public.x (a) FROM stdin;" };
	static const char *const blank[] = { "", "" }, *const r[] = { "r" };

	sum_line(out, "public.orders", orders, ARRAY_LEN(orders));
	sum_line(out, "public.empty", NULL, 0);
	sum_line(out, "public.no_columns", blank, 2);
	sum_line(out, "\"Odd schema\".\"a \"\"quoted\"\"; -- 'name'\nof two lines\"", r, 1);
	buf_add_str(out, "sequence public.orders_id_seq 5 called\nsequence \"Odd schema\".\"it's\" -7 fresh\n"
		    "sequence public.\"back\\slash\" 9223372036854775807 called\n");
	buf_add_u8(out, '\0');
}

static void test_cut_anywhere(void **state)
{
	struct rowsum whole = { 0 };
	struct buf want = BUF_INIT;

	(void)state;
	wanted(&want);
	for (unsigned round = 0; round < 400; round++) {
		struct seen s = { BUF_INIT };
		struct rowsum objects = { 0 };
		struct err e = ERR_INIT;

		assert_int_equal(feed(dump, sizeof(dump) - 1, round % 20, round, &s, &objects, &e), ERR_OK);
		buf_add_u8(&s.text, '\0');
		assert_string_equal((char *)s.text.p, (char *)want.p);
		if (round == 0)
			whole = objects;
		assert_int_equal(objects.rows, 2);
		assert_memory_equal(&objects, &whole, sizeof(whole));
		buf_release(&s.text);
	}
	buf_release(&want);
}

/* At every length it either ends between statements, or is said to be cut; never inside a table. */
static void test_cut_short(void **state)
{
	size_t whole = 0;

	(void)state;
	for (size_t len = 0; len < sizeof(dump) - 1; len++) {
		struct seen s = { BUF_INIT };
		struct rowsum objects = { 0 };
		struct err e = ERR_INIT;
		enum err_code rc = feed(dump, len, 0, 0, &s, &objects, &e);

		assert_true(rc == ERR_OK || rc == ERR_CORRUPT);
		whole += rc == ERR_OK;
		buf_release(&s.text);
	}
	assert_true(whole < 200);
}

/* Of more than is held: the same in one piece and in many, and its own content. */
static void test_long_row(void **state)
{
	static const char head[] = "COPY public.t (a) FROM stdin;\n", tail[] = "\nshort\n\\.\n";
	struct buf text = BUF_INIT;
	struct rowsum objects, by_hand = { 0 };
	char *row = malloc(3u << 20), sum[ROWSUM_TEXT_LEN + 1], want[128];
	struct object_id id;

	(void)state;
	memset(row, 'x', 3u << 20);
	for (size_t extra = 0; extra < 3; extra++) {
		size_t len = extra == 2 ? 3u << 20 : PGCOPY_ROW_HELD + extra;

		buf_reset(&text);
		buf_add(&text, head, sizeof(head) - 1);
		buf_add(&text, row, len);
		buf_add(&text, tail, sizeof(tail) - 1);
		by_hand = (struct rowsum){ 0 };
		digest_sha256(row, len, &id);
		if (extra)
			rowsum_add(&by_hand, &id, sizeof(id));
		else
			rowsum_add(&by_hand, row, len);
		rowsum_add(&by_hand, "short", 5);
		rowsum_text(&by_hand, sum);
		(void)snprintf(want, sizeof(want), "table public.t 2 %s\n", sum);
		for (unsigned round = 0; round < 4; round++) {
			struct seen s = { BUF_INIT };
			struct err e = ERR_INIT;

			assert_int_equal(feed((char *)text.p, text.len, round * 70000, round, &s, &objects, &e), ERR_OK);
			buf_add_u8(&s.text, '\0');
			assert_string_equal((char *)s.text.p, want);
			buf_release(&s.text);
		}
	}
	buf_release(&text);
	free(row);
}

static void test_strange(void **state)
{
	static const char *const bad[] = {
		"COPY public.t (a) FROM '/etc/passwd';\n",
		"COPY (a) FROM stdin;\n\\.\n",
		"SELECT pg_catalog.setval('public.s', 12x, true);\n",
		"SELECT pg_catalog.setval('public.s', 99999999999999999999, true);\n",
		"SELECT pg_catalog.lowrite(0, '\\x00');\n",
		"SELECT pg_catalog.lo_open('1', 2);SELECT pg_catalog.lowrite(0, '\\x0');\n",
		"SELECT pg_catalog.lo_open('1', 2);SELECT pg_catalog.lowrite(0, '\\xzz');\n",
		"SELECT pg_catalog.lo_close(0);\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct seen s = { BUF_INIT };
		struct rowsum objects = { 0 };
		struct err e = ERR_INIT;

		assert_int_equal(feed(bad[i], strlen(bad[i]), 0, 0, &s, &objects, &e), ERR_CORRUPT);
		buf_release(&s.text);
	}
}

static void test_names(void **state)
{
	static const char *const names[] = { "plain", "_x1", "1x", "Caps", "", "a b", "q\"q", "\xc3\xa4", "x$" };
	static const char *const want[] = { "plain", "_x1", "\"1x\"", "\"Caps\"", "\"\"", "\"a b\"", "\"q\"\"q\"", "\"\xc3\xa4\"",
					    "\"x$\"" };
	struct buf b = BUF_INIT, back = BUF_INIT, schema = BUF_INIT;
	char out[PGNAME_MAX + 1];
	const char *p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		buf_reset(&b);
		buf_reset(&back);
		pgname_add(&b, names[i]);
		buf_add_u8(&b, '\0');
		assert_string_equal((char *)b.p, want[i]);
		p = (char *)b.p;
		assert_true(pgname_read(&p, &back));
		assert_true(*p == '\0');
		buf_add_u8(&back, '\0');
		assert_string_equal((char *)back.p, names[i]);
	}
	assert_true(pgname_split("\"a.b\".c", &schema, &b));
	assert_string_equal((char *)schema.p, "a.b");
	assert_string_equal((char *)b.p, "c");
	assert_true(pgname_split("Orders", &schema, &b));
	assert_string_equal((char *)schema.p, "");
	assert_false(pgname_split("a.b.c", &schema, &b));
	assert_false(pgname_split("\"a", &schema, &b));
	assert_false(pgname_split("", &schema, &b));
	/* 62 bytes, and a character of two that would be cut */
	assert_true(pgname_suffixed("0123456789012345678901234567890123456789012345678901234567890\xc3\xa4", "_b", out));
	assert_string_equal(out, "0123456789012345678901234567890123456789012345678901234567890_b");
	assert_true(pgname_suffixed("012345678901234567890123456789012345678901234567890123456789\xc3\xa4", "_b", out));
	assert_string_equal(out, "012345678901234567890123456789012345678901234567890123456789_b");
	assert_true(pgname_suffixed("crm", "_b", out));
	assert_string_equal(out, "crm_b");
	buf_release(&b);
	buf_release(&back);
	buf_release(&schema);
}

static const struct dsn_row {
	const char *text, *written;	/* written NULL: refused */
} dsns[] = {
	{ "host=/run/postgresql dbname=crm", "host='/run/postgresql' dbname='crm'" },
	{ "  host = 'a b'  dbname='it\\'s' port=1\t", "host='a b' dbname='it\\'s' port='1'" },
	{ "user=a\\ b", "user='a b'" },
	{ "options='-c x=\\\\y'", "options='-c x=\\\\y'" },
	{ "a=1 a=2", "a='2'" },
	{ "host=''", "host=''" },
	{ "", "" },
	{ "dbname", NULL },
	{ "=x", NULL },
	{ "host='x", NULL },
	{ "postgresql://u:secret@h/db", NULL },
	{ "dbname=x password=secret", NULL },
	{ "dbname=x sslpassword = 'secret'", NULL },
};

static void test_dsn(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dsns); i++) {
		struct pgdsn d = { 0 };
		struct err e = ERR_INIT;
		struct buf b = BUF_INIT;

		assert_int_equal(pgdsn_read(dsns[i].text, &d, &e), dsns[i].written ? ERR_OK : ERR_USAGE);
		assert_null(strstr(e.msg, "secret"));
		if (!dsns[i].written)
			continue;
		pgdsn_write(&d, &b);
		buf_add_u8(&b, '\0');
		assert_string_equal((char *)b.p, dsns[i].written);
		buf_release(&b);
		pgdsn_release(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_cut_short), cmocka_unit_test(test_long_row),
		cmocka_unit_test(test_strange),	     cmocka_unit_test(test_names),     cmocka_unit_test(test_dsn),
	};

	return cmocka_run_group_tests_name("pgcopy", tests, NULL, NULL);
}
