/* SPDX-License-Identifier: MIT */
#include "tools/components/postgres_choice.h"

#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

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

/* "orders" is public.orders, or the only table of that name. */
static enum err_code find_short(const struct facts *recorded, const char *canonical, const char *typed, const char **out,
				struct err *e)
{
	const char *near = NULL, *found = NULL;
	size_t len = strlen(canonical), best = 4, i;
	const json_t *item;

	json_array_foreach(json_object_get(recorded->root, "items"), i, item) {
		const char *name = pg_member(item, "name"), *tail;
		size_t n, d;

		if (strcmp(pg_member(item, "kind"), "table") != 0)
			continue;
		n = strlen(name);
		tail = n > len ? name + n - len : NULL;
		if (tail && tail[-1] == '.' && strcmp(tail, canonical) == 0) {
			if (found && strncmp(found, "public.", 7) != 0 && strncmp(name, "public.", 7) != 0)
				return err_set(e, ERR_USAGE, "--table %s: both %s and %s; name its schema too", typed, found, name);
			if (!found || strncmp(name, "public.", 7) == 0)
				found = name;
		}
		tail = strrchr(name, '.');
		d = tail ? text_distance(tail + 1, canonical) : best;
		if (d < best) {
			best = d;
			near = name;
		}
	}
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "--table %s: the dump has no such table%s%s", typed, near ? "; there is " : "",
			       near ? near : "");
	*out = found;
	return ERR_OK;
}

static enum err_code resolve(struct pg_tables *s, const char *typed, struct err *e)
{
	struct buf schema = BUF_INIT, name = BUF_INIT, canonical = BUF_INIT;
	const char *found = NULL;
	enum err_code rc = ERR_OK;

	if (!pgname_split(typed, &schema, &name)) {
		rc = err_set(e, ERR_USAGE, "--table %s: not a name, nor schema.name", typed);
		goto out;
	}
	if (schema.len > 1) {
		pgname_add(&canonical, (const char *)schema.p);
		buf_add_u8(&canonical, '.');
	}
	pgname_add(&canonical, (const char *)name.p);
	buf_add_u8(&canonical, '\0');
	if (canonical.bad)
		rc = err_set(e, ERR_NOMEM, "--table");
	else if (schema.len > 1 && facts_item(s->j->recorded, "table", (const char *)canonical.p))
		found = pg_member(facts_item(s->j->recorded, "table", (const char *)canonical.p), "name");
	else if (schema.len > 1)
		rc = err_set(e, ERR_NOT_FOUND, "--table %s: the dump has no such table", typed);
	else
		rc = find_short(s->j->recorded, (const char *)canonical.p, typed, &found, e);
	if (!rc)
		rc = add_one(s, found, e);
out:
	buf_release(&schema);
	buf_release(&name);
	buf_release(&canonical);
	return rc;
}

enum err_code pg_tables_relation(struct talk *t, const char *name, bool *there, struct err *e)
{
	struct buf sql = BUF_INIT;

	buf_add_str(&sql, "SELECT to_regclass(");
	pg_text(&sql, name);
	buf_add_str(&sql, ") IS NOT NULL");
	return pg_true(t, &sql, there, e);
}

/* Without triggers and foreign keys fired, or other tables would lose rows by ON DELETE CASCADE. */
static enum err_code need_replica(struct talk *t, struct err *e)
{
	struct buf sql = BUF_INIT;
	bool may = false;
	enum err_code rc;

	buf_add_str(&sql, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user");
	rc = pg_true(t, &sql, &may, e);
	if (rc || may)
		return rc;
	buf_add_str(&sql, "SELECT CASE WHEN current_setting('server_version_num')::int >= 150000 THEN "
		    "has_parameter_privilege(current_user, 'session_replication_role', 'SET') ELSE false END");
	rc = pg_true(t, &sql, &may, e);
	if (rc && e && strstr(e->msg, "has_parameter_privilege")) {	/* before 15 there is none */
		rc = ERR_OK;
		may = false;
	}
	if (!rc && !may)
		rc = err_set(
			e, ERR_FAILED,
			"rows of a table that is there are replaced by a superuser only, or by a role with GRANT SET ON "
			"PARAMETER session_replication_role (15 and later): name one in restore-dsn");
	return rc;
}

enum err_code pg_tables_open(struct pg_tables *s, struct component *c, struct restore_job *j, struct err *e)
{
	const char *database = j->into ? j->into : pgdsn_get(&pg_of(c)->dsn[PG_RESTORE], "dbname");
	enum err_code rc = ERR_OK;
	bool any = false;

	*s = (struct pg_tables){ .c = c, .j = j, .database = strdup(database) };
	if (!s->database)
		return err_set(e, ERR_NOMEM, "--table");
	for (size_t i = 0; !rc && i < j->nr_items; i++)
		rc = resolve(s, j->items[i], e);
	if (!rc)
		rc = pg_connect(c, PG_RESTORE, database, false, &s->t, e);
	if (!rc)
		rc = talk_do(s->t, e, "SET search_path = pg_catalog");
	for (size_t i = 0; !rc && i < s->nr; i++) {
		rc = pg_tables_relation(s->t, s->v[i].name, &s->v[i].there, e);
		any = any || s->v[i].there;
	}
	if (!rc && any)
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
		rc = pg_tables_relation(s->t, of, &there, e);
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

bool pg_tables_any_there(const struct pg_tables *s)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->v[i].there)
			return true;
	return false;
}
