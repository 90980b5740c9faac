/* SPDX-License-Identifier: MIT */
/*
 * Letting snapshots go.  A record of each stays: a later look at its writer's chain finds the link explained, and
 * a copy of the repository that still has the snapshot is not taken for the newer one.  What only they held stays
 * in the packs until a prune.
 */
#ifndef VOUCH_STORE_FORGET_H
#define VOUCH_STORE_FORGET_H

#include "store/snapshot.h"

/** What is known of a snapshot that was let go.  Strings are owned, never NULL. */
struct forgotten {
	struct object_id id;
	char *name;			/* as in struct snapshot */
	uint8_t writer[16];
	uint64_t seq;
	bool has_previous;
	struct object_id previous;
	struct vtime time;		/* when it was let go */
	char *reason;			/* "" where none was given */
};

void forgotten_release(struct forgotten *f);	/* frees what it owns */

/**
 * Let nr snapshots go, in that order: each is wholly gone or wholly there.  Its record is durable
 * before its file is removed.  *done counts those that went.  On a full medium what is only
 * derived makes way, and is made anew at the end.
 */
MUST_CHECK enum err_code snapshots_forget(struct store *s, const struct snapshot *const *v,
					  size_t nr, const char *reason, size_t *done,
					  struct err *e);

/** Each record that is there; one that is damaged twice is a DAMAGE event, and passed over.  Ends at fn's first error. */
typedef enum err_code forgotten_fn(void *ctx, const struct forgotten *f, struct err *e);
MUST_CHECK enum err_code forgotten_each(struct store *s, forgotten_fn *fn, void *ctx,
					struct err *e);

/**
 * Which of l a rule lets go: all but the newest keep of each host with the same sources and base.  go has a place for
 * each of l.  Those dated more than ten minutes after now stay, and make no other go.  NULL f: of all; else
 * only those that pass are looked at.
 */
void retention_keep_last(const struct snapshot_list *l, const struct snapshot_filter *f,
			 size_t keep, struct vtime now, bool *go);

#endif
