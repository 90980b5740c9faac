/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4, OpenSSL's EVP) vouches; XXH3-64 (xxHash) finds damage at the speed of the disk. */
#ifndef VOUCH_BASE_DIGEST_H
#define VOUCH_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"
#include "store/id.h"

/** One shot; any thread (contexts are kept a thread).  Out of memory or a broken libcrypto ends the process: no digest, no store. */
void digest_sha256(const void *buf, size_t len, struct object_id *out);

/** One message of several, or a piece of a stream; buf may be NULL where len is 0. */
struct digest_job {
	const void *buf;
	size_t len;
	struct object_id *out; /* not inside any job's buf */
	struct digest_stream *stream; /* not NULL: is added to this, in one job of a call; no out */
};

/**
 * The digests of nr messages, in no order; any thread.  With half a dozen of them or more, and of
 * about the same length, up to three times as fast as one after the other where the processor has
 * AVX-512 and the SHA instructions, else as fast.
 */
void digest_sha256_many(const struct digest_job *jobs, size_t nr);

/** A running SHA-256 whose pieces can be jobs beside others. */
struct digest_stream;
MUST_CHECK enum err_code digest_stream_open(struct digest_stream **out, struct err *e);
void digest_stream_close(struct digest_stream *s); /* NULL is allowed */
void digest_stream_finish(struct digest_stream *s, struct object_id *out); /* and ends it */

/** For tests: false keeps all threads from that; whether it is done from now on. */
bool digest_many_lanes(bool wanted);

/** HMAC-SHA-256 (FIPS 198-1) under a secret; any thread, the same end where libcrypto is broken. */
void digest_hmac(const void *secret, size_t secret_len, const void *buf, size_t len,
		 struct object_id *out);

/** Running SHA-256. */
struct digest;
MUST_CHECK enum err_code digest_open(struct digest **out, struct err *e);
void digest_close(struct digest *d);
void digest_add(struct digest *d, const void *buf, size_t len);
void digest_finish(struct digest *d, struct object_id *out);	/* and begins anew */

uint64_t digest_xxh3(const void *buf, size_t len);
uint64_t digest_xxh3_seed(const void *buf, size_t len, uint64_t seed);

/** n random bytes from the system. */
MUST_CHECK enum err_code digest_random(void *out, size_t n, struct err *e);

#endif
