/* SPDX-License-Identifier: MIT */
/* Of neo4j_label*.c alone: nodes of one label, read from the dump's scratch server, merged into the running one. */
#ifndef VOUCH_COMPONENTS_NEO4J_LABEL_H
#define VOUCH_COMPONENTS_NEO4J_LABEL_H

#include "tools/components/neo4j.h"

/** By what nodes of a label are told apart. */
struct neo4j_key {
	char *label;
	json_t *properties;		/* a list of names */
};
struct neo4j_keys {
	struct neo4j_key *all;
	size_t nr;
};

struct neo4j_merge {
	struct component *c;
	const char *database;
	struct http *from, *to;		/* the dump's scratch server, the running one */
	struct neo4j_keys keys;
	const char *label;
	/* What came of it. */
	uint64_t created, overwritten, equal, not_restored;
	uint64_t relations, relations_changed, relations_lost, newer;
};

/** Keys of the section (label-key = LABEL.PROPERTY), then uniqueness constraints of the dump. */
MUST_CHECK enum err_code neo4j_keys_read(struct neo4j_merge *m, struct err *e);
/**
 * ERR_FAILED where several nodes of h's graph (named by where) share a key's values: they would be written over each
 * other.
 */
MUST_CHECK enum err_code neo4j_keys_unique(struct neo4j_merge *m, struct http *h, const char *where, struct err *e);
void neo4j_keys_release(struct neo4j_keys *k);
/** n.`id`, n.`of`: with what is between, and after each. */
void neo4j_key_properties(struct buf *b, const struct neo4j_key *key, const char *between, const char *after);
const struct neo4j_key *neo4j_key_of(const struct neo4j_keys *k, const char *label);	/* NULL: none */

/*
 * A node as statements below have it is a typed map:
 *   {id, l: labels, p: properties, k: values of its key}
 * Told apart by its first label with a key whose values are all there; else by id, labels and properties being equal.
 */

/** Append the Cypher that matches row.NAME as variable: "MATCH (a:`Person` {`id`: row.a.k[0]})"; label NULL: by id. */
void neo4j_match(struct buf *b, const struct neo4j_key *key, const char *variable, const char *row);
/** The node's key, NULL: none; the node gets "k". labels, properties: as the typed answer has them. */
const struct neo4j_key *neo4j_node_make(const struct neo4j_keys *k, const json_t *id, const json_t *labels,
					const json_t *properties, json_t **out);

/* Typed values: {"$type": ..., "_value": ...}. */
json_t *neo4j_typed(const char *type, json_t *value);		/* takes value */
uint64_t neo4j_number(const json_t *typed);			/* 0: none */
/** A statement with {"rows": rows} (taken) on the running server, whose answer is one row of numbers. */
MUST_CHECK enum err_code neo4j_write(struct neo4j_merge *m, const char *statement, json_t *rows, uint64_t *numbers,
				     size_t nr, struct err *e);

/** Relationships of the label's nodes whose ids are from first to last. */
MUST_CHECK enum err_code neo4j_merge_relations(struct neo4j_merge *m, const char *type, uint64_t first, uint64_t last,
					       struct err *e);

#endif
