/* SPDX-License-Identifier: MIT */
/* Which paths of which snapshots were touched, which are whole again, and which are lost. */
#include "store/repair_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/snapshot.h"
#include "store/verify.h"

/* Paths by a hash: this many at most are counted. */
#define COUNTED_MAX 1000000u

static uint64_t path_key(const char *snapshot, const char *path)
{
	return digest_xxh3_seed(path, strlen(path), digest_xxh3(snapshot, strlen(snapshot)));
}

struct collecting {
	struct keyset *keys;
	struct buf *names;	/* REPAIR_PATHS_MAX of them */
	size_t nr_names;
	struct err err;
};

static void on_path(void *ctx, const struct snapshot *snap, const char *path,
		    const struct object_id *chunk, bool folder)
{
	struct collecting *c = ctx;
	bool is_new = false;

	(void)chunk;
	if (c->err.code || c->keys->nr >= COUNTED_MAX ||
	    keyset_add(c->keys, path_key(snap->name, path), &is_new, &c->err) || !is_new ||
	    c->nr_names >= REPAIR_PATHS_MAX)
		return;
	c->nr_names++;
	buf_add_u8(c->names, folder ? 'f' : '-');
	buf_add(c->names, snap->name, strlen(snap->name) + 1);
	buf_add(c->names, path, strlen(path) + 1);
	if (c->names->bad)
		(void)err_set(&c->err, ERR_NOMEM, "a list of paths");
}

/* The paths that need what is in r->lost. */
static enum err_code collect(struct repair *r, struct keyset *keys, struct buf *names,
			     struct err *e)
{
	struct collecting c = { .keys = keys, .names = names, .err = ERR_INIT };
	struct object_id *ids;
	const struct lost *l;
	enum err_code rc;
	bool all = true;
	size_t nr;

	l = lost_chunks(r, &nr);
	if (nr == 0)
		return ERR_OK;
	ids = calloc(nr, sizeof(*ids));
	if (!ids)
		return err_set(e, ERR_NOMEM, "%zu chunks", nr);
	for (size_t i = 0; i < nr; i++)
		ids[i] = l[i].id;
	rc = verify_touched(r->s, ids, nr, INT_MAX / 2, r->o->cancel, on_path, &c, &all, e);
	if (!rc && c.err.code) {
		rc = c.err.code;
		*e = c.err;
	}
	if (!rc && !all)
		rc = repair_canceled(r, e);
	free(ids);
	return rc;
}

enum err_code repair_touched(struct repair *r, struct err *e)
{
	return collect(r, &r->touched_keys, &r->touched, e);
}

/* Each of names that is not in but (may be NULL). */
static void tell(const struct repair *r, const struct buf *names, const struct keyset *but, bool lost)
{
	const char *p = (const char *)names->p, *end = p + names->len;

	while (r->o->path && p < end) {
		bool folder = *p == 'f';
		const char *snapshot = p + 1, *path = snapshot + strlen(snapshot) + 1;

		if (!but || !keyset_has(but, path_key(snapshot, path)))
			r->o->path(r->o->path_ctx, snapshot, path, folder, lost);
		p = path + strlen(path) + 1;
	}
}

static uint64_t count_but(const struct keyset *keys, const struct keyset *but)
{
	uint64_t n = keys->has_zero && !keyset_has(but, 0);

	for (size_t i = 0; i < keys->cap; i++)
		n += keys->slots[i] && !keyset_has(but, keys->slots[i]);
	return n;
}

enum err_code repair_tell_paths(struct repair *r, struct err *e)
{
	struct keyset keys = { 0 };
	struct buf names = BUF_INIT;
	enum err_code rc = collect(r, &keys, &names, e);

	if (!rc) {
		r->res->lost_paths = keys.nr + keys.has_zero;
		r->res->whole_paths = count_but(&r->touched_keys, &keys);
		tell(r, &r->touched, &keys, false);
		tell(r, &names, NULL, true);
	}
	keyset_release(&keys);
	buf_release(&names);
	return rc;
}
