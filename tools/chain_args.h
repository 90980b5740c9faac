/* SPDX-License-Identifier: MIT */
/* What 'vouch verify' is given to prove: --pubkey, --root; and what comes of it. */
#ifndef VOUCH_TOOLS_CHAIN_ARGS_H
#define VOUCH_TOOLS_CHAIN_ARGS_H

#include "store/chain.h"
#include "tools/common.h"

struct chain_args {
	struct key_public *keys;
	struct object_id *roots;
	size_t nr_keys, nr_roots;
	bool only;		/* --chain: nothing else is checked */
};

void chain_args_release(struct chain_args *c);

/** --pubkey FILE: false where it is none, and that was said. */
bool chain_args_key(struct app *a, struct chain_args *c, const char *path);
/** --root HEX, likewise. */
bool chain_args_root(struct app *a, struct chain_args *c, const char *hex);

/**
 * Check the chains, and say what is wrong with them.  Without keys and roots what is missing is a warning; with them an
 * exit status of STATUS_FAILED says that it is not proved that nobody meddled.
 */
int chain_args_run(struct app *a, const struct chain_args *c, struct store *s);

#endif
