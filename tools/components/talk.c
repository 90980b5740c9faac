/* SPDX-License-Identifier: MIT */
#include "tools/components/talk.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tools/components/talk_internal.h"
#include "tools/text.h"

#define READ_SIZE 65536u
#define GOODBYE_MS 2000		/* for the client to end by itself; then it is ended */

struct talk {
	enum talk_kind kind;
	struct spawn *program;
	const atomic_bool *cancel;
	char *name;
	char token[TALK_TOKEN_LEN + 1];
	struct buf in;
	bool answered;		/* once at least */
	bool lost;
};

static enum err_code make_token(struct talk *t, struct err *e)
{
	uint8_t random[TALK_TOKEN_LEN / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(e, "random bytes");
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(t->token + 2 * i, 3, "%02x", random[i]);
	return ERR_OK;
}

/*
 * The words of the client.  psql's options come first, as a name of a database may follow; mysql's last, as
 * --defaults-file must come first.  mysql's standard error goes into its standard output, which alone tells what a
 * message belongs to: two pipes have no common order, and a container makes two of them.
 */
static enum err_code start_client(struct talk *t, const struct spawn_options *o, struct err *e)
{
	char null[TALK_TOKEN_LEN + 8], record[TALK_TOKEN_LEN + 16];
	const char *const psql[] = { "-X", "-A", "-t", "-q", "-z", "-w", "-v", "ON_ERROR_STOP=0",
				     "-v", "VERBOSITY=default", "-P", "pager=off", "-P", null,
				     "-P", record, NULL };
	const char *const mysql[] = { "--batch", "--xml", "--force", "--unbuffered", "--binary-mode",
				      "--skip-reconnect", "--skip-auto-rehash",
				      "--default-character-set=utf8mb4", NULL };
	const char *const shell[] = { "sh", "-c", "exec \"$@\" 2>&1", "sh", NULL };
	const char *argv[128];
	size_t n = 0, from = 0;
	struct spawn_options with = *o;

	(void)snprintf(null, sizeof(null), "null=%sN", t->token);
	(void)snprintf(record, sizeof(record), "recordsep=%sR", t->token);
	for (size_t i = 0; t->kind == TALK_MYSQL && shell[i]; i++)
		argv[n++] = shell[i];
	argv[n++] = t->name;		/* which outlives the spawn, as that wants it */
	from++;
	for (size_t i = 0; t->kind == TALK_PSQL && psql[i]; i++)
		argv[n++] = psql[i];
	while (o->argv[from] && n < 100)
		argv[n++] = o->argv[from++];
	if (o->argv[from])
		return err_set(e, ERR_LIMIT, "over %zu words in the command of %s", from, t->name);
	for (size_t i = 0; t->kind == TALK_MYSQL && mysql[i]; i++)
		argv[n++] = mysql[i];
	argv[n] = NULL;
	with.argv = (char *const *)(uintptr_t)argv;
	with.in = SPAWN_STDIN_PIPE;
	with.out_none = false;
	with.keep_err = false;
	return spawn_start(&with, &t->program, e);
}

/*
 * The session as this file's readers and talk_quote_*() want it, and without time-outs: a dump may take hours.  Which of
 * them there are depends on the version: PostgreSQL is asked; each of MariaDB and MySQL passes over what a comment has
 * for the other.
 */
static enum err_code set_session(struct talk *t, struct err *e)
{
	static const char *const psql[] = {
		"SET client_encoding = 'UTF8'", "SET standard_conforming_strings = on",
		"SET DateStyle = 'ISO, YMD'", "SET TimeZone = 'UTC'", "SET bytea_output = 'hex'",
		"SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', "
		"'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')", NULL
	};
	static const char *const mysql[] = {
		"SET NAMES utf8mb4, time_zone = '+00:00', "
		"sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', wait_timeout = 31536000"
		"/*M!100101 , max_statement_time = 0 */"
		"/*M!100300 , idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, "
		"idle_write_transaction_timeout = 0 */"
		"/*!50708 , max_execution_time = 0 */", NULL
	};
	const char *const *all = t->kind == TALK_PSQL ? psql : mysql;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; all[i] && !rc; i++)
		rc = talk_do(t, e, "%s", all[i]);
	return rc;
}

