/* SPDX-License-Identifier: MIT */
/*
 * The regular files of a snapshot in the order of its tree (names by their bytes, a folder's files where the folder
 * stands), from any of them on.  The way down is kept on the heap: a hostile tree may be deep.
 */
#ifndef VOUCH_FS_FILEWALK_H
#define VOUCH_FS_FILEWALK_H

#include "store/base/buf.h"
#include "store/tree.h"

#define FILEWALK_PATH_MAX	(1u << 20)	/* bytes: thousands of folders of the longest names; ERR_LIMIT */

/** A folder on the way. */
struct filewalk_level {
	struct object_id dir;
	uint64_t nr, next;	/* entries in it; the position to go on with */
	size_t path_len;	/* of "a/b/" in filewalk.path; 0 for the snapshot's folder itself */
	size_t nr_escaped;	/* characters of that which sha256sum writes as two */
};

struct filewalk {
	struct store *s;
	struct buf levels;	/* struct filewalk_level each */
	struct buf path;	/* "a/b/", raw bytes; of a file while fn looks at it */
};

#define FILEWALK_INIT(store) { .s = (store) }
void filewalk_release(struct filewalk *w);

/** The innermost folder; NULL: the walk is over.  Good until the next call of anything here. */
struct filewalk_level *filewalk_top(struct filewalk *w);

/** Step into dir, an entry of the innermost folder (or, first of all, the snapshot's own folder). */
MUST_CHECK enum err_code filewalk_enter(struct filewalk *w, const struct entry *dir, struct err *e);

/**
 * Every file from where the walk stands.  fn returns ERR_OK to go on, ERR_CANCELED to end without error, others to
 * fail; ent is good during the call, path (in w->path) too.
 */
typedef enum err_code filewalk_fn(void *ctx, const struct filewalk *w, const struct entry *ent,
				  struct err *e);
MUST_CHECK enum err_code filewalk_run(struct filewalk *w, filewalk_fn *fn, void *ctx,
				      struct err *e);

/** How many bytes of name sha256sum writes as two. */
size_t filewalk_escapes(const char *name, size_t len);

#endif
