/* SPDX-License-Identifier: MIT */
/*
 * Nodes: the pieces, at most 256 KiB each, of a directory's entries or a file's segments.  A node is a chunk of
 * a tree pack; its id is the digest of these bytes.
 *
 *    0 magic "VNOD"   4 u8 version 1   5 u8 kind   6 u8 level (0 for leaves)   7 zero   8 le32 nr   12 zero[4]
 *
 * kind 1, directory leaf: le16 nr_owners, then that many owners (le32 uid, le32 gid, u8 user_len, user,
 *         u8 group_len, group) in order of first use; then nr entries (entryrec.h), names strictly ascending (memcmp)
 * kind 2, directory inner: nr children: id[32], le64 entries, le64 subdirs, the totals (six le64, as in tag DIR, of
 *         all that is in or below the child's entries, the entries themselves counted), le16 first_len, first name
 * kind 3, content leaf: nr segments
 * kind 4, content inner: nr children: id[32], le64 bytes
 * kind 5, root: as a directory leaf with exactly one entry, a directory whose name is empty
 *
 * An inner node's level is one more than its children's; a content or directory tree of one leaf has no inner node.
 * An empty directory is a leaf with nr 0.  Children come in order.
 *
 * Where writers cut (readers do not care): a directory leaf ends after an entry whose name's XXH3-64 has its low 9
 * bits zero, an inner directory node after a child whose first name's XXH3-64 with seed `level` has its low 6 bits
 * zero (and at least 2 children), a content leaf after a chunk whose id's key has its low 10 bits zero (holes never
 * cut), an inner content node likewise on its child's id with 8 bits; never below 4 KiB, always before 256 KiB.
 */
#ifndef VOUCH_FORMAT_NODE_H
#define VOUCH_FORMAT_NODE_H

#include "store/format/entryrec.h"

enum node_kind {
	NODE_DIR_LEAF = 1,
	NODE_DIR_INNER = 2,
	NODE_CONTENT_LEAF = 3,
	NODE_CONTENT_INNER = 4,
	NODE_ROOT = 5
};

struct node_child {
	struct object_id id;
	const char *first;		/* directory inner: first name below; view */
	size_t first_len;
	uint64_t entries, subdirs;	/* directory inner */
	struct totals totals;		/* directory inner */
	uint64_t bytes;			/* content inner */
};

/**
 * A decoded and wholly checked node.  Owns its arrays; the bytes it was decoded
 * from must outlive it.  Immutable after decoding: any number of threads may read it.
 */
struct node {
	enum node_kind kind;
	unsigned level;
	uint32_t nr;
	const uint8_t *buf;
	size_t len;
	struct owner *owners;		/* leaf, root */
	uint32_t nr_owners;
	uint32_t *offs;			/* leaf, root: where entry i begins; content leaf: where segment i begins */
	uint64_t *starts;		/* content leaf, content inner: first byte of segment/child i; [nr] is the sum */
	struct node_child *children;	/* inner */
};

void node_release(struct node *n);

/** Checks everything: kind, level, order, every entry, every length.  On failure *n is empty. */
MUST_CHECK enum err_code node_decode(const uint8_t *buf, size_t len, struct node *n, struct err *e);

/** Entry i (i < nr) of a leaf or root: decoded again from the checked bytes, cannot fail. */
void node_entry(const struct node *n, uint32_t i, struct entry *out);

/** First entry of a leaf (or child of an inner node) whose (first) name is >= name; nr if none. */
uint32_t node_lower_bound(const struct node *n, const char *name, size_t name_len);

/** Segment i of a content leaf. */
void node_segment(const struct node *n, uint32_t i, struct segment *out);

/* Totals. */

/** What the entry itself adds to the sums of the directory that holds it, everything below it included. */
MUST_CHECK enum err_code totals_add_entry(struct totals *t, const struct entry *ent, struct err *e);
/** t += a, ERR_CORRUPT on overflow. */
MUST_CHECK enum err_code totals_add(struct totals *t, const struct totals *a, struct err *e);

/* Building: the pieces go out through emit, which stores them and returns their ids. */

typedef enum err_code node_emit_fn(void *ctx, const uint8_t *buf, size_t len,
				   struct object_id *id, struct err *e);

/**
 * Entries in, names strictly ascending; nodes out. Memory: one node a level.
 * An entry that no reader would accept (its name, a length) is ERR_LIMIT, a name out
 * of order or there twice ERR_USAGE; both leave the builder as it was.
 */
struct dir_builder;
MUST_CHECK enum err_code dir_builder_open(node_emit_fn *emit, void *ctx, struct dir_builder **out,
					  struct err *e);
void dir_builder_close(struct dir_builder *b);		/* NULL is allowed */
MUST_CHECK enum err_code dir_builder_add(struct dir_builder *b, const struct entry *ent,
					 struct err *e);
/** Ends the directory: fills dir->node, below, nr_entries, nr_subdirs. The builder is empty and ready again. */
MUST_CHECK enum err_code dir_builder_finish(struct dir_builder *b, struct entry *dir,
					    struct err *e);

/** Segments in (neighbouring holes are joined); at the end the file's content fields. Memory: one node a level. */
struct content_builder;
MUST_CHECK enum err_code content_builder_open(node_emit_fn *emit, void *ctx,
					      struct content_builder **out, struct err *e);
void content_builder_close(struct content_builder *b);
MUST_CHECK enum err_code content_builder_add(struct content_builder *b, const struct segment *s,
					     struct err *e);
/**
 * Ends the file: sets file->content, content_p, content_len (a view into the
 * builder, good until its next use), node, size, and hole_bytes.  Up to 16 segments stay a
 * LIST.  The builder is empty and ready again.
 */
MUST_CHECK enum err_code content_builder_finish(struct content_builder *b, struct entry *file,
						struct err *e);
/** Forget what was added since the last finish (the file is being read again). */
void content_builder_reset(struct content_builder *b);

/** A root node holding root (name_len 0), emitted; its id is the snapshot's root. */
MUST_CHECK enum err_code root_emit(const struct entry *root, node_emit_fn *emit, void *ctx,
				   struct object_id *id, struct err *e);

#endif