enum err_code talk_open(enum talk_kind kind, const struct spawn_options *o,
			const atomic_bool *cancel, struct talk **out, struct err *e)
{
	struct talk *t = calloc(1, sizeof(*t));
	enum err_code rc;

	if (!t)
		return err_set(e, ERR_NOMEM, "talk to %s", o->argv[0]);
	t->kind = kind;
	t->cancel = cancel;
	t->name = strdup(o->argv[0]);
	rc = t->name ? make_token(t, e) : err_set(e, ERR_NOMEM, "talk to %s", o->argv[0]);
	if (!rc)
		rc = start_client(t, o, e);
	if (!rc)
		rc = set_session(t, e);
	if (rc) {
		talk_close(t);
		if (rc != ERR_ABSENT)
			return rc;
		if (e)
			e->code = ERR_FAILED;
		return ERR_FAILED;
	}
	*out = t;
	return ERR_OK;
}

void talk_close(struct talk *t)
{
	atomic_bool now = true;

	if (!t)
		return;
	if (t->program && !t->lost) {
		spawn_close_stdin(t->program);
		for (int ms = 0; ms < GOODBYE_MS; ms += 10) {
			if (spawn_end(t->program, &now, NULL) != ERR_CANCELED)
				break;
			(void)poll(NULL, 0, 10);
		}
	}
	spawn_close(t->program);
	buf_release(&t->in);
	free(t->name);
	free(t);
}

/* It has ended, or lost its server: with what it said. */
static enum err_code lost(struct talk *t, struct err *e)
{
	struct buf text = BUF_INIT;
	struct err why = ERR_INIT;
	const char *said = "";

	t->lost = true;
	if (t->kind == TALK_MYSQL)
		said = talk_mysql_error(&t->in, &text);
	if (*said) {
		err_set(e, ERR_ABSENT, "%s: error %s", t->name, said);
	} else if (spawn_end(t->program, t->cancel, &why) == ERR_OK) {
		err_set(e, ERR_ABSENT, "%s ended: %.300s", t->name, spawn_err(t->program));
	} else {
		err_set(e, ERR_ABSENT, "%s", why.msg);
	}
	buf_release(&text);
	return ERR_ABSENT;
}

static enum err_code send_statement(struct talk *t, const char *sql, struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc;

	buf_add_str(&b, sql);
	if (t->kind == TALK_PSQL)
		buf_printf(&b, "\n;\n\\echo %sE :ERROR :ROW_COUNT :SQLSTATE %sM :LAST_ERROR_MESSAGE %sZ\n",
			   t->token, t->token, t->token);
	else
		buf_printf(&b, "\n;\nSELECT '%s';\n", t->token);
	if (b.bad)
		rc = err_set(e, ERR_NOMEM, "statement");
	else
		rc = spawn_write(t->program, t->cancel, b.p, b.len, e);
	buf_release(&b);
	return rc;
}

/* All of one answer into t->in. */
static enum err_code receive(struct talk *t, struct err *e)
{
	enum talk_whole whole = TALK_MORE;
	enum err_code rc;
	uint8_t *room;
	size_t n;

	while (whole == TALK_MORE) {
		room = buf_room(&t->in, READ_SIZE);
		if (!room)
			return err_set(e, ERR_NOMEM, "answer");
		rc = spawn_read(t->program, t->cancel, room, READ_SIZE, &n, e);
		if (rc)
			return rc;
		if (n == 0)
			return lost(t, e);
		t->in.len += n;
		if (t->in.len > TALK_ANSWER_MAX)
			return err_set(e, ERR_LIMIT, "an answer of over %u MiB", TALK_ANSWER_MAX >> 20);
		whole = t->kind == TALK_PSQL ? talk_psql_whole(&t->in, t->token)
					     : talk_mysql_whole(&t->in, t->token);
	}
	return whole == TALK_LOST ? lost(t, e) : ERR_OK;
}

