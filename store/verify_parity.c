/* SPDX-License-Identifier: MIT */
/* Parity files: damage in one loses nothing yet, and is told as long as that is so. */
#include <stdlib.h>
#include <string.h>

#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/verify_internal.h"

struct parity_names {
	struct buf ids;			/* struct object_id: of the packs that have a parity file */
	struct buf packs;		/* the same of all packs */
};

static bool add(void *ctx, const char *name, uint64_t size)
{
	struct parity_names *n = ctx;
	struct object_id id;

	(void)size;
	if (parity_name_parse(name, &id))
		buf_add(&n->ids, &id, sizeof(id));
	else if (pack_name_parse(name, &id))
		buf_add(&n->packs, &id, sizeof(id));
	return !n->ids.bad && !n->packs.bad;
}

/* A parity file may be without its pack: what a killed writer left. */
static void tell_missing(struct verify *v, struct parity_names *n)
{
	size_t each = sizeof(struct object_id), nr = n->ids.len / each;
	unsigned long long all = n->packs.len / each, without = 0;

	if (nr > 0)
		qsort(n->ids.p, nr, each, id_sort_cmp);
	for (size_t i = 0; i < n->packs.len; i += each)
		without += nr == 0 || !bsearch(n->packs.p + i, n->ids.p, nr, each, id_sort_cmp);
	if (without > 0)
		store_event(v->s, EVENT_WARNING, NULL, NULL,
			    "%llu of %llu packs have no parity file and do not heal: run 'vouch parity add'",
			    without, all);
}

static enum err_code check_one(struct verify *v, const struct object_id *id, struct err *e)
{
	struct parity_report r = { 0 };
	char name[PARITY_NAME_LEN + 1];
	struct err err = ERR_INIT;
	enum err_code rc = parity_check_file(v->s->backend, id, &r, &err);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;		/* pruned since the listing */
	if (rc && verify_stops(&err)) {
		if (e)
			*e = err;
		return rc;
	}
	if (!rc && r.par_bad > 0)
		rc = err_set(&err, ERR_CORRUPT, "%u of %u sectors of a parity file are damaged",
			     r.par_bad, r.par_sectors);
	else if (!rc && r.longer)
		rc = err_set(&err, ERR_CORRUPT, "a parity file goes on beyond its end");
	parity_name(id, name);
	if (rc)
		verify_bad_record(v, name, &err);
	verify_lock(v);
	v->res.bytes_read += r.par_len;
	verify_unlock(v);
	verify_progress(v, NULL);
	return ERR_OK;
}

enum err_code verify_parity(struct verify *v, struct err *e)
{
	struct parity_names n = { BUF_INIT, BUF_INIT };
	enum err_code rc = v->s->backend->ops->list(v->s->backend, "packs/", false, add, &n, e);
	size_t nr = n.ids.len / sizeof(struct object_id);

	if (!rc && (n.ids.bad || n.packs.bad))
		rc = err_set(e, ERR_NOMEM, "a list of parity files");
	for (size_t i = 0; !rc && i < nr && !verify_stopping(v); i++) {
		struct object_id id;

		if (verify_cut(v))
			break;
		memcpy(&id, n.ids.p + i * sizeof(id), sizeof(id));
		/* Parity without a pack is left to a check of all. */
		if (!verify_is_partial(v->o) || keyset_has(&v->read, id_key(&id)))
			rc = check_one(v, &id, e);
	}
	if (!rc && v->s->super.params.parity > 0)
		tell_missing(v, &n);
	buf_release(&n.packs);
	buf_release(&n.ids);
	return rc;
}
