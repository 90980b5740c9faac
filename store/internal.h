/* SPDX-License-Identifier: MIT */
/* Inside libvouch: what an open repository is made of.  Only the .c files directly in store/ may include this. */
#ifndef VOUCH_STORE_INTERNAL_H
#define VOUCH_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/backend/backend.h"
#include "store/engine/chunks.h"
#include "store/format/node.h"
#include "store/format/superblock.h"
#include "store/store.h"

struct damage_ledger;
struct node_cache;
struct snapshot_cache;

struct store {
	struct backend *backend;
	struct superblock super;
	char id_text[2 * REPO_ID_LEN + 1];
	char *path;			/* absolute */
	enum store_mode mode;
	struct chunks *chunks;
	struct node_cache *nodes;
	struct snapshot_cache *snapshots;
	struct damage_ledger *damage;	/* damage_internal.h */
	struct store_events events;
	pthread_mutex_t mutex;
	uint8_t writer[16];		/* mutex; valid where has_writer */
	bool has_writer;		/* mutex */
	atomic_bool tells_missing_itself;	/* whoever reads: no event for a chunk that is in no pack */
	atomic_bool heal;
	atomic_uint_fast64_t records_mended;
	struct {
		pthread_t thread;		/* mutex, as all here */
		bool joinable, running;
		unsigned runs;
		int64_t last;			/* monotonic seconds */
		atomic_bool cancel, wanting;	/* wanting: one of them was seen damaged or missing */
	} records;
};

/* This moment; also as "2026-11-21T02:00:00.123456789Z". */
struct vtime store_vtime(void);
#define TIME_TEXT_LEN 30
void store_now(char out[TIME_TEXT_LEN + 1]);

/**
 * Forget what was read: tables, blocks, nodes, and what was found damaged.  No other thread is in the store.  After an
 * error it can only be closed.
 */
MUST_CHECK enum err_code store_reload(struct store *s, struct err *e);

/** Tell the caller's callback; any thread. */
void store_event(struct store *s, enum event_kind kind, const char *path, const struct err *err,
		 const char *fmt, ...) PRINTF_LIKE(5, 6);

/* super.c: s->super from vouch.json, or from its copy, which is made anew where it is missing and we may write. */
MUST_CHECK enum err_code store_load_super(struct store *s, struct err *e);

/* nodecache.c: decoded nodes, bounded, shared. */
MUST_CHECK enum err_code node_cache_open(size_t max_bytes, struct node_cache **out, struct err *e);
void node_cache_close(struct node_cache *c);
void node_cache_set_max(struct node_cache *c, size_t max_bytes);	/* before other threads use it */
/** A decoded node by id, pinned; wrong kind is ERR_CORRUPT at the caller's. */
MUST_CHECK enum err_code node_cache_get(struct store *s, const struct object_id *id,
					const struct node **out, void **pin, struct err *e);
void node_cache_put(struct store *s, void *pin);
/** chunks_get for what a tree refers to: missing is ERR_INCOMPLETE, as store/tree.h has it. */
MUST_CHECK enum err_code chunk_of_tree(struct store *s, const struct object_id *id,
				       struct chunk_ref *ref, struct err *e);
/** What stands before entry i (i <= nr) of the leaf behind pin, within that leaf. */
MUST_CHECK enum err_code node_cache_before(void *pin, uint32_t i, struct totals *out,
					   struct err *e);
/** The same as a number of entries, for each i <= nr; good while pinned. */
MUST_CHECK enum err_code node_cache_numbers(void *pin, const uint64_t **out, struct err *e);

/* snapshot.c: what was read once is not read again; names are digests. */
MUST_CHECK enum err_code snapshot_cache_open(struct snapshot_cache **out, struct err *e);
void snapshot_cache_close(struct snapshot_cache *c);	/* NULL is allowed */

/** Whether there is a record that it was forgotten: that is written before its first file goes. */
struct snapshot;
bool snapshot_let_go(struct store *s, const struct snapshot *snap);

/* records.c: the small files. */

/** Append the whole object to out; ERR_CORRUPT where it is longer than max. */
MUST_CHECK enum err_code record_get(struct backend *b, const char *name, size_t max,
				    struct buf *out, struct err *e);
