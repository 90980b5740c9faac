/* SPDX-License-Identifier: MIT */
/*
 * Parity files without their pack: a writer names parity first, and may be killed before the pack.  Nothing is looked
 * for by them and they do no harm, so there is time: gone is what was alone at the beginning of a prune and still is
 * at its end, that is no writer's who is just between the two names.
 */
#include "store/orphans_internal.h"

#include <stdlib.h>

#include "store/engine/pack.h"
#include "store/engine/parity.h"

struct names {
	struct buf packs, parities;	/* struct object_id each */
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct names *n = ctx;
	struct object_id id;

	(void)size;
	if (pack_name_parse(name, &id))
		buf_add(&n->packs, &id, sizeof(id));
	else if (parity_name_parse(name, &id))
		buf_add(&n->parities, &id, sizeof(id));
	return !n->packs.bad && !n->parities.bad;
}

enum err_code orphans_find(struct store *s, struct buf *out, struct err *e)
{
	struct names n = { BUF_INIT, BUF_INIT };
	enum err_code rc = s->backend->ops->list(s->backend, "packs/", false, on_name, &n, e);
	size_t nr = n.packs.len / sizeof(struct object_id);

	if (!rc && nr > 0)
		qsort(n.packs.p, nr, sizeof(struct object_id), id_sort_cmp);
	for (size_t i = 0; !rc && i < n.parities.len; i += sizeof(struct object_id))
		if (nr == 0 || !bsearch(n.parities.p + i, n.packs.p, nr, sizeof(struct object_id),
					id_sort_cmp))
			buf_add(out, n.parities.p + i, sizeof(struct object_id));
	if (!rc && (n.packs.bad || n.parities.bad || out->bad))
		rc = err_set(e, ERR_NOMEM, "a list of packs");
	buf_release(&n.packs);
	buf_release(&n.parities);
	return rc;
}

/* The parity of a pack of a sector or two holds all of it, and may be all that is left: then the pack comes back. */
static enum err_code end_one(struct store *s, const struct object_id *id, struct err *e)
{
	char name[PARITY_NAME_LEN + 1];
	struct parity_report r = { 0 };
	enum err_code rc = parity_mend(s->backend, id, &r, e);

	parity_name(id, name);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		return ERR_OK;		/* another prune's */
	}
	if (!rc && r.pack_mended)
		store_event(s, EVENT_NOTE, name, NULL, "its pack was not there, and is made anew from it");
	if (rc != ERR_CORRUPT)
		return rc;
	err_clear(e);
	return record_remove(s->backend, name, e);
}

enum err_code orphans_end(struct store *s, const struct buf *before, uint64_t *nr, struct err *e)
{
	struct buf now = BUF_INIT;
	enum err_code rc = before->len > 0 ? orphans_find(s, &now, e) : ERR_OK;
	size_t had = before->len / sizeof(struct object_id);

	if (had > 0 && !rc)
		qsort(before->p, had, sizeof(struct object_id), id_sort_cmp);
	for (size_t i = 0; !rc && i < now.len; i += sizeof(struct object_id)) {
		struct object_id id;

		memcpy(&id, now.p + i, sizeof(id));
		if (!bsearch(&id, before->p, had, sizeof(id), id_sort_cmp))
			continue;
		rc = end_one(s, &id, e);
		*nr += !rc;
	}
	buf_release(&now);
	return rc;
}
