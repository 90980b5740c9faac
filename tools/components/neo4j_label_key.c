/* SPDX-License-Identifier: MIT */
/* How a node of the dump is found again in the running graph. */
#include <stdlib.h>
#include <string.h>

#include "tools/components/neo4j_label.h"

json_t *neo4j_typed(const char *type, json_t *value)
{
	return value ? json_pack("{s:s, s:o}", "$type", type, "_value", value) : NULL;
}

uint64_t neo4j_number(const json_t *typed)
{
	const char *text = json_string_value(json_object_get(typed, "_value"));

	return text ? strtoull(text, NULL, 10) : 0;
}

void neo4j_keys_release(struct neo4j_keys *k)
{
	for (size_t i = 0; i < k->nr; i++) {
		free(k->all[i].label);
		json_decref(k->all[i].properties);
	}
	free(k->all);
	*k = (struct neo4j_keys){ 0 };
}

const struct neo4j_key *neo4j_key_of(const struct neo4j_keys *k, const char *label)
{
	for (size_t i = 0; label && i < k->nr; i++)
		if (strcmp(k->all[i].label, label) == 0)
			return &k->all[i];
	return NULL;
}

/* properties is taken. */
static enum err_code add_key(struct neo4j_keys *k, const char *label, json_t *properties, struct err *e)
{
	struct neo4j_key one = { .label = strdup(label), .properties = properties };
	struct neo4j_key *all = reallocarray(k->all, k->nr + 1, sizeof(*all));

	if (all)
		k->all = all;
	if (!all || !one.label || !properties) {
		free(one.label);
		json_decref(properties);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	k->all[k->nr++] = one;
	return ERR_OK;
}

enum err_code neo4j_keys_read(struct neo4j_merge *m, struct err *e)
{
	struct config_section *s = m->c->section;
	json_t *rows = NULL;
	const char *v;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && (v = config_nth(s, "label-key", i)); i++) {
		const char *dot = strrchr(v, '.');
		char *label = dot && dot > v && dot[1] ? strndup(v, (size_t)(dot - v)) : NULL;

		rc = label ? add_key(&m->keys, label, json_pack("[s]", dot + 1), e) :
			     config_wrong(s, "label-key", e, "it is LABEL.PROPERTY, as Person.id");
		free(label);
	}
	if (!rc)
		rc = neo4j_ask(
		    m->from, m->database, false,
		    "SHOW CONSTRAINTS YIELD type, entityType, labelsOrTypes, properties WHERE "
		    "entityType = 'NODE' AND type IN ['UNIQUENESS', 'NODE_KEY'] RETURN labelsOrTypes[0], properties "
		    "ORDER BY size(properties)",
		    NULL, &rows, e);
	for (size_t i = 0; !rc && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *label = json_string_value(json_array_get(row, 0));
		json_t *properties = json_array_get(row, 1);
		bool names = json_array_size(properties) > 0;

		for (size_t n = 0; n < json_array_size(properties); n++)
			names = names && json_is_string(json_array_get(properties, n));
		if (!label || !names)
			rc = err_set(e, ERR_FAILED, "Neo4j: a constraint without label or properties");
		else if (!neo4j_key_of(&m->keys, label))	/* what is configured goes before, then the shortest */
			rc = add_key(&m->keys, label, json_incref(properties), e);
	}
	json_decref(rows);
	return rc;
}

void neo4j_key_properties(struct buf *b, const struct neo4j_key *key, const char *between, const char *after)
{
	for (size_t i = 0; i < json_array_size(key->properties); i++) {
		buf_add_str(b, i > 0 ? between : "");
		buf_add_str(b, "n.");
		neo4j_name(b, json_string_value(json_array_get(key->properties, i)));
		buf_add_str(b, after);
	}
}

enum err_code neo4j_keys_unique(struct neo4j_merge *m, struct http *h, const char *where, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < m->keys.nr; i++) {
		const struct neo4j_key *key = &m->keys.all[i];
		struct buf b = BUF_INIT;
		json_t *rows = NULL;
		uint64_t shared;

		buf_add_str(&b, "MATCH (n:");
		neo4j_name(&b, key->label);
		buf_add_str(&b, ") WHERE ");
		neo4j_key_properties(&b, key, " AND ", " IS NOT NULL");
		buf_add_str(&b, " WITH [");
		neo4j_key_properties(&b, key, ", ", "");
		buf_add_str(&b, "] AS k, count(*) AS c WHERE c > 1 RETURN count(*)");
		buf_add(&b, "", 1);
		rc = b.bad ? err_set(e, ERR_NOMEM, "out of memory")
			   : neo4j_ask(h, m->database, true, (const char *)b.p, NULL, &rows, e);
		shared = neo4j_number(json_array_get(json_array_get(rows, 0), 0));
		if (!rc && shared > 0)
			rc = err_set(e, ERR_FAILED,
				     "%s.%s does not tell nodes apart: %llu of its values are those of several nodes of %s; "
				     "name another property (label-key)",
				     key->label, json_string_value(json_array_get(key->properties, 0)),
				     (unsigned long long)shared, where);
		json_decref(rows);
		buf_release(&b);
	}
	return rc;
}

/* The values of the key in the node's properties as a typed list; NULL: one is missing. */
static json_t *key_values(const struct neo4j_key *key, const json_t *properties)
{
	json_t *map = json_object_get(properties, "_value"), *list = json_array();

	for (size_t i = 0; list && i < json_array_size(key->properties); i++) {
		json_t *v = json_object_get(map, json_string_value(json_array_get(key->properties, i)));

		if (!v || json_array_append(list, v) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return list ? neo4j_typed("List", list) : NULL;
}

const struct neo4j_key *neo4j_node_make(const struct neo4j_keys *k, const json_t *id, const json_t *labels,
					const json_t *properties, json_t **out)
{
	const json_t *names = json_object_get(labels, "_value");
	const struct neo4j_key *key = NULL;
	json_t *values = NULL, *map = json_object();

	for (size_t i = 0; !values && i < json_array_size(names); i++) {
		key = neo4j_key_of(k, json_string_value(json_object_get(json_array_get(names, i), "_value")));
		values = key ? key_values(key, properties) : NULL;
	}
	if (!values) {
		key = NULL;
		values = neo4j_typed("List", json_array());
	}
	if (!map || json_object_set(map, "id", (json_t *)(uintptr_t)id) < 0 ||
	    json_object_set(map, "l", (json_t *)(uintptr_t)labels) < 0 ||
	    json_object_set(map, "p", (json_t *)(uintptr_t)properties) < 0 || json_object_set_new(map, "k", values) < 0) {
		json_decref(map);
		*out = NULL;
		return NULL;
	}
	*out = neo4j_typed("Map", map);
	return key;
}

void neo4j_match(struct buf *b, const struct neo4j_key *key, const char *variable, const char *row)
{
	if (!key) {
		buf_printf(b,
			   "MATCH (%s) WHERE id(%s) = %s.id AND properties(%s) = %s.p AND size(labels(%s)) = size(%s.l) AND "
			   "all(x IN %s.l WHERE x IN labels(%s)) ",
			   variable, variable, row, variable, row, variable, row, row, variable);
		return;
	}
	buf_printf(b, "MATCH (%s:", variable);
	neo4j_name(b, key->label);
	buf_add_str(b, " {");
	for (size_t i = 0; i < json_array_size(key->properties); i++) {
		buf_add_str(b, i > 0 ? ", " : "");
		neo4j_name(b, json_string_value(json_array_get(key->properties, i)));
		buf_printf(b, ": %s.k[%zu]", row, i);
	}
	buf_add_str(b, "}) ");
}
