/* SPDX-License-Identifier: MIT */
/* Inside a prune. */
#ifndef VOUCH_STORE_PRUNE_INTERNAL_H
#define VOUCH_STORE_PRUNE_INTERNAL_H

#include "store/base/buf.h"
#include "store/base/keyset.h"
#include "store/condemned_internal.h"
#include "store/heartbeat_internal.h"
#include "store/prune.h"
#include "store/snapshot.h"

/*
 * Chunks are known by 64 bits of a hash of their id under a seed that is new each time: two that share
 * them by chance are one in 10^5 at ten million chunks, and nobody can arrange for it.
 */
struct live {
	uint64_t seed;
	/* Told of each chunk that was not met before, nodes (node) before they are walked; NULL: nobody.  An error ends the walk. */
	enum err_code (*on_chunk)(void *ctx, const struct object_id *id, bool node, struct err *e);
	/* Told of a node that cannot be read, which is passed over; NULL: that ends the walk. */
	enum err_code (*unread)(void *ctx, const struct object_id *node, struct err *e);
	void *ctx;
	struct keyset chunks;		/* nodes, too */
	struct buf stack;		/* struct object_id: nodes to be walked */
};

uint64_t live_key(const struct live *l, const struct object_id *id);
void live_release(struct live *l);

/** Add all that the tree of root refers to. */
MUST_CHECK enum err_code live_add_tree(struct store *s, struct live *l, const struct object_id *root,
				       const atomic_bool *cancel, struct err *e);

enum pack_fate {
	FATE_KEEP,
	FATE_UNNEEDED,		/* nothing in it is needed, or elsewhere as well */
	FATE_REWRITE,
	FATE_ODD		/* its table cannot be read */
};

struct pack_survey {
	struct object_id id;
	uint64_t len;		/* bytes; 0 where odd */
	uint64_t needed;	/* plain bytes, and one a chunk, of the chunks it is counted on for */
	uint64_t plain;		/* the same of all its chunks */
	enum pack_fate fate;
	bool condemned;		/* named by a record */
	bool tree;		/* holds nodes */
};

struct survey {
	struct pack_survey *packs;	/* those that are not condemned first */
	size_t nr;
};

void survey_release(struct survey *v);
/**
 * What each pack is needed for: each live chunk counts for the first pack that has it, packs not condemned
 * coming first.
 */
MUST_CHECK enum err_code survey_packs(struct store *s, const struct live *l,
				      const struct object_id *condemned, size_t nr_condemned,
				      unsigned unused_percent, struct survey *out, struct err *e);

#endif
