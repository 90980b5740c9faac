/* SPDX-License-Identifier: MIT */
/* Nodes kept in memory, for tests of what builds and walks them; and sample entries. */
#ifndef VOUCH_TESTS_NODESTORE_H
#define VOUCH_TESTS_NODESTORE_H

#include "store/format/node.h"

struct nodestore_node {
	struct object_id id;
	uint8_t *p;
	size_t len;
};

struct nodestore {
	struct nodestore_node *nodes;	/* in the order they came; the same id may come again */
	size_t nr, cap;
	size_t max_len;			/* of the longest */
	size_t fail_at;			/* emit number fail_at (from 1) is ERR_IO; 0: none */
};

void nodestore_release(struct nodestore *s);
enum err_code nodestore_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			     struct err *e);
/** NULL where it was never emitted. */
const struct nodestore_node *nodestore_get(const struct nodestore *s, const struct object_id *id);
/** How many ids of a are not in b. */
size_t nodestore_new(const struct nodestore *a, const struct nodestore *b);

/**
 * A sample of each type, with every attribute a type can have; all views are static.
 * name is kept as it is.
 */
void sample_entry(struct entry *e, enum entry_type type, const char *name);
enum { SAMPLE_KINDS = 10 };
/** Number kind (below SAMPLE_KINDS): the types, and files with each kind of content. */
void sample_kind(struct entry *e, unsigned kind, const char *name);

/** All fields that are stored are equal. */
bool entry_same(const struct entry *a, const struct entry *b);

#endif
