/* SPDX-License-Identifier: MIT */
/*
 * Relationships between two nodes are a multiset: those of one type are taken together.  Where the dump and the running
 * graph have one each, it gets the dump's properties; else those of the dump that are missing are made, and none is made
 * twice.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/components/neo4j_label.h"

/* Rows whose ends are found the same way, so that one statement does for them. */
struct group {
	const struct neo4j_key *a, *b;
	json_t *rows;
};
struct groups {
	struct group *all;
	size_t nr;
};

static void groups_release(struct groups *g)
{
	for (size_t i = 0; i < g->nr; i++)
		json_decref(g->all[i].rows);
	free(g->all);
}

static json_t *rows_of(struct groups *g, const struct neo4j_key *a, const struct neo4j_key *b)
{
	struct group *all;

	for (size_t i = 0; i < g->nr; i++)
		if (g->all[i].a == a && g->all[i].b == b)
			return g->all[i].rows;
	all = reallocarray(g->all, g->nr + 1, sizeof(*all));
	if (!all)
		return NULL;
	g->all = all;
	all[g->nr] = (struct group){ .a = a, .b = b, .rows = json_array() };
	return all[g->nr].rows ? all[g->nr++].rows : NULL;
}

/* One row of the answer: n's id, labels, properties, m's, the relationships' properties, whether n is where they begin. */
static enum err_code take_row(struct neo4j_merge *m, struct groups *g, const json_t *row, bool outgoing, struct err *e)
{
	json_t *n = NULL, *o = NULL, *rows, *map;
	const struct neo4j_key *nk =
	    neo4j_node_make(&m->keys, json_array_get(row, 0), json_array_get(row, 1), json_array_get(row, 2), &n);
	const struct neo4j_key *ok =
	    neo4j_node_make(&m->keys, json_array_get(row, 3), json_array_get(row, 4), json_array_get(row, 5), &o);

	rows = n && o ? rows_of(g, outgoing ? nk : ok, outgoing ? ok : nk) : NULL;
	map = rows ? json_pack("{s:O, s:O, s:O}", "a", outgoing ? n : o, "b", outgoing ? o : n, "ps", json_array_get(row, 6))
		   : NULL;
	json_decref(n);
	json_decref(o);
	if (!map || json_array_append_new(rows, neo4j_typed("Map", map)) < 0)
		return err_set(e, ERR_NOMEM, "out of memory");
	return ERR_OK;
}

static enum err_code read_some(struct neo4j_merge *m, const char *type, bool outgoing, uint64_t first, uint64_t last,
			       struct groups *g, struct err *e)
{
	struct buf b = BUF_INIT;
	json_t *rows = NULL;
	enum err_code rc;

	buf_printf(&b, "UNWIND range(%llu, %llu) AS i MATCH (n:", (unsigned long long)first, (unsigned long long)last);
	neo4j_name(&b, m->label);
	buf_printf(&b, ") WHERE id(n) = i MATCH (n)%s-[r:", outgoing ? "" : "<");
	neo4j_name(&b, type);
	buf_printf(&b, "]-%s(m) ", outgoing ? ">" : "");
	if (!outgoing) {	/* those between two of the label were taken from where they begin */
		buf_add_str(&b, "WHERE NOT m:");
		neo4j_name(&b, m->label);
	}
	buf_add_str(&b, " RETURN id(n), labels(n), properties(n), id(m), labels(m), properties(m), collect(properties(r))");
	buf_add(&b, "", 1);
	rc = b.bad ? err_set(e, ERR_NOMEM, "out of memory")
		   : neo4j_ask(m->from, m->database, true, (const char *)b.p, NULL, &rows, e);
	for (size_t i = 0; !rc && i < json_array_size(rows); i++)
		rc = take_row(m, g, json_array_get(rows, i), outgoing, e);
	json_decref(rows);
	buf_release(&b);
	return rc;
}

static enum err_code write_group(struct neo4j_merge *m, const char *type, const struct group *g, struct err *e)
{
	uint64_t n[3] = { 0 }, sent = json_array_size(g->rows);
	struct buf b = BUF_INIT, t = BUF_INIT;
	enum err_code rc;

	neo4j_name(&t, type);
	buf_add(&t, "", 1);
	buf_add_str(&b, "UNWIND $rows AS row ");
	neo4j_match(&b, g->a, "a", "row.a");
	neo4j_match(&b, g->b, "b", "row.b");
	buf_printf(
	    &b,
	    "OPTIONAL MATCH (a)-[e:%s]->(b) WITH row, a, b, collect(e) AS have "
	    "WITH row, a, b, have, [x IN have | properties(x)] AS old "
	    "WITH row, a, b, have, size(have) = 1 AND size(row.ps) = 1 AS one, CASE WHEN size(have) = 1 AND size(row.ps) = "
	    "1 THEN [] "
	    "ELSE [i IN range(0, size(row.ps) - 1) WHERE size([p IN row.ps[0..i] WHERE p = row.ps[i]]) >= "
	    "size([o IN old WHERE o = row.ps[i]])] END AS news "
	    "WITH row, a, b, news, CASE WHEN one AND properties(have[0]) <> row.ps[0] THEN have ELSE [] END AS changed "
	    "FOREACH (x IN changed | SET x = row.ps[0]) "
	    "FOREACH (i IN news | CREATE (a)-[y:%s]->(b) SET y = row.ps[i]) "
	    "RETURN count(*), sum(size(news)), sum(size(changed))",
	    (const char *)t.p, (const char *)t.p);
	buf_add(&b, "", 1);
	rc = b.bad || t.bad ? err_set(e, ERR_NOMEM, "out of memory") :
			      neo4j_write(m, (const char *)b.p, json_incref(g->rows), n, 3, e);
	if (!rc) {
		m->relations += n[1];
		m->relations_changed += n[2];
		m->relations_lost += sent > n[0] ? sent - n[0] : 0;
	}
	buf_release(&b);
	buf_release(&t);
	return rc;
}

enum err_code neo4j_merge_relations(struct neo4j_merge *m, const char *type, uint64_t first, uint64_t last, struct err *e)
{
	struct groups g = { 0 };
	enum err_code rc = read_some(m, type, true, first, last, &g, e);

	if (!rc)
		rc = read_some(m, type, false, first, last, &g, e);
	for (size_t i = 0; !rc && i < g.nr; i++)
		rc = write_group(m, type, &g.all[i], e);
	groups_release(&g);
	if (rc == ERR_LIMIT && first < last) {	/* nodes with very many: fewer of them at once */
		uint64_t middle = first + (last - first) / 2;

		err_clear(e);
		rc = neo4j_merge_relations(m, type, first, middle, e);
		if (!rc)
			rc = neo4j_merge_relations(m, type, middle + 1, last, e);
	}
	return rc;
}
