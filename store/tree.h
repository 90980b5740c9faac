/* SPDX-License-Identifier: MIT */
/*
 * A snapshot's tree: directories looked up and listed, files read. Every byte of it has been checked against the
 * root's id.  Anywhere here ERR_CORRUPT is damage, and ERR_INCOMPLETE a node or chunk that is in no pack that is
 * here (a copy under way, or one lost); ERR_NOT_FOUND is only what each function says of it.
 */
#ifndef VOUCH_STORE_TREE_H
#define VOUCH_STORE_TREE_H

#include <sys/uio.h>

#include "store/entry.h"
#include "store/store.h"

/**
 * An entry and what keeps its memory.  position: ordinal among its directory's entries, from 0.
 * before: everything in and below the entries that stand before it (the entries themselves counted).
 * number: before.files + before.dirs + before.others, so that an entry's preorder number is its
 * directory's + 1 + number.
 */
struct entry_ref {
	struct entry e;
	uint64_t position, number;
	struct totals before;
	void *pin;
};
void entry_ref_release(struct store *s, struct entry_ref *r);	/* an empty one (zeroed) is allowed */

/** The entry of the snapshot's root folder (name_len 0), from struct snapshot's root. */
MUST_CHECK enum err_code tree_root(struct store *s, const struct object_id *root,
				   struct entry_ref *out, struct err *e);

/**
 * In the directory dir (an entry's node): the entry called name.  ERR_NOT_FOUND: no such name.  A node that is in no
 * pack is ERR_INCOMPLETE, here and below: it must not pass for a name that is not there.
 */
MUST_CHECK enum err_code tree_lookup(struct store *s, const struct object_id *dir,
				     const char *name, size_t name_len, struct entry_ref *out,
				     struct err *e);

/** The entry at position; ERR_NOT_FOUND past the end. */
MUST_CHECK enum err_code tree_at(struct store *s, const struct object_id *dir, uint64_t position,
				 struct entry_ref *out, struct err *e);

/**
 * The entry below dir (that itself not counted) whose preorder number within dir is number (from 0), descending one
 * directory: the entry of dir that is it or that has it below; *rest is 0 where it is it, else the
 * number within that entry's directory + 1.  out->before is left empty: it would take longer than all the rest.
 */
MUST_CHECK enum err_code tree_by_number(struct store *s, const struct object_id *dir,
					uint64_t number, struct entry_ref *out, uint64_t *rest,
					struct err *e);

/**
 * Walk dir's entries in order from position on.  fn gets each (the ref is the walker's: copy nothing of it but by
 * value of what is needed); it returns ERR_OK to go on, ERR_CANCELED to stop without error, others to fail.
 */
typedef enum err_code tree_walk_fn(void *ctx, const struct entry_ref *r, struct err *e);
MUST_CHECK enum err_code tree_walk(struct store *s, const struct object_id *dir,
				   uint64_t position, tree_walk_fn *fn, void *ctx, struct err *e);

/** path ("/etc/hosts", "etc/hosts", "" or "/" for root itself) below root; "." and empty parts are passed over, ".." is ERR_USAGE. */
MUST_CHECK enum err_code tree_path(struct store *s, const struct object_id *root, const char *path,
				   struct entry_ref *out, struct err *e);

/**
 * SHA-256 of a regular file's whole content, as recorded (computed for inline and empty ones); false, and zero, where
 * none was recorded: a file with more than HOLES_SUMMED_MAX in holes.
 */
bool entry_sha256(const struct entry *e, struct object_id *out);

/**
 * Extended attributes in order: index 0, 1, ...; false past the end.  A value kept in a chunk is fetched by
 * entry_xattr_value.
 */
struct entry_xattr {
	const char *name;
	size_t name_len, value_len;
	const uint8_t *inline_value;	/* NULL where it is in a chunk */
	struct object_id chunk;
};
bool entry_xattr_at(const struct entry *e, size_t index, struct entry_xattr *out);
/** Copy the value to out (value_len bytes). */
MUST_CHECK enum err_code entry_xattr_value(struct store *s, const struct entry_xattr *x, void *out,
					   struct err *e);

/* Content. */

struct blob;

/** A regular file's content for reading; what it needs of ent is copied.  The caller closes it. Any number of threads may read one. */
MUST_CHECK enum err_code blob_open(struct store *s, const struct entry *ent, struct blob **out,
				   struct err *e);
void blob_close(struct blob *b);		/* NULL is allowed */
uint64_t blob_size(const struct blob *b);

/**
 * Read up to len bytes at off; *n gets the count, short only at end of file.  Every
 * chunk is checked before a byte of it is copied; holes read as zeros.  A damaged
 * chunk anywhere in the range fails the whole read: a short count would look like
 * the end of the file.
 */
MUST_CHECK enum err_code blob_pread(struct blob *b, uint64_t off, void *buf, size_t len, size_t *n,
				    struct err *e);

/** lseek's SEEK_DATA and SEEK_HOLE: ERR_NOT_FOUND past the end (ENXIO). The end of the file is a hole. */
MUST_CHECK enum err_code blob_seek(struct blob *b, uint64_t off, bool hole, uint64_t *out,
				   struct err *e);

/**
 * A range of a file's content where it lies in memory, checked and pinned, for writev: nothing is copied and nothing
 * allocated, unless it lies in more than VIEW_PIECES_MAX pieces.
 */
#define VIEW_PIECES_MAX 8u
struct view {
	size_t len;			/* bytes of all pieces */
	size_t nr;
	struct iovec pieces[VIEW_PIECES_MAX];
	void *pins[VIEW_PIECES_MAX];	/* the store's */
	void *copy;			/* the store's */
};

/**
 * Up to len bytes at off, fewer only at the end of the file; damage is as for blob_pread.  ent must live until
 * view_release: small content is shown where it lies in the entry.  After a failure there is nothing to release.
 */
MUST_CHECK enum err_code view_open(struct store *s, const struct entry *ent, uint64_t off,
				   size_t len, struct view *v, struct err *e);
void view_release(struct store *s, struct view *v);

/**
 * The content in order, piece by piece: data (NULL for a hole) and its length; pieces are at most a chunk or one
 * hole.  For restore and hashing: nothing is copied.  fn as in tree_walk.
 */
typedef enum err_code blob_piece_fn(void *ctx, uint64_t off, const uint8_t *data, uint64_t len,
				    struct err *e);
MUST_CHECK enum err_code blob_each(struct blob *b, uint64_t from, blob_piece_fn *fn, void *ctx,
				   struct err *e);

#endif
