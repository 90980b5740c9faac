/* SPDX-License-Identifier: MIT */
/*
 * Each writer's snapshots are a chain: every one names the id, the SHA-256, of the one before.  Whether all links are
 * there, or were let go with a record; whether one of the given keys signed each; and whether a snapshot whose id was
 * written down elsewhere is still among them, which alone shows that the newest were taken away.
 */
#ifndef VOUCH_STORE_CHAIN_H
#define VOUCH_STORE_CHAIN_H

#include <stdatomic.h>

#include "store/entry.h"
#include "store/key.h"

enum chain_kind {
	CHAIN_UNSIGNED,		/* a snapshot without a signature */
	CHAIN_WRONG_SIGNATURE,	/* a snapshot whose signature no key made */
	CHAIN_RECORD_UNSIGNED,	/* the same of the record of one that was let go */
	CHAIN_RECORD_WRONG,
	CHAIN_MISSING,		/* neither there nor let go */
	CHAIN_BROKEN,		/* follows what it cannot follow */
	CHAIN_UNREADABLE,
	CHAIN_ROOT_GONE,
	CHAIN_BELIEVED,		/* a record that is believed for want of keys */
	CHAIN_FORK,		/* two of one number */
	CHAIN_KEYS,		/* one writer with several keys, or a key without a writer */
	CHAIN_KIND_NR
};

struct chain_finding {
	enum chain_kind kind;
	bool fails;		/* it is not proved that nobody meddled */
	const char *text;	/* one line */
	const char *name;	/* of a snapshot, or NULL */
};

/** "unsigned", "missing", ...: for JSON. */
const char *chain_kind_name(enum chain_kind kind);

/** From the caller's thread. */
typedef void chain_fn(void *ctx, const struct chain_finding *f);

struct chain_options {
	const struct key_public *keys;	/* nr_keys 0: signatures are not looked at */
	size_t nr_keys;
	const struct object_id *roots;	/* ids of snapshots that must be there, or let go */
	size_t nr_roots;
	unsigned jobs;
	const atomic_bool *cancel;
	chain_fn *fn;
	void *ctx;
};

struct chain_result {
	uint64_t writers, snapshots, records;
	uint64_t good_signatures;	/* of snapshots and records */
	uint64_t missing;		/* links neither there nor let go */
	uint64_t forks;
	uint64_t failed;		/* findings that fail; 0 without keys and roots */
};

/** ERR_OK where the check was made, whatever it found. */
MUST_CHECK enum err_code chain_check(struct store *s, const struct chain_options *o,
				     struct chain_result *out, struct err *e);

/** The newest snapshot of a writer: its id says all that came before. */
struct chain_root {
	struct object_id id;
	uint8_t writer[16];
	uint64_t seq;
	char *name, *host;	/* owned */
};

struct chain_roots {
	struct chain_root *all;	/* by host, then writer; a writer more than once where its chain has forked */
	size_t nr;
};

void chain_roots_release(struct chain_roots *r);
MUST_CHECK enum err_code chain_roots_read(struct store *s, struct chain_roots *out, struct err *e);

#endif
