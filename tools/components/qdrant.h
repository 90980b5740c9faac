/* SPDX-License-Identifier: MIT */
/*
 * Qdrant: each collection is saved as the snapshot that the server makes of it, checked against the server's own SHA-256,
 * beside a JSON file from which it can be made again, empty.  The snapshot, a tar, is kept as it is: unwrapped, the second
 * of two of unchanged content costs 14 KiB instead of 71 (of a real one of 200 KiB), a difference that does not grow with
 * the vectors, and the checksum would no longer be the server's.  In the folder of a dump:
 *
 *   COLLECTION.snapshot      as the server sent it
 *   COLLECTION.config.json   {"create": body for PUT /collections/COLLECTION, "indexes": {FIELD: schema}, "config": as told}
 *   collections.json         the manifest: aliases, and of each collection points, bytes, sha256
 */
#ifndef VOUCH_COMPONENTS_QDRANT_H
#define VOUCH_COMPONENTS_QDRANT_H

#include <jansson.h>

#include "store/tree.h"
#include "tools/components/component.h"
#include "tools/http.h"

#define QDRANT_NAME_MAX 255	/* bytes of a collection's, alias's or snapshot's name: they are file names there */
#define QDRANT_LIST_MAX 65536	/* collections, aliases, snapshots of one answer */
#define QDRANT_VALIDATE "vouch_validate_"	/* collections that a validate makes */
#define QDRANT_UPLOAD "vouch-"	/* our uploads are "vouch-", 16 hexadecimal digits, ".snapshot": one left behind is known */

/* Said of a collection with them. */
#define QDRANT_SHARD_KEYS "it has shard keys: should it be lost, make it and its shard keys again before it is recovered"

struct qdrant_names {
	char **v;
	size_t nr;
};

struct qdrant {
	struct component *c;
	struct http *http;
	struct http *after;		/* clears up also when the run was told to stop: not canceled, little patience */
	struct http_options options;	/* of http; its strings are below */
	char *url;			/* without a '/' at its end */
	char *key, *header;		/* secrets; NULL: none */
	bool all;			/* collections = * */
	char **wanted;			/* else these; NULL-terminated */
	bool verify_counts;
	char *temporary;		/* prefix of collections made to look at a snapshot */
	unsigned timeout;		/* seconds without a byte while the server makes or takes a snapshot */
	bool may_lack;			/* inspect: wanted collections need not be there */
	const struct qdrant_names *only;	/* safety dump: these, and no others; else NULL */
	long status;			/* of the last answer; 0: there was none */
};

/* qdrant_parse.c: what came from outside, checked. */

/**
 * The result of an answer, with one reference.  ERR_NOT_FOUND (404), ERR_EXISTS (409), ERR_FAILED with the server's words
 * (any other that is not 2xx), also where it is no answer of Qdrant: ERR_CORRUPT is said of the repository alone.
 */
MUST_CHECK enum err_code qdrant_parse(long status, const char *text, size_t len, json_t **result, struct err *e);
bool qdrant_name_ok(const char *name);
/** Names at key of each object of the array; sorted.  ERR_FAILED, ERR_LIMIT. */
MUST_CHECK enum err_code qdrant_parse_names(const json_t *array, const char *key, struct qdrant_names *out, struct err *e);
MUST_CHECK bool qdrant_names_add(struct qdrant_names *n, const char *name);	/* false: out of memory */
bool qdrant_names_have(const struct qdrant_names *n, const char *name);
void qdrant_names_release(struct qdrant_names *n);

struct qdrant_snapshot {
	char name[QDRANT_NAME_MAX + 1];
	uint64_t size;
	bool has_sha256;		/* an uploaded one has none */
	struct object_id sha256;
};
MUST_CHECK enum err_code qdrant_parse_snapshot(const json_t *o, struct qdrant_snapshot *out, struct err *e);
bool qdrant_is_upload(const char *name);	/* a snapshot that vouch once uploaded */

