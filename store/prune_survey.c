/* SPDX-License-Identifier: MIT */
/* Which pack is needed for what. */
#include <stdlib.h>
#include <string.h>

#include "store/base/array.h"
#include "store/engine/pack.h"
#include "store/prune_internal.h"

struct surveying {
	struct store *s;
	const struct object_id *condemned;
	size_t nr_condemned;
	struct survey *v;
	size_t cap;
};

void survey_release(struct survey *v)
{
	free(v->packs);
	*v = (struct survey){ 0 };
}

static enum err_code on_pack(void *ctx, const struct object_id *id, struct err *e)
{
	struct surveying *y = ctx;
	struct survey *v = y->v;
	struct pack_survey *more = array_room(v->packs, v->nr, &y->cap, sizeof(*more));

	if (!more)
		return err_set(e, ERR_NOMEM, "%zu packs", v->nr);
	v->packs = more;
	v->packs[v->nr++] = (struct pack_survey){
		.id = *id,
		.condemned = y->nr_condemned > 0 && bsearch(id, y->condemned, y->nr_condemned,
							    sizeof(*id), id_sort_cmp),
	};
	return ERR_OK;
}

static int condemned_last(const void *a, const void *b)
{
	const struct pack_survey *x = a, *y = b;

	if (x->condemned != y->condemned)
		return x->condemned ? 1 : -1;
	return id_cmp(&x->id, &y->id);
}

/* A pack counts for the live chunks that none before it had. */
static enum err_code count(struct store *s, const struct live *l, struct keyset *held,
			   struct pack_survey *p, struct err *e)
{
	struct packtable t = { 0 };
	enum err_code rc = pack_read_table(s->backend, &p->id, &t, e);

	if (rc == ERR_CORRUPT || rc == ERR_INCOMPLETE || rc == ERR_NOT_FOUND || rc == ERR_IO) {
		err_clear(e);
		p->fate = FATE_ODD;
		return ERR_OK;
	}
	p->len = t.pack_len;
	p->tree = t.kind == PACK_TREE;
	for (uint32_t i = 0; i < t.nr_chunks && !rc; i++) {
		uint64_t key = live_key(l, &t.chunks[i].id);
		bool first = false;

		p->plain += (uint64_t)t.chunks[i].len + 1;	/* an empty one counts, too */
		if (!keyset_has(&l->chunks, key))
			continue;
		rc = keyset_add(held, key, &first, e);
		if (first)
			p->needed += (uint64_t)t.chunks[i].len + 1;
	}
	packtable_release(&t);
	return rc;
}

enum err_code survey_packs(struct store *s, const struct live *l,
			   const struct object_id *condemned, size_t nr_condemned,
			   unsigned unused_percent, struct survey *out, struct err *e)
{
	struct survey v = { 0 };
	struct surveying y = { .s = s, .condemned = condemned, .nr_condemned = nr_condemned,
			       .v = &v };
	struct keyset held = { 0 };
	enum err_code rc = chunks_each_pack(s->chunks, on_pack, &y, e);

	if (!rc && v.nr > 0)
		qsort(v.packs, v.nr, sizeof(v.packs[0]), condemned_last);
	for (size_t i = 0; i < v.nr && !rc; i++) {
		struct pack_survey *p = &v.packs[i];

		rc = count(s, l, &held, p, e);
		if (rc || p->fate == FATE_ODD)
			continue;
		if (p->needed == 0)
			p->fate = FATE_UNNEEDED;
		else if ((p->plain - p->needed) * 100 > p->plain * unused_percent)
			p->fate = FATE_REWRITE;
	}
	keyset_release(&held);
	if (rc)
		survey_release(&v);
	else
		*out = v;
	return rc;
}
