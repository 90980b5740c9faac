/* SPDX-License-Identifier: MIT */
#include "store/base/keyset.h"

#include <stdlib.h>

/* Open addressing, at most half full. */

void keyset_release(struct keyset *k)
{
	free(k->slots);
	*k = (struct keyset){ 0 };
}

static size_t slot_of(const struct keyset *k, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (k->cap - 1);

	while (k->slots[i] != 0 && k->slots[i] != key)
		i = (i + 1) & (k->cap - 1);
	return i;
}

static enum err_code grow(struct keyset *k, struct err *e)
{
	struct keyset more = { .cap = k->cap ? 2 * k->cap : 1024, .nr = k->nr,
			       .has_zero = k->has_zero };

	more.slots = calloc(more.cap, sizeof(*more.slots));
	if (!more.slots)
		return err_set(e, ERR_NOMEM, "a set of %zu keys", more.cap);
	for (size_t i = 0; i < k->cap; i++)
		if (k->slots[i] != 0)
			more.slots[slot_of(&more, k->slots[i])] = k->slots[i];
	free(k->slots);
	*k = more;
	return ERR_OK;
}

enum err_code keyset_add(struct keyset *k, uint64_t key, bool *is_new, struct err *e)
{
	bool added = false;
	size_t i;

	if (2 * (k->nr + 1) > k->cap) {
		enum err_code rc = grow(k, e);

		if (rc)
			return rc;
	}
	if (key == 0) {
		added = !k->has_zero;
		k->has_zero = true;
	} else {
		i = slot_of(k, key);
		added = k->slots[i] == 0;
		k->slots[i] = key;
		k->nr += added;
	}
	if (is_new)
		*is_new = added;
	return ERR_OK;
}

bool keyset_has(const struct keyset *k, uint64_t key)
{
	if (key == 0)
		return k->has_zero;
	return k->cap > 0 && k->slots[slot_of(k, key)] == key;
}
