/* SPDX-License-Identifier: MIT */
/* Inside a repair. */
#ifndef VOUCH_STORE_REPAIR_INTERNAL_H
#define VOUCH_STORE_REPAIR_INTERNAL_H

#include <pthread.h>

#include "store/base/buf.h"
#include "store/base/keyset.h"
#include "store/condemned_internal.h"
#include "store/damage_internal.h"
#include "store/engine/writer.h"
#include "store/heartbeat_internal.h"
#include "store/repair.h"

enum pack_end {
	PACK_UNMENDED,		/* damaged still */
	PACK_BY_PARITY,
	PACK_BY_OTHER,
	PACK_ANEW,		/* what was written is the same pack */
	PACK_REPLACED		/* deleted, or to be */
};

struct bad_pack {
	struct object_id id;
	enum pack_end end;
};

/* A chunk that some snapshot needs, and that is nowhere whole. */
struct lost {
	struct object_id id;
	bool node;
};

struct repair {
	struct store *s;
	const struct repair_options *o;
	struct repair_result *res;
	struct store_events events;	/* the caller's */
	pthread_mutex_t mutex;
	bool looking;			/* damage that is told of is to be mended */
	struct buf records;		/* mutex while looking; names, NUL after each */
	struct buf parities;		/* mutex while looking; struct object_id each */
	struct buf packs;		/* mutex while looking; struct bad_pack each */
	struct store **others;
	size_t nr_others;
	struct heartbeat *heart;
	struct condemned before;	/* when we began */
	struct buf lost;		/* struct lost each; sorted by id */
	uint64_t stamp;			/* of the list of snapshots that was walked */
	struct buf touched;		/* of what was lost at first: "f" for a folder or "-", SNAPSHOT, NUL, PATH, NUL */
	struct keyset touched_keys;	/* all of these, also where there was no room for the names */
};

static inline struct bad_pack *bad_packs(const struct repair *r, size_t *nr)
{
	*nr = r->packs.len / sizeof(struct bad_pack);
	return (struct bad_pack *)(void *)r->packs.p;
}

static inline struct lost *lost_chunks(const struct repair *r, size_t *nr)
{
	*nr = r->lost.len / sizeof(struct lost);
	return (struct lost *)(void *)r->lost.p;
}

/* repair.c */

MUST_CHECK enum err_code repair_canceled(const struct repair *r, struct err *e);
void repair_progress(struct repair *r, const char *what, uint64_t done, uint64_t all);
/** Ends a repair: the others belong to one pack, record or file. */
bool repair_stops(enum err_code rc);
/** A line of what was done. */
void repair_say(struct repair *r, const char *name, const char *what);

/* repair_look.c */

/** Everything read; r->records, r->parities, r->packs. */
MUST_CHECK enum err_code repair_look(struct repair *r, struct err *e);
/** Packs that are still damaged, or condemned, are not counted on from now on; what was read before is forgotten. */
MUST_CHECK enum err_code repair_reload(struct repair *r, struct err *e);
/** What snapshots need and cannot have now: r->lost. */
MUST_CHECK enum err_code repair_find_lost(struct repair *r, struct err *e);

/* repair_records.c */

/** Such a file can be mended here. */
bool repair_is_record(const char *name);
MUST_CHECK enum err_code repair_records(struct repair *r, struct err *e);

/* repair_packs.c */

/** Packs that have a parity file and are not here are damaged packs, too. */
MUST_CHECK enum err_code repair_add_orphans(struct repair *r, struct err *e);
MUST_CHECK enum err_code repair_packs(struct repair *r, struct err *e);
/** ERR_CORRUPT and the like: it is not whole. */
MUST_CHECK enum err_code pack_is_whole(struct backend *b, const struct object_id *id, struct err *e);

/* repair_chunks.c */

/** What is lost is looked for elsewhere; and put, with what is whole of damaged packs, into new ones that are read back. */
MUST_CHECK enum err_code repair_chunks(struct repair *r, struct err *e);
/** The dry run's: r->lost is what would stay lost. */
MUST_CHECK enum err_code repair_chunks_guess(struct repair *r, struct err *e);
/** Damaged packs of which nothing is needed. */
MUST_CHECK enum err_code repair_delete(struct repair *r, struct err *e);

/* repair_source.c */

/** Told of each chunk of r->lost that a live file holds; its SHA-256 has been compared. */
typedef enum err_code source_fn(void *ctx, size_t lost, const uint8_t *data, uint32_t len,
				struct err *e);
MUST_CHECK enum err_code repair_sources(struct repair *r, source_fn *fn, void *ctx, struct err *e);
/** The number of id in r->lost; SIZE_MAX where it is not there. */
size_t repair_lost_at(const struct repair *r, const struct object_id *id);

/* repair_paths.c */

/** Remember which paths need what is lost now. */
MUST_CHECK enum err_code repair_touched(struct repair *r, struct err *e);
/** Tell which of them are whole, and which are lost. */
MUST_CHECK enum err_code repair_tell_paths(struct repair *r, struct err *e);

#endif
