/* SPDX-License-Identifier: MIT */
#include "store/base/sign.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/base64.h"
#include "store/base/digest.h"

#define PEM_HEAD "-----BEGIN PUBLIC KEY-----\n"
#define PEM_TAIL "-----END PUBLIC KEY-----\n"

/* RFC 8410: what stands before the 32 bytes of an Ed25519 key's SubjectPublicKeyInfo, always the same. */
static const uint8_t spki_head[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
				     0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };

struct sign_key {
	EVP_PKEY *pkey;
	struct sign_public public;
};

/* Without it OpenSSL would ask for the password of an encrypted key on the terminal. */
static int no_password(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

static bool public_of(EVP_PKEY *pkey, struct sign_public *out)
{
	size_t len = SIGN_PUBLIC_LEN;

	return EVP_PKEY_is_a(pkey, "ED25519") == 1 &&
	       EVP_PKEY_get_raw_public_key(pkey, out->b, &len) == 1 && len == SIGN_PUBLIC_LEN;
}

/* Takes pkey, which may be NULL. */
static enum err_code wrap(EVP_PKEY *pkey, struct sign_key **out, struct err *e)
{
	struct sign_key *k = calloc(1, sizeof(*k));
	enum err_code rc = ERR_OK;

	if (!k)
		rc = err_set(e, ERR_NOMEM, "a key");
	else if (!pkey || !public_of(pkey, &k->public))
		rc = err_set(e, ERR_CORRUPT, "no Ed25519 key that can be read without a password");
	if (rc) {
		EVP_PKEY_free(pkey);
		free(k);
		return rc;
	}
	k->pkey = pkey;
	*out = k;
	return ERR_OK;
}

enum err_code sign_key_make(struct sign_key **out, struct err *e)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	return pkey ? wrap(pkey, out, e)
		    : err_set(e, ERR_FAILED, "OpenSSL makes no Ed25519 key");
}

void sign_key_free(struct sign_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);		/* overwrites it */
	free(k);
}

enum err_code sign_key_read(const void *pem, size_t len, struct sign_key **out, struct err *e)
{
	EVP_PKEY *pkey = NULL;
	BIO *bio;

	if (len > SIGN_PEM_MAX)
		return err_set(e, ERR_CORRUPT, "a key of %zu bytes", len);
	bio = BIO_new_mem_buf(pem, (int)len);
	if (!bio)
		return err_set(e, ERR_NOMEM, "a key");
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	return wrap(pkey, out, e);
}

enum err_code sign_key_write(const struct sign_key *k, char pem[SIGN_PEM_MAX], size_t *len,
			     struct err *e)
{
	BIO *bio = BIO_new(BIO_s_secmem());	/* is overwritten when it is freed */
	int n = -1;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1)
		n = BIO_read(bio, pem, (int)SIGN_PEM_MAX);
	BIO_free(bio);
	if (n <= 0 || n == (int)SIGN_PEM_MAX)
		return err_set(e, ERR_FAILED, "OpenSSL writes no key");
	*len = (size_t)n;
	return ERR_OK;
}

void sign_key_public(const struct sign_key *k, struct sign_public *out)
{
	*out = k->public;
}

enum err_code sign_make(const struct sign_key *k, const void *buf, size_t len,
			uint8_t sig[SIGN_LEN], struct err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = SIGN_LEN;
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
		  EVP_DigestSign(ctx, sig, &n, buf, len) == 1 && n == SIGN_LEN;

	EVP_MD_CTX_free(ctx);
	return ok ? ERR_OK : err_set(e, ERR_FAILED, "OpenSSL makes no signature");
}

enum err_code sign_public_read(const void *pem, size_t len, struct sign_public *out,
			       struct err *e)
{
	EVP_PKEY *pkey = NULL;
	bool ok = false;
	BIO *bio;

	if (len > SIGN_PEM_MAX)
		return err_set(e, ERR_CORRUPT, "a public key of %zu bytes", len);
	bio = BIO_new_mem_buf(pem, (int)len);
	if (!bio)
		return err_set(e, ERR_NOMEM, "a public key");
	pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
	BIO_free(bio);
	ok = pkey && public_of(pkey, out);
	EVP_PKEY_free(pkey);
	return ok ? ERR_OK : err_set(e, ERR_CORRUPT, "no public Ed25519 key in PEM");
}

void sign_public_write(const struct sign_public *p, struct buf *out)
{
	uint8_t der[sizeof(spki_head) + SIGN_PUBLIC_LEN];

	memcpy(der, spki_head, sizeof(spki_head));
	memcpy(der + sizeof(spki_head), p->b, SIGN_PUBLIC_LEN);
	buf_add_str(out, PEM_HEAD);
	base64_encode(der, sizeof(der), out);	/* 60 characters: one line of PEM's 64 */
	buf_add_str(out, "\n" PEM_TAIL);
}

void sign_fingerprint(const struct sign_public *p, struct object_id *out)
{
	uint8_t der[sizeof(spki_head) + SIGN_PUBLIC_LEN];

	memcpy(der, spki_head, sizeof(spki_head));
	memcpy(der + sizeof(spki_head), p->b, SIGN_PUBLIC_LEN);
	digest_sha256(der, sizeof(der), out);
}

bool sign_ok(const struct sign_public *p, const void *buf, size_t len,
	     const uint8_t sig[SIGN_LEN])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p->b,
						     SIGN_PUBLIC_LEN);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestVerify(ctx, sig, SIGN_LEN, buf, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok;
}
