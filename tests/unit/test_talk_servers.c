/* SPDX-License-Identifier: MIT */
/*
 * The same with real clients and servers, which tests/services/talk.bats starts: TALK_POSTGRES names a folder with a socket, TALK_MYSQL a
 * socket; skipped where they are not set.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/components/talk.h"

static char *psql_argv[] = { (char[]){ "psql" }, (char[]){ "-U" }, (char[]){ "postgres" }, (char[]){ "-h" }, NULL,
			     (char[]){ "postgres" }, NULL };
static char *mysql_argv[] = { (char[]){ "mariadb" }, (char[]){ "--no-defaults" }, (char[]){ "-u" }, (char[]){ "root" },
			      NULL, (char[]){ "mysql" }, NULL };

static struct talk *open_kind(enum talk_kind kind, const atomic_bool *cancel)
{
	static char socket[256];
	const char *where = getenv(kind == TALK_PSQL ? "TALK_POSTGRES" : "TALK_MYSQL");
	char **argv = kind == TALK_PSQL ? psql_argv : mysql_argv;
	struct spawn_options o = { .argv = argv };
	struct talk *t = NULL;
	struct err e = ERR_INIT;

	if (!where)
		skip();
	(void)snprintf(socket, sizeof(socket), "%s%s", kind == TALK_PSQL ? "" : "--socket=", where);
	argv[4] = socket;
	if (talk_open(kind, &o, cancel, &t, &e))
		fail_msg("%s", e.msg);
	return t;
}

static enum talk_kind kind_of(void **state)
{
	return *state ? TALK_MYSQL : TALK_PSQL;
}

/* Texts with all that could be taken for something else, there and back. */
static void test_values(void **state)
{
	static const char *const texts[] = {
		"", " ", "NULL", "\\N", "\\", "\\\\", "a\tb", "a\nb", "\n", "a\r\nb\n", "'", "''", "\"", "`", "<&>\"'", "&lt;",
		"</field>", "<?xml version=\"1.0\"?>", "\x1e\x1f\x01\x7f", "x\nERROR 2006 (HY000): gone\n", "\\! touch x", "; --",
		" true 1 ", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "$$", ":x :'x' :HOST"
	};
	enum talk_kind kind = kind_of(state);
	struct talk *t = open_kind(kind, NULL);
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct talk_rows r = { 0 };
		struct buf sql = BUF_INIT;

		buf_add_str(&sql, "SELECT ");
		talk_quote_text(kind, &sql, texts[i]);
		buf_add_str(&sql, ", NULL, ");
		talk_quote_text(kind, &sql, texts[i]);
		buf_add_str(&sql, " AS ");
		talk_quote_name(kind, &sql, "a <\"`b\\");
		buf_add_str(&sql, " UNION ALL SELECT NULL, ");
		talk_quote_text(kind, &sql, texts[i]);
		buf_add_str(&sql, ", NULL");
		buf_add_u8(&sql, '\0');
		if (talk_ask(t, (char *)sql.p, &r, &e))
			fail_msg("%s: %s", (char *)sql.p, e.msg);
		assert_int_equal(r.nr_rows, 2);
		assert_int_equal(r.nr_fields, 3);
		assert_string_equal(talk_field(&r, 0, 0), texts[i]);
		assert_null(talk_field(&r, 0, 1));
		assert_string_equal(talk_field(&r, 0, 2), texts[i]);
		assert_null(talk_field(&r, 1, 0));
		assert_string_equal(talk_field(&r, 1, 1), texts[i]);
		talk_rows_release(&r);
		buf_release(&sql);
	}
	talk_close(t);
}

