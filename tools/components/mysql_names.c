/* SPDX-License-Identifier: MIT */
/* What databases and tables are called: there, in the snapshot's files, in facts. */
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "tools/components/mysql.h"

#define FILE_NAME_MAX 200u /* bytes, before ".sql" */
#define DATABASE_MAX  64u  /* characters; bytes here, which is stricter */

static void release_name(struct mysql_name *n)
{
	free(n->own);
	free(n->to);
	free(n->text);
}

void mysql_names_release(struct mysql_names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		release_name(&n->of[i]);
	free(n->of);
	*n = (struct mysql_names){0};
}

bool mysql_names_differ(const struct mysql_names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		if (strcmp(n->of[i].text, n->of[i].to) != 0)
			return true;
	return false;
}

/* What into makes of one of several: "copy_shop"; a name too long for that is told by its digest. */
static char *name_of_several(const char *into, const char *name)
{
	struct object_id id;
	char hex[17], *to = NULL;

	if (strlen(into) + 1 + strlen(name) <= DATABASE_MAX)
		return asprintf(&to, "%s_%s", into, name) < 0 ? NULL : to;
	digest_sha256(name, strlen(name), &id);
	return asprintf(&to, "%s_%s", into, hex_encode(id.b, 4, hex)) < 0 ? NULL : to;
}

/* into takes the place of the only one, or goes before each of several. */
static char *name_in(const struct mysql_names *n, const char *name, const char *into)
{
	return into && n->several ? name_of_several(into, name) : strdup(into ? into : name);
}

/* text_into: the into of the dump whose text it is. */
static enum err_code add_name(struct mysql_names *n, const char *name, const char *into, const char *text_into,
			      struct err *e)
{
	struct mysql_name *of = realloc(n->of, (n->nr + 1) * sizeof(*of));
	const char *to;

	if (!of)
		return err_set(e, ERR_NOMEM, "database %s", name);
	n->of = of;
	of += n->nr++;
	*of = (struct mysql_name){ .own = strdup(name), .to = name_in(n, name, into), .text = name_in(n, name, text_into) };
	to = of->to;
	if (!of->own || !to || !of->text)
		return err_set(e, ERR_NOMEM, "database %s", name);
	if (into && (*to == '\0' || strlen(to) > DATABASE_MAX || to[strlen(to) - 1] == ' '))
		return err_set(e, ERR_USAGE, "\"%s\" can be no database's name", to);
	return ERR_OK;
}

enum err_code mysql_database_exists(struct talk *t, const char *name, bool *there, struct err *e)
{
	struct buf b = BUF_INIT;
	uint64_t nr = 0;
	enum err_code rc;

	mysql_form(&b, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name);
	rc = mysql_number(t, &b, &nr, e);
	*there = nr > 0;
	return rc;
}

static enum err_code all_there(struct talk *t, struct mysql_names *out, struct err *e)
{
	struct talk_rows rows = {0};
	enum err_code rc = talk_ask(t,
					"SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN "
					"('information_schema', 'performance_schema', 'mysql', 'sys') ORDER BY 1",
				    &rows, e);

	for (size_t i = 0; i < rows.nr_rows && !rc; i++)
		if (talk_field(&rows, i, 0))
			rc = add_name(out, talk_field(&rows, i, 0), NULL, NULL, e);
	talk_rows_release(&rows);
	return rc;
}

/* Of "*", those that into made are known by their beginning; names_recorded() lets none be made whose end is a digest. */
static enum err_code all_of_into(struct talk *t, const char *into, struct mysql_names *out, struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	size_t len = strlen(into) + 1;
	enum err_code rc;

	buf_add_str(&b, "SELECT schema_name FROM information_schema.schemata WHERE LEFT(schema_name, ");
	buf_printf(&b, "%zu", len);
	mysql_form(&b, ") = CONCAT(?, '_') ORDER BY 1", into);
	rc = talk_ask_buf(t, &b, &rows, e);
	for (size_t i = 0; i < rows.nr_rows && !rc; i++) {
		const char *name = talk_field(&rows, i, 0);

		if (name && strlen(name) > len)
			rc = add_name(out, name + len, into, into, e);
	}
	talk_rows_release(&rows);
	return rc;
}

enum err_code mysql_names_there(struct component *c, struct talk *t, const char *into, struct mysql_names *out,
				struct err *e)
{
	struct mysql *m = mysql_of(c);
	enum err_code rc = ERR_OK;
	bool there = false;
	size_t kept = 0;

