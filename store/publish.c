/* SPDX-License-Identifier: MIT */
/*
 * A snapshot becomes part of the repository: all it refers to is sealed already (the caller's
 * part), so the put of snapshots/NAME.json is the commit point.  Where this host has a key, its
 * signature is there before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/internal.h"
#include "store/signature_internal.h"
#include "store/snapshot.h"

/** This writer's links, the newest first. */
struct own {
	const struct chain_node **v;
	size_t nr;
};

static int newest_first(const void *a, const void *b)
{
	const struct chain_node *x = *(const struct chain_node *const *)a;
	const struct chain_node *y = *(const struct chain_node *const *)b;

	return x->seq < y->seq ? 1 : x->seq > y->seq ? -1 : 0;
}

static enum err_code own_links(const struct chain_nodes *n, const uint8_t writer[16],
			       struct own *out, struct err *e)
{
	out->v = calloc(n->nr ? n->nr : 1, sizeof(struct chain_node *));
	if (!out->v)
		return err_set(e, ERR_NOMEM, "%zu snapshots", n->nr);
	for (size_t i = 0; i < n->nr; i++)
		if (memcmp(n->all[i].writer, writer, 16) == 0)
			out->v[out->nr++] = &n->all[i];
	qsort(out->v, out->nr, sizeof(struct chain_node *), newest_first);
	return ERR_OK;
}

/**
 * The newest that is signed with k; without one (the key is new) the newest.  Who can write to the medium could
 * otherwise have this host go on after a snapshot that it never made.
 */
static enum err_code choose(struct store *s, const struct sign_key *k, const struct own *own,
			    const struct chain_node **out, struct err *e)
{
	struct key_public key;
	struct sign_public p;
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;
	size_t i, which;

	*out = own->nr > 0 ? own->v[0] : NULL;
	if (!k)
		return ERR_OK;
	sign_key_public(k, &p);
	memcpy(key.raw, p.b, sizeof(key.raw));
	for (i = 0; i < own->nr; i++) {
		enum signature_state state = SIGNATURE_NONE;
		char stem[STEM_LEN + 1];

		chain_node_stem(own->v[i], stem);
		rc = chain_node_bytes(s, own->v[i], &b, e);
		if (!rc)
			rc = signature_check(s, stem, &b, &key, 1, &state, &which, e);
		if (rc == ERR_NOMEM || rc == ERR_ABSENT || (!rc && state == SIGNATURE_GOOD))
			break;
		err_clear(e);
		rc = ERR_OK;
	}
	buf_release(&b);
	if (rc || i == own->nr)
		return rc;
	if (own->v[i]->seq < own->v[0]->seq)
		store_event(s, EVENT_WARNING, NULL, NULL,
			    "snapshot %s says that this host made it, and is not signed with its key; the "
			    "new one follows %s: see 'vouch verify --chain'",
			    own->v[0]->name, own->v[i]->name);
	*out = own->v[i];
	return ERR_OK;
}

/** Take the place after this writer's newest, listed or let go. */
static enum err_code chain(struct store *s, const struct sign_key *k, struct snapshot *snap,
			   struct err *e)
{
	const struct chain_node *newest = NULL;
	struct chain_nodes n = { .nr = 0 };
	struct own own = { NULL, 0 };
	enum err_code rc;

	rc = chain_nodes_read(s, &n, e);
	if (!rc)
		rc = own_links(&n, snap->writer, &own, e);
	if (!rc)
		rc = choose(s, k, &own, &newest, e);
	if (!rc) {
		snap->has_previous = newest != NULL;
		snap->seq = newest ? newest->seq + 1 : 1;
		if (newest)
			snap->previous = newest->id;
		if (snap->seq == 0)
			rc = err_set(e, ERR_LIMIT,
				     "this writer's snapshots cannot be counted any more");
	}
	free(own.v);
	chain_nodes_release(&n);
	return rc;
}

static enum err_code put_snapshot(struct store *s, const struct sign_key *k, const char *name,
				  const struct buf *b, struct err *e)
{
	char path[64 + SNAPSHOT_NAME_LEN], copy[64 + SNAPSHOT_NAME_LEN], stem[STEM_LEN + 1];
	struct backend *be = s->backend;
	enum err_code rc = ERR_OK;

	stem_of_snapshot(name, stem);
	(void)snprintf(path, sizeof(path), "%s.json", stem);
	(void)snprintf(copy, sizeof(copy), "copies/%s.json", stem);
	/* The one before it in the chain, whose writer may have been killed, must not be lost alone. */
	if (be->ops->settle)
		rc = be->ops->settle(be, "snapshots/", e);
	if (!rc)
		rc = signature_put(s, k, stem, b, false, e);
	if (!rc)
		rc = be->ops->put(be, path, b->p, b->len, e);
	if (rc)
		return rc;
	/*
	 * Committed.  Saying "failed" now would have the caller report a backup that is listed
	 * as not made.
	 */
	if (be->ops->put(be, copy, b->p, b->len, e)) {
		store_event(s, EVENT_WARNING, copy, e, "the snapshot has no second copy");
		err_clear(e);
	}
	if (k)
		signature_put_copy(s, stem);
	return ERR_OK;
}

enum err_code snapshot_publish(struct store *s, struct snapshot *snap, struct err *e)
{
	struct snapshot back = { .name = NULL };
	struct sign_key *k = NULL;
	struct buf b = BUF_INIT;
	int lock_fd = -1;
	enum err_code rc;

	rc = writer_identity(s, snap->writer, &lock_fd, e);
	if (rc)
		return rc;
	k = signing_key_or_none(s);
	rc = chain(s, k, snap, e);
	if (rc)
		goto out;
	snaprec_encode(snap, &b);
	if (b.bad) {
		rc = err_set(e, ERR_NOMEM, "a snapshot's record");
		goto out;
	}
	/* What could not be read back must not be published. */
	if (b.len > SNAPSHOT_JSON_MAX)
		rc = err_set(e, ERR_LIMIT, "a record of %zu bytes; %u are allowed", b.len,
			     SNAPSHOT_JSON_MAX);
	else
		rc = snaprec_decode(b.p, b.len, &back, e);
	if (!rc)
		rc = put_snapshot(s, k, back.name, &b, e);
	if (rc)
		goto out;
	snap->id = back.id;
	free(snap->name);
	snap->name = back.name;
	back.name = NULL;
out:
	if (lock_fd >= 0)
		(void)close(lock_fd);
	sign_key_free(k);
	snapshot_release(&back);
	buf_release(&b);
	if (rc)
		err_prefix(e, "publish the snapshot");
	return rc;
}
