/* SPDX-License-Identifier: MIT */
/* A check that has to end in time, and what it may say it has read. */
#include <stdlib.h>
#include <time.h>

#include "store/verify_internal.h"

#define SECOND	1000000000

/*
 * Of eight parts of the time: packs; the rest is for their parity, for the tables of the other packs, and for the
 * snapshots' nodes, which are a hundredth of a repository, but read here and there.
 */
#define PARTS		8
#define PACKS_PARTS	7
#define NAMES_SEC	60	/* to name what damage touches, although the time is over */

int64_t verify_now_ns(void)
{
	struct timespec t = { 0 };

	if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
		abort();
	return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

void verify_set_times(struct verify *v)
{
	int64_t now = verify_now_ns(), all = (int64_t)v->o->seconds * SECOND;

	if (!v->o->seconds)
		return;
	v->packs_until = now + all / PARTS * PACKS_PARTS;
	v->until = now + all;
}

void verify_more_time(struct verify *v)
{
	int64_t until = verify_now_ns() + (int64_t)NAMES_SEC * SECOND;

	if (v->until && v->until < until)
		v->until = until;
}

bool verify_due(int64_t until)
{
	return until && verify_now_ns() >= until;
}

bool verify_cut(struct verify *v)
{
	if (!verify_due(v->until))
		return false;
	atomic_store(&v->late, true);
	return true;
}

bool verify_from_medium(const struct verify *v)
{
	return !v->cache && !atomic_load(&v->s->backend->cached);
}
