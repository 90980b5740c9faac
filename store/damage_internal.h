/* SPDX-License-Identifier: MIT */
/*
 * Inside libvouch: the ledger of damage.  What is found damaged is remembered on the medium, in log/, by events of two
 * kinds, each with an array of strings (and so bounded lines):
 *
 *   "damage"  places: "CHUNK PACK OFFSET", 64 hex digits or "-" where unknown or none; OFFSET of the block, or 0
 *   "mended"  packs, chunks: ids; all that was noted of them before is whole again, or of no concern any more
 *
 * Who notes only adds to a list in memory; it is written by damage_flush(), which store_close() calls, too.
 * A ledger is a hint, like the index: who acts on it looks at the chunk itself.
 */
#ifndef VOUCH_STORE_DAMAGE_INTERNAL_H
#define VOUCH_STORE_DAMAGE_INTERNAL_H

#include "store/internal.h"

struct damage {
	struct object_id chunk;		/* zero: not a chunk, but all of a block, or of a pack where off is 0 */
	struct object_id pack;		/* zero: in no pack */
	uint64_t off;			/* of the block; 0: unknown */
};

static inline bool id_is_zero(const struct object_id *id)
{
	static const struct object_id zero;

	return id_eq(id, &zero);
}

MUST_CHECK enum err_code damage_open(struct damage_ledger **out, struct err *e);
void damage_close(struct damage_ledger *l);	/* NULL is allowed; nothing is written */

/** Once each in this process, DAMAGE_NOTED_MAX at most.  Any thread, whatever it holds: nothing is read or written. */
#define DAMAGE_NOTED_MAX 16384u
void damage_note(struct store *s, const struct damage *d);

/** Learn what the ledger says, so that mended_note_pack() can pass over packs that it does not name.  Holds no lock. */
MUST_CHECK enum err_code damage_learn(struct store *s, struct err *e);

/** Whole again from now on: all of a pack, or a chunk wherever it lies.  As damage_note(). */
void mended_note_pack(struct store *s, const struct object_id *pack);
void mended_note_chunk(struct store *s, const struct object_id *chunk);

/**
 * Write what was noted and is not in the ledger yet, where the medium can be written.  What cannot be is a WARNING.
 * The caller holds no lock.
 */
void damage_flush(struct store *s);

/** From now on nothing is written to this ledger by this process: what a dry run finds. */
void damage_mute(struct store *s);

typedef enum err_code damage_fn(void *ctx, const struct damage *d, struct err *e);
/** What was noted, by anybody, and not mended since: each once, DAMAGE_KNOWN_MAX at most, ordered by pack and off. */
#define DAMAGE_KNOWN_MAX 65536u
MUST_CHECK enum err_code damage_each(struct store *s, damage_fn *fn, void *ctx, struct err *e);

/**
 * For a writer that begins: what is known to be damaged is not counted on (chunks_doubt(), and chunks_condemn() for packs
 * without a table).
 */
MUST_CHECK enum err_code damage_doubt(struct store *s, struct err *e);
/** The chunks (struct object_id each) that damage_doubt() found; the one writer's. */
struct buf *damage_doubted(struct store *s);
/** For a writer that has ended: what it found whole, or stored anew, is noted as mended. */
void damage_settle(struct store *s);

#endif
