/* SPDX-License-Identifier: MIT */
/* What clients answer, as real ones wrote it, and what must not be sent to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/components/talk_internal.h"

#define T "0123456789abcdef0123456789abcdef"
#define OK_LINE(n) T "E false " n " 00000 " T "M  " T "Z\n"

static struct buf filled(const char *text, size_t len)
{
	struct buf b = BUF_INIT;

	buf_add(&b, text, len);
	assert_false(b.bad);
	return b;
}

static const struct psql_row {
	const char *name, *text;
	size_t len;
	enum err_code want;
	size_t nr_rows, nr_fields;
	const char *expect;	/* fields with |, rows with /, NULL as ~; or the message */
} psql_rows[] = {
#define ROW(name, text, ...) { name, text, sizeof(text) - 1, __VA_ARGS__ }
	ROW("psql: none", OK_LINE("0"), ERR_OK, 0, 0, ""),
	ROW("psql: one empty text", "\n" OK_LINE("1"), ERR_OK, 1, 1, ""),
	ROW("psql: a NULL", T "N\n" OK_LINE("1"), ERR_OK, 1, 1, "~"),
	ROW("psql: two rows", "1\0" T "N\0" "a\tb\\c\nd" T "R" "2\0\0" "\n\n" OK_LINE("2"), ERR_OK, 2, 3,
	    "1|~|a\tb\\c\nd/2||\n"),
	ROW("psql: text like the end", " false 1" T "R" " true 2\n" OK_LINE("2"), ERR_OK, 2, 1,
	    " false 1/ true 2"),
	ROW("psql: SHOW counts no rows", "on\n" OK_LINE("0"), ERR_OK, 1, 1, "on"),
	ROW("psql: an error", T "E true 0 42P01 " T "M relation \"x\" does\nnot exist " T "Z\n", ERR_FAILED, 0, 0,
	    "relation \"x\" does not exist (SQLSTATE 42P01)"),
	ROW("psql: fewer rows than it said", "1\n" OK_LINE("2"), ERR_CORRUPT, 0, 0, "1 rows came of 2"),
	ROW("psql: rows of two widths", "1\0" "2" T "R" "1\n" OK_LINE("2"), ERR_CORRUPT, 0, 0, "rows of 2 and"),
	ROW("psql: an old one", T "E :ERROR :ROW_COUNT :SQLSTATE " T "M :LAST_ERROR_MESSAGE " T "Z\n", ERR_CORRUPT, 0, 0,
	    "version 11"),
	ROW("psql: no end", "1\n", ERR_CORRUPT, 0, 0, "no answer"),
};

#define XML "<?xml version=\"1.0\"?>\n\n"
#define HEAD(sql) XML "<resultset statement=\"" sql "\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">"
#define TOKEN_ROW HEAD("SELECT '" T "'") "\n  <row>\n\t<field name=\"" T "\">" T "</field>\n  </row>\n</resultset>\n"
#define ERROR_TEXT "--------------\nSELECT * FROM x\n--------------\n\nERROR 1146 (42S02) at line 5: Table 'x' doesn't exist\n"

static const struct psql_row mysql_rows[] = {
	ROW("mysql: no result", TOKEN_ROW, ERR_OK, 0, 0, ""),
	ROW("mysql: none", HEAD("SELECT 1") "</resultset>\n" TOKEN_ROW, ERR_OK, 0, 0, ""),
	ROW("mysql: two rows", HEAD("SELECT a &gt; \n b")
	    "\n  <row>\n\t<field name=\"a&quot;\">1</field>\n\t<field name=\"b\" xsi:nil=\"true\" />\n  </row>\n"
	    "\n  <row>\n\t<field name=\"a\">NULL</field>\n\t<field name=\"b\">a\tb\\c&lt;&amp;amp;&gt;&quot;\n</field>\n  </row>\n</resultset>\n"
	    TOKEN_ROW, ERR_OK, 2, 2, "1|~/NULL|a\tb\\c<&amp;>\"\n"),
	ROW("mysql: text like an error", HEAD("SELECT 1")
	    "\n  <row>\n\t<field name=\"a\">x\nERROR 2006 (HY000): Server has gone away\n</field>\n  </row>\n</resultset>\n"
	    TOKEN_ROW, ERR_OK, 1, 1, "x\nERROR 2006 (HY000): Server has gone away\n"),
	ROW("mysql: an error", ERROR_TEXT TOKEN_ROW, ERR_FAILED, 0, 0, "error 1146 (42S02): Table 'x' doesn't exist"),
	ROW("mysql: rows, then an error", HEAD("SELECT 1") "\n  <row>\n\t<field name=\"a\">1</field>\n  </row>\n</resultset>\n" ERROR_TEXT
	    TOKEN_ROW, ERR_FAILED, 0, 0, "error 1146 (42S02): Table 'x' doesn't exist"),
	ROW("mysql: a field not closed", HEAD("SELECT 1") "\n  <row>\n\t<field name=\"a\">1\n  </row>\n</resultset>\n" TOKEN_ROW,
	    ERR_CORRUPT, 0, 0, "a field in the client's answer"),
	ROW("mysql: no row", HEAD("SELECT 1") "\n  <rows>\n</resultset>\n" TOKEN_ROW, ERR_CORRUPT, 0, 0, "end of the client's"),
	ROW("mysql: something else", "hello\n" TOKEN_ROW, ERR_CORRUPT, 0, 0, "no answer of the client: hello"),
	ROW("mysql: no end", HEAD("SELECT 1") "</resultset>\n", ERR_CORRUPT, 0, 0, "no answer"),
};