enum err_code talk_ask(struct talk *t, const char *sql, struct talk_rows *out, struct err *e)
{
	struct talk_rows rows = { 0 };
	enum err_code rc;

	if (t->lost)
		return err_set(e, ERR_ABSENT, "the session of %s is lost", t->name);
	rc = talk_sql_check(t->kind, sql, e);
	if (rc)
		return rc;
	buf_reset(&t->in);
	rc = send_statement(t, sql, e);
	if (rc == ERR_FAILED)		/* it reads no more: it may have said why on its output */
		rc = receive(t, e);
	else if (!rc)
		rc = receive(t, e);
	if (rc) {
		t->lost = true;
		return rc;
	}
	if (t->kind == TALK_MYSQL && !t->answered)
		talk_mysql_skip_remarks(&t->in);
	t->answered = true;
	rc = t->kind == TALK_PSQL ? talk_psql_take(&t->in, t->token, &rows, e) : talk_mysql_take(&t->in, t->token, &rows, e);
	t->lost = rc && rc != ERR_FAILED;
	if (rc)
		talk_rows_release(&rows);
	else
		*out = rows;
	return rc;
}

PRINTF_LIKE(4, 0)
static enum err_code ask_formatted(struct talk *t, struct talk_rows *out, struct err *e,
				   const char *fmt, va_list ap)
{
	enum err_code rc;
	char *sql = NULL;

	if (vasprintf(&sql, fmt, ap) < 0)
		return err_set(e, ERR_NOMEM, "statement");
	rc = talk_ask(t, sql, out, e);
	free(sql);
	return rc;
}

enum err_code talk_do(struct talk *t, struct err *e, const char *fmt, ...)
{
	struct talk_rows rows = { 0 };
	enum err_code rc;
	va_list ap;

	va_start(ap, fmt);
	rc = ask_formatted(t, &rows, e, fmt, ap);
	va_end(ap);
	talk_rows_release(&rows);
	return rc;
}

enum err_code talk_value(struct talk *t, char **out, struct err *e, const char *fmt, ...)
{
	struct talk_rows rows = { 0 };
	const char *value;
	enum err_code rc;
	va_list ap;

	va_start(ap, fmt);
	rc = ask_formatted(t, &rows, e, fmt, ap);
	va_end(ap);
	if (!rc) {
		value = talk_field(&rows, 0, 0);
		*out = value ? strdup(value) : NULL;
		if (value && !*out)
			rc = err_set(e, ERR_NOMEM, "answer");
	}
	talk_rows_release(&rows);
	return rc;
}

enum err_code talk_add_field(struct talk_rows *r, size_t *nr, size_t *cap, char *at, struct err *e)
{
	if (*nr == *cap) {
		size_t want = *cap ? *cap * 2 : 64;
		char **more = want <= SIZE_MAX / sizeof(*more)
				      ? realloc(r->fields, want * sizeof(*more)) : NULL;

		if (!more)
			return err_set(e, ERR_NOMEM, "answer");
		r->fields = more;
		*cap = want;
	}
	r->fields[(*nr)++] = at;
	return ERR_OK;
}

void talk_rows_release(struct talk_rows *r)
{
	free(r->fields);
	free(r->text);
	*r = (struct talk_rows){ 0 };
}

const char *talk_field(const struct talk_rows *r, size_t row, size_t field)
{
	if (row >= r->nr_rows || field >= r->nr_fields)
		return NULL;
	return r->fields[row * r->nr_fields + field];
}

void talk_rows_lines(struct buf *out, const struct talk_rows *r)
{
	for (size_t i = 0; i < r->nr_rows; i++) {
		for (size_t k = 0; k < r->nr_fields; k++) {
			const char *text = talk_field(r, i, k);

			if (k > 0)
				buf_add_u8(out, '\t');
			if (text)
				text_copy_field(out, text, strlen(text));
			else
				buf_add_str(out, "\\N");
		}
		buf_add_u8(out, '\n');
	}
}
