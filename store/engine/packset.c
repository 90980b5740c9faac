/* SPDX-License-Identifier: MIT */
#include "store/engine/packset.h"

#include <stdlib.h>

/* Open addressing over ordinals + 1; 0 is free.  Grown at half full, never shrunk. */
struct slots {
	uint32_t *at;
	size_t cap, nr;
};

struct packset {
	struct pack_info *packs;
	uint32_t nr, cap;
	struct slots by_id, by_no;
};

enum err_code packset_open(struct packset **out, struct err *e)
{
	struct packset *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ERR_NOMEM, "packs");
	*out = s;
	return ERR_OK;
}

void packset_close(struct packset *s)
{
	if (!s)
		return;
	free(s->by_id.at);
	free(s->by_no.at);
	free(s->packs);
	free(s);
}

uint32_t packset_nr(const struct packset *s)
{
	return s->nr;
}

struct pack_info *packset_at(struct packset *s, uint32_t ord)
{
	return &s->packs[ord];
}

static size_t hash_id(const struct object_id *id)
{
	return (size_t)(id_key(id) * 0x9E3779B97F4A7C15u >> 20);
}

static size_t hash_no(uint32_t no)
{
	return (size_t)(no * (uint64_t)0x9E3779B97F4A7C15u >> 20);
}

uint32_t packset_find(const struct packset *s, const struct object_id *id)
{
	size_t mask = s->by_id.cap - 1;

	if (s->by_id.cap == 0)
		return PACK_ORD_NONE;
	for (size_t i = hash_id(id) & mask; s->by_id.at[i]; i = (i + 1) & mask)
		if (id_eq(&s->packs[s->by_id.at[i] - 1].id, id))
			return s->by_id.at[i] - 1;
	return PACK_ORD_NONE;
}

/* A slot whose pack has been given another number since names nothing. */
uint32_t packset_by_no(const struct packset *s, uint32_t no)
{
	size_t mask = s->by_no.cap - 1;
	uint32_t found = PACK_ORD_NONE;

	if (s->by_no.cap == 0 || no == 0)
		return PACK_ORD_NONE;
	for (size_t i = hash_no(no) & mask; s->by_no.at[i]; i = (i + 1) & mask)
		if (s->packs[s->by_no.at[i] - 1].no == no)
			found = s->by_no.at[i] - 1;
	return found;
}

static void put(const struct packset *s, struct slots *t, bool by_id, uint32_t ord)
{
	size_t mask = t->cap - 1;
	size_t i = (by_id ? hash_id(&s->packs[ord].id) : hash_no(s->packs[ord].no)) & mask;

	while (t->at[i])
		i = (i + 1) & mask;
	t->at[i] = ord + 1;
	t->nr++;
}

/* Room for one more; where the table grows, only slots that still name something move. */
static bool make_room(const struct packset *s, struct slots *t, bool by_id)
{
	struct slots wider = {.cap = t->cap ? 2 * t->cap : 64};

	if (2 * (t->nr + 1) <= t->cap)
		return true;
	wider.at = calloc(wider.cap, sizeof(*wider.at));
	if (!wider.at)
		return false;
	for (uint32_t ord = 0; ord < s->nr; ord++)
		if (by_id || s->packs[ord].no != 0)
			put(s, &wider, by_id, ord);
	free(t->at);
	*t = wider;
	return true;
}

uint32_t packset_add(struct packset *s, const struct object_id *id)
{
	uint32_t ord = packset_find(s, id);

	if (ord != PACK_ORD_NONE)
		return ord;
	if (s->nr == UINT32_MAX - 1 || !make_room(s, &s->by_id, true))
		return PACK_ORD_NONE;
	if (s->nr == s->cap) {
		uint32_t cap = s->cap ? (s->cap > UINT32_MAX / 2 ? UINT32_MAX : 2 * s->cap) : 64;
		struct pack_info *more = reallocarray(s->packs, cap, sizeof(*more));

		if (!more)
			return PACK_ORD_NONE;
		s->packs = more;
		s->cap = cap;
	}
	s->packs[s->nr] = (struct pack_info){.id = *id, .state = PACK_GONE};
	put(s, &s->by_id, true, s->nr);
	return s->nr++;
}

enum err_code packset_set_no(struct packset *s, uint32_t ord, uint32_t no, struct err *e)
{
	uint32_t other = packset_by_no(s, no);

	if (other == ord)
		return ERR_OK;
	if (!make_room(s, &s->by_no, false))
		return err_set(e, ERR_NOMEM, "%u packs", s->nr);
	if (other != PACK_ORD_NONE)
		s->packs[other].no = 0;
	s->packs[ord].no = no;
	if (no != 0)
		put(s, &s->by_no, false, ord);
	return ERR_OK;
}

void packset_forget_nos(struct packset *s)
{
	for (uint32_t i = 0; i < s->nr; i++)
		s->packs[i].no = 0;
	free(s->by_no.at);
	s->by_no = (struct slots){0};
}
