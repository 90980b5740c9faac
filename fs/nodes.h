/* SPDX-License-Identifier: MIT */
/*
 * Node ids: computed from what they name, never allocated, so that memory does not grow with what was walked and
 * forget has nothing to do.
 *
 *   1                   the root, 2 the link "latest"; what else has slot 0 belongs to no snapshot:
 *   1 << 38 | hash      links and folders made from the list of snapshots (fs/views.h)
 *   1 << 39 | ...       the control folder and what is in it (fs/control_impl.h)
 *   slot << 40 | n      entry n of a snapshot: its root folder is 0, then preorder.  A folder numbered n with t
 *                       entries anywhere below it holds exactly n + 1 ... n + t.
 *   the two highest n   the links DATE-ID8 and DATE-ID16 that stand beside a snapshot shown as DATE
 */
#ifndef VOUCH_FS_NODES_H
#define VOUCH_FS_NODES_H

#include "store/base/buf.h"
#include "store/tree.h"

#define NODEID_ROOT	1u
#define NODEID_LATEST	2u
#define NODEID_VIEW	(UINT64_C(1) << 38)	/* | 37 bits of hash, or a little more */
#define NODEID_CONTROL	(UINT64_C(1) << 39)	/* the folder .vouch; and | more: what is in it */
#define NUMBER_BITS	40
#define NUMBER_MASK	((UINT64_C(1) << NUMBER_BITS) - 1)
#define NUMBER_ALIAS8	NUMBER_MASK
#define NUMBER_ALIAS16	(NUMBER_MASK - 1)
#define NUMBER_MAX	(NUMBER_MASK - 2)	/* of an entry */
#define SLOT_BITS	23			/* ids stay below 2^63: bit 63 marks hard links' st_ino */
#define SLOT_MAX	((1u << SLOT_BITS) - 1)

static inline uint32_t nodeid_slot(uint64_t nodeid)
{
	return (uint32_t)(nodeid >> NUMBER_BITS);
}

static inline uint64_t nodeid_number(uint64_t nodeid)
{
	return nodeid & NUMBER_MASK;
}

static inline uint64_t nodeid_of(uint32_t slot, uint64_t number)
{
	return (uint64_t)slot << NUMBER_BITS | number;
}

/** Enough to find an entry again with one step, and a folder's content with none. */
struct facts {
	uint64_t nodeid;
	uint64_t parent;	/* of a snapshot's root: NODEID_ROOT */
	struct object_id in;	/* the folder it stands in; a snapshot's root has none */
	uint64_t position;	/* there */
	bool is_dir;
	struct object_id dir;	/* folders: its own entries */
	uint64_t below;		/* folders: ids nodeid + 1 ... nodeid + below are in it */
};

/** The facts met lately, a few thousand.  Any number of threads. */
struct nodes;
MUST_CHECK enum err_code nodes_open(struct nodes **out, struct err *e);
void nodes_close(struct nodes *n);		/* NULL is allowed */
bool nodes_get(struct nodes *n, uint64_t nodeid, struct facts *out);
void nodes_put(struct nodes *n, const struct facts *f);

struct fs;

/**
 * The facts of r, an entry of dir.  ERR_CORRUPT: numbers that do not nest as they must (it would be taken for
 * another entry).  ERR_LIMIT: more entries than can be numbered.
 */
MUST_CHECK enum err_code facts_of(const struct facts *dir, const struct entry_ref *r,
				  struct facts *out, struct err *e);

/** The facts of a folder.  e.sys is ESTALE where the snapshot is gone, ENOTDIR where it is no folder. */
MUST_CHECK enum err_code node_dir(struct fs *fs, uint64_t nodeid, struct facts *out, struct err *e);

/** The entry of nodeid; the caller releases it.  e.sys as above. f may be NULL. */
MUST_CHECK enum err_code node_entry_of(struct fs *fs, uint64_t nodeid, struct entry_ref *out,
				       struct facts *f, struct err *e);

/** "2026-11-21T02-00-00Z/etc/hosts", raw bytes and a NUL; as far as it can be told. */
void node_path(struct fs *fs, uint64_t nodeid, struct buf *out);

#endif
