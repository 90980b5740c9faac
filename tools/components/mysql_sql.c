/* SPDX-License-Identifier: MIT */
#include "tools/components/mysql_sql.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "store/base/checked.h"

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
	       (c & 0x80);
}

static bool at(const struct mysql_tokens *t, const char *what)
{
	size_t n = strlen(what);

	return t->len - t->at >= n && memcmp(t->p + t->at, what, n) == 0;
}

static void past(struct mysql_tokens *t, const char *what)
{
	const char *end = memmem(t->p + t->at, t->len - t->at, what, strlen(what));

	t->at = end ? (size_t)(end - t->p) + strlen(what) : t->len;
}

static void pass_over(struct mysql_tokens *t)
{
	while (t->at < t->len) {
		if (is_space(t->p[t->at])) {
			t->at++;
		} else if (at(t, "/*!") || at(t, "/*M!")) {
			t->at += at(t, "/*!") ? 3 : 4;
			while (t->at < t->len && t->p[t->at] >= '0' && t->p[t->at] <= '9')
				t->at++;
		} else if (at(t, "*/")) {
			t->at += 2;
		} else if (at(t, "/*")) {
			past(t, "*/");
		} else if (t->p[t->at] == '#' || (at(t, "--") && (t->at + 2 == t->len || is_space(t->p[t->at + 2])))) {
			past(t, "\n");
		} else {
			return;
		}
	}
}

static size_t quoted(const char *p, size_t len)
{
	char q = p[0];

	for (size_t i = 1; i < len; i++) {
		if (p[i] == '\\' && q != '`')
			i++;
		else if (p[i] == q && i + 1 < len && p[i + 1] == q)
			i++;
		else if (p[i] == q)
			return i + 1;
	}
	return len;
}

bool mysql_token(struct mysql_tokens *t, struct mysql_token *out)
{
	const char *p;
	size_t left, n = 0;

	pass_over(t);
	p = t->p + t->at;
	left = t->len - t->at;
	out->p = p;
	if (left == 0) {
		out->kind = MYSQL_TOKEN_END;
		out->len = 0;
		return false;
	}
	if (p[0] == '`' || p[0] == '\'' || p[0] == '"') {
		n = quoted(p, left);
		out->kind = p[0] == '`' ? MYSQL_TOKEN_NAME : MYSQL_TOKEN_TEXT;
	} else if (is_word(p[0])) {
		while (n < left && is_word(p[n]))
			n++;
		out->kind = MYSQL_TOKEN_WORD;
	} else {
		n = 1;
		out->kind = MYSQL_TOKEN_SIGN;
	}
	out->len = n;
	t->at += n;
	return true;
}

bool mysql_token_is(const struct mysql_token *t, const char *word)
{
	return (t->kind == MYSQL_TOKEN_WORD || t->kind == MYSQL_TOKEN_SIGN) && t->len == strlen(word) &&
	       strncasecmp(t->p, word, t->len) == 0;
}

bool mysql_token_name(const struct mysql_token *t, char out[MYSQL_NAME_MAX + 1])
{
	size_t n = 0;

	if (t->kind == MYSQL_TOKEN_WORD) {
		if (t->len > MYSQL_NAME_MAX)
			return false;
		memcpy(out, t->p, t->len);
		out[t->len] = '\0';
		return true;
	}
	if ((t->kind != MYSQL_TOKEN_NAME && t->kind != MYSQL_TOKEN_TEXT) || t->len < 2)
		return false;
	for (size_t i = 1; i + 1 < t->len; i++) {
		if (t->p[i] == '\0' || n == MYSQL_NAME_MAX)
			return false;
		out[n++] = t->p[i];
		if (t->p[i] == t->p[0])
			i++; /* doubled */
	}
	out[n] = '\0';
	return true;
}

static const struct {
	const char *word;
	enum mysql_sql_kind kind;
} objects[] = {
	{ "TABLE", MYSQL_SQL_TABLE},	    {"SEQUENCE", MYSQL_SQL_SEQUENCE},	{"VIEW", MYSQL_SQL_VIEW },
	{ "TRIGGER", MYSQL_SQL_TRIGGER}, {"PROCEDURE", MYSQL_SQL_PROCEDURE}, {"FUNCTION", MYSQL_SQL_FUNCTION },
	{ "PACKAGE", MYSQL_SQL_PACKAGE}, {"EVENT", MYSQL_SQL_EVENT},		{"DATABASE", MYSQL_SQL_DATABASE },
};

