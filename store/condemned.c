/* SPDX-License-Identifier: MIT */
#include "store/condemned_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/collectrec.h"
#include "store/format/isotime.h"
#include "store/format/limits.h"

#define DIR_CONDEMNED	"condemned/"

void condemned_release(struct condemned *c)
{
	free(c->packs);
	buf_release(&c->names);
	*c = (struct condemned){ .nr = 0 };
}

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct condemned *c = ctx;

	(void)size;
	buf_add(&c->names, name, strlen(name) + 1);
	c->nr_names++;
	return !c->names.bad;
}

bool condemned_has(const struct condemned *c, const struct object_id *pack)
{
	return c->nr > 0 && bsearch(pack, c->packs, c->nr, sizeof(*pack), id_sort_cmp);
}

static enum err_code read_one(struct store *s, const char *name, struct condemned *c,
			      struct err *e)
{
	struct condemned_rec r = { .nr = 0 };
	struct buf b = BUF_INIT;
	struct object_id *more;
	enum err_code rc = record_get(s->backend, name, RECORD_JSON_MAX, &b, e);

	if (!rc)
		rc = condemned_rec_decode(b.p, b.len, &r, e);
	buf_release(&b);
	if (rc == ERR_NOT_FOUND) {	/* its collector was quicker */
		err_clear(e);
		return ERR_OK;
	}
	if (rc == ERR_CORRUPT) {
		store_event(s, EVENT_WARNING, name, e, "names nothing; the next prune does without it");
		err_clear(e);
		return ERR_OK;
	}
	if (rc)
		return rc;
	more = reallocarray(c->packs, c->nr + r.nr + 1, sizeof(*more));
	if (more) {
		c->packs = more;
		if (r.nr > 0)
			memcpy(more + c->nr, r.packs, r.nr * sizeof(*more));
		c->nr += r.nr;
	} else {
		rc = err_set(e, ERR_NOMEM, "%zu packs", c->nr);
	}
	condemned_rec_release(&r);
	return rc;
}

enum err_code condemned_read(struct store *s, struct condemned *out, struct err *e)
{
	struct condemned c = { .nr = 0 };
	enum err_code rc = s->backend->ops->list(s->backend, DIR_CONDEMNED, false, on_name, &c, e);
	const char *name;

	if (!rc && c.names.bad)
		rc = err_set(e, ERR_NOMEM, "%zu records", c.nr_names);
	name = (const char *)c.names.p;
	for (size_t i = 0; i < c.nr_names && !rc; i++, name += strlen(name) + 1)
		rc = read_one(s, name, &c, e);
	if (!rc && c.nr > 0)
		qsort(c.packs, c.nr, sizeof(c.packs[0]), id_sort_cmp);
	if (rc)
		condemned_release(&c);
	else
		*out = c;
	return rc;
}

static enum err_code put_one(struct store *s, const struct condemned_rec *r, struct err *e)
{
	char iso[ISOTIME_LEN + 1], name[96], hex[17];
	struct buf b = BUF_INIT;
	struct object_id id;
	enum err_code rc;

	condemned_rec_encode(r, &b);
	if (b.bad) {
		buf_release(&b);
		return err_set(e, ERR_NOMEM, "a record of %zu packs", r->nr);
	}
	digest_sha256(b.p, b.len, &id);
	hex_encode(id.b, 8, hex);
	isotime_encode(&r->time, iso);
	iso[13] = iso[16] = '-';	/* no colons: the name is good on every medium */
	(void)snprintf(name, sizeof(name), DIR_CONDEMNED "%.19sZ-%s.json", iso, hex);
	rc = record_squeeze(s, name, b.p, b.len, e);
	buf_release(&b);
	return rc;
}

enum err_code condemned_add(struct store *s, const struct object_id *packs, size_t nr,
			    struct err *e)
{
	struct vtime now = store_vtime();
	enum err_code rc = ERR_OK;

	for (size_t at = 0; at < nr && !rc; at += CONDEMNED_PACKS_MAX) {
		struct condemned_rec r = {
			.time = now,
			.packs = (struct object_id *)(uintptr_t)(packs + at),	/* only read */
			.nr = nr - at < CONDEMNED_PACKS_MAX ? nr - at : CONDEMNED_PACKS_MAX,
		};

		rc = put_one(s, &r, e);
	}
	return rc;
}

enum err_code condemned_delete(struct store *s, const struct object_id *pack, struct err *e)
{
	char name[PACK_NAME_LEN + 1], par[PARITY_NAME_LEN + 1];
	enum err_code rc;

	pack_name(pack, name);
	parity_name(pack, par);
	rc = record_remove(s->backend, par, e);
	return rc ? rc : record_remove(s->backend, name, e);
}

enum err_code condemned_end(struct store *s, const struct condemned *c, struct err *e)
{
	const char *name = (const char *)c->names.p;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < c->nr_names && !rc; i++, name += strlen(name) + 1)
		rc = record_remove(s->backend, name, e);
	return rc;
}
