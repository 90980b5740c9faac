/* SPDX-License-Identifier: MIT */
/* What is damaged, and what of it is needed. */
#include "store/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/base/must.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/prune_internal.h"
#include "store/verify.h"

static void found(struct repair *r, const char *name)
{
	struct bad_pack p = { .end = PACK_UNMENDED };
	struct object_id id;

	if (pack_name_parse(name, &p.id))
		buf_add(&r->packs, &p, sizeof(p));
	else if (parity_name_parse(name, &id))
		buf_add(&r->parities, &id, sizeof(id));
	else if (repair_is_record(name))
		buf_add(&r->records, name, strlen(name) + 1);
}

/*
 * Verify tells of each damaged file of the repository by its name; paths of snapshots begin with a slash.  What it says
 * is not told here: the repair says what becomes of it.
 */
static void on_event(void *ctx, const struct event *ev)
{
	struct repair *r = ctx;

	if (r->looking && (ev->kind == EVENT_DAMAGE || ev->kind == EVENT_WARNING)) {
		must(pthread_mutex_lock(&r->mutex));
		if (ev->path && ev->path[0] != '/')
			found(r, ev->path);
		must(pthread_mutex_unlock(&r->mutex));
	} else if (r->events.fn && ev->kind != EVENT_DAMAGE) {
		r->events.fn(r->events.ctx, ev);
	}
}

enum err_code repair_look(struct repair *r, struct err *e)
{
	const struct verify_options o = { .jobs = r->o->jobs, .limit_rate = r->o->limit_rate,
					  .cancel = r->o->cancel };
	struct verify_result v = { 0 };
	enum err_code rc;

	r->s->events = (struct store_events){ .fn = on_event, .ctx = r };
	r->looking = true;
	rc = verify_run(r->s, &o, &v, e);
	r->looking = false;
	if (!rc && (r->packs.bad || r->parities.bad || r->records.bad))
		rc = err_set(e, ERR_NOMEM, "a list of what is damaged");
	r->res->packs = v.packs;
	r->res->damage = r->packs.len + r->parities.len + r->records.len > 0 ||
			 v.damaged_chunks + v.missing_chunks + v.damaged_nodes > 0;
	return rc;
}

/* What is needed. */

enum err_code repair_reload(struct repair *r, struct err *e)
{
	enum err_code rc = store_reload(r->s, e);
	const struct bad_pack *p;
	size_t nr;

	p = bad_packs(r, &nr);
	if (!rc)
		rc = chunks_condemn(r->s->chunks, r->before.packs, r->before.nr, e);
	for (size_t i = 0; i < nr && !rc; i++)
		if (p[i].end == PACK_UNMENDED || r->o->dry_run)
			rc = chunks_condemn(r->s->chunks, &p[i].id, 1, e);
	return rc;
}

static enum err_code add_lost(struct repair *r, const struct object_id *id, bool node, struct err *e)
{
	const struct lost l = { .id = *id, .node = node };

	buf_add(&r->lost, &l, sizeof(l));
	return r->lost.bad ? err_set(e, ERR_NOMEM, "a list of what is lost") : ERR_OK;
}

/* Packs known to be damaged are condemned here: a table that names the chunk is a whole pack's. */
static enum err_code on_chunk(void *ctx, const struct object_id *id, bool node, struct err *e)
{
	struct chunk_ref ref = { 0 };
	struct err why = ERR_INIT;
	struct repair *r = ctx;
	bool have = node;	/* the walk reads it */
	enum err_code rc = node ? ERR_OK : chunks_have(r->s->chunks, id, &have, NULL, e);

	if (rc || have)
		return rc;
	rc = chunks_get(r->s->chunks, id, &ref, &why);
	if (rc && repair_stops(rc)) {
		*e = why;
		return rc;
	}
	chunk_ref_release(r->s->chunks, &ref);
	return rc ? add_lost(r, id, false, e) : ERR_OK;
}

static enum err_code on_node(void *ctx, const struct object_id *id, struct err *e)
{
	return add_lost(ctx, id, true, e);
}

static int cmp_lost(const void *a, const void *b)
{
	const struct lost *x = a, *y = b;

	return id_cmp(&x->id, &y->id);
}

size_t repair_lost_at(const struct repair *r, const struct object_id *id)
{
	const struct lost key = { .id = *id }, *l, *at;
	size_t nr;

	l = lost_chunks(r, &nr);
	at = nr > 0 ? bsearch(&key, l, nr, sizeof(*l), cmp_lost) : NULL;
	return at ? (size_t)(at - l) : SIZE_MAX;
}

enum err_code repair_find_lost(struct repair *r, struct err *e)
{
	struct live live = { .on_chunk = on_chunk, .unread = on_node, .ctx = r };
	struct snapshot_list l = { 0 };
	enum err_code rc = digest_random(&live.seed, sizeof(live.seed), e);

	buf_reset(&r->lost);
	if (!rc)
		rc = snapshot_list_stamp(r->s, &r->stamp, e);
	if (!rc)
		rc = snapshot_list_read(r->s, &l, e);
	for (size_t i = l.nr; i-- > 0 && !rc;) {
		repair_progress(r, "repair: snapshots", l.nr - i - 1, l.nr);
		rc = live_add_tree(r->s, &live, &l.all[i].root, r->o->cancel, e);
	}
	if (!rc && r->lost.len > 0)
		qsort(r->lost.p, r->lost.len / sizeof(struct lost), sizeof(struct lost), cmp_lost);
	snapshot_list_release(&l);
	live_release(&live);
	return rc;
}
