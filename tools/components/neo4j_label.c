/* SPDX-License-Identifier: MIT */
/*
 * One label without APOC: the dump is served read-only from a scratch home, its nodes are read in pages by internal id, and
 * merged into the running server: those that are missing are made, those that differ get the dump's labels and properties,
 * newer ones stay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/tree.h"
#include "tools/components/neo4j_label.h"

#define PAGE	2000u		/* ids at once */
#define NEWER	10u		/* of them are named */

enum err_code neo4j_write(struct neo4j_merge *m, const char *statement, json_t *rows, uint64_t *numbers, size_t nr,
			  struct err *e)
{
	json_t *parameters = json_object(), *values = NULL;
	enum err_code rc;

	if (!parameters || json_object_set_new(parameters, "rows", neo4j_typed("List", rows)) < 0) {
		json_decref(parameters);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	rc = neo4j_ask(m->to, m->database, true, statement, parameters, &values, e);
	for (size_t i = 0; !rc && i < nr; i++)
		numbers[i] = neo4j_number(json_array_get(json_array_get(values, 0), i));
	json_decref(values);
	return rc;
}

/* Rows of one set of labels, or without a key. */
struct batch {
	const struct neo4j_key *key;
	json_t *labels, *rows;
};
struct batches {
	struct batch *all;
	size_t nr;
};

static void batches_release(struct batches *b)
{
	for (size_t i = 0; i < b->nr; i++) {
		json_decref(b->all[i].labels);
		json_decref(b->all[i].rows);
	}
	free(b->all);
}

static json_t *batch_rows(struct batches *b, const struct neo4j_key *key, json_t *labels)
{
	struct batch *all;

	for (size_t i = 0; i < b->nr; i++)
		if (b->all[i].key == key && json_equal(b->all[i].labels, labels))
			return b->all[i].rows;
	all = reallocarray(b->all, b->nr + 1, sizeof(*all));
	if (!all)
		return NULL;
	b->all = all;
	all[b->nr] = (struct batch){ .key = key, .labels = json_incref(labels), .rows = json_array() };
	return b->all[b->nr++].rows;
}

static enum err_code read_nodes(struct neo4j_merge *m, uint64_t first, uint64_t last, struct batches *out, struct err *e)
{
	struct buf b = BUF_INIT;
	json_t *rows = NULL;
	enum err_code rc;

	buf_printf(&b, "UNWIND range(%llu, %llu) AS i MATCH (n:", (unsigned long long)first, (unsigned long long)last);
	neo4j_name(&b, m->label);
	buf_add_str(&b, ") WHERE id(n) = i RETURN i, labels(n), properties(n)");
	buf_add(&b, "", 1);
	rc = b.bad ? err_set(e, ERR_NOMEM, "out of memory")
		   : neo4j_ask(m->from, m->database, true, (const char *)b.p, NULL, &rows, e);
	for (size_t i = 0; !rc && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_t *labels = json_array_get(row, 1), *node = NULL, *list;
		const struct neo4j_key *key =
		    neo4j_node_make(&m->keys, json_array_get(row, 0), labels, json_array_get(row, 2), &node);

		list = node ? batch_rows(out, key, labels) : NULL;
		if (!list || json_array_append(list, node) < 0)
			rc = err_set(e, ERR_NOMEM, "out of memory");
		json_decref(node);
	}
	json_decref(rows);
	buf_release(&b);
	return rc;
}

/* `A`:`B` of a typed list. */
static void add_labels(struct buf *b, const json_t *labels)
{
	const json_t *names = json_object_get(labels, "_value");

	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_object_get(json_array_get(names, i), "_value"));

		if (name) {
			buf_add_str(b, ":");
			neo4j_name(b, name);
		}
	}
}

