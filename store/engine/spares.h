/* SPDX-License-Identifier: MIT */
/*
 * Memory of blocks that went, for those that come: else each MiB would be mapped, cleared and unmapped anew. Any
 * number of threads.
 */
#ifndef VOUCH_ENGINE_SPARES_H
#define VOUCH_ENGINE_SPARES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define SPARES 6u

struct spares {
	pthread_mutex_t mutex;
	struct {
		uint8_t *p;	/* NULL: none */
		size_t cap;
	} spare[SPARES];	/* mutex */
};

void spares_init(struct spares *s);
void spares_release(struct spares *s);
/** At least len bytes, to be freed by free() or spares_put(); NULL: no memory. */
uint8_t *spares_get(struct spares *s, size_t len);
/** p was malloc'ed, or is NULL. */
void spares_put(struct spares *s, uint8_t *p);

#endif