/** It is gone then; that it was not there is no error. */
MUST_CHECK enum err_code record_remove(struct backend *b, const char *name, struct err *e);
MUST_CHECK enum err_code record_put_readme(struct backend *b, struct err *e);

/** Put; on a full medium what is only derived (SHA256SUMS, README.txt) makes way, until records_refresh_sums(). */
MUST_CHECK enum err_code record_squeeze(struct store *s, const char *name, const void *buf,
					size_t len, struct err *e);

/** Write copies/NAME after NAME. */
MUST_CHECK enum err_code record_put(struct store *s, const char *name, const void *buf, size_t len,
				    struct err *e);
/** SHA256SUMS anew, README.txt where missing. */
MUST_CHECK enum err_code records_refresh_sums(struct store *s, struct err *e);

/* healing.c: what the engine asks for, and tells of, while it heals. */
void healing_config(struct store *s, struct chunks_config *cfg);
/**
 * The records that exist twice are to be looked at, by a thread of its own, where that may write.  seen: one of a pair was
 * found damaged or missing; else once is enough, and store_close() may stop it.  No lock is held.
 */
void healing_records(struct store *s, bool seen);
void healing_end(struct store *s);

/* publish.c: chain and publish a snapshot under this host's local lock; fills id, name, writer, seq, previous. */
MUST_CHECK enum err_code snapshot_publish(struct store *s, struct snapshot *snap, struct err *e);

/* forget.c: a snapshot whose record of the forgotten is durable goes; that it is not there is no error. */
MUST_CHECK enum err_code snapshot_remove_files(struct store *s, const char *name, struct err *e);
/** forget_finish.c: what forgets that were cut short left goes. */
MUST_CHECK enum err_code forget_finish(struct store *s, struct err *e);

/* runlog.c: one line in log/WRITER-YYYY-MM.ndjson, with its check. json: an object's members without braces. */
MUST_CHECK enum err_code runlog_append(struct store *s, const char *event, const char *json_members,
				       struct err *e);

/** A line of log/, good during the call only. */
struct json_t;
struct runlog_line {
	const char *time, *event;	/* "2026-11-21T02:00:00.123456789Z" */
	const struct json_t *members;
	const char *text;		/* all of it, len bytes, no NUL behind */
	size_t len;
};
/* Of its members: a string (NULL: none), a number (false: none), an array of strings. */
const char *runlog_str(const struct runlog_line *l, const char *key);
bool runlog_u64(const struct runlog_line *l, const char *key, uint64_t *out);
size_t runlog_nr(const struct runlog_line *l, const char *key);
const char *runlog_item(const struct runlog_line *l, const char *key, size_t i);
typedef enum err_code runlog_fn(void *ctx, const struct runlog_line *l, struct err *e);

/**
 * Each line of event (NULL: all) whose check is right, in any order of files and in order within one; an error of fn
 * ends it and is returned.  Anybody who can write to the medium can write such lines: they are hints.
 */
MUST_CHECK enum err_code runlog_each(struct store *s, const char *event, runlog_fn *fn, void *ctx,
				     struct err *e);
/** The same of the files of since ("2026-08") and later months, by their names, and of those that have none in it. */
MUST_CHECK enum err_code runlog_each_since(struct store *s, const char *since, const char *event,
					   runlog_fn *fn, void *ctx, struct err *e);

/**
 * This host's writer id for the repository (made and kept in $XDG_STATE_HOME/vouch or /var/lib/vouch).  With
 * lock_fd the caller gets the identity's lock and closes it to let go; -1 where there is no place for a lock.
 * Where nothing can be kept, a random id for this run, with a WARNING event.
 */
MUST_CHECK enum err_code writer_identity(struct store *s, uint8_t id[16], int *lock_fd,
					 struct err *e);

/**
 * A folder of this user for vouch: $ENV_NAME/vouch, else as_root (may be NULL) for root, else ~/BELOW_HOME/vouch;
 * made (0700) with its parents.  *out is malloc'ed.
 */
MUST_CHECK enum err_code user_dir(const char *env_name, const char *as_root,
				  const char *below_home, char **out, struct err *e);
/** mkdir -p, 0700. */
MUST_CHECK enum err_code make_dirs(const char *path, struct err *e);

#endif