/* numbers: nodes found or made, made, changed. */
static void write_statement(struct buf *b, const struct batch *batch)
{
	buf_add_str(b, "UNWIND $rows AS row ");
	if (!batch->key) {	/* nothing tells it apart: only where it is as it was does it count as there */
		neo4j_match(b, NULL, "n", "row");
		buf_add_str(b, "RETURN count(n), 0 AS made, 0 AS changed");
		return;
	}
	buf_add_str(b, "OPTIONAL ");
	neo4j_match(b, batch->key, "o", "row");
	buf_add_str(b, "WITH row, o, o IS NULL AS fresh, o IS NOT NULL AND NOT (properties(o) = row.p AND "
		    "all(x IN row.l WHERE x IN labels(o))) AS other "
		    "FOREACH (_ IN CASE WHEN fresh THEN [1] ELSE [] END | CREATE (n");
	add_labels(b, batch->labels);
	buf_add_str(b, ") SET n = row.p) FOREACH (_ IN CASE WHEN other THEN [1] ELSE [] END | SET o = row.p SET o");
	add_labels(b, batch->labels);
	buf_add_str(b, ") RETURN count(*), sum(CASE WHEN fresh THEN 1 ELSE 0 END), sum(CASE WHEN other THEN 1 ELSE 0 END)");
}

static enum err_code merge_nodes(struct neo4j_merge *m, uint64_t first, uint64_t last, struct err *e)
{
	struct batches all = { 0 };
	enum err_code rc = read_nodes(m, first, last, &all, e);

	for (size_t i = 0; !rc && i < all.nr; i++) {
		uint64_t n[3] = { 0 }, sent = json_array_size(all.all[i].rows);
		struct buf b = BUF_INIT;

		write_statement(&b, &all.all[i]);
		buf_add(&b, "", 1);
		rc = b.bad ? err_set(e, ERR_NOMEM, "out of memory") :
			     neo4j_write(m, (const char *)b.p, json_incref(all.all[i].rows), n, 3, e);
		if (!rc) {
			m->created += n[1];
			m->overwritten += n[2];
			m->equal += n[0] > n[1] + n[2] ? n[0] - n[1] - n[2] : 0;
			m->not_restored += sent > n[0] ? sent - n[0] : 0;
		}
		buf_release(&b);
	}
	batches_release(&all);
	if (rc == ERR_LIMIT && first < last) {
		uint64_t middle = first + (last - first) / 2;

		err_clear(e);
		rc = merge_nodes(m, first, middle, e);
		if (!rc)
			rc = merge_nodes(m, middle + 1, last, e);
	}
	return rc;
}

/* How many nodes the label has there, and their ids' range. */
static enum err_code range_of(struct neo4j_merge *m, struct http *h, uint64_t *nr, uint64_t *first, uint64_t *last,
			      struct err *e)
{
	struct buf b = BUF_INIT;
	json_t *rows = NULL;
	const json_t *row;
	enum err_code rc;

	buf_add_str(&b, "MATCH (n:");
	neo4j_name(&b, m->label);
	buf_add_str(&b, ") RETURN count(n), min(id(n)), max(id(n))");
	buf_add(&b, "", 1);
	rc = b.bad ? err_set(e, ERR_NOMEM, "out of memory")
		   : neo4j_ask(h, m->database, true, (const char *)b.p, NULL, &rows, e);
	row = json_array_get(rows, 0);
	*nr = neo4j_number(json_array_get(row, 0));
	*first = neo4j_number(json_array_get(row, 1));
	*last = neo4j_number(json_array_get(row, 2));
	json_decref(rows);
	buf_release(&b);
	return rc;
}

typedef enum err_code page_fn(struct neo4j_merge *m, const void *arg, uint64_t first, uint64_t last, struct err *e);

static enum err_code each_page(struct neo4j_merge *m, const void *arg, const char *stage, uint64_t first, uint64_t last,
			       page_fn *fn, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint64_t at = first; !rc && at <= last; at += PAGE) {
		rc = fn(m, arg, at, last - at < PAGE ? last : at + PAGE - 1, e);
		component_progress(m->c, stage, at - first, last - first);
		if (!rc && m->c->cancel && atomic_load(m->c->cancel))
			rc = err_set(e, ERR_CANCELED,
				     "interrupted: what was merged stays, and is not made again by the next time");
	}
	return rc;
}

static enum err_code nodes_page(struct neo4j_merge *m, const void *arg, uint64_t first, uint64_t last, struct err *e)
{
	(void)arg;
	return merge_nodes(m, first, last, e);
}

static enum err_code relations_page(struct neo4j_merge *m, const void *arg, uint64_t first, uint64_t last, struct err *e)
{
	return neo4j_merge_relations(m, arg, first, last, e);
}

