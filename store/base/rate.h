/* SPDX-License-Identifier: MIT */
/* A limit on bytes a second, shared by all threads that move them. */
#ifndef VOUCH_BASE_RATE_H
#define VOUCH_BASE_RATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** In its owner's storage: rate_init() before the threads start, rate_release() when they have ended. */
struct rate {
	uint64_t per_second;		/* bytes; 0: no limit, and nothing below is used */
	const atomic_bool *cancel;	/* ends every wait; may be NULL */
	pthread_mutex_t mutex;
	uint64_t next_ns;		/* mutex: when all that was moved so far would be paid for */
};

void rate_init(struct rate *r, uint64_t per_second, const atomic_bool *cancel);
void rate_release(struct rate *r);

/** n bytes were moved: wait until that was no more than the limit allows, or *cancel is set. */
void rate_wait(struct rate *r, uint64_t n);

/** At most len, and so few bytes that the wait for them is short: what to move at once. */
size_t rate_piece(const struct rate *r, size_t len);

#endif
