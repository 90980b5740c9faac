/* SPDX-License-Identifier: MIT */
/* Inside the catalog: what catalog.c and the other catalog_*.c share. Only they include
 * this. */
#ifndef VOUCH_ENGINE_CATALOG_IMPL_H
#define VOUCH_ENGINE_CATALOG_IMPL_H

#include <pthread.h>
#include <stddef.h>

#include "store/engine/catalog.h"

struct sqlite3;
struct sqlite3_stmt;

/* catalog_schema.c: what somebody else wrote into the file can do no harm. */

/** Open or create; ERR_NOT_FOUND only where read_only and there is none.  *out is sqlite3_close'd
 * by the caller. */
MUST_CHECK enum err_code catalog_db_open(const char *path, const uint8_t repo_id[16],
					 bool read_only, struct sqlite3 **out, struct err *e);

/** Record what db's last call failed with (never ERR_OK): see catalog.h for which code means what.
 */
enum err_code catalog_db_err(struct sqlite3 *db, const char *what, struct err *e);

/* catalog.c: prepared statements. The mutex is held in all of these. */

enum catalog_st {
	ST_BEGIN,
	ST_COMMIT,
	ST_PACKS,
	ST_PACK_NO,
	ST_ADD_PACK,
	ST_DROP_PACK,
	ST_PACK_LIVE,
	ST_ADD_RECENT,
	ST_CLEAR_RECENT,
	ST_SWEEP_RECENT,
	ST_RECENT,
	ST_FIND_RECENT,
	ST_KEYS_RECENT,
	ST_COUNT_RECENT,
	ST_RUNS,
	ST_ADD_RUN,
	ST_SET_RUN,
	ST_DROP_RUN,
	ST_ADD_PAGE,
	ST_DROP_PAGES,
	ST_NEXT_PAGE,
	ST_FIND_PAGES,
	ST_KEYS_PAGES,
	ST_SUMS,
	ST_PAGES,
	ST_STAMP,
	ST_SET_STAMP,
	ST_CLEAR_HISTORY,
	ST_ADD_HISTORY,
	ST_NR
};

extern const char *const catalog_sql[ST_NR];

struct catalog_row {
	int64_t key;
	uint32_t pack, block;
};

struct catalog {
	struct sqlite3 *db;
	bool read_only;
	pthread_mutex_t mutex;		   /* over everything below, and db */
	struct sqlite3_stmt *stmts[ST_NR]; /* reset between calls, so that no lock is held */
	struct catalog_row *rows;	   /* gathered, not yet written */
	size_t nr_rows, cap_rows;
	bool bulk;	 /* between begin and end */
	bool must_sweep; /* a pack's row was deleted, its chunks' not yet */
	uint64_t written;  /* bytes, to the file and its journal; counted at each commit */
	bool recent_known;
	uint64_t nr_recent;	   /* about: others may add too */
	uint64_t steps, steps_max; /* in STEP_UNITs, of one statement */
};

void catalog_lock(struct catalog *c);
void catalog_unlock(struct catalog *c);

/** The statement, prepared, its step budget full.  Whoever steps it resets it. */
MUST_CHECK enum err_code catalog_get(struct catalog *c, enum catalog_st which,
				     struct sqlite3_stmt **out, struct err *e);
/** Step a bound statement that answers no rows; reset it. */
MUST_CHECK enum err_code catalog_finish(struct catalog *c, enum catalog_st which, struct err *e);
MUST_CHECK enum err_code catalog_run(struct catalog *c, enum catalog_st which, struct err *e);
/** One row of nr numbers. */
MUST_CHECK enum err_code catalog_numbers(struct catalog *c, enum catalog_st which, int64_t *out,
					 int nr, struct err *e);
/** How long a statement may walk, by the file's present size. */
MUST_CHECK enum err_code catalog_budget(struct catalog *c, struct err *e);
/** catalog_packs with the mutex held. */
MUST_CHECK enum err_code catalog_packs_locked(struct catalog *c, struct catalog_pack **out,
					      size_t *nr, struct err *e);
MUST_CHECK enum err_code catalog_sums(struct catalog *c, uint64_t *packs, uint64_t *chunks,
				      struct err *e);

/* catalog_write.c */

typedef enum err_code catalog_change_fn(struct catalog *c, void *ctx, struct err *e);
/** One change in a transaction of its own (or in the rebuild's that is under way); undone where fn fails. */
MUST_CHECK enum err_code catalog_change(struct catalog *c, catalog_change_fn *fn, void *ctx,
					struct err *e);

/* catalog_runs.c.  In a transaction, the mutex held. */

/** By key, pack, block. */
int catalog_cmp_row(const void *a, const void *b);

/** Rows in order, as one run. */
MUST_CHECK enum err_code catalog_add_run(struct catalog *c, const struct catalog_row *rows,
					 size_t nr, struct err *e);
/** Where several runs are of a size: make them one, and so on. */
MUST_CHECK enum err_code catalog_merge(struct catalog *c, struct err *e);
/** Packs were dropped: where most rows are of such, write the others anew. */
MUST_CHECK enum err_code catalog_sweep_runs(struct catalog *c, struct err *e);

/** The page in a column: good until the next step. */
MUST_CHECK enum err_code catalog_page(struct sqlite3_stmt *st, int col, const uint8_t **at,
				      unsigned *nr, struct err *e);
uint64_t catalog_page_key(const uint8_t *at, unsigned i);
void catalog_page_row(const uint8_t *at, unsigned i, struct catalog_row *out);
/** The first row whose key is not less; nr where there is none. */
unsigned catalog_page_seek(const uint8_t *at, unsigned nr, int64_t key);

#endif