/* Nodes of the running graph that the dump does not know: they stay, and the first are named. */
static enum err_code newer_page(struct neo4j_merge *m, const void *arg, uint64_t first, uint64_t last, struct err *e)
{
	const struct neo4j_key *key = arg;
	struct buf b = BUF_INIT;
	json_t *rows = NULL, *missing = NULL, *parameters = NULL;
	enum err_code rc;

	buf_printf(&b, "UNWIND range(%llu, %llu) AS i MATCH (n:", (unsigned long long)first, (unsigned long long)last);
	neo4j_name(&b, m->label);
	buf_add_str(&b, ") WHERE id(n) = i RETURN collect({k: [");
	neo4j_key_properties(&b, key, ", ", "");
	buf_add_str(&b, "]})");
	buf_add(&b, "", 1);
	rc = b.bad ? err_set(e, ERR_NOMEM, "out of memory")
		   : neo4j_ask(m->to, m->database, true, (const char *)b.p, NULL, &rows, e);
	if (!rc) {
		parameters = json_pack("{s:O}", "rows", json_array_get(json_array_get(rows, 0), 0));
		buf_reset(&b);
		buf_add_str(&b, "UNWIND $rows AS row OPTIONAL ");
		neo4j_match(&b, key, "n", "row");
		buf_add_str(&b, "WITH row, n WHERE n IS NULL RETURN row.k");
		buf_add(&b, "", 1);
		if (!parameters || b.bad)
			rc = err_set(e, ERR_NOMEM, "out of memory");
		else
			rc = neo4j_ask(m->from, m->database, true, (const char *)b.p, json_incref(parameters), &missing, e);
	}
	for (size_t i = 0; !rc && i < json_array_size(missing); i++, m->newer++) {
		const json_t *v = json_object_get(
		    json_array_get(json_object_get(json_array_get(json_array_get(missing, i), 0), "_value"), 0), "_value");
		char *text = m->newer < NEWER ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

		if (text)
			component_note(m->c, "newer than the dump, and kept: %s %s", m->label, text);
		free(text);
	}
	json_decref(parameters);
	json_decref(missing);
	json_decref(rows);
	buf_release(&b);
	return rc;
}

static void tell(const struct neo4j_merge *m)
{
	component_note(
	    m->c,
	    "%s: %llu nodes created, %llu overwritten, %llu were equal; %llu relationships created, %llu overwritten; %llu "
	    "newer nodes kept",
	    m->label, (unsigned long long)m->created, (unsigned long long)m->overwritten, (unsigned long long)m->equal,
	    (unsigned long long)m->relations, (unsigned long long)m->relations_changed, (unsigned long long)m->newer);
	if (m->not_restored > 0)
		component_note(
		    m->c,
		    "%s: %llu nodes were not restored: nothing tells them apart; name a property (label-key = %s.PROPERTY)",
		    m->label, (unsigned long long)m->not_restored, m->label);
	if (m->relations_lost > 0)
		component_note(
		    m->c,
		    "%s: relationships of %llu pairs of nodes were not restored: one of the two is not there, or nothing "
		    "tells it apart",
		    m->label, (unsigned long long)m->relations_lost);
}

static enum err_code merge_label(struct neo4j_merge *m, struct err *e)
{
	const struct neo4j_key *key = neo4j_key_of(&m->keys, m->label);
	uint64_t nr = 0, first = 0, last = 0;
	json_t *types = NULL;
	enum err_code rc = range_of(m, m->from, &nr, &first, &last, e);

	if (!rc)
		rc = each_page(m, NULL, "nodes", first, last, nodes_page, e);
	if (!rc)
		rc = neo4j_ask(m->from, m->database, false,
			       "CALL db.relationshipTypes() YIELD relationshipType AS t RETURN t ORDER BY t", NULL, &types,
			       e);
	for (size_t i = 0; !rc && i < json_array_size(types); i++) {
		const char *type = json_string_value(json_array_get(json_array_get(types, i), 0));

		if (type)
			rc = each_page(m, type, "relationships", first, last, relations_page, e);
	}
	if (!rc && key)
		rc = range_of(m, m->to, &nr, &first, &last, e);
	if (!rc && key && nr > 0)
		rc = each_page(m, key, "newer nodes", first, last, newer_page, e);
	if (!rc)
		tell(m);
	json_decref(types);
	return rc;
}

