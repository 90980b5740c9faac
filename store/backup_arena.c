/* SPDX-License-Identifier: MIT */
/* A batch's memory for its entries: taken in blocks, given back all at once. */
#include <stdlib.h>
#include <string.h>

#include "store/backup_batch_internal.h"

#define BLOCK_LEN (64u << 10)

struct arena_block {
	struct arena_block *next;
	size_t len, cap;
	uint8_t bytes[];
};

static void *arena_alloc(struct batch *b, size_t n)
{
	struct arena_block *a = b->arena;
	size_t cap = n > BLOCK_LEN ? n : BLOCK_LEN;
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (!a || n > a->cap - a->len) {
		a = malloc(sizeof(*a) + cap + 16);
		if (!a)
			return NULL;
		*a = (struct arena_block){.next = b->arena, .cap = cap + 16};
		b->arena = a;
	}
	p = a->bytes + a->len;
	a->len += n;
	b->arena_len += n;
	return p;
}

void batch_arena_reset(struct batch *b)
{
	while (b->arena && (b->arena->next || b->arena->cap > BLOCK_LEN + 16)) {
		struct arena_block *next = b->arena->next;

		free(b->arena);
		b->arena = next;
	}
	if (b->arena)
		b->arena->len = 0;
	b->arena_len = 0;
}

static bool arena_copy(struct batch *b, const void *from, size_t len, const void **to)
{
	void *p;

	if (len == 0) {
		*to = NULL;
		return true;
	}
	p = arena_alloc(b, len);
	if (p)
		memcpy(p, from, len);
	*to = p;
	return p != NULL;
}

struct entry *batch_entry_copy(struct batch *b, const struct entry *ent)
{
	struct entry *n = arena_alloc(b, sizeof(*n));
	const void *name, *target, *xattrs, *content;

	if (!n || !arena_copy(b, ent->name, ent->name_len, &name) ||
	    !arena_copy(b, ent->target, ent->target_len, &target) ||
	    !arena_copy(b, ent->xattrs, ent->xattrs_len, &xattrs) ||
	    !arena_copy(b, ent->content_p, ent->content_len, &content))
		return NULL;
	*n = *ent;
	n->name = name ? name : "";
	n->target = target;
	n->xattrs = xattrs;
	n->content_p = content;
	return n;
}

void batch_arena_free(struct batch *b)
{
	while (b->arena) {
		struct arena_block *next = b->arena->next;

		free(b->arena);
		b->arena = next;
	}
}