	*out = (struct mysql_names){.several = !m->databases || m->databases[1]};
	if (!m->databases)
		rc = into ? all_of_into(t, into, out, e) : all_there(t, out, e);
	for (char **w = m->databases; w && *w && !rc; w++)
		rc = add_name(out, *w, into, into, e);
	for (size_t i = 0; i < out->nr; i++) {
		struct mysql_name of = out->of[i];

		if (!rc)
			rc = mysql_database_exists(t, of.to, &there, e);
		if (!rc && !there && !m->some)
			rc = err_set(e, ERR_NOT_FOUND, "no database %s on the server of %s (or no right to see it)", of.to,
				     c->name);
		if (!rc && !there)
			release_name(&of);
		else
			out->of[kept++] = of;
	}
	out->nr = kept;
	if (rc)
		mysql_names_release(out);
	return rc;
}

enum err_code mysql_names_recorded(struct component *c, const struct facts *recorded, const char *into,
				   struct mysql_names *out, struct err *e)
{
	const json_t *items = json_object_get(recorded->root, "items"), *v;
	const char *layout = facts_get_in(recorded, "settings", "layout");
	const char *text_into = facts_get_in(recorded, "settings", "into");
	enum err_code rc = ERR_OK;
	size_t i;

	*out = (struct mysql_names){.several = layout && strcmp(layout, "several") == 0};
	json_array_foreach(items, i, v)
	{
		const char *kind = json_string_value(json_object_get(v, "kind")),
			   *name = json_string_value(json_object_get(v, "name"));

		if (!kind || !name || strcmp(kind, "database") != 0 || rc)
			continue;
		if (into && out->several && !mysql_of(c)->databases && strlen(into) + 1 + strlen(name) > DATABASE_MAX)
			rc = err_set(e, ERR_USAGE, "%s_%s is too long a name for a database: with databases = NAME ..., "
				     "instead of *, a short one is made", into, name);
		else
			rc = add_name(out, name, into, text_into, e);
	}
	if (!rc && (out->nr == 0 || (!out->several && out->nr != 1)))
		rc = err_set(e, ERR_CORRUPT, "the facts of %s do not say which databases it is of", c->name);
	/* The dump of one database, which the configuration calls otherwise since: it goes where that says. */
	if (!rc && !into && !out->several && mysql_of(c)->databases && !mysql_of(c)->databases[1] &&
	    strcmp(out->of[0].own, mysql_of(c)->databases[0]) != 0) {
		free(out->of[0].to);
		out->of[0].to = strdup(mysql_of(c)->databases[0]);
		if (!out->of[0].to)
			rc = err_set(e, ERR_NOMEM, "%s", c->name);
	}
	if (rc)
		mysql_names_release(out);
	return rc;
}

void mysql_key(struct buf *out, const struct mysql_names *n, const char *database, const char *table)
{
	buf_reset(out);
	if (n->several) {
		buf_add_str(out, database);
		buf_add_u8(out, '.');
	}
	buf_add_str(out, table);
	buf_add_u8(out, '\0');
}

/* Letters of any language stay; what a path or a medium cannot hold becomes %XX; a name too long for it keeps its beginning
 * and gets a digest. */
static void add_file_name(struct buf *out, const char *name)
{
	size_t from = out->len;
	struct object_id id;
	char hex[17];

	for (const char *p = name; *p; p++) {
		unsigned char u = (unsigned char)*p;

		if (u < 0x20 || u == 0x7f || strchr("%/\\:*?\"<>|", *p) || (*p == '.' && p == name))
			buf_printf(out, "%%%02X", u);
		else
			buf_add_u8(out, u);
	}
	if (out->bad || out->len - from <= FILE_NAME_MAX)
		return;
	digest_sha256(name, strlen(name), &id);
	out->len = from + FILE_NAME_MAX - 17;
	while ((out->p[out->len] & 0xc0) == 0x80) /* no half character */
		out->len--;
	buf_printf(out, "~%s", hex_encode(id.b, 8, hex));
}

void mysql_table_file(struct buf *out, const struct mysql_names *n, const char *database, const char *table)
{
	buf_reset(out);
	buf_add_str(out, "tables/");
	if (n->several) {
		add_file_name(out, database);
		buf_add_u8(out, '/');
	}
	add_file_name(out, table);
	buf_add_str(out, ".sql");
	buf_add_u8(out, '\0');
}
