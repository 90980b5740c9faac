/* SPDX-License-Identifier: MIT */
/* Which packs are where, and what is to be done about it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/limits.h"
#include "store/sync_internal.h"

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct sync_pack p = { .len = PACK_ABSENT, .par_len = PACK_ABSENT };
	struct buf *found = ctx;

	if (pack_name_parse(name, &p.id))
		p.len = size;
	else if (parity_name_parse(name, &p.id))
		p.par_len = size;
	else
		return true;
	buf_add(found, &p, sizeof(p));
	return !found->bad;
}

static int cmp_pack(const void *a, const void *b)
{
	const struct sync_pack *x = a, *y = b;

	return id_cmp(&x->id, &y->id);
}

void sync_packs_release(struct sync_packs *p)
{
	free(p->all);
	*p = (struct sync_packs){ .nr = 0 };
}

/* The two files of a pack are two finds next to each other; parity without a pack is none. */
static size_t join(struct sync_pack *all, size_t nr)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++) {
		struct sync_pack p = all[i];

		while (i + 1 < nr && id_eq(&all[i + 1].id, &p.id)) {
			i++;
			p.len = p.len == PACK_ABSENT ? all[i].len : p.len;
			p.par_len = p.par_len == PACK_ABSENT ? all[i].par_len : p.par_len;
		}
		if (p.len != PACK_ABSENT)
			all[kept++] = p;
	}
	return kept;
}

enum err_code sync_packs_list(struct backend *b, struct sync_packs *out, struct err *e)
{
	struct buf found = BUF_INIT;
	struct sync_pack *all;
	size_t nr;
	enum err_code rc = ERR_OK;

	*out = (struct sync_packs){ .nr = 0 };
	if (b)
		rc = b->ops->list(b, "packs/", true, on_name, &found, e);
	nr = found.len / sizeof(*all);
	all = calloc(nr + 1, sizeof(*all));
	if (!rc && (found.bad || !all))
		rc = err_set(e, ERR_NOMEM, "a list of packs");
	if (rc) {
		free(all);
		buf_release(&found);
		return rc;
	}
	if (nr > 0) {
		memcpy(all, found.p, nr * sizeof(*all));
		qsort(all, nr, sizeof(*all), cmp_pack);
	}
	buf_release(&found);
	*out = (struct sync_packs){ .all = all, .nr = join(all, nr) };
	return ERR_OK;
}

const struct sync_pack *sync_packs_find(const struct sync_packs *p, const struct object_id *id)
{
	const struct sync_pack key = { .id = *id };

	return p->nr > 0 ? bsearch(&key, p->all, p->nr, sizeof(key), cmp_pack) : NULL;
}

bool sync_doubts(const struct sync *y, const struct object_id *pack)
{
	return y->doubted.len > 0 && bsearch(pack, y->doubted.p, y->doubted.len / sizeof(*pack),
					     sizeof(*pack), id_sort_cmp);
}

/* What there is to read here, or there. */
static uint64_t work(const struct sync *y, const struct sync_task *t)
{
	const struct sync_pack *here = &t->here, *there = &t->there;
	bool look = y->o->check || sync_doubts(y, &here->id);
	uint64_t n = 0;

	if (here->len != there->len || look)
		n += here->len;
	if (here->par_len != PACK_ABSENT &&
	    (here->par_len != there->par_len || here->len != there->len))
		n += here->par_len;
	return n;
}

static void plan_one(struct sync *y, const struct sync_pack *here, const struct sync_pack *there,
		     struct sync_task *out, size_t *nr)
{
	struct sync_task t = { .here = *here };
	uint64_t n;

	t.there = there ? *there : (struct sync_pack){ here->id, PACK_ABSENT, PACK_ABSENT };
	n = work(y, &t);
	y->res->packs++;
	y->res->bytes += here->len <= PACK_LEN_MAX ? here->len : 0;
	if (n == 0)
		return;
	y->packs_total++;
	if (n > 2 * (uint64_t)PACK_LEN_MAX)	/* no pack is that long: it will be found damaged */
		n = 0;
	y->bytes_total += n;
	y->room += t.here.len != t.there.len ? n : 0;
	out[(*nr)++] = t;
}

enum err_code sync_plan(struct sync *y, struct backend *far, struct sync_task **tasks, size_t *nr,
			struct err *e)
{
	struct condemned going = { .nr = 0 };
	struct sync_packs here = { .nr = 0 }, there = { .nr = 0 };
	struct sync_task *v = NULL;
	size_t n = 0;
	/* Before the packs: what is condemned in between is copied for nothing, and no more. */
	enum err_code rc = condemned_read(y->s, &going, e);

	if (!rc)
		rc = sync_packs_list(y->s->backend, &here, e);
	if (!rc)
		rc = sync_packs_list(far, &there, e);
	if (!rc)
		v = calloc(here.nr + 1, sizeof(*v));
	if (!rc && !v)
		rc = err_set(e, ERR_NOMEM, "a list of %zu packs", here.nr);
	y->res->packs = y->res->bytes = 0;
	y->packs_total = y->bytes_total = y->room = y->packs_done = y->bytes_done = 0;
	for (size_t i = 0; i < here.nr && !rc; i++) {
		const struct object_id *id = &here.all[i].id;

		/* One that is to go there may not come back under its name: a collector may be about to delete that. */
		if (!condemned_has(&going, id) && !condemned_has(&y->condemned, id))
			plan_one(y, &here.all[i], sync_packs_find(&there, id), v, &n);
	}
	condemned_release(&going);
	sync_packs_release(&here);
	sync_packs_release(&there);
	if (rc) {
		free(v);
		return rc;
	}
	*tasks = v;
	*nr = n;
	return ERR_OK;
}
