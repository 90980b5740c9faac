/* SPDX-License-Identifier: MIT */
#include "store/engine/spares.h"

#include <malloc.h>
#include <stdlib.h>

#include "store/base/must.h"

#define KEEP_MIN (256u << 10)	/* bytes; smaller ones are malloc's to keep */
#define KEEP_MAX (3u << 20)
#define STEP	 (256u << 10)	/* sizes are multiples, so that one fits the next; what is not touched costs nothing */
#define SLACK	 (512u << 10)	/* given away in vain at most: a block is counted by its length */

void spares_init(struct spares *s)
{
	*s = (struct spares){.spare = {{0}}};
	must(pthread_mutex_init(&s->mutex, NULL));
}

void spares_release(struct spares *s)
{
	for (size_t i = 0; i < SPARES; i++)
		free(s->spare[i].p);
	must(pthread_mutex_destroy(&s->mutex));
}

/* The smallest that is large enough, and not much too large. */
uint8_t *spares_get(struct spares *s, size_t len)
{
	uint8_t *p = NULL;
	size_t best = SPARES;

	must(pthread_mutex_lock(&s->mutex));
	for (size_t i = 0; i < SPARES; i++) {
		size_t cap = s->spare[i].cap;

		if (s->spare[i].p && cap >= len && cap - len <= SLACK &&
		    (best == SPARES || cap < s->spare[best].cap))
			best = i;
	}
	if (best < SPARES) {
		p = s->spare[best].p;
		s->spare[best].p = NULL;
	}
	must(pthread_mutex_unlock(&s->mutex));
	if (p)
		return p;
	return malloc(len < KEEP_MIN || len > KEEP_MAX ? len : (len + STEP - 1) / STEP * STEP);
}

void spares_put(struct spares *s, uint8_t *p)
{
	size_t cap = malloc_usable_size(p);

	if (cap >= KEEP_MIN && cap <= KEEP_MAX) {
		must(pthread_mutex_lock(&s->mutex));
		for (size_t i = 0; i < SPARES && p; i++) {
			if (s->spare[i].p)
				continue;
			s->spare[i].p = p;
			s->spare[i].cap = cap;
			p = NULL;
		}
		must(pthread_mutex_unlock(&s->mutex));
	}
	free(p);
}