static void join(const struct talk_rows *r, struct buf *out)
{
	for (size_t i = 0; i < r->nr_rows; i++)
		for (size_t k = 0; k < r->nr_fields; k++) {
			const char *f = talk_field(r, i, k);

			if (i + k > 0)
				buf_add_u8(out, k ? '|' : '/');
			buf_add_str(out, f ? f : "~");
		}
	buf_add_u8(out, '\0');
}

static void take_row(const struct psql_row *t, enum talk_kind kind)
{
	struct buf b = filled(t->text, t->len), joined = BUF_INIT;
	struct talk_rows a = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc = kind == TALK_PSQL ? talk_psql_take(&b, T, &a, &e) : talk_mysql_take(&b, T, &a, &e);

	assert_int_equal(rc, t->want);
	if (rc) {
		if (!strstr(e.msg, t->expect))
			fail_msg("%s", e.msg);
	} else {
		assert_int_equal(a.nr_rows, t->nr_rows);
		assert_int_equal(a.nr_fields, t->nr_fields);
		join(&a, &joined);
		assert_string_equal((char *)joined.p, t->expect);
	}
	talk_rows_release(&a);
	buf_release(&joined);
	buf_release(&b);
}

static void test_psql_row(void **state)
{
	take_row(*state, TALK_PSQL);
}

static void test_mysql_row(void **state)
{
	take_row(*state, TALK_MYSQL);
}

/* At no length but the whole one is it whole; and whatever is cut, nothing is read past the end. */
static void test_cut(void **state)
{
	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(psql_rows) + ARRAY_LEN(mysql_rows); r++) {
		bool psql = r < ARRAY_LEN(psql_rows);
		const struct psql_row *t = psql ? &psql_rows[r] : &mysql_rows[r - ARRAY_LEN(psql_rows)];

		for (size_t len = 0; len < t->len; len++) {
			struct buf b = filled(t->text, len);
			struct talk_rows a = { 0 };

			if (psql) {
				assert_int_equal(talk_psql_whole(&b, T), TALK_MORE);
				assert_int_equal(talk_psql_take(&b, T, &a, NULL), ERR_CORRUPT);
			} else {
				assert_int_equal(talk_mysql_whole(&b, T), TALK_MORE);
				assert_int_equal(talk_mysql_take(&b, T, &a, NULL), ERR_CORRUPT);
			}
			talk_rows_release(&a);
			buf_release(&b);
		}
	}
}

static void test_lost(void **state)
{
	static const char killed[] =
		"--------------\nkill connection_id()\n--------------\n\nERROR 1927 (70100) at line 1: Connection was killed\n"
		"--------------\nSELECT '" T "'\n--------------\n\nERROR 2006 (HY000) at line 2: Server has gone away\n";
	static const char cannot[] = "ERROR 2002 (HY000): Can't connect to local server through socket '/nope' (2)\n";
	static const char shell[] = "sh: 1: exec: mariadb: not found\n";
	struct buf b = filled(killed, sizeof(killed) - 1), text = BUF_INIT;

	(void)state;
	assert_int_equal(talk_mysql_whole(&b, T), TALK_LOST);
	assert_string_equal(talk_mysql_error(&b, &text), "1927 (70100): Connection was killed");
	b.len--;
	assert_int_equal(talk_mysql_whole(&b, T), TALK_MORE);
	buf_release(&b);
	b = filled(cannot, sizeof(cannot) - 1);
	assert_int_equal(talk_mysql_whole(&b, T), TALK_LOST);
	assert_string_equal(talk_mysql_error(&b, &text),
			    "2002 (HY000): Can't connect to local server through socket '/nope' (2)");
	buf_release(&b);
	b = filled(shell, sizeof(shell) - 1);
	assert_int_equal(talk_mysql_whole(&b, T), TALK_MORE);
	assert_string_equal(talk_mysql_error(&b, &text), "sh: 1: exec: mariadb: not found");
	buf_release(&b);
	buf_release(&text);
}

