/* SPDX-License-Identifier: MIT */
/*
 * Inside chunks: what chunks.c (open, ask, tell), chunks_read.c (get), chunks_load.c (tables and
 * blocks) and reconcile.c (the index against the packs) share.  Only they include this.
 *
 * Mending: whoever changes the catalog, or walks all tables, first becomes the mender
 * (chunks_mend_begin), of whom there is one.  No mutex is held while mending; readers go on
 * meanwhile.
 */
#ifndef VOUCH_ENGINE_CHUNKS_IMPL_H
#define VOUCH_ENGINE_CHUNKS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/engine/chunks.h"
#include "store/engine/codec.h"
#include "store/engine/filter.h"
#include "store/engine/idset.h"
#include "store/engine/packset.h"
#include "store/engine/prefetch.h"
#include "store/engine/tables.h"

#define FRESH_KEPT   16u   /* blocks of which some chunks were not given out yet */

#define CODECS_KEPT  4u /* with what they hold a MiB and a half each */
#define DAMAGED_KEPT 4096u /* a power of two */

enum filter_source {
	FILTER_NONE,
	FILTER_INDEX, /* keys of the index: "surely not" may be wrong, and costs a duplicate */
	FILTER_TABLES /* keys of every table that is here: "surely not" is so */
};

/** A block being read by one thread; others that want it wait. */
struct flight {
	uint32_t ord, off;
	struct flight *next;
};

/** Where a chunk was found that was asked for. */
struct found {
	uint32_t ord, number; /* of the chunk in its pack; ord PACK_ORD_NONE: none yet */
};

/** When a block was read. */
struct fresh_block {
	uint32_t ord, off;
	int64_t read_ns;
};

struct chunks {
	struct backend *backend;
	bool fresh;
	bool whole;
	struct chunks_config cfg;
	char *index_path;
	struct cache *cache;
	struct tables *tables;
	struct prefetch *prefetch; /* NULL: none; set before there are readers */
	struct heal *heal;
	atomic_bool healing, mend_packs; /* mend_packs: have them made whole */

	pthread_mutex_t mutex;	/* over everything up to the counters */
	pthread_cond_t changed; /* mending ended, the catalog came or was let go */
	pthread_cond_t landed;	/* a flight ended */
	bool mending;
	struct catalog *catalog; /* NULL while it is replaced; only the mender replaces it */
	bool catalog_lost;	 /* there is none, and there will be none */
	unsigned catalog_users;
	struct packset *packs;
	uint32_t nr_odd; /* packs that are here and not in the catalog */
	int64_t refreshed_ns;
	unsigned fruitless; /* refreshes in a row that changed nothing */
	struct flight *flights;
	struct codec *codecs[CODECS_KEPT];
	unsigned nr_codecs;
	struct filter *filter;
	enum filter_source filter_source;
	unsigned filter_misses;	   /* "not there" answers that cost a query */
	struct found last_found[2]; /* in a pack of data, in one of trees */
	struct object_id *damaged; /* chunks reported; open addressing, zero is free */
	unsigned nr_damaged;
	struct idset doubts; /* of chunks_doubt(), not looked at since */
	struct idset bad;    /* looked at, and damaged */
	uint32_t nr_elsewhere; /* packs that are PACK_ELSEWHERE */
	int64_t elsewhere_ns;  /* when they were looked for; 0: never */
	struct fresh_block fresh_blocks[FRESH_KEPT];
	unsigned next_fresh;

	/* The mender's own. */
	bool catalog_private; /* in memory: the file is of no use */
	unsigned renewals;

	atomic_size_t nr_doubted; /* in doubts and bad: mostly none */
	atomic_uint_fast64_t blocks_read, bytes_read, bytes_checked, nr_events, nr_healed;
	atomic_uint_fast64_t hits, misses, blocks_ahead;
	atomic_uint_fast64_t index_written; /* by catalogs that were let go */
};

void chunks_lock(struct chunks *c);
void chunks_unlock(struct chunks *c);
int64_t chunks_now_ns(void);

/** The catalog, not to be replaced until put; NULL where there is none. The mender uses c->catalog
 * itself. */
struct catalog *chunks_catalog_get(struct chunks *c);
void chunks_catalog_put(struct chunks *c);

/* chunks_index.c, reconcile.c */
void chunks_mend_begin(struct chunks *c);
void chunks_mend_end(struct chunks *c);
/** Mender: open index.db for the first time, whatever state it is in; in memory where it must be.
 */
