/* SPDX-License-Identifier: MIT */
/* Statements that are put together, and names as the facts and SQL have them. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/components/pgname.h"
#include "tools/components/postgres.h"

void pg_form(struct buf *sql, const char *form, ...)
{
	va_list args;

	va_start(args, form);
	talk_form(TALK_PSQL, sql, form, args);
	va_end(args);
}

enum err_code pg_value(struct talk *t, struct buf *sql, char **out, struct err *e)
{
	struct talk_rows rows = { 0 };
	enum err_code rc = talk_ask_buf(t, sql, &rows, e);
	const char *text = rc ? NULL : talk_field(&rows, 0, 0);

	if (text) {
		*out = strdup(text);
		if (!*out)
			rc = err_set(e, ERR_NOMEM, "answer");
	}
	talk_rows_release(&rows);
	return rc;
}

/* One value that must be there. */
static enum err_code sure_value(struct talk *t, struct buf *sql, char **out, struct err *e)
{
	enum err_code rc = pg_value(t, sql, out, e);

	return !rc && !*out ? err_set(e, ERR_FAILED, "the server answered with no row") : rc;
}

enum err_code pg_count(struct talk *t, struct buf *sql, uint64_t *out, struct err *e)
{
	char *text = NULL;
	enum err_code rc = sure_value(t, sql, &text, e);

	if (!rc)
		*out = strtoull(text, NULL, 10);
	free(text);
	return rc;
}

enum err_code pg_true(struct talk *t, struct buf *sql, bool *out, struct err *e)
{
	char *text = NULL;
	enum err_code rc = sure_value(t, sql, &text, e);

	if (!rc)
		*out = text[0] == 't';
	free(text);
	return rc;
}

enum err_code pg_is_relation(struct talk *t, const char *name, bool *is, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "SELECT to_regclass(?) IS NOT NULL", name);
	return pg_true(t, &sql, is, e);
}

const char *pg_member(const json_t *item, const char *key)
{
	return json_string_value(json_object_get(item, key));
}

bool pg_plain_name(const char *name, struct buf *out)
{
	bool ok = pgname_read(&name, out) && !*name;

	buf_add_u8(out, '\0');
	return ok && !out->bad;
}

enum err_code pg_quoted(const char *name, struct buf *out, struct err *e)
{
	struct buf schema = BUF_INIT, table = BUF_INIT;
	bool ok = pgname_split(name, &schema, &table);

	buf_reset(out);
	if (ok)
		pg_form(out, "@.@", (const char *)schema.p, (const char *)table.p);
	buf_add_u8(out, '\0');
	buf_release(&schema);
	buf_release(&table);
	return ok && !out->bad ? ERR_OK : err_set(e, ERR_CORRUPT, "table %s: no name", name);
}