/* One session: what was begun goes on, and an error does not end it. */
static void test_session(void **state)
{
	enum talk_kind kind = kind_of(state);
	struct talk *t = open_kind(kind, NULL);
	struct err e = ERR_INIT;
	struct talk_rows r = { 0 };
	char *value = NULL;

	assert_int_equal(talk_do(t, &e, "CREATE TEMPORARY TABLE %s (a int)", "one"), ERR_OK);
	assert_int_equal(talk_do(t, &e, "INSERT INTO one VALUES (1), (2)"), ERR_OK);
	assert_int_equal(talk_ask(t, "SELECT * FROM nothing_there", &r, &e), ERR_FAILED);
	assert_non_null(strstr(e.msg, "nothing_there"));
	assert_non_null(strstr(e.msg, kind == TALK_PSQL ? "(SQLSTATE 42P01)" : "(42S02)"));
	assert_int_equal(talk_ask(t, "SELECT FROM WHERE (", &r, &e), ERR_USAGE);
	assert_int_equal(talk_ask(t, "SELECT FROM WHERE", &r, &e), ERR_FAILED);
	assert_int_equal(talk_ask(t, "SELECT 1 WHERE 1 = 0 -- '", &r, &e), ERR_OK);
	assert_int_equal(r.nr_rows, 0);
	talk_rows_release(&r);
	assert_int_equal(talk_value(t, &value, &e, "SELECT sum(a) FROM one"), ERR_OK);
	assert_string_equal(value, "3");
	free(value);
	assert_int_equal(talk_value(t, &value, &e, "SELECT max(a) FROM one WHERE a > 5"), ERR_OK);
	assert_null(value);
	assert_int_equal(talk_do(t, &e, "BEGIN"), ERR_OK);
	assert_int_equal(talk_do(t, &e, "SELECT * FROM nothing_there"), ERR_FAILED);
	assert_int_equal(talk_do(t, &e, "ROLLBACK"), ERR_OK);
	assert_int_equal(talk_value(t, &value, &e, "SELECT 'still there'"), ERR_OK);
	assert_string_equal(value, "still there");
	free(value);
	talk_close(t);
}

static void tell_other(struct talk *t, const char *const *statements)
{
	struct err e = ERR_INIT;

	for (; *statements; statements++)
		if (talk_do(t, &e, "%s", *statements))
			fail_msg("%s: %s", *statements, e.msg);
}

/* Whatever the server sets for others: a dump may take hours. */
static void test_no_time_outs(void **state)
{
	static const char *const psql[] = {
		"ALTER ROLE postgres SET statement_timeout = '1h'", "ALTER ROLE postgres SET lock_timeout = '1h'",
		"ALTER ROLE postgres SET idle_in_transaction_session_timeout = '1h'",
		"ALTER ROLE postgres SET idle_session_timeout = '1h'", NULL
	};
	static const char *const mysql[] = { "SET GLOBAL max_statement_time = 3600", "SET GLOBAL idle_transaction_timeout = 3600",
					     "SET GLOBAL idle_write_transaction_timeout = 3600", NULL };
	static const char *const psql_back[] = { "ALTER ROLE postgres RESET ALL", NULL };
	static const char *const mysql_back[] = { "SET GLOBAL max_statement_time = 0", "SET GLOBAL idle_transaction_timeout = 0",
						  "SET GLOBAL idle_write_transaction_timeout = 0", NULL };
	enum talk_kind kind = kind_of(state);
	struct talk *other = open_kind(kind, NULL), *t;
	struct err e = ERR_INIT;
	char *left = NULL;

	tell_other(other, kind == TALK_PSQL ? psql : mysql);
	t = open_kind(kind, NULL);
	tell_other(other, kind == TALK_PSQL ? psql_back : mysql_back);
	assert_int_equal(talk_value(t, &left, &e, kind == TALK_PSQL ?
		"SELECT count(*) FROM pg_settings WHERE name ~ '^(statement|lock|idle.*session|transaction)_timeout$' AND setting <> '0'" :
		"SELECT (@@max_statement_time > 0) + @@idle_transaction_timeout + @@idle_write_transaction_timeout"), ERR_OK);
	assert_string_equal(left, "0");
	free(left);
	talk_close(t);
	talk_close(other);
}