MUST_CHECK enum err_code chunks_index_open(struct chunks *c, struct err *e);
/** Mender: the index was wrong; make it anew from the tables. */
MUST_CHECK enum err_code chunks_index_renew(struct chunks *c, struct err *e);
/** Mender: an index in memory, empty; where there is no memory for it there is none. */
MUST_CHECK enum err_code chunks_index_private(struct chunks *c, struct err *e);
/**
 * Mender: list the packs, bring packs and catalog up to date.  An error of the medium is returned;
 * one of the index goes to *index_rc, and leaves packs out of it, to be searched by their tables.
 */
MUST_CHECK enum err_code chunks_reconcile_once(struct chunks *c, enum err_code *index_rc,
					       struct err *e);
/** Mender: the same, with what has to be done where the index failed. */
MUST_CHECK enum err_code chunks_reconcile(struct chunks *c, struct err *e);
/**
 * After a miss: list again, unless that was just done and did not help.  *again: it may be worth
 * another look.
 */
MUST_CHECK enum err_code chunks_look_again(struct chunks *c, bool *again, struct err *e);
/** Mender: put a table's keys into the filter, where there is one. */
void chunks_note_keys(struct chunks *c, uint32_t ord, const struct packtable *t);

/* chunks_read.c */

/** Remember that a chunk was told of; false where it was before (or, unless add, has been). */
bool chunks_first_report(struct chunks *c, const struct object_id *id, bool add);

/* chunks_doubt.c */

/** *gone: it is in doubt, was read just now or before, and is damaged.  Fatal errors only. */
MUST_CHECK enum err_code chunks_ask_doubt(struct chunks *c, const struct object_id *id, bool *gone,
					  struct err *e);
/** The chunks of t were stored. */
void chunks_end_doubts(struct chunks *c, const struct packtable *t);

/* chunks_load.c */

/**
 * The pack's table, referenced.  Where its end is damaged the pack is scanned, an incomplete one
 * only where scan_incomplete; what came of it is remembered. ERR_NOT_FOUND: not here (any more).
 * ERR_INCOMPLETE, ERR_CORRUPT: no table to be had.
 */
MUST_CHECK enum err_code chunks_load_table(struct chunks *c, uint32_t ord, bool scan_incomplete,
					   struct table **out, struct err *e);
/** Block i, from the cache or the medium (*fresh); the chunks in it are not checked, unless it is read here and check_all. */
MUST_CHECK enum err_code chunks_load_block(struct chunks *c, uint32_t ord,
					   const struct packtable *t, uint32_t i,
					   bool check_all, struct cache_block **out, bool *fresh,
					   struct err *e);
/** A reader got hold of b: tells the prefetching threads, where there are any, of the first time. */
void chunks_touch(struct chunks *c, struct cache_block *b);
struct object_id chunks_pack_id(struct chunks *c, uint32_t ord);

enum which_packs {
	PACKS_HERE,
	PACKS_ODD, /* here, and not in the catalog */
	PACKS_ELSEWHERE
};
/** Their ordinals. malloc'ed; NULL with *nr 0. */
MUST_CHECK enum err_code chunks_list_ords(struct chunks *c, enum which_packs which, uint32_t **out,
					  size_t *nr, struct err *e);
/** A bit for each chunk of a block that is what its id says; NULL: no memory. */
uint8_t *chunks_check_all(struct chunks *c, const struct chunk_desc *chunks, uint32_t nr,
			  const uint8_t *plain);

/** Where chunks are to be fresh: the block was read just now; and whether it was, lately enough. */
void chunks_note_fresh(struct chunks *c, uint32_t ord, uint32_t off);
bool chunks_is_fresh(struct chunks *c, uint32_t ord, uint32_t off);

/** A block, or (table, off 0) a pack's table, was found damaged: tells once. */
void chunks_report_block(struct chunks *c, const struct object_id *pack, uint64_t off, bool table,
			 enum heal_source healed, const char *what);

/* chunks_heal.c: each answers false, or as if nothing were there, where healing is off. */
MUST_CHECK enum err_code chunks_heal_open(struct chunks *c, struct err *e);
/** The table, right, after why made it unreadable. */
bool chunks_heal_table(struct chunks *c, const struct object_id *id, enum err_code why,
		       struct packtable *t);
/** Block i, right, and its chunks checked; plain is the caller's, from cache_buffer(). Told of, and queued. */
bool chunks_heal_block(struct chunks *c, const struct object_id *id, const struct packtable *t,
		       uint32_t i, enum err_code why, struct codec *codec, uint8_t **plain,
		       uint8_t **checked);
/** Mender: look for packs that are PACK_ELSEWHERE, unless that was done a minute ago. */
void chunks_find_elsewhere(struct chunks *c);

#endif
