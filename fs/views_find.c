/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fs/views.h"

const struct view_node *views_by_id(const struct views *v, uint64_t id)
{
	uint32_t lo = 0, hi = v->nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->nodes[v->by_id[mid]].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->nr && v->nodes[v->by_id[lo]].id == id ? &v->nodes[v->by_id[lo]] : NULL;
}

const struct view_node *views_child(const struct views *v, uint64_t parent, const char *name)
{
	uint32_t lo = 0, hi = v->nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct view_node *n = &v->nodes[v->by_name[mid]];

		if (n->parent < parent || (n->parent == parent && strcmp(n->name, name) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < v->nr) {
		const struct view_node *n = &v->nodes[v->by_name[lo]];

		if (n->parent == parent && strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

const struct view_node *views_next(const struct views *v, uint64_t parent, uint64_t after)
{
	uint32_t lo = 0, hi = v->nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct view_node *n = &v->nodes[mid];

		if (n->parent < parent || (n->parent == parent && n->id <= after))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->nr && v->nodes[lo].parent == parent ? &v->nodes[lo] : NULL;
}

void views_each_dir(const struct views *v, void (*fn)(void *ctx, uint64_t id), void *ctx)
{
	for (uint32_t i = 0; i < v->nr; i++)
		if (!v->nodes[i].target)
			fn(ctx, v->nodes[i].id);
}