/* What a client says of itself before all is no answer; an error is. */
static void test_remarks(void **state)
{
	static const char *const answers[] = { TOKEN_ROW, ERROR_TEXT TOKEN_ROW, "ERROR at line 1: Unknown command\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct buf b = BUF_INIT;

		buf_printf(&b, "WARNING: option --ssl-verify-server-cert is disabled\n\nmysql: Deprecated program name\n%s", answers[i]);
		talk_mysql_skip_remarks(&b);
		assert_int_equal(b.len, strlen(answers[i]));
		assert_memory_equal(b.p, answers[i], b.len);
		buf_release(&b);
	}
}

static const struct sql_row {
	const char *sql;
	bool psql, mysql;
} sqls[] = {
	{ "SELECT 1", true, true },
	{ "SELECT ';', \"a;\\\" -- x;\n", true, false },	/* mysql: the quote is escaped */
	{ "SELECT 1; DROP TABLE x", false, false },
	{ "SELECT 'it''s'", true, true },
	{ "SELECT 'open", false, false },
	{ "SELECT 'a\\'", true, false },
	{ "SELECT 'a\\''", false, true },
	{ "SELECT E'a\\''", true, true },
	{ "SELECT E'a\\'", false, false },
	{ "SELECT namee'a\\'", true, false },
	{ "SELECT $$ ' ; $$", true, false },
	{ "SELECT $a$ ' $$ ; $a$", true, false },
	{ "SELECT $a$ ' $$ ;", false, false },
	{ "SELECT a$1, $1", true, true },
	{ "SELECT `a'b`", false, true },
	{ "SELECT 1 -- it's", true, true },
	{ "SELECT 1 --'", true, false },
	{ "SELECT 1 # it's", false, true },
	{ "SELECT 1 /* it's */", true, true },
	{ "SELECT 1 /* /* */", false, true },
	{ "SELECT 1 /*", false, false },
	{ "SELECT (1", false, false },
	{ "SELECT ')'", true, true },
	{ "SELECT 1 \\! touch x", false, false },
	{ "copy x from stdin", false, true },
	{ "DELIMITER //", true, false },
	{ " system ls", true, false },
	{ "-- a comment\n system ls", true, false },
	{ "/* a comment */ -- and one\ncopy x from stdin", false, true },
	{ "/* no whole comment", false, false },
	{ "TABLE x", true, true },
};

static void test_sql(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sqls); i++) {
		struct err e = ERR_INIT;

		if ((talk_sql_check(TALK_PSQL, sqls[i].sql, &e) == ERR_OK) != sqls[i].psql)
			fail_msg("psql: %s: %s", sqls[i].sql, e.msg);
		if ((talk_sql_check(TALK_MYSQL, sqls[i].sql, &e) == ERR_OK) != sqls[i].mysql)
			fail_msg("mysql: %s: %s", sqls[i].sql, e.msg);
	}
}

static void test_quote(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	talk_quote_name(TALK_PSQL, &b, "a\"`b");
	talk_quote_name(TALK_MYSQL, &b, "a\"`b");
	talk_quote_text(TALK_PSQL, &b, "it's \\");
	talk_quote_text(TALK_MYSQL, &b, "it's \\");
	buf_add_u8(&b, '\0');
	assert_string_equal((char *)b.p, "\"a\"\"`b\"" "`a\"``b`" "'it''s \\'" "'it''s \\\\'");
	buf_release(&b);
}

static void test_lines(void **state)
{
	char a[] = "a\tb\n", b[] = "\\N", empty[] = "";
	char *fields[] = { a, NULL, b, empty };
	const struct talk_rows r = { .nr_rows = 2, .nr_fields = 2, .fields = fields };
	struct buf out = BUF_INIT;

	(void)state;
	talk_rows_lines(&out, &r);
	buf_add_u8(&out, '\0');
	assert_string_equal((char *)out.p, "a\\tb\\n\t\\N\n\\\\N\t\n");
	buf_release(&out);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(psql_rows) + ARRAY_LEN(mysql_rows) + 6];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(psql_rows); i++)
		tests[n++] = (struct CMUnitTest){ psql_rows[i].name, test_psql_row, NULL, NULL,
						  (void *)(uintptr_t)&psql_rows[i] };
	for (size_t i = 0; i < ARRAY_LEN(mysql_rows); i++)
		tests[n++] = (struct CMUnitTest){ mysql_rows[i].name, test_mysql_row, NULL, NULL,
						  (void *)(uintptr_t)&mysql_rows[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_cut);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_lost);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_remarks);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_sql);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_quote);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_lines);
	return cmocka_run_group_tests_name("talk", tests, NULL, NULL);
}
