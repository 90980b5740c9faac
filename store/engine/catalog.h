/* SPDX-License-Identifier: MIT */
/*
 * index.db: which pack and block a chunk may lie in.  A hint, and disposable: whoever gets an answer asks the
 * pack's own table before believing it, and whoever gets none may rebuild.  All SQL of vouch is in catalog.c.
 *
 * Schema 3 (PRAGMA user_version 3, application_id 0x76636831), compared word by word with sqlite_master at open:
 *   meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID       'repository' = id in hex, 'history' = catalog_set_history()'s stamp
 *   packs(no INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB UNIQUE, kind, len, chunks)
 *   recent(key INTEGER, pack INTEGER, block INTEGER, PRIMARY KEY (key, pack, block)) WITHOUT ROWID
 *   runs(no INTEGER PRIMARY KEY, rows INTEGER)
 *   pages(no INTEGER PRIMARY KEY, run INTEGER, first INTEGER, data BLOB), and an index pages_first(run, first)
 *   history(...), and the view backup_history of it: for people with sqlite3, vouch itself only writes it
 * A few new rows go to recent; many at once, or recent when it is full, become a run: sorted by (key, pack, block), in
 * pages of some 288 rows of 14 bytes (u64 key, u32 pack, u16 block, little-endian), first being the key each begins
 * with.  Runs of a size are merged four at a time, so that a row is written about once for each power of four.
 * key is id_key() of the chunk as a signed 64-bit integer.  No row holds more than these 64 bits: the table decides.
 *
 * Any thread may call; a mutex inside covers each call, none is held between calls.  Other processes may use the
 * same file: calls wait up to 10 s for them, then say ERR_BUSY.
 */
#ifndef VOUCH_ENGINE_CATALOG_H
#define VOUCH_ENGINE_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "store/format/packtable.h"

struct catalog;

/**
 * Open or create.  read_only: never written, not even a journal rolled back (opened immutable; a journal beside
 * it makes it ERR_CORRUPT).  ERR_CORRUPT: garbage, foreign (another repo_id), or another schema: the
 * caller deletes the file and opens anew.  Opened defensively: no trusted schema, cell checks, no mmap.
 */
MUST_CHECK enum err_code catalog_open(const char *path, const uint8_t repo_id[16], bool read_only,
				      struct catalog **out, struct err *e);
void catalog_close(struct catalog *c);		/* NULL is allowed */

struct catalog_pack {
	uint32_t no;			/* stable while the row lives; from 1 */
	struct object_id id;
	enum pack_kind kind;
	uint64_t len;
	uint32_t nr_chunks;
};

/** All packs in order of no. *out is malloc'ed, the caller frees it. */
MUST_CHECK enum err_code catalog_packs(struct catalog *c, struct catalog_pack **out, size_t *nr,
				       struct err *e);

/** In one transaction: the pack's row and one row a chunk, sorted by key first. Already there: nothing, *no is its number. */
MUST_CHECK enum err_code catalog_add_pack(struct catalog *c, const struct object_id *id,
					  const struct packtable *t, uint32_t *no, struct err *e);
MUST_CHECK enum err_code catalog_drop_pack(struct catalog *c, const struct object_id *id,
					   struct err *e);

/** begin/end: many adds in one transaction (a rebuild). */
MUST_CHECK enum err_code catalog_begin(struct catalog *c, struct err *e);
MUST_CHECK enum err_code catalog_end(struct catalog *c, struct err *e);

struct catalog_hit {
	uint32_t pack;			/* catalog_pack.no */
	uint32_t block;			/* ordinal in the pack's table */
};

/** Up to max places where a chunk with this key may lie; *nr may be 0. */
MUST_CHECK enum err_code catalog_find(struct catalog *c, uint64_t key, struct catalog_hit *hits,
				      unsigned max, unsigned *nr, struct err *e);

/** Where a scan of all keys stands; zero to begin. */
struct catalog_scan {
	int table;
	bool began;
	int64_t from;
	unsigned row;
};

/**
 * The next keys, up to max (at least 1); *nr 0 at the end.  Rows added since the
 * scan began may be missing.  No lock is held between calls.
 */
MUST_CHECK enum err_code catalog_keys(struct catalog *c, struct catalog_scan *at, uint64_t *keys,
				      size_t max, size_t *nr, struct err *e);

/** What components' dumps came to, as log/ tells it.  Strings are never NULL. */
struct catalog_backup {
	const char *id, *type, *component, *snapshot, *status, *error;
	const char *time;		/* "2026-11-21T02:00:00Z" */
	const char *checksum;		/* hex; "": none */
	uint64_t bytes;
	double seconds;
};

/** Whether the file can be written and its history was not made of what stamp stands for (NULL: was never made). */
MUST_CHECK enum err_code catalog_history_stale(struct catalog *c, const char *stamp, bool *stale,
					       struct err *e);
/** In one transaction: these rows instead of those that are there.  Of several with one time and id the first counts. */
MUST_CHECK enum err_code catalog_set_history(struct catalog *c, const char *stamp,
					     const struct catalog_backup *rows, size_t nr,
					     struct err *e);

/** Bytes written to the file and its journal since open, about (headers of journals are not counted). */
uint64_t catalog_written(struct catalog *c);

/** Packs, and the chunks their rows tell of. */
MUST_CHECK enum err_code catalog_count(struct catalog *c, uint64_t *chunks, uint64_t *packs,
				       struct err *e);

#endif
