/* SPDX-License-Identifier: MIT */
/* Inside libvouch: what an open repository is made of.  Only the .c files directly in store/ may include this. */
#ifndef VOUCH_STORE_INTERNAL_H
#define VOUCH_STORE_INTERNAL_H

#include <pthread.h>

#include "store/backend/backend.h"
#include "store/engine/chunks.h"
#include "store/format/node.h"
#include "store/format/superblock.h"
#include "store/store.h"

struct node_cache;

struct store {
	struct backend *backend;
	struct superblock super;
	char id_text[2 * REPO_ID_LEN + 1];
	char *path;			/* absolute */
	enum store_mode mode;
	struct chunks *chunks;
	struct node_cache *nodes;
	struct store_events events;
};

/** Tell the caller's callback; any thread. */
void store_event(struct store *s, enum event_kind kind, const char *path, const struct err *err,
		 const char *fmt, ...) PRINTF_LIKE(5, 6);

/* nodecache.c: decoded nodes, bounded, shared. */
MUST_CHECK enum err_code node_cache_open(size_t max_bytes, struct node_cache **out, struct err *e);
void node_cache_close(struct node_cache *c);
/** A decoded node by id, pinned; wrong kind is ERR_CORRUPT at the caller's. */
MUST_CHECK enum err_code node_cache_get(struct store *s, const struct object_id *id,
					const struct node **out, void **pin, struct err *e);
void node_cache_put(struct store *s, void *pin);

/* records.c: the small files. */

/** Write copies/NAME after NAME. */
MUST_CHECK enum err_code record_put(struct store *s, const char *name, const void *buf, size_t len,
				    struct err *e);
/** SHA256SUMS anew, README.txt where missing. */
MUST_CHECK enum err_code records_refresh_sums(struct store *s, struct err *e);

/* publish.c: chain and publish a snapshot under this host's local lock; fills id, name, writer, seq, previous. */
struct snapshot;
MUST_CHECK enum err_code snapshot_publish(struct store *s, struct snapshot *snap, struct err *e);

/* runlog.c: one line in log/WRITER-YYYY-MM.ndjson, with its check. json: an object's members without braces. */
MUST_CHECK enum err_code runlog_append(struct store *s, const char *event, const char *json_members,
				       struct err *e);

/** This host's writer id for the repository (made and kept in $XDG_STATE_HOME/vouch or /var/lib/vouch). */
MUST_CHECK enum err_code writer_identity(struct store *s, uint8_t id[16], int *lock_fd,
					 struct err *e);

#endif
