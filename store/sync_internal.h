/* SPDX-License-Identifier: MIT */
/* Inside a sync. */
#ifndef VOUCH_STORE_SYNC_INTERNAL_H
#define VOUCH_STORE_SYNC_INTERNAL_H

#include "store/base/buf.h"
#include "store/base/rate.h"
#include "store/condemned_internal.h"
#include "store/heartbeat_internal.h"
#include "store/internal.h"
#include "store/snapshot.h"
#include "store/sync.h"

#define PACK_ABSENT UINT64_MAX

/** A pack as a folder lists it. */
struct sync_pack {
	struct object_id id;
	uint64_t len, par_len;		/* bytes; PACK_ABSENT: not there */
};

struct sync_packs {
	struct sync_pack *all;		/* sorted by id */
	size_t nr;
};

/** What is to be done about a pack that is here. */
struct sync_task {
	struct sync_pack here, there;
};

struct sync {
	struct store *s, *far;
	const struct sync_options *o;
	struct store_events far_events;
	struct heartbeat *heart;
	struct condemned condemned;	/* there, when we began: not to be counted on */
	struct buf doubted;		/* struct object_id, sorted: packs that the ledger there calls damaged */
	struct rate rate;
	struct snapshot_list here;	/* that there were before the packs were listed */
	uint64_t packs_total, bytes_total, room;	/* of what is planned; bytes that it takes there */
	pthread_mutex_t beat_mutex;
	pthread_mutex_t mutex;		/* all below */
	struct sync_result *res;
	uint64_t packs_done, bytes_done;
	bool vanished;			/* a pack was pruned here before it was copied */
	struct buf bad_there;		/* struct object_id: packs there that are damaged, and stay so */
	struct err first;		/* what ended it */
};

void sync_lock(struct sync *y);
void sync_unlock(struct sync *y);
/** What was done shows, the far end hears that we live, and the limit is kept; ERR_CANCELED. */
MUST_CHECK enum err_code sync_step(struct sync *y, uint64_t bytes, struct err *e);

/* sync_far.c */

/** Open y->far at dir, made where there is none; *made tells. */
MUST_CHECK enum err_code sync_open_far(struct sync *y, const char *dir, bool *made, struct err *e);
/** Only to look; *out is NULL where there is nothing yet. */
MUST_CHECK enum err_code sync_look_far(struct sync *y, const char *dir, struct backend **out,
				       struct err *e);

/* sync_list.c */

void sync_packs_release(struct sync_packs *p);
/** b may be NULL: none. */
MUST_CHECK enum err_code sync_packs_list(struct backend *b, struct sync_packs *out, struct err *e);
const struct sync_pack *sync_packs_find(const struct sync_packs *p, const struct object_id *id);

/** What is to be done; tasks is malloc'ed.  The totals of y, and what is counted of packs here, are set. */
MUST_CHECK enum err_code sync_plan(struct sync *y, struct backend *far, struct sync_task **tasks,
				   size_t *nr, struct err *e);

/** The ledger there calls the pack damaged: its length is not enough. */
bool sync_doubts(const struct sync *y, const struct object_id *pack);

/* sync_pack.c */

/** Do it, from any thread.  Damage here is no error. */
MUST_CHECK enum err_code sync_task_do(struct sync *y, const struct sync_task *t, struct err *e);
/** Whether the pack reads as its name says, past the cache where b->fresh; false also where it cannot be read. */
MUST_CHECK enum err_code sync_pack_ok(struct sync *y, struct backend *b, const struct object_id *id,
				      bool *ok, struct err *e);

/* sync_records.c */

/** keys/, forgotten/, signatures of snapshots: what is not there yet. */
MUST_CHECK enum err_code sync_records(struct sync *y, struct err *e);
/** One of those, from whichever of the two files is right, there or here; what is in none of them is no error. */
MUST_CHECK enum err_code sync_record(struct sync *y, const char *name, struct err *e);
MUST_CHECK enum err_code sync_logs(struct sync *y, struct err *e);
/**
 * Have name hold these bytes there, read back and compared; *put, which may be NULL, becomes true where it was not so.
 * What is there in that length is looked at only where look says so, or --check.
 */
MUST_CHECK enum err_code sync_put_record(struct sync *y, const char *name, const struct buf *bytes,
					 bool look, bool *put, struct err *e);

/* sync_snaps.c */

/** Each snapshot that is here and may be there: walked, what is lacking stored, named. */
MUST_CHECK enum err_code sync_snapshots(struct sync *y, struct err *e);
/** How many would be copied. */
MUST_CHECK enum err_code sync_count_snapshots(struct sync *y, struct backend *far, struct err *e);
/** Let go there what a record there says was let go. */
MUST_CHECK enum err_code sync_forget(struct sync *y, struct err *e);

#endif
