/* SPDX-License-Identifier: MIT */
/*
 * Trees built entry by entry into a test repository: what a backup would make, and what it would
 * not.
 */
#ifndef VOUCH_TESTS_TESTTREE_H
#define VOUCH_TESTS_TESTTREE_H

#include "tests/lib/testrepo.h"

#define TESTTREE_DEPTH	4100	/* folders below one another, more than is allowed */

/** Events of a kind, as "text|path|cause" lines. */
struct testlog {
	pthread_mutex_t mutex;
	struct buf lines[EVENT_PROGRESS + 1];	/* mutex */
	unsigned nr[EVENT_PROGRESS + 1];	/* mutex */
	void (*hook)(void *ctx, const struct event *ev);	/* called first; may be NULL */
	void *hook_ctx;
};

void testlog_init(struct testlog *l);
void testlog_release(struct testlog *l);
void testlog_reset(struct testlog *l);
/** Make s report here. */
void testlog_attach(struct testlog *l, struct store *s);
/** Some line of the kind has all of a and b in it. */
bool testlog_has(struct testlog *l, enum event_kind kind, const char *a, const char *b);

struct testtree {
	struct testrepo *r;
	struct dir_builder *free[4];	/* builders to use again */
	unsigned nr_free;
	struct level {
		struct dir_builder *b;
		struct entry e;
	} *levels;
	unsigned depth;
	struct content_builder *content;
	uint8_t skip_node;		/* > 0: that many-th emitted node is not stored */
	unsigned emitted;
	struct object_id skipped;
};

void testtree_begin(struct testtree *t, struct testrepo *r);
/**
 * Ends all folders; *root names the snapshot's root, *top is the root folder's entry (no pointers
 * in it). Sealed.
 */
void testtree_end(struct testtree *t, struct object_id *root, struct entry *top);

/** Plausible values: mode 0644, times 1, names of nobody, this process's ids. */
struct entry testtree_entry(enum entry_type type, const char *name);
/** Names within a folder in ascending order. e->name is used until leave. */
void testtree_enter(struct testtree *t, const struct entry *e);
void testtree_leave(struct testtree *t);
void testtree_add(struct testtree *t, const struct entry *e);

/** A run of content: len bytes of pseudo-random data from seed, or (seed 0) a hole. */
struct run {
	uint64_t len, seed;
};
void testtree_fill(uint8_t *p, size_t len, uint64_t seed);
/**
 * Adds the file with these runs, in chunks of at most chunk_len bytes; its digest and holes are
 * filled in.
 */
void testtree_file(struct testtree *t, struct entry e, const struct run *runs, size_t nr,
		   size_t chunk_len);
/** A file of a few bytes, inline. */
void testtree_text(struct testtree *t, const char *name, const char *text);

/** Encode an xattr into b, by ascending name; in a chunk where it is long. */
void testtree_xattr(struct testrepo *r, struct buf *b, const char *name, const void *value,
		    size_t len);

#endif
