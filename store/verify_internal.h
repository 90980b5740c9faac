/* SPDX-License-Identifier: MIT */
/*
 * Inside a verify.  First every pack is read once (verify_packs.c): which chunks are whole is
 * remembered, 8 bytes a chunk.  Then every node of every snapshot is decoded and compared with
 * what refers to it, and every chunk that is referred to must be among the whole ones
 * (verify_trees.c, CHECK).  Where something is bad, the snapshots are walked again to name the
 * paths (verify_trees.c, NAME).
 */
#ifndef VOUCH_STORE_VERIFY_INTERNAL_H
#define VOUCH_STORE_VERIFY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "store/base/keyset.h"
#include "store/base/pool.h"
#include "store/base/rate.h"
#include "store/internal.h"
#include "store/lastgood_internal.h"
#include "store/verify.h"

#define VERIFY_NAMED_MAX	10000u		/* paths told of; the rest is counted */
/* Paths counted: nodes that are shared many times over could make it any number. */
#define VERIFY_COUNTED_MAX	1000000u

struct verify {
	struct store *s;
	const struct verify_options *o;
	struct pool *pool;
	const struct snapshot *snap;	/* walker: the one being checked */
	const char *stage;		/* for PROGRESS; NULL: the packs.  Set while no job runs */
	struct rate rate;		/* of reading */
	uint64_t packs_total, bytes_total;	/* bytes of all packs that are to be read */
	struct lastgood_log *log;	/* NULL: nothing is recorded */
	const char *cache;		/* where a cache may answer */
	int64_t packs_until, until;	/* monotonic nanoseconds: the ends of reading packs, and of all; 0: none */
	atomic_bool late;		/* past until, with something left undone */

	/* Written by pack jobs under the mutex, read when they are done. */
	uint64_t *good;			/* chunk_key() of the whole chunks, sorted after the packs */
	size_t nr_good, cap_good;

	bool let_go;			/* walker: the snapshot was forgotten meanwhile, and misses what went with it */

	struct keyset visited;		/* walker: nodes compared with what refers to them */
	struct keyset clean;		/* walker: nodes with nothing bad at or below them */
	struct keyset bad_nodes;	/* walker: as visited, but bad */
	struct keyset asked;		/* walker: chunks looked for beyond good */
	struct keyset hashed;		/* walker: contents whose digest was computed */

	pthread_mutex_t mutex;
	struct verify_result res;	/* mutex */
	uint64_t summed;		/* mutex: bytes of files put together */
	struct err stop;		/* mutex: what ended the check itself */
	struct keyset read;		/* mutex: packs read from end to end, by id_key() */
	struct keyset damaged;		/* mutex: chunks found damaged in a pack, by id_key() */
	struct keyset bad;		/* mutex: chunks needed and nowhere whole, by id_key() */
	struct keyset missing;		/* mutex: those of bad that are in no pack */
	struct keyset bad_files;	/* mutex: contents whose digest is another */
	struct timespec told;		/* mutex */
	atomic_bool stopping;

	verify_touched_fn *touched;	/* not NULL: verify_touched, which walks with NAME alone */
	void *touched_ctx;
	int64_t deadline;		/* where touched: monotonic seconds */
};

/** A chunk of this length, in the good set. */
static inline uint64_t chunk_key(const struct object_id *id, uint32_t len)
{
	return id_key(id) ^ len * 0x9e3779b97f4a7c15u;
}

/* verify.c */

void verify_lock(struct verify *v);
void verify_unlock(struct verify *v);
bool verify_stopping(struct verify *v);		/* also looks at cancel */
void verify_stop(struct verify *v, const struct err *err);
/** Such an error ends the check; others are what it looks for. */
bool verify_stops(const struct err *err);
/**
 * What err says is missing went with snap, which was forgotten since it was listed: no damage.  Notes it, and the
 * caller passes err on: verify_tree() leaves that snapshot.  The walker's.
 */
bool verify_let_go(struct verify *v, const struct snapshot *snap, const struct err *err);
/** path: what is read now, or NULL. */
void verify_progress(struct verify *v, const char *path);
/** Tell of a small file that is damaged, and count it. */
void verify_bad_record(struct verify *v, const char *name, const struct err *err);
/**
 * Tell of what became of reading one.  Missing is told and no damage: a copy under way, or a run that was stopped
 * between the two.  ERR_OK unless err stops the verify.
 */
MUST_CHECK enum err_code verify_told(struct verify *v, const char *name, const struct err *err, struct err *e);

/** Some packs are not to be read. */
static inline bool verify_is_partial(const struct verify_options *o)
{
	return o->sample || o->seconds || o->resume_seconds;
}

/* verify_time.c */

int64_t verify_now_ns(void);
bool verify_due(int64_t until);		/* 0: never */
/** The end of all is there, and something is left undone: v->late tells from then on. */
bool verify_cut(struct verify *v);
/** What of the time is for what. */
void verify_set_times(struct verify *v);
/** Damage was found: its paths are named even where no time is left, within reason. */
void verify_more_time(struct verify *v);

/** The medium was read, and no cache. */
bool verify_from_medium(const struct verify *v);

/* verify_parity.c */

/** The parity file of every pack that was read, read whole. */
MUST_CHECK enum err_code verify_parity(struct verify *v, struct err *e);

/* verify_touched.c */
bool verify_late(const struct verify *v);	/* past its deadline */

/* verify_packs.c */

/** Those that are to be read; what is whole is in v->good then, and what the tables of the others name. */
MUST_CHECK enum err_code verify_packs(struct verify *v, struct err *e);

/* verify_claims.c */

enum visit_kind { VISIT_ROOT, VISIT_DIR, VISIT_CONTENT };

/* A reference to a node, and what it claims. */
struct visit {
	struct object_id id;
	enum visit_kind kind;
	bool top;			/* the topmost of its tree: any level, any first name */
	unsigned level;			/* else */
	uint64_t first;			/* XXH3 of the first name, for directories' lower nodes */
	uint64_t entries, subdirs, bytes;
	struct totals totals;
};

/** Reference and claim in one number. */
uint64_t visit_key(const struct visit *v);
/** ERR_CORRUPT: n is not what v says. */
MUST_CHECK enum err_code visit_check(const struct visit *v, const struct node *n, struct err *e);

/* verify_trees.c */

enum verify_walk { WALK_CHECK, WALK_NAME };
/** From the snapshot's root. */
MUST_CHECK enum err_code verify_tree(struct verify *v, const struct snapshot *snap,
				     enum verify_walk what, struct err *e);

/* verify_content.c: chunks and files that the walk meets. */

/** CHECK: the chunk is there, whole, with this length; what is not is remembered. */
MUST_CHECK enum err_code verify_chunk(struct verify *v, const struct object_id *id, uint32_t len,
				      struct err *e);
/** NAME: whether it was found bad; *err says how. */
bool verify_chunk_bad(struct verify *v, const struct object_id *id, struct err *err);
/** CHECK: the file's bytes are hashed, in the pool, once a content. */
MUST_CHECK enum err_code verify_file(struct verify *v, const struct entry *ent, struct err *e);
bool verify_file_bad(struct verify *v, const struct entry *ent);
/** Which content, with which digest. */
uint64_t verify_file_key(const struct entry *ent);

/** Signatures and public keys: files without a digest of their own, so that only their second copies say they are whole. */
MUST_CHECK enum err_code verify_twins(struct verify *v, struct err *e);

#endif