/* `db`.`name` or name; t stands at its first token. */
static bool read_name(struct mysql_tokens *t, struct mysql_statement *out)
{
	struct mysql_token k;
	struct mysql_tokens ahead;

	if (!mysql_token(t, &k) || !mysql_token_name(&k, out->name))
		return false;
	out->after_name = t->at;
	ahead = *t;
	if (mysql_token(&ahead, &k) && mysql_token_is(&k, ".")) {
		if (!mysql_token(&ahead, &k) || !mysql_token_name(&k, out->name))
			return false;
		out->after_name = ahead.at;
	}
	return true;
}

/* DEFINER = user @ host; or CURRENT_USER, or a role. */
static bool read_definer(struct mysql_tokens *t, struct mysql_statement *out)
{
	char user[MYSQL_NAME_MAX + 1], host[MYSQL_NAME_MAX + 1] = "";
	struct mysql_token k;
	struct mysql_tokens ahead;
	size_t n;

	if (!mysql_token(t, &k) || !mysql_token_is(&k, "=") || !mysql_token(t, &k) || !mysql_token_name(&k, user))
		return false;
	ahead = *t;
	if (mysql_token(&ahead, &k) && mysql_token_is(&k, "@")) {
		if (!mysql_token(&ahead, &k) || !mysql_token_name(&k, host))
			return false;
		*t = ahead;
	}
	n = strlen(user);
	memcpy(out->definer, user, n);
	out->definer[n] = '@';
	memcpy(out->definer + n + 1, host, strlen(host) + 1);
	return true;
}

static bool read_create(struct mysql_tokens *t, struct mysql_statement *out)
{
	struct mysql_token k;
	struct mysql_tokens ahead;

	while (mysql_token(t, &k)) {
		if (mysql_token_is(&k, "SECURITY") && mysql_token(t, &k))
			continue;
		if (mysql_token_is(&k, "DEFINER")) {
			if (!read_definer(t, out))
				return false;
			continue;
		}
		for (size_t i = 0; i < ARRAY_LEN(objects); i++)
			if (mysql_token_is(&k, objects[i].word))
				out->kind = objects[i].kind;
		if (out->kind != MYSQL_SQL_OTHER)
			break;
		if (k.kind != MYSQL_TOKEN_WORD && !mysql_token_is(&k, "="))
			return true; /* CREATE of something else */
	}
	if (out->kind == MYSQL_SQL_OTHER)
		return true;
	for (ahead = *t; mysql_token(&ahead, &k); *t = ahead) {
		if (out->kind == MYSQL_SQL_PACKAGE && mysql_token_is(&k, "BODY"))
			out->kind = MYSQL_SQL_PACKAGE_BODY;
		else if (!mysql_token_is(&k, "IF") && !mysql_token_is(&k, "NOT") && !mysql_token_is(&k, "EXISTS"))
			break;
	}
	return read_name(t, out);
}

bool mysql_sql_read(const char *text, size_t len, struct mysql_statement *out)
{
	struct mysql_tokens t = {.p = text, .len = len}, ahead;
	struct mysql_token k;

	memset(out, 0, sizeof(*out));
	if (!mysql_token(&t, &k))
		return false;
	if (mysql_token_is(&k, "CREATE"))
		return read_create(&t, out);
	if (mysql_token_is(&k, "USE")) {
		out->kind = MYSQL_SQL_USE;
		return read_name(&t, out);
	}
	if (mysql_token_is(&k, "INSERT") || mysql_token_is(&k, "REPLACE")) {
		out->kind = MYSQL_SQL_INSERT;
		for (ahead = t; mysql_token(&ahead, &k) && (mysql_token_is(&k, "IGNORE") || mysql_token_is(&k, "INTO"));
		     t = ahead)
			;
		return read_name(&t, out);
	}
	if (mysql_token_is(&k, "DROP")) {
		out->kind = MYSQL_SQL_DROP;
		if (!mysql_token(&t, &k) ||
		    (!mysql_token_is(&k, "TABLE") && !mysql_token_is(&k, "SEQUENCE") && !mysql_token_is(&k, "VIEW"))) {
			out->kind = MYSQL_SQL_OTHER;
			return true;
		}
		for (ahead = t; mysql_token(&ahead, &k) && (mysql_token_is(&k, "IF") || mysql_token_is(&k, "EXISTS"));
		     t = ahead)
			;
		return read_name(&t, out);
	}
	if (mysql_token_is(&k, "DO") && mysql_token(&t, &k) && mysql_token_is(&k, "SETVAL") && mysql_token(&t, &k)) {
		out->kind = MYSQL_SQL_SETVAL;
		return read_name(&t, out);
	}
	return true;
}
