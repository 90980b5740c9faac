/* SPDX-License-Identifier: MIT */
/* Between heal.c (right bytes) and heal_mend.c (the thread). */
#ifndef VOUCH_ENGINE_HEAL_IMPL_H
#define VOUCH_ENGINE_HEAL_IMPL_H

#include <pthread.h>
#include <stdbool.h>

#include "store/engine/heal.h"

#define FAILED_KEPT 256u

/** What could not be healed, and until when nobody tries again. */
struct heal_failed {
	struct object_id pack;
	uint64_t off;
	int64_t until_ns;
};

/** Copies as they were known at some time; counted references, as it is used while it is replaced. */
struct replica_list {
	unsigned refs;
	int64_t known_ns;
	char **names;
	size_t nr;
	int64_t *absent_until_ns; /* each */
};

struct heal {
	struct heal_config cfg;
	pthread_mutex_t mutex; /* over all below; never held across a call of a backend */
	struct replica_list *replicas;
	struct heal_failed failed[FAILED_KEPT];
	unsigned next_failed;

	pthread_cond_t some; /* queued, or to end */
	pthread_t thread;
	bool running, closing;
	bool stopped; /* nothing is mended any more */
	struct object_id *queue; /* all that were ever in it ... */
	size_t nr_queue, cap_queue;
	size_t done; /* ... of which so many were looked at */
	uint64_t mended;
};

void heal_lock(struct heal *h);
void heal_unlock(struct heal *h);

/** What is known to be in vain for the pack is so no more. */
void heal_forget_failed(struct heal *h, const struct object_id *pack);

/** heal_mend.c: end the thread once the queue is empty. */
void heal_mend_end(struct heal *h);

#endif