/** The body that makes a collection of this configuration (GET /collections/C: config); NULL: out of memory, or not one. */
json_t *qdrant_create_body(const json_t *config);
/** {"FIELD": schema as PUT .../index wants it} of a payload_schema. */
json_t *qdrant_indexes(const json_t *payload_schema);
/** Its shards have keys: the server takes a snapshot only into a collection that has them already. */
bool qdrant_has_shard_keys(const json_t *info);
/** That an item (an index, an alias) belongs to a collection, and comes back with it.  ERR_NOMEM. */
MUST_CHECK enum err_code qdrant_belongs(struct facts *f, const char *kind, const char *name, const char *collection,
					struct err *e);
/** The item of facts, its vectors and indexes, of GET /collections/C: name is what it is called there.  ERR_FAILED. */
MUST_CHECK enum err_code qdrant_facts(const char *name, const json_t *info, uint64_t points, struct facts *out,
				      struct err *e);

/* qdrant_api.c: questions. */

enum qdrant_how {
	QDRANT_ASK,
	QDRANT_WORK,			/* takes as long as `timeout` allows */
	QDRANT_CLEAR			/* even when the run was told to stop */
};
/** The path of a collection's snapshot, percent-encoded. */
void qdrant_snapshot_path(struct buf *out, const char *collection, const char *snapshot);
/** The path of a collection: "/collections/NAME", percent-encoded, and tail. */
void qdrant_path(struct buf *out, const char *collection, const char *tail);
/**
 * One request; collection NULL: tail is the whole path.  Takes body (NULL: none); result may be NULL.  Codes as
 * qdrant_parse(), and ERR_FAILED where nobody answers.
 */
MUST_CHECK enum err_code qdrant_do(struct qdrant *q, enum qdrant_how how, const char *method, const char *collection,
				   const char *tail, json_t *body, json_t **result, struct err *e);
/** The end of any request: errors get the place, and the key taken out should a server repeat it. */
enum err_code qdrant_tell(struct qdrant *q, enum err_code rc, const char *method, const char *path, struct err *e);
/** Until it answers, at most c->wait seconds; then ERR_ABSENT from the first, that check may start it again. */
MUST_CHECK enum err_code qdrant_reach(struct qdrant *q, char version[64], struct err *e);
MUST_CHECK enum err_code qdrant_wait(struct qdrant *q, char version[64], struct err *e);
MUST_CHECK enum err_code qdrant_collections(struct qdrant *q, enum qdrant_how how, struct qdrant_names *out, struct err *e);
/** Those that a dump takes: as configured and there; ERR_NOT_FOUND names one that is not. */
MUST_CHECK enum err_code qdrant_chosen(struct qdrant *q, struct qdrant_names *out, struct err *e);
bool qdrant_takes(const struct qdrant *q, const char *collection);
MUST_CHECK enum err_code qdrant_aliases(struct qdrant *q, json_t **out, struct err *e);	/* {"ALIAS": "COLLECTION"} */
MUST_CHECK enum err_code qdrant_info(struct qdrant *q, const char *collection, json_t **out, struct err *e);
MUST_CHECK enum err_code qdrant_count(struct qdrant *q, const char *collection, uint64_t *out, struct err *e);
MUST_CHECK enum err_code qdrant_snapshots(struct qdrant *q, enum qdrant_how how, const char *collection, json_t **out,
					  struct err *e);
/* The absence of what is to go is no error. */
MUST_CHECK enum err_code qdrant_delete_snapshot(struct qdrant *q, const char *collection, const char *name, struct err *e);
MUST_CHECK enum err_code qdrant_drop(struct qdrant *q, enum qdrant_how how, const char *collection, struct err *e);
/**
 * In *status its colour: waits while it is yellow (being optimized), at most seconds.  Grey is not waited for: what may
 * be optimized then is begun with the next write.
 */
