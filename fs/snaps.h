/* SPDX-License-Identifier: MIT */
/* The snapshots that the root shows: an immutable list, replaced when the repository's changes. */
#ifndef VOUCH_FS_SNAPS_H
#define VOUCH_FS_SNAPS_H

#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#include "fs/log.h"
#include "fs/views.h"
#include "store/snapshot.h"

#define SNAP_NAME_MAX	64u	/* with the NUL; DATE-ID16 takes 38, with a local date 42 */

/** Where it is shown: in the root by its date, or in a folder of .vouch. */
enum snap_kind { SNAP_DATED, SNAP_SAFETY, SNAP_PARTIAL };

struct snap {
	struct object_id id, root;
	char name[SNAP_NAME_MAX];	/* the repository's */
	char full[SNAP_NAME_MAX];	/* the same, or with the date as the local clock had it */
	char shown[SNAP_NAME_MAX];	/* as the root lists it; a prefix of full */
	size_t date_len;		/* of full */
	struct vtime time;
	uint32_t slot;		/* its part of a node id; never another snapshot's while mounted */
	enum snap_kind kind;	/* all but SNAP_DATED are shown by their full names */
	bool gone;		/* forgotten: kept to keep the slot */
	struct view_parts *parts;
};

/** By time, then id. */
static inline int snap_order(const struct snap *a, const struct snap *b)
{
	int c = vtime_cmp(a->time, b->time);

	return c ? c : id_cmp(&a->id, &b->id);
}

/** all is in the order of first sight: an index is a cookie that readdir can go on from after any change. */
struct snap_list {
	atomic_uint refs;
	struct snap *all;
	size_t nr;
	uint32_t *slots;	/* hash table of slots_mask + 1: index into all, plus 1 */
	size_t slots_mask;
	size_t *by_name;	/* the nr_live dated ones that are not gone, sorted by full */
	size_t nr_live;
	const struct snap *newest;	/* NULL where there is none */
	struct views *views;		/* what is made from the live ones */
	struct timespec changed;	/* when this list came to be: the root's mtime */
};

struct snaps;

/** Reads the list once.  local_time: snapshots are shown by the local clock, 2026-11-21T03-00-00+0100. */
MUST_CHECK enum err_code snaps_open(struct store *s, struct log *l, bool local_time,
				    struct snaps **out, struct err *e);
void snaps_close(struct snaps *s);		/* NULL is allowed */

/** The list as it is now, until snaps_put. */
const struct snap_list *snaps_get(struct snaps *s);
void snaps_put(const struct snap_list *l);

/**
 * Look again.  For each name in the root that may mean something else now, changed is called (no lock held, the new
 * list published).  One thread at a time.
 */
typedef void snaps_changed_fn(void *ctx, const char *name);
MUST_CHECK enum err_code snaps_refresh(struct snaps *s, snaps_changed_fn *changed, void *ctx,
				       struct err *e);

/** NULL: no snapshot ever had it. */
const struct snap *snap_list_slot(const struct snap_list *l, uint32_t slot);

/**
 * What name (len bytes) is in the root: a snapshot, and whether by the name it is shown under or by a longer one
 * (*alias).  NULL: nothing.  "latest" is not looked at.
 */
const struct snap *snap_list_name(const struct snap_list *l, const char *name, size_t len,
				  bool *alias);

#endif
