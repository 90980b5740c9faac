/* SPDX-License-Identifier: MIT */
/* Definitions, as the dump's statements have them, into facts. */
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/mysql.h"

/* What is left of a CREATE TABLE when its keys are taken out, and the number that grows with each row. */
#define AUTO_INCREMENT " AUTO_INCREMENT="

static void set_member(struct facts *f, const char *kind, const char *name, const char *key, const char *value)
{
	json_t *item = facts_item(f, kind, name);

	if (item && value && *value && json_object_set_new(item, key, json_string(value)))
		f->bad = true;
}

/* facts_is() of texts that are not terminated. */
static void define(struct facts *f, const char *kind, const char *name, const char *of, const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (copy)
		facts_is(f, kind, name, copy);
	else
		f->bad = true;
	set_member(f, kind, name, "of", of);
	free(copy);
}

static const char *key_kind(const char *line, size_t len)
{
	static const char *const keys[] = {"PRIMARY KEY ",   "UNIQUE KEY `",  "KEY `",
					   "FULLTEXT KEY `", "SPATIAL KEY `", "VECTOR KEY `"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (len > strlen(keys[i]) && memcmp(line, keys[i], strlen(keys[i])) == 0)
			return "index";
	return len > 12 && memcmp(line, "CONSTRAINT `", 12) == 0 ? "constraint" : NULL;
}

/* One key: named as "orders.PRIMARY", "orders.fk_customer". */
static void add_key(struct facts *f, const char *kind, const char *of, const char *line, size_t len)
{
	struct mysql_tokens t = { .p = line, .len = len };
	char name[MYSQL_NAME_MAX + 1] = "PRIMARY";
	struct buf full = BUF_INIT;
	struct mysql_token k;

	while (mysql_token(&t, &k) && !mysql_token_is(&k, "PRIMARY")) {
		if (k.kind != MYSQL_TOKEN_NAME)
			continue;
		if (!mysql_token_name(&k, name))
			name[0] = '\0';
		break;
	}
	buf_printf(&full, "%s.%s", of, name);
	buf_add_u8(&full, '\0');
	if (full.bad)
		f->bad = true;
	else
		define(f, kind, (const char *)full.p, of, line, len);
	buf_release(&full);
}

/* The line of options loses its AUTO_INCREMENT, which is a value of its own. */
static void add_options(struct facts *f, const char *of, struct buf *rest, const char *line, size_t len)
{
	const char *at = memmem(line, len, AUTO_INCREMENT, strlen(AUTO_INCREMENT)), *end;

	if (!at) {
		buf_add(rest, line, len);
		return;
	}
	end = at + strlen(AUTO_INCREMENT);
	facts_value(f, "auto-increment", of, strtoull(end, NULL, 10), true);
	set_member(f, "auto-increment", of, "of", of);
	while (end < line + len && *end >= '0' && *end <= '9')
		end++;
	buf_add(rest, line, (size_t)(at - line));
	buf_add(rest, end, (size_t)(line + len - end));
}

static void add_table(struct facts *f, const char *of, const char *text, size_t len)
{
	struct buf rest = BUF_INIT;
	bool first = true;

	for (const char *line = text, *end = text + len; line < end;) {
		const char *nl = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((nl ? nl : end) - line);
		const char *next = nl ? nl + 1 : end, *kind;

		for (; n > 0 && *line == ' '; n--)
			line++;
		while (n > 0 && (line[n - 1] == ',' || line[n - 1] == ' '))
			n--;
		kind = key_kind(line, n);
		if (kind) {
			add_key(f, kind, of, line, n);
		} else if (!first) { /* CREATE TABLE `name` ( */
			if (n > 0 && *line == ')')
				add_options(f, of, &rest, line, n);
			else
				buf_add(&rest, line, n);
			buf_add_u8(&rest, '\n');
		}
		first = false;
		line = next;
	}
	if (rest.bad)
		f->bad = true;
	else if (rest.len > 0)
		define(f, "columns", of, of, (const char *)rest.p, rest.len - 1);
	buf_release(&rest);
}

/* DO SETVAL(`sq`, 10, 0): the next value that will be given. */
static void add_setval(struct facts *f, const char *key, const char *text, size_t len, const struct mysql_statement *st)
{
	struct mysql_tokens t = { .p = text, .len = len, .at = st->after_name };
	struct mysql_token k;

	if (mysql_token(&t, &k) && mysql_token_is(&k, ",") && mysql_token(&t, &k) && k.kind == MYSQL_TOKEN_WORD)
		facts_value(f, "sequence", key, strtoull(k.p, NULL, 10), true);
}

static const char *kind_name(enum mysql_sql_kind k)
{
	switch (k) {
	case MYSQL_SQL_SEQUENCE:
		return "sequence";
	case MYSQL_SQL_VIEW:
		return "view";
	case MYSQL_SQL_TRIGGER:
		return "trigger";
	case MYSQL_SQL_PROCEDURE:
		return "procedure";
	case MYSQL_SQL_FUNCTION:
		return "function";
	case MYSQL_SQL_PACKAGE:
		return "package";
	case MYSQL_SQL_PACKAGE_BODY:
		return "package-body";
	case MYSQL_SQL_EVENT:
		return "event";
	default:
		return NULL;
	}
}

void mysql_facts_statement(struct facts *f, const struct mysql_names *n, const char *database, const char *of,
			   const char *text, size_t len, const struct mysql_statement *st)
{
	const char *kind = kind_name(st->kind);
	struct buf key = BUF_INIT;

	while (len > 0 && strchr("; \n\r\t", text[len - 1]))
		len--;
	mysql_key(&key, n, database, st->name);
	if (key.bad)
		f->bad = true;
	else if (st->kind == MYSQL_SQL_TABLE)
		add_table(f, (const char *)key.p, text, len);
	else if (st->kind == MYSQL_SQL_SETVAL)
		add_setval(f, (const char *)key.p, text, len, st);
	else if (kind)
		define(f, kind, (const char *)key.p, of, text, len);
	if (!key.bad && kind && st->definer[0])
		set_member(f, kind, (const char *)key.p, "definer", st->definer);
	buf_release(&key);
}