MUST_CHECK enum err_code qdrant_settle(struct qdrant *q, const char *collection, uint64_t seconds, char status[16],
				       struct err *e);
/** ERR_UNSUPPORTED where a part of it is on other nodes: a snapshot would lack that. */
MUST_CHECK enum err_code qdrant_here(struct qdrant *q, const char *collection, struct err *e);
/** "INTO_NAME", or NAME where into is NULL; malloc'ed, NULL: out of memory. */
char *qdrant_target(const char *into, const char *name);

/* qdrant_dump.c */

MUST_CHECK enum err_code qdrant_dump(struct component *c, struct dump *d, struct err *e);
MUST_CHECK enum err_code qdrant_inspect(struct component *c, const char *into, struct facts *out, struct err *e);

/* qdrant_upload.c */

struct qdrant_source {			/* bytes of a snapshot */
	enum err_code (*read)(void *ctx, void *buf, size_t len, size_t *n, struct err *e);
	void *ctx;
	uint64_t size;
	const struct object_id *sha256;
};
/**
 * Put a snapshot's content into collection; what was uploaded is deleted again, also where it was refused: ERR_FAILED with
 * q->status set.  So is what an interrupted one left.  create: body that makes the collection, wanted to clear up where
 * there is none.
 */
MUST_CHECK enum err_code qdrant_upload(struct qdrant *q, const char *collection, const struct qdrant_source *from,
				       const json_t *create, struct err *e);
/** Load the snapshot into a temporary collection, count, drop it. */
MUST_CHECK enum err_code qdrant_verify_count(struct qdrant *q, const char *collection, const struct qdrant_snapshot *s,
					     const json_t *create, uint64_t *out, struct err *e);

/* qdrant_items.c: what is to be brought back. */

/* One collection to bring back. */
struct qdrant_item {
	const char *name;		/* in the dump */
	char *target;			/* on the server */
	json_t *config;			/* its .config.json */
	uint64_t bytes;
	struct object_id sha256;
	bool there, differs;		/* the target exists; its vectors are others */
};
struct qdrant_items {
	struct qdrant_item *v;
	size_t nr;
	json_t *aliases;		/* on the server now: {"ALIAS": "COLLECTION"} */
};
void qdrant_items_release(struct qdrant_items *t);
/** What the dump holds of what the job asks for.  ERR_NOT_FOUND: it holds no such collection. */
MUST_CHECK enum err_code qdrant_gather(struct restore_job *j, struct qdrant_items *t, struct err *e);
/** What the server has of that. */
MUST_CHECK enum err_code qdrant_look(struct qdrant *q, const struct facts *recorded, struct qdrant_items *t, struct err *e);
/** Both, and whether it may be done.  ERR_EXISTS: something is in the way. */
MUST_CHECK enum err_code qdrant_prepare(struct component *c, struct restore_job *j, struct qdrant_items *t, struct err *e);

/* The snapshot's bytes from the store, checked by it. */
struct qdrant_reading {
	struct blob *b;
	uint64_t off;
};
MUST_CHECK enum err_code qdrant_open_snapshot(struct restore_job *j, const struct qdrant_item *it, struct qdrant_reading *r,
					      struct err *e);
/** For struct qdrant_source; ctx is a struct qdrant_reading. */
enum err_code qdrant_on_read(void *ctx, void *buf, size_t len, size_t *n, struct err *e);

/* qdrant_restore.c, qdrant_query.c: the operations of component.h. */

enum err_code qdrant_read_back(struct component *c, struct restore_job *j, struct err *e);
enum err_code qdrant_plan(struct component *c, struct restore_job *j, struct err *e);
enum err_code qdrant_restore(struct component *c, struct restore_job *j, struct err *e);
enum err_code qdrant_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
enum err_code qdrant_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
enum err_code qdrant_query(struct component *c, const char *into, const char *query, char **out, struct err *e);
enum err_code qdrant_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e);

#endif
