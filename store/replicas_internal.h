/* SPDX-License-Identifier: MIT */
/*
 * Inside libvouch.  Copies of this repository that it knows of, from the events "replica" of its log.  A repository may
 * be hostile, and so may be what its log names: a path is only ever opened to be read, and is a replica only where the
 * same repository id is found there.  What is read from it is as little believed as anything else.
 */
#ifndef VOUCH_STORE_REPLICAS_INTERNAL_H
#define VOUCH_STORE_REPLICAS_INTERNAL_H

#include "store/internal.h"

#define REPLICAS_MAX 16u	/* the newest that are told of */

/** Their paths: absolute, the newest first, without its own.  *paths is the caller's, replicas_free(). */
MUST_CHECK enum err_code replicas_known(struct store *s, char ***paths, size_t *nr, struct err *e);
void replicas_free(char **paths, size_t nr);

/**
 * Open one to read; the caller closes it.  ERR_ABSENT: not plugged in.  ERR_NOT_FOUND: no repository is there,
 * another one, or s itself.
 */
MUST_CHECK enum err_code replica_open(struct store *s, const char *path, struct backend **out,
				      struct err *e);

/** Say in s's log that path (which is there) holds a copy. */
MUST_CHECK enum err_code replica_note(struct store *s, const char *path, struct err *e);

/** A member of a log's line, for runlog_append: "KEY":"TEXT", or "KEY_b64" where text is not plain. */
void replica_member(struct buf *out, const char *key, const char *text);

#endif