/* A client that has something to say of itself as it starts, as MariaDB's of 11.4 has where nothing proves the server. */
static void test_remark(void **state)
{
	char *words[16] = { (char[]){ "sh" }, (char[]){ "-c" },
			    (char[]){ "echo 'WARNING: option --ssl-verify-server-cert is disabled' >&2; exec \"$@\"" }, (char[]){ "sh" } };
	struct spawn_options o = { .argv = words };
	struct talk *t = open_kind(kind_of(state), NULL);	/* which sets mysql_argv */
	struct err e = ERR_INIT;
	char *one = NULL;

	talk_close(t);
	for (size_t i = 0; mysql_argv[i]; i++)
		words[4 + i] = mysql_argv[i];
	if (talk_open(TALK_MYSQL, &o, NULL, &t, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(talk_value(t, &one, &e, "SELECT 1"), ERR_OK);
	assert_string_equal(one, "1");
	free(one);
	talk_close(t);
}

/* Tens of megabytes each way. */
static void test_much(void **state)
{
	enum talk_kind kind = kind_of(state);
	struct talk *t = open_kind(kind, NULL);
	struct talk_rows r = { 0 };
	struct err e = ERR_INIT;
	size_t len = 4 << 20;
	char *text = malloc(len + 64);

	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, "SELECT '", 8);
	memcpy(text + len, "'", 2);
	assert_int_equal(talk_ask(t, text, &r, &e), ERR_OK);
	assert_int_equal(strlen(talk_field(&r, 0, 0)), len - 8);
	talk_rows_release(&r);
	free(text);
	assert_int_equal(talk_ask(t, kind == TALK_PSQL ? "SELECT i, repeat('y', 100) FROM generate_series(1, 200000) i"
						       : "SELECT seq, repeat('y', 100) FROM mysql.seq_1_to_200000", &r, &e), ERR_OK);
	assert_int_equal(r.nr_rows, 200000);
	assert_string_equal(talk_field(&r, 199999, 0), "200000");
	assert_null(talk_field(&r, 200000, 0));
	talk_rows_release(&r);
	/* One column, a million rows: no step may look at all of the rest */
	assert_int_equal(talk_ask(t, kind == TALK_PSQL ? "SELECT i FROM generate_series(1, 1000000) i"
						       : "SELECT seq FROM mysql.seq_1_to_1000000", &r, &e), ERR_OK);
	assert_int_equal(r.nr_rows, 1000000);
	assert_string_equal(talk_field(&r, 999999, 0), "1000000");
	talk_rows_release(&r);
	talk_close(t);
}

/* The server ends the session, and says so. */
static void test_lost(void **state)
{
	enum talk_kind kind = kind_of(state);
	struct talk *t = open_kind(kind, NULL), *other = open_kind(kind, NULL);
	struct err e = ERR_INIT;
	char *id = NULL;

	assert_int_equal(talk_value(t, &id, &e, kind == TALK_PSQL ? "SELECT pg_backend_pid()" : "SELECT connection_id()"), ERR_OK);
	assert_int_equal(talk_do(other, &e, kind == TALK_PSQL ? "SELECT pg_terminate_backend(%s)" : "KILL %s", id), ERR_OK);
	free(id);
	assert_int_equal(talk_do(t, &e, "SELECT 1"), ERR_ABSENT);
	assert_non_null(strstr(e.msg, kind == TALK_PSQL ? "psql" : "mariadb: error"));
	assert_int_equal(talk_do(t, &e, "SELECT 1"), ERR_ABSENT);
	talk_close(t);
	talk_close(other);
}

static void test_cancel(void **state)
{
	enum talk_kind kind = kind_of(state);
	atomic_bool cancel = false;
	struct talk *t = open_kind(kind, &cancel);
	struct err e = ERR_INIT;

	atomic_store(&cancel, true);
	assert_int_equal(talk_do(t, &e, kind == TALK_PSQL ? "SELECT pg_sleep(1000)" : "SELECT sleep(1000)"), ERR_CANCELED);
	talk_close(t);
}

static void test_no_server(void **state)
{
	char *psql[] = { psql_argv[0], (char[]){ "-h" }, (char[]){ "/nonexistent" }, NULL };
	char *mysql[] = { mysql_argv[0], (char[]){ "--no-defaults" }, (char[]){ "--socket=/nonexistent" }, NULL };
	char *none[] = { (char[]){ "no-such-client" }, NULL };
	enum talk_kind kind = kind_of(state);
	char **argv = kind == TALK_PSQL ? psql : mysql;
	struct spawn_options o = { .argv = argv };
	struct talk *t = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(talk_open(kind, &o, NULL, &t, &e), ERR_FAILED);
	assert_non_null(strstr(e.msg, "/nonexistent"));
	o.argv = none;
	assert_int_equal(talk_open(kind, &o, NULL, &t, &e), ERR_FAILED);
	assert_non_null(strstr(e.msg, "no-such-client"));
}

int main(void)
{
	static int mysql = 1;
#define BOTH(f) { #f " psql", f, NULL, NULL, NULL }, { #f " mysql", f, NULL, NULL, &mysql }
	const struct CMUnitTest tests[] = {
		BOTH(test_values), BOTH(test_session), BOTH(test_much), BOTH(test_lost),
		BOTH(test_cancel), BOTH(test_no_server), BOTH(test_no_time_outs),
		{ "test_remark mysql", test_remark, NULL, NULL, &mysql },
	};

	return cmocka_run_group_tests_name("talk to servers", tests, NULL, NULL);
}
