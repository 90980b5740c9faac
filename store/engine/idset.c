/* SPDX-License-Identifier: MIT */
#include "store/engine/idset.h"

#include <stdlib.h>

void idset_release(struct idset *s)
{
	free(s->at);
	free(s->used);
	*s = (struct idset)IDSET_INIT;
}

/* Ids are digests: their first bytes are as good as any hash. */
static size_t home(const struct idset *s, const struct object_id *id)
{
	return (size_t)id_key(id) & (s->cap - 1);
}

static size_t slot_of(const struct idset *s, const struct object_id *id)
{
	size_t i = home(s, id);

	while (s->used[i] && !id_eq(&s->at[i], id))
		i = (i + 1) & (s->cap - 1);
	return i;
}

bool idset_has(const struct idset *s, const struct object_id *id)
{
	return s->nr > 0 && s->used[slot_of(s, id)];
}

static bool grow(struct idset *s)
{
	struct idset wider = {.cap = s->cap ? 2 * s->cap : 256};

	wider.at = calloc(wider.cap, sizeof(*wider.at));
	wider.used = calloc(wider.cap, sizeof(*wider.used));
	if (!wider.at || !wider.used) {
		idset_release(&wider);
		return false;
	}
	for (size_t i = 0; i < s->cap; i++) {
		if (!s->used[i])
			continue;
		size_t to = slot_of(&wider, &s->at[i]);

		wider.at[to] = s->at[i];
		wider.used[to] = true;
	}
	wider.nr = s->nr;
	idset_release(s);
	*s = wider;
	return true;
}

enum err_code idset_add(struct idset *s, const struct object_id *id, struct err *e)
{
	size_t i;

	if (2 * (s->nr + 1) > s->cap && !grow(s))
		return err_set(e, ERR_NOMEM, "set of %zu ids", s->nr);
	i = slot_of(s, id);
	if (!s->used[i])
		s->nr++;
	s->at[i] = *id;
	s->used[i] = true;
	return ERR_OK;
}

/* What follows moves up where it may, so that no gap parts an id from its home. */
void idset_remove(struct idset *s, const struct object_id *id)
{
	size_t mask = s->cap - 1, gap, i;

	if (!idset_has(s, id))
		return;
	gap = slot_of(s, id);
	for (i = (gap + 1) & mask; s->used[i]; i = (i + 1) & mask) {
		size_t from = home(s, &s->at[i]);

		if (((i - from) & mask) >= ((i - gap) & mask)) {
			s->at[gap] = s->at[i];
			gap = i;
		}
	}
	s->used[gap] = false;
	s->nr--;
}
