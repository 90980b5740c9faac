/* SPDX-License-Identifier: MIT */
/* All links of all writers' chains. */
#include <stdio.h>
#include <stdlib.h>

#include "store/base/array.h"
#include "store/base/digest.h"
#include "store/format/forgetrec.h"
#include "store/format/limits.h"
#include "store/signature_internal.h"

void chain_nodes_release(struct chain_nodes *n)
{
	for (size_t i = 0; i < n->nr; i++) {
		free(n->all[i].name);
		free(n->all[i].host);
	}
	for (size_t i = 0; i < n->nr_bad; i++)
		free(n->bad[i]);
	free(n->all);
	free(n->bad);
	*n = (struct chain_nodes){ .nr = 0 };
}

static enum err_code add(struct chain_nodes *n, const struct chain_node *c, const char *name,
			 const char *host, struct err *e)
{
	struct chain_node *more = array_room(n->all, n->nr, &n->cap, sizeof(*more)), *at;

	if (!more)
		return err_set(e, ERR_NOMEM, "%zu snapshots", n->nr);
	n->all = more;
	at = &n->all[n->nr++];
	*at = *c;
	at->name = strdup(name);
	at->host = host ? strdup(host) : NULL;
	return at->name && (at->host || !host) ? ERR_OK
					       : err_set(e, ERR_NOMEM, "%zu snapshots", n->nr);
}

static enum err_code on_record(void *ctx, const struct forgotten *f, struct err *e)
{
	struct chain_node c = { .id = f->id, .previous = f->previous, .seq = f->seq,
				.has_previous = f->has_previous, .record = true };

	memcpy(c.writer, f->writer, sizeof(c.writer));
	return add(ctx, &c, f->name, NULL, e);
}

static enum err_code add_snapshots(struct chain_nodes *n, struct snapshot_list *l, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < l->nr && !rc; i++) {
		const struct snapshot *s = &l->all[i];
		struct chain_node c = { .id = s->id, .previous = s->previous, .seq = s->seq,
					.has_previous = s->has_previous };

		memcpy(c.writer, s->writer, sizeof(c.writer));
		rc = add(n, &c, s->name, s->host, e);
	}
	n->bad = l->bad;	/* moved */
	n->nr_bad = l->nr_bad;
	l->bad = NULL;
	l->nr_bad = 0;
	return rc;
}

static int node_cmp(const void *a, const void *b)
{
	const struct chain_node *x = a, *y = b;
	int cmp = id_cmp(&x->id, &y->id);

	return cmp ? cmp : (int)x->record - (int)y->record;
}

enum err_code chain_nodes_read(struct store *s, struct chain_nodes *out, struct err *e)
{
	struct chain_nodes n = { .nr = 0 };
	struct snapshot_list l = { 0 };
	enum err_code rc;

	/* Snapshots first: one that is let go meanwhile is then met as its record, too. */
	rc = snapshot_list_read(s, &l, e);
	if (!rc)
		rc = add_snapshots(&n, &l, e);
	snapshot_list_release(&l);
	if (!rc)
		rc = forgotten_each(s, on_record, &n, e);
	if (rc) {
		chain_nodes_release(&n);
		return rc;
	}
	if (n.nr > 0)
		qsort(n.all, n.nr, sizeof(n.all[0]), node_cmp);
	*out = n;
	return ERR_OK;
}

const struct chain_node *chain_node_find(const struct chain_nodes *n, const struct object_id *id)
{
	size_t lo = 0, hi = n->nr;

	while (lo < hi) {	/* the first whose id is not below */
		size_t mid = lo + (hi - lo) / 2;

		if (id_cmp(&n->all[mid].id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n->nr && id_eq(&n->all[lo].id, id) ? &n->all[lo] : NULL;
}

void chain_node_stem(const struct chain_node *c, char out[STEM_LEN + 1])
{
	if (c->record)
		stem_of_record(&c->id, out);
	else
		stem_of_snapshot(c->name, out);
}

static bool says_the_same(const struct chain_node *c, const struct buf *b)
{
	struct forgotten f = { .name = NULL };
	struct object_id id;
	bool same;

	if (!c->record) {
		digest_sha256(b->p, b->len, &id);
		return id_eq(&id, &c->id);
	}
	if (forgetrec_decode(b->p, b->len, &f, NULL))
		return false;
	same = id_eq(&f.id, &c->id) && memcmp(f.writer, c->writer, sizeof(f.writer)) == 0 &&
	       f.seq == c->seq && f.has_previous == c->has_previous &&
	       (!f.has_previous || id_eq(&f.previous, &c->previous));
	forgotten_release(&f);
	return same;
}

enum err_code chain_node_bytes(struct store *s, const struct chain_node *c, struct buf *out,
			       struct err *e)
{
	size_t max = c->record ? RECORD_JSON_MAX : SNAPSHOT_JSON_MAX;
	char stem[STEM_LEN + 1], path[sizeof("copies/.json") + STEM_LEN];
	enum err_code rc = ERR_OK;

	chain_node_stem(c, stem);
	for (int copy = 0; copy < 2; copy++) {
		(void)snprintf(path, sizeof(path), "%s%s.json", copy ? "copies/" : "", stem);
		buf_reset(out);
		rc = record_get(s->backend, path, max, out, e);
		if (!rc && says_the_same(c, out)) {
			err_clear(e);
			return ERR_OK;
		}
		if (!rc)
			rc = err_set(e, ERR_CORRUPT, "%s is not what it was a moment ago", path);
		if (rc == ERR_ABSENT || rc == ERR_NOMEM)
			break;
	}
	return rc;
}