static enum err_code serve_dump(struct component *c, struct restore_job *j, struct neo4j_served **out, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	struct neo4j_place p = { 0 };
	struct blob *b = NULL;
	enum err_code rc = restore_file(j, NEO4J_DUMP, &b, e);

	if (!rc)
		rc = neo4j_room(n->scratch, blob_size(b), "a scratch home for the dump", e);
	blob_close(b);
	if (!rc)
		rc = neo4j_scratch(c, &p, e);
	if (!rc)
		rc = neo4j_load(c, j, NEO4J_DUMP, n->database, &p, e);
	if (!rc)
		rc = neo4j_serve(c, &p, out, e);
	neo4j_place_remove(&p);
	return rc;
}

/* Before anything of the running graph is overwritten: it is dumped, for vouch rollback. */
static enum err_code make_way_back(struct component *c, struct restore_job *j, struct err *e)
{
	char *snapshot = NULL;
	enum err_code rc = ERR_OK;

	if (j->safety_dump)
		rc = j->safety_dump(j->ctx, c, &snapshot, e);
	if (!rc && snapshot)
		rc = restore_way_back(c, j, json_pack("{s:s, s:s}", "kind", "safety", "snapshot", snapshot), e);
	free(snapshot);
	return rc;
}

static enum err_code all_there(struct neo4j_merge *m, const struct restore_job *j, struct err *e)
{
	uint64_t nr = 0, first, last;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < j->nr_items; i++) {
		m->label = j->items[i];
		rc = range_of(m, m->from, &nr, &first, &last, e);
		if (!rc && nr == 0)
			rc = err_set(e, ERR_NOT_FOUND, "the dump has no node of label %s", m->label);
	}
	return rc;
}

static enum err_code look_before(struct component *c, const struct restore_job *j, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	struct http *h = NULL;
	enum err_code rc;

	if (j->into)
		return err_set(e, ERR_USAGE, "a label is restored into the running server only, not --into another");
	if (!neo4j_busy(n->live.data))
		return err_set(e, ERR_FAILED, "the server of %s does not run: start it, a label is merged into it",
			       n->live.home);
	rc = j->safety_dump ? neo4j_pause_possible(c, e) : ERR_OK;
	if (rc) {
		err_prefix(e, "what a label would overwrite is dumped before");
		return rc;
	}
	rc = neo4j_http(c, NULL, &h, e);
	if (!rc)
		rc = neo4j_ask(h, n->database, false, "RETURN 1", NULL, NULL, e);
	http_close(h);
	return rc;
}

enum err_code neo4j_restore_labels(struct component *c, struct restore_job *j, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct neo4j_merge m = { .c = c, .database = n->database };
	struct neo4j_served *s = NULL;
	uint64_t left = 0;
	enum err_code rc = look_before(c, j, e);

	if (!rc)
		rc = serve_dump(c, j, &s, e);
	if (!rc)
		rc = neo4j_http(c, s, &m.from, e);
	if (!rc)
		rc = neo4j_keys_read(&m, e);
	if (!rc)
		rc = all_there(&m, j, e);
	if (!rc)
		rc = neo4j_keys_unique(&m, m.from, "the dump", e);
	if (!rc)
		rc = neo4j_http(c, NULL, &m.to, e);
	if (!rc)
		rc = neo4j_keys_unique(&m, m.to, "the running graph", e);
	if (!rc)
		rc = make_way_back(c, j, e);	/* the server is another after it */
	http_close(m.to);
	m.to = NULL;
	if (!rc)
		rc = neo4j_http(c, NULL, &m.to, e);
	for (size_t i = 0; !rc && i < j->nr_items; i++) {
		m = (struct neo4j_merge){
		    .c = c, .database = n->database, .from = m.from, .to = m.to, .keys = m.keys, .label = j->items[i]};
		rc = merge_label(&m, e);
		left += m.not_restored;
	}
	if (!rc && left > 0)
		rc = err_set(e, ERR_FAILED, "%llu nodes were not restored: see above", (unsigned long long)left);
	neo4j_keys_release(&m.keys);
	http_close(m.from);
	http_close(m.to);
	neo4j_unserve(s);
	return rc;
}
