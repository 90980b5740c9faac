/* SPDX-License-Identifier: MIT */
#include "tools/components/pgdsn.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void pgdsn_release(struct pgdsn *d)
{
	for (size_t i = 0; i < d->nr; i++) {
		free(d->words[i].key);
		free(d->words[i].value);
	}
	free(d->words);
	*d = (struct pgdsn){ 0 };
}

static struct pgdsn_word *find(const struct pgdsn *d, const char *key)
{
	for (size_t i = 0; i < d->nr; i++)
		if (strcmp(d->words[i].key, key) == 0)
			return &d->words[i];
	return NULL;
}

const char *pgdsn_get(const struct pgdsn *d, const char *key)
{
	const struct pgdsn_word *w = find(d, key);

	return w ? w->value : NULL;
}

enum err_code pgdsn_set(struct pgdsn *d, const char *key, const char *value, struct err *e)
{
	struct pgdsn_word *w = find(d, key), *more;
	char *k = NULL, *v = strdup(value);

	if (!v)
		return err_set(e, ERR_NOMEM, "connection string");
	if (w) {
		free(w->value);
		w->value = v;
		return ERR_OK;
	}
	k = strdup(key);
	more = k ? reallocarray(d->words, d->nr + 1, sizeof(*more)) : NULL;
	if (!more) {
		free(k);
		free(v);
		return err_set(e, ERR_NOMEM, "connection string");
	}
	d->words = more;
	d->words[d->nr++] = (struct pgdsn_word){ k, v };
	return ERR_OK;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* A value at *at as libpq reads it: '...' or up to white space, a backslash takes the next byte as it is.  False: its
 * quote does not end. */
static bool read_value(const char **at, struct buf *out)
{
	const char *p = *at;
	bool quoted = *p == '\'';

	buf_reset(out);
	if (quoted)
		p++;
	for (; *p && (quoted ? *p != '\'' : !is_space(*p)); p++) {
		if (*p == '\\' && p[1])
			p++;
		buf_add(out, p, 1);
	}
	if (quoted && *p++ != '\'')
		return false;
	buf_add_u8(out, '\0');
	*at = p;
	return true;
}

static const char *skip_spaces(const char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

/* password, sslpassword, oauth_client_secret ... */
static bool is_secret(const char *key)
{
	return strstr(key, "password") || strstr(key, "secret");
}

static enum err_code read_word(struct pgdsn *d, const char **at, struct err *e)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	enum err_code rc = ERR_OK;
	const char *p = *at;

	while (*p && *p != '=' && !is_space(*p))
		buf_add(&key, p++, 1);
	buf_add_u8(&key, '\0');
	p = skip_spaces(p);
	if (*p != '=' || key.len < 2) {
		rc = err_set(e, ERR_USAGE, "no '=' after \"%.40s\": a connection string is host=... dbname=... user=...",
			     key.bad ? "" : (const char *)key.p);
		goto out;
	}
	p = skip_spaces(p + 1);
	if (!read_value(&p, &value)) {
		rc = err_set(e, ERR_USAGE, "the quoted value of %.40s does not end", (const char *)key.p);
		goto out;
	}
	if (key.bad || value.bad) {
		rc = err_set(e, ERR_NOMEM, "connection string");
		goto out;
	}
	if (is_secret((const char *)key.p)) {
		rc = err_set(e, ERR_USAGE, "%.40s in the connection string would be seen in the list of processes: use "
			     "password-file, password = ${NAME}, or passfile=FILE or service=NAME in it", (const char *)key.p);
		goto out;
	}
	rc = pgdsn_set(d, (const char *)key.p, (const char *)value.p, e);
	*at = p;
out:
	buf_release(&key);
	buf_release(&value);
	return rc;
}

enum err_code pgdsn_read(const char *text, struct pgdsn *out, struct err *e)
{
	struct pgdsn d = { 0 };
	enum err_code rc = ERR_OK;

	if (strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0)
		return err_set(e, ERR_USAGE, "write it as words: host=... port=... dbname=... user=...");
	for (const char *p = skip_spaces(text); !rc && *p; p = skip_spaces(p))
		rc = read_word(&d, &p, e);
	if (rc)
		pgdsn_release(&d);
	else
		*out = d;
	return rc;
}

void pgdsn_write(const struct pgdsn *d, struct buf *out)
{
	for (size_t i = 0; i < d->nr; i++) {
		if (i)
			buf_add_u8(out, ' ');
		buf_add_str(out, d->words[i].key);
		buf_add_str(out, "='");
		for (const char *p = d->words[i].value; *p; p++) {
			if (*p == '\'' || *p == '\\')
				buf_add_u8(out, '\\');
			buf_add(out, p, 1);
		}
		buf_add_u8(out, '\'');
	}
}
