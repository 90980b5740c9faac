/* SPDX-License-Identifier: MIT */
/*
 * Keys that sign: whoever can write to the medium can add a snapshot or take one away, but not sign for it.  The
 * secret key is kept on the host that writes, beside the writer's id, and is never on the medium.
 */
#ifndef VOUCH_STORE_KEY_H
#define VOUCH_STORE_KEY_H

#include <stdatomic.h>

#include "store/store.h"

/** A public key, Ed25519. */
struct key_public {
	uint8_t raw[32];
	struct object_id fingerprint;	/* SHA-256 of its DER: `openssl pkey -pubin -outform DER | sha256sum` */
};

/** From PEM ("-----BEGIN PUBLIC KEY-----").  ERR_CORRUPT: it is none. */
MUST_CHECK enum err_code key_public_read(const void *pem, size_t len, struct key_public *out,
					 struct err *e);

/** The same as text, NUL at its end. */
#define KEY_PEM_LEN 128
void key_public_pem(const struct key_public *k, char out[KEY_PEM_LEN]);

struct key_info {
	struct key_public key;
	bool mine;		/* its secret key is on this host, at where */
	char *where;		/* a path; of others their name in the repository, which proves nothing */
};

struct key_list {
	struct key_info *all;	/* this host's first */
	size_t nr;
};

void key_list_release(struct key_list *l);
MUST_CHECK enum err_code key_list_read(struct store *s, struct key_list *out, struct err *e);

/**
 * Make this host's key for the repository; its public half goes to keys/ there, too.  ERR_EXISTS: there is one, and not
 * replace.  What the old one signed stays as it is.  where is malloc'ed: the secret key's path.
 */
MUST_CHECK enum err_code key_make(struct store *s, bool replace, struct key_public *out,
				  char **where, struct err *e);

struct key_signed {
	uint64_t snapshots, records;	/* of snapshots that were let go */
};

/**
 * Sign, with this host's key, the snapshots and records of this host that have no signature; with all those of every
 * other host too.  What is signed is what is there: nobody can tell who wrote it.  ERR_NOT_FOUND: there is no key.
 */
MUST_CHECK enum err_code key_sign_present(struct store *s, bool all, const atomic_bool *cancel,
					  struct key_signed *out, struct err *e);

#endif
