/* SPDX-License-Identifier: MIT */
/* Ed25519 (RFC 8032, OpenSSL's EVP): who wrote some bytes.  Keys are PEM, as openssl(1) reads and writes them. */
#ifndef VOUCH_BASE_SIGN_H
#define VOUCH_BASE_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/err.h"
#include "store/id.h"

#define SIGN_LEN	64	/* bytes of a signature */
#define SIGN_PUBLIC_LEN 32	/* bytes of a public key, as RFC 8032 has it */
#define SIGN_PEM_MAX	4096u	/* a PEM that is believed; these have about 120 bytes */

/** A secret key.  Its memory is overwritten before it is freed. */
struct sign_key;

struct sign_public {
	uint8_t b[SIGN_PUBLIC_LEN];
};

MUST_CHECK enum err_code sign_key_make(struct sign_key **out, struct err *e);
void sign_key_free(struct sign_key *k);		/* NULL is allowed */

/** From PKCS#8 in PEM, not encrypted.  ERR_CORRUPT: it is none, or of another kind. */
MUST_CHECK enum err_code sign_key_read(const void *pem, size_t len, struct sign_key **out,
				       struct err *e);
/** pem is the caller's to overwrite (explicit_bzero) once it is no longer needed. */
MUST_CHECK enum err_code sign_key_write(const struct sign_key *k, char pem[SIGN_PEM_MAX],
					size_t *len, struct err *e);

void sign_key_public(const struct sign_key *k, struct sign_public *out);

/** The same bytes get the same signature each time.  Any thread. */
MUST_CHECK enum err_code sign_make(const struct sign_key *k, const void *buf, size_t len,
				   uint8_t sig[SIGN_LEN], struct err *e);

/** SubjectPublicKeyInfo in PEM ("-----BEGIN PUBLIC KEY-----"). */
MUST_CHECK enum err_code sign_public_read(const void *pem, size_t len, struct sign_public *out,
					  struct err *e);
void sign_public_write(const struct sign_public *p, struct buf *out);

/** SHA-256 of its DER: what `openssl pkey -pubin -outform DER | sha256sum` prints. */
void sign_fingerprint(const struct sign_public *p, struct object_id *out);

/** Whether sig is of these bytes by this key.  Any thread; false too where there is no memory. */
bool sign_ok(const struct sign_public *p, const void *buf, size_t len,
	     const uint8_t sig[SIGN_LEN]);

#endif
