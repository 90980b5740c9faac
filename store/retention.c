/* SPDX-License-Identifier: MIT */
/* Which snapshots a rule keeps. Nothing is let go here. */
#include <string.h>

#include "store/forget.h"

#define FUTURE_SEC 600	/* clocks of two hosts may differ by so much */

static bool same_texts(char *const *a, size_t nr_a, char *const *b, size_t nr_b)
{
	if (nr_a != nr_b)
		return false;
	for (size_t i = 0; i < nr_a; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

/** Whether one takes the other's place: the same things of the same host. */
static bool same_series(const struct snapshot *a, const struct snapshot *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->base, b->base) == 0 &&
	       same_texts(a->sources, a->nr_sources, b->sources, b->nr_sources);
}

void retention_keep_last(const struct snapshot_list *l, const struct snapshot_filter *f,
			 size_t keep, struct vtime now, bool *go)
{
	for (size_t i = 0; i < l->nr; i++) {
		const struct snapshot *s = &l->all[i];
		size_t newer = 0;

		go[i] = false;
		if (!snapshot_passes(s, f) || snapshot_is_reserved(s))
			continue;
		for (size_t k = i + 1; k < l->nr && newer < keep; k++)
			newer += snapshot_passes(&l->all[k], f) && same_series(s, &l->all[k]) &&
				 !snapshot_is_reserved(&l->all[k]) &&
				 l->all[k].time.sec <= now.sec + FUTURE_SEC;
		go[i] = newer >= keep && s->time.sec <= now.sec + FUTURE_SEC;
	}
}
