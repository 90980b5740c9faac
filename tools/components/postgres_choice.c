/* SPDX-License-Identifier: MIT */
#include "tools/components/postgres_choice.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX (256u << 20)
#define TABLES_MAX 1000u

void pg_tables_release(struct pg_tables *s)
{
	talk_close(s->t);
	free(s->v);
	free(s->database);
	pgtoc_release(&s->ids);
	pgtoc_release(&s->later);
}

static enum err_code add_one(struct pg_tables *s, const char *name, struct err *e)
{
	const json_t *item, *own = facts_item(s->j->recorded, "table", name);
	struct pg_one *v;
	size_t i;

	if (!own)
		return err_set(e, ERR_NOT_FOUND, "--table %s: the dump has no such table", name);
	for (i = 0; i < s->nr; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return ERR_OK;
	if (s->nr == TABLES_MAX)
		return err_set(
			e, ERR_LIMIT,
			"more than %u tables: restore the database into another (--into) and take them from there",
			TABLES_MAX);
	v = reallocarray(s->v, s->nr + 1, sizeof(*v));
	if (!v)
		return err_set(e, ERR_NOMEM, "list of tables");
	s->v = v;
	s->v[s->nr++] = (struct pg_one){ .name = pg_member(own, "name") };
	/* rows of a partitioned table are in its partitions */
	json_array_foreach(json_object_get(s->j->recorded->root, "items"), i, item) {
		const char *of = pg_member(item, "of");
		enum err_code rc;

		if (strcmp(pg_member(item, "kind"), "table") != 0 || !of || strcmp(of, name) != 0)
			continue;
		rc = add_one(s, pg_member(item, "name"), e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* Without triggers and foreign keys fired, or other tables would lose rows by ON DELETE CASCADE. */
static enum err_code need_replica(struct talk *t, struct err *e)
{
	enum err_code rc = talk_do(t, e, "SET session_replication_role = replica");

	if (!rc)
		return talk_do(t, e, "RESET session_replication_role");
	if (rc == ERR_FAILED && e && strstr(e->msg, "SQLSTATE 42501"))
		rc = err_set(e, ERR_FAILED, "rows of a table that is there are replaced by a superuser only, or by a role with "
			     "GRANT SET ON PARAMETER session_replication_role (15 and later): name one in restore-dsn");
	return rc;
}

/* Whether it is there; under its name there may be a view by now, or rows that are elsewhere: no DELETE for these. */
static enum err_code look(struct talk *t, struct pg_one *v, struct err *e)
{
	struct buf sql = BUF_INIT;
	char *kind = NULL;
	enum err_code rc;

	pg_form(&sql, "SELECT relkind FROM pg_class WHERE oid = to_regclass(?)", v->name);
	rc = pg_value(t, &sql, &kind, e);
	v->there = kind != NULL;
	if (!rc && kind && *kind != 'r' && *kind != 'p')
		rc = err_set(e, ERR_EXISTS, "%s is a view or a foreign table in the database: it has no rows that could be "
			     "replaced", v->name);
	free(kind);
	return rc;
}

enum err_code pg_tables_open(struct pg_tables *s, struct component *c, struct restore_job *j, struct err *e)
{
	const char *database = j->into ? j->into : pgdsn_get(&pg_of(c)->dsn[PG_RESTORE], "dbname");
	enum err_code rc = ERR_OK;

	*s = (struct pg_tables){ .c = c, .j = j, .database = strdup(database) };
	if (!s->database)
		return err_set(e, ERR_NOMEM, "--table");
	for (size_t i = 0; !rc && i < j->nr_items; i++)
		rc = add_one(s, j->items[i], e);
	if (!rc)
		rc = pg_connect(c, PG_RESTORE, database, false, &s->t, e);
	for (size_t i = 0; !rc && i < s->nr; i++) {
		rc = look(s->t, &s->v[i], e);
		s->nr_there += s->v[i].there;
	}
	if (!rc && s->nr_there > 0)
		rc = need_replica(s->t, e);
	return rc;
}

/* The table of contents. */

static enum err_code gather(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct buf *out = ctx;

	if (out->len + len > LIST_MAX)
		return err_set(e, ERR_LIMIT, "a table of contents of more than %u bytes", LIST_MAX);
	buf_add(out, buf, len);
	return out->bad ? err_set(e, ERR_NOMEM, "table of contents") : ERR_OK;
}

static enum err_code read_list(struct pg_tables *s, struct buf *out, struct err *e)
{
	struct pg_tool t;
	enum err_code rc;

	pg_tool_init(&t, s->c, PG_RESTORE, NULL, PG_PG_RESTORE);
	pg_tool_add(&t, "-l");
	rc = pg_through(s->c, s->j, &t, gather, out, e);
	buf_add_u8(out, '\0');
	if (!rc && out->bad)
		rc = err_set(e, ERR_NOMEM, "table of contents");
	pg_tool_release(&t);
	return rc;
}

/* Foreign keys of tables that stay: gone if theirs was dropped by CASCADE. */
static enum err_code choose_later(struct pg_tables *s, const char *list, const char *name, struct err *e)
{
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(s->j->recorded->root, "items"), i, item) {
		const char *to = pg_member(item, "to"), *of = pg_member(item, "of");
		bool there = false;

		if (!to || !of || strcmp(pg_member(item, "kind"), "constraint") != 0 || strcmp(to, name) != 0)
			continue;
		for (size_t k = 0; k < s->nr; k++)
			there = there || (strcmp(s->v[k].name, of) == 0 && !s->v[k].there);
		if (there)	/* its own entries have it */
			continue;
		rc = pg_is_relation(s->t, of, &there, e);
		if (!rc && there)
			rc = pgtoc_of_constraint(list, pg_member(item, "name"), &s->later, e);
		if (rc)
			return rc;
	}
	return rc;
}

enum err_code pg_tables_choose(struct pg_tables *s, struct err *e)
{
	struct buf list = BUF_INIT;
	enum err_code rc = read_list(s, &list, e);

	for (size_t i = 0; !rc && i < s->nr; i++) {
		rc = pgtoc_of_table((const char *)list.p, s->j->recorded, s->v[i].name, s->v[i].there, &s->ids, e);
		if (!rc && !s->v[i].there)
			rc = choose_later(s, (const char *)list.p, s->v[i].name, e);
	}
	if (!rc) {
		pgtoc_sort((const char *)list.p, &s->ids);
		pgtoc_sort((const char *)list.p, &s->later);
	}
	if (!rc && s->ids.nr == 0)
		rc = err_set(e, ERR_CORRUPT, "the dump's table of contents does not name the tables");
	buf_release(&list);
	return rc;
}
