/* SPDX-License-Identifier: MIT */
/*
 * Inside libvouch.  NAME.sig beside NAME.json, for snapshots and for the records of those that were let go: 64 bytes,
 * the Ed25519 signature of the file's exact bytes; a second copy lies in copies/.  It is written before what it signs
 * has its name, and goes after it: one that is left alone says nothing.
 */
#ifndef VOUCH_STORE_SIGNATURE_INTERNAL_H
#define VOUCH_STORE_SIGNATURE_INTERNAL_H

#include "store/base/sign.h"
#include "store/forget.h"
#include "store/internal.h"
#include "store/key.h"

/** "snapshots/NAME" or "forgotten/ID", and a NUL. */
#define STEM_LEN (sizeof("forgotten/") - 1 + ID_HEX_LEN)
void stem_of_snapshot(const char *name, char out[STEM_LEN + 1]);
void stem_of_record(const struct object_id *id, char out[STEM_LEN + 1]);

/** The public key in a file of that name in keys/; ERR_CORRUPT: it is none, or not the one that its name says. */
MUST_CHECK enum err_code key_public_named(const char *name, const struct buf *b,
					  struct key_public *out, struct err *e);

/** This host's secret key; ERR_NOT_FOUND where there is none. */
MUST_CHECK enum err_code signing_key_load(struct store *s, struct sign_key **out, struct err *e);

/** The same for a run that goes on without: NULL, and a WARNING where a signature will be missed. */
struct sign_key *signing_key_or_none(struct store *s);

/** STEM.sig of these bytes, made durable; squeeze: as record_squeeze() has it.  NULL k: nothing is done. */
MUST_CHECK enum err_code signature_put(struct store *s, const struct sign_key *k, const char *stem,
				       const struct buf *b, bool squeeze, struct err *e);
/** Its copy, after what it signs has its name; a WARNING where that fails. */
void signature_put_copy(struct store *s, const char *stem);
/** Both; that they are not there is fine. */
MUST_CHECK enum err_code signature_remove(struct store *s, const char *stem, struct err *e);

/** Whether 64 bytes stand in either place, whatever they say. */
MUST_CHECK enum err_code signature_exists(struct store *s, const char *stem, bool *there,
					  struct err *e);

/**
 * For who mends: whether b may be what name ("snapshots/NAME.sig", "forgotten/ID.sig") held: some key that can be found
 * made it of the file beside it; where none can, 64 bytes will do.  Proves nothing.  ERR_CORRUPT: it is not.
 */
MUST_CHECK enum err_code signature_plausible(struct store *s, const char *name,
					     const struct buf *b, struct err *e);

enum signature_state {
	SIGNATURE_NONE,
	SIGNATURE_WRONG,	/* there is one, and none of the keys made it of these bytes */
	SIGNATURE_GOOD
};

/** Either place serves; *key: which of nr keys, where GOOD.  Any thread. */
MUST_CHECK enum err_code signature_check(struct store *s, const char *stem, const struct buf *b,
					 const struct key_public *keys, size_t nr,
					 enum signature_state *state, size_t *key, struct err *e);

/**
 * Delete the signatures of snapshots that never came (a run that was killed between the two), unless somebody else is
 * at work, whose snapshot may be about to.
 */
struct heartbeat;
MUST_CHECK enum err_code signatures_sweep(struct store *s, const struct heartbeat *mine,
					  struct err *e);

/** One link of a writer's chain: a snapshot that is listed, or the record of one that was let go. */
struct chain_node {
	struct object_id id, previous;
	uint8_t writer[16];
	uint64_t seq;
	bool has_previous, record;
	char *name, *host;		/* owned; the host of a record is NULL */
	enum signature_state state;
	size_t key;			/* where GOOD */
	bool unread;			/* its bytes could not be had again */
	bool covered;			/* a snapshot that is listed follows it */
};

struct chain_nodes {
	struct chain_node *all;		/* sorted by id, snapshots before records */
	size_t nr, cap;
	char **bad;			/* names of snapshots that are damaged twice */
	size_t nr_bad;
};

void chain_nodes_release(struct chain_nodes *n);
MUST_CHECK enum err_code chain_nodes_read(struct store *s, struct chain_nodes *out, struct err *e);
/** NULL where there is none. */
const struct chain_node *chain_node_find(const struct chain_nodes *n, const struct object_id *id);

void chain_node_stem(const struct chain_node *c, char out[STEM_LEN + 1]);
/** The exact bytes of c's file, or of its copy: those that its id, or for a record what is said in it, came from. */
MUST_CHECK enum err_code chain_node_bytes(struct store *s, const struct chain_node *c,
					  struct buf *out, struct err *e);

#endif
