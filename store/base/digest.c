/* SPDX-License-Identifier: MIT */
#include "store/base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

#include <xxhash.h>

/*
 * EVP_sha256() is looked up by name, under a lock, at every init; fetched once it
 * is a pointer.  With a context kept for each thread a digest of a small file costs
 * its bytes and little else.
 */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static EVP_MD *sha256;
static _Thread_local EVP_MD_CTX *thread_ctx;

static void free_ctx(void *ctx)
{
	EVP_MD_CTX_free(ctx);
}

/* Nothing of the store holds without a digest, and no caller could do anything about it. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

static void init_once(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(sha256 && pthread_key_create(&key, free_ctx) == 0);
}

static EVP_MD_CTX *ctx_of_thread(void)
{
	if (!thread_ctx) {
		must(pthread_once(&once, init_once) == 0);
		thread_ctx = EVP_MD_CTX_new();
		/* The key only frees it when the thread ends; finding it is the variable's job. */
		must(thread_ctx && pthread_setspecific(key, thread_ctx) == 0);
	}
	return thread_ctx;
}

void digest_sha256(const void *buf, size_t len, struct object_id *out)
{
	EVP_MD_CTX *ctx = ctx_of_thread();

	must(EVP_DigestInit_ex2(ctx, sha256, NULL) == 1);
	must(EVP_DigestUpdate(ctx, buf, len) == 1);
	must(EVP_DigestFinal_ex(ctx, out->b, NULL) == 1);
}

void digest_hmac(const void *secret, size_t secret_len, const void *buf, size_t len,
		 struct object_id *out)
{
	must(secret_len <= INT_MAX);
	must(HMAC(EVP_sha256(), secret, (int)secret_len, buf, len, out->b, NULL) != NULL);
}

struct digest {
	EVP_MD_CTX *ctx;
};

enum err_code digest_open(struct digest **out, struct err *e)
{
	struct digest *d = calloc(1, sizeof(*d));

	must(pthread_once(&once, init_once) == 0);
	if (d)
		d->ctx = EVP_MD_CTX_new();
	if (!d || !d->ctx) {
		free(d);
		return err_set(e, ERR_NOMEM, "no memory for a digest");
	}
	must(EVP_DigestInit_ex2(d->ctx, sha256, NULL) == 1);
	*out = d;
	return ERR_OK;
}

void digest_close(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

void digest_add(struct digest *d, const void *buf, size_t len)
{
	must(EVP_DigestUpdate(d->ctx, buf, len) == 1);
}

void digest_finish(struct digest *d, struct object_id *out)
{
	must(EVP_DigestFinal_ex(d->ctx, out->b, NULL) == 1);
	must(EVP_DigestInit_ex2(d->ctx, sha256, NULL) == 1);
}

uint64_t digest_xxh3(const void *buf, size_t len)
{
	return XXH3_64bits(buf, len);
}

uint64_t digest_xxh3_seed(const void *buf, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(buf, len, seed);
}

enum err_code digest_random(void *out, size_t n, struct err *e)
{
	uint8_t *p = out;

	while (n > 0) {
		ssize_t r = getrandom(p, n, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_sys(e, "random bytes");
		p += r;
		n -= (size_t)r;
	}
	return ERR_OK;
}
