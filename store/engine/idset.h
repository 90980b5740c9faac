/* SPDX-License-Identifier: MIT */
/* A set of ids, from which some are removed again. One thread at a time. */
#ifndef VOUCH_ENGINE_IDSET_H
#define VOUCH_ENGINE_IDSET_H

#include <stdbool.h>
#include <stddef.h>

#include "store/err.h"
#include "store/id.h"

struct idset {
	struct object_id *at; /* owned; a power of two of them */
	bool *used;	      /* owned */
	size_t cap, nr;
};

#define IDSET_INIT                                                                                 \
	{                                                                                          \
		0                                                                                  \
	}

void idset_release(struct idset *s);
bool idset_has(const struct idset *s, const struct object_id *id);
MUST_CHECK enum err_code idset_add(struct idset *s, const struct object_id *id, struct err *e);
void idset_remove(struct idset *s, const struct object_id *id);

#endif
