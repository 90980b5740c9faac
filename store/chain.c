/* SPDX-License-Identifier: MIT */
#include "store/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/hex.h"
#include "store/base/must.h"
#include "store/base/pool.h"
#include "store/format/snaprec.h"
#include "store/signature_internal.h"

#define NAME_DIGITS 16	/* of the id, at a snapshot's name's end */

struct check {
	struct store *s;
	const struct chain_options *o;
	struct chain_result *res;
	struct chain_nodes n;
	bool strict;			/* something is to be proved */
	atomic_size_t next;		/* node to be looked at */
	pthread_mutex_t mutex;
	struct err stop;		/* mutex; the first error that ends it all */
	atomic_bool stopping;
};

static const struct {
	const char *name;
	bool fails;			/* where something is to be proved */
} kinds[CHAIN_KIND_NR] = {
	[CHAIN_UNSIGNED] = { "unsigned", true },
	[CHAIN_WRONG_SIGNATURE] = { "wrong-signature", true },
	[CHAIN_RECORD_UNSIGNED] = { "record-unsigned", true },
	[CHAIN_RECORD_WRONG] = { "record-wrong-signature", true },
	[CHAIN_MISSING] = { "missing", true },
	[CHAIN_BROKEN] = { "broken", true },
	[CHAIN_UNREADABLE] = { "unreadable", true },
	[CHAIN_ROOT_GONE] = { "root-gone", true },
	[CHAIN_BELIEVED] = { "believed", false },
	[CHAIN_FORK] = { "fork", false },
	[CHAIN_KEYS] = { "keys", false },
};

const char *chain_kind_name(enum chain_kind kind)
{
	return kinds[kind].name;
}

static void find(struct check *c, enum chain_kind kind, const char *name, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static void find(struct check *c, enum chain_kind kind, const char *name, const char *fmt, ...)
{
	struct chain_finding f = { .kind = kind, .fails = c->strict && kinds[kind].fails,
				   .name = name };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f.text = text;
	c->res->failed += f.fails;
	if (c->o->fn)
		c->o->fn(c->o->ctx, &f);
}

/* Signatures: many threads, each takes the next node. */

static void stop(struct check *c, const struct err *e)
{
	must(pthread_mutex_lock(&c->mutex));
	if (!c->stop.code)
		c->stop = *e;
	must(pthread_mutex_unlock(&c->mutex));
	atomic_store(&c->stopping, true);
}

static enum err_code look(struct check *c, struct chain_node *node, struct buf *b, struct err *e)
{
	char stem[STEM_LEN + 1];
	enum err_code rc;

	chain_node_stem(node, stem);
	rc = chain_node_bytes(c->s, node, b, e);
	if (rc == ERR_ABSENT || rc == ERR_NOMEM)
		return rc;
	if (rc) {
		err_clear(e);
		node->unread = true;
		return ERR_OK;
	}
	return signature_check(c->s, stem, b, c->o->keys, c->o->nr_keys, &node->state,
			       &node->key, e);
}

static void signatures_job(void *arg)
{
	struct check *c = arg;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	size_t i;

	while (!atomic_load(&c->stopping) && (i = atomic_fetch_add(&c->next, 1)) < c->n.nr) {
		enum err_code rc = ERR_OK;

		if (c->o->cancel && atomic_load(c->o->cancel))
			rc = err_set(&e, ERR_CANCELED, "stopped on request");
		if (!rc)
			rc = look(c, &c->n.all[i], &b, &e);
		if (rc)
			stop(c, &e);
		if (i % 256 == 0 && c->s->events.fn) {
			const struct event ev = { .kind = EVENT_PROGRESS, .text = "signatures",
						  .files = i, .files_total = c->n.nr };

			c->s->events.fn(c->s->events.ctx, &ev);
		}
	}
	buf_release(&b);
}

static enum err_code check_signatures(struct check *c, struct err *e)
{
	struct pool *pool = NULL;
	enum err_code rc = pool_open(c->o->jobs, 1, &pool, e);

	if (rc)
		return rc;
	for (unsigned i = 0; i < pool_nr_threads(pool); i++)
		pool_submit(pool, signatures_job, c);
	pool_wait(pool);
	pool_close(pool);
	if (c->stop.code && e)
		*e = c->stop;
	return c->stop.code;
}

/** What the signatures say, once all are known: in the order of the writers' numbers. */
static void tell_signature(struct check *c, const struct chain_node *n)
{
	char hex[ID_HEX_LEN + 1];

	if (n->unread)
		find(c, CHAIN_UNREADABLE, n->name, "%s %s cannot be read again; it was a moment ago",
		     n->record ? "the record of" : "snapshot", n->name);
	else if (n->state == SIGNATURE_GOOD)
		c->res->good_signatures++;
	else if (n->record && n->state == SIGNATURE_NONE)
		find(c, CHAIN_RECORD_UNSIGNED, n->name,
		     "snapshot %s was let go, says forgotten/%.12s..., which is not signed: let go without "
		     "the key, or taken away by another", n->name, id_hex(&n->id, hex));
	else if (n->record)
		find(c, CHAIN_RECORD_WRONG, n->name,
		     "snapshot %s was let go, says forgotten/%.12s..., whose signature is of none of these "
		     "keys: it was altered, or made by another", n->name, id_hex(&n->id, hex));
	else if (n->state == SIGNATURE_NONE)
		find(c, CHAIN_UNSIGNED, n->name,
		     "snapshot %s is not signed: made without the key, or added by another", n->name);
	else
		find(c, CHAIN_WRONG_SIGNATURE, n->name,
		     "snapshot %s: its signature is of none of these keys: it was altered, or added by "
		     "another", n->name);
}

/* Links. */

static bool is_unreadable(const struct check *c, const struct object_id *id, const char **name)
{
	char hex[ID_HEX_LEN + 1];

	(void)id_hex(id, hex);
	for (size_t i = 0; i < c->n.nr_bad; i++) {
		const char *bad = c->n.bad[i];

		if (strncmp(bad + SNAPSHOT_NAME_LEN - NAME_DIGITS, hex, NAME_DIGITS) == 0) {
			*name = bad;
			return true;
		}
	}
	return false;
}

static void check_link(struct check *c, const struct chain_node *n)
{
	const struct chain_node *before = n->has_previous ? chain_node_find(&c->n, &n->previous)
							   : NULL;
	char hex[ID_HEX_LEN + 1], host[9];
	const char *bad;

	(void)hex_encode(n->writer, 4, host);
	if (n->seq == 0 || n->has_previous != (n->seq > 1)) {
		find(c, CHAIN_BROKEN, n->name, "snapshot %s is number %" PRIu64 " of writer %s and names %s "
		     "before it", n->name, n->seq, host, n->has_previous ? "one" : "none");
	} else if (!n->has_previous) {
		return;
	} else if (before) {
		if (before->seq != n->seq - 1 || memcmp(before->writer, n->writer, 16) != 0)
			find(c, CHAIN_BROKEN, n->name, "snapshot %s is number %" PRIu64 " of writer %s, and "
			     "the one it follows, %s, is not the one before", n->name, n->seq, host,
			     before->name);
	} else if (is_unreadable(c, &n->previous, &bad)) {
		find(c, CHAIN_UNREADABLE, bad, "snapshot %s, number %" PRIu64 " of writer %s, is damaged",
		     bad, n->seq - 1, host);
	} else {
		c->res->missing++;
		find(c, CHAIN_MISSING, NULL, "snapshot %.16s..., number %" PRIu64 " of writer %s, is gone "
		     "without a record; %s came after it", id_hex(&n->previous, hex), n->seq - 1, host,
		     n->name);
	}
}

static int by_place(const void *a, const void *b)
{
	const struct chain_node *x = *(const struct chain_node *const *)a;
	const struct chain_node *y = *(const struct chain_node *const *)b;
	int cmp = memcmp(x->writer, y->writer, sizeof(x->writer));

	if (cmp)
		return cmp;
	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	cmp = id_cmp(&x->id, &y->id);
	return cmp ? cmp : (int)x->record - (int)y->record;
}

/** nr pointers into n, a writer's together, by number; malloc'ed. */
static enum err_code in_order(const struct chain_nodes *n, const struct chain_node ***out,
			      struct err *e)
{
	const struct chain_node **v = calloc(n->nr ? n->nr : 1, sizeof(struct chain_node *));

	if (!v)
		return err_set(e, ERR_NOMEM, "%zu snapshots", n->nr);
	for (size_t i = 0; i < n->nr; i++)
		v[i] = &n->all[i];
	qsort(v, n->nr, sizeof(struct chain_node *), by_place);
	*out = v;
	return ERR_OK;
}

static bool same_writer(const struct chain_node *a, const struct chain_node *b)
{
	return memcmp(a->writer, b->writer, sizeof(a->writer)) == 0;
}

static void check_fork(struct check *c, const struct chain_node *a, const struct chain_node *b)
{
	char host[9];

	if (!same_writer(a, b) || a->seq != b->seq || id_eq(&a->id, &b->id))
		return;
	c->res->forks++;
	find(c, CHAIN_FORK, b->name, "snapshots %s and %s are both number %" PRIu64 " of writer %s: two "
	     "copies of the repository were both written to and then joined, or another host let one go; "
	     "nothing is lost by that", a->name, b->name, a->seq, hex_encode(a->writer, 4, host));
}

/** Snapshots v[0 ... nr - 1] are one writer's. */
static void check_keys(struct check *c, const struct chain_node **v, size_t nr)
{
	const struct chain_node *first = NULL;
	char host[9];

	for (size_t i = 0; i < nr; i++) {
		if (v[i]->record || v[i]->state != SIGNATURE_GOOD)
			continue;
		if (!first)
			first = v[i];
		if (v[i]->key == first->key)
			continue;
		find(c, CHAIN_KEYS, v[i]->name, "writer %s has snapshots signed with several of these keys; "
		     "%s is the first with another: right only where its key was replaced, or where another "
		     "host signed what was there", hex_encode(v[i]->writer, 4, host), v[i]->name);
		return;
	}
}

static enum err_code check_links(struct check *c, struct err *e)
{
	const struct chain_node **v = NULL;
	size_t first = 0;
	enum err_code rc = in_order(&c->n, &v, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < c->n.nr; i++) {
		bool ends = i + 1 == c->n.nr || !same_writer(v[i], v[i + 1]);

		*(v[i]->record ? &c->res->records : &c->res->snapshots) += 1;
		if (c->o->nr_keys > 0)
			tell_signature(c, v[i]);
		check_link(c, v[i]);
		if (!ends)
			check_fork(c, v[i], v[i + 1]);
		if (!ends)
			continue;
		check_keys(c, v + first, i + 1 - first);
		first = i + 1;
		c->res->writers++;
	}
	free(v);
	return ERR_OK;
}

/** A key whose host has nothing here: nothing yet, or nothing any more. */
static void check_unused(struct check *c)
{
	char hex[ID_HEX_LEN + 1];

	for (size_t k = 0; k < c->o->nr_keys; k++) {
		bool used = false;

		for (size_t i = 0; i < c->n.nr && !used; i++)
			used = c->n.all[i].state == SIGNATURE_GOOD && c->n.all[i].key == k;
		if (!used)
			find(c, CHAIN_KEYS, NULL, "nothing is signed with key %.16s...: its host wrote nothing "
			     "yet, or all of it was taken away",
			     id_hex(&c->o->keys[k].fingerprint, hex));
	}
}

static void check_root(struct check *c, const struct object_id *id)
{
	const struct chain_node *n = chain_node_find(&c->n, id);
	char hex[ID_HEX_LEN + 1];
	const char *bad;

	(void)id_hex(id, hex);
	if (!n && is_unreadable(c, id, &bad))
		find(c, CHAIN_UNREADABLE, bad, "snapshot %s, whose root you wrote down, is damaged", bad);
	else if (!n)
		find(c, CHAIN_ROOT_GONE, NULL, "the snapshot whose root you wrote down (%.16s...) is gone, "
		     "without a record", hex);
	else if (n->record && c->o->nr_keys == 0)
		find(c, CHAIN_BELIEVED, n->name, "snapshot %s, whose root you wrote down, was let go, says a "
		     "record that is believed: only --pubkey shows who wrote it", n->name);
}

/** Without keys, what holds a chain together where snapshots were let go is only said, by whoever wrote the records. */
static void tell_believed(struct check *c)
{
	if (c->o->nr_roots > 0 && c->o->nr_keys == 0 && c->res->records > 0)
		find(c, CHAIN_BELIEVED, NULL, "%" PRIu64 " snapshots were let go, say records that are "
		     "believed: only --pubkey shows who wrote them", c->res->records);
}

static void tell_unreadable(struct check *c)
{
	for (size_t i = 0; i < c->n.nr_bad && c->strict; i++)
		find(c, CHAIN_UNREADABLE, c->n.bad[i], "snapshot %s is damaged: nothing is proved of it",
		     c->n.bad[i]);
}

enum err_code chain_check(struct store *s, const struct chain_options *o,
			  struct chain_result *out, struct err *e)
{
	struct check c = { .s = s, .o = o, .res = out, .stop = ERR_INIT,
			   .strict = o->nr_keys + o->nr_roots > 0 };
	enum err_code rc;

	*out = (struct chain_result){ 0 };
	must(pthread_mutex_init(&c.mutex, NULL));
	rc = chain_nodes_read(s, &c.n, e);
	if (!rc && o->nr_keys > 0)
		rc = check_signatures(&c, e);
	if (!rc)
		rc = check_links(&c, e);
	if (!rc) {
		tell_unreadable(&c);
		check_unused(&c);
		for (size_t i = 0; i < o->nr_roots; i++)
			check_root(&c, &o->roots[i]);
		tell_believed(&c);
	}
	chain_nodes_release(&c.n);
	must(pthread_mutex_destroy(&c.mutex));
	return rc;
}

/* Roots. */

void chain_roots_release(struct chain_roots *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		free(r->all[i].name);
		free(r->all[i].host);
	}
	free(r->all);
	*r = (struct chain_roots){ .nr = 0 };
}

static int root_cmp(const void *a, const void *b)
{
	const struct chain_root *x = a, *y = b;
	int cmp = strcmp(x->host, y->host);

	return cmp ? cmp : memcmp(x->writer, y->writer, sizeof(x->writer));
}

static enum err_code root_add(struct chain_roots *r, const struct chain_node *n, struct err *e)
{
	struct chain_root *more = reallocarray(r->all, r->nr + 1, sizeof(*more)), *at;

	if (!more)
		return err_set(e, ERR_NOMEM, "%zu roots", r->nr);
	r->all = more;
	at = &more[r->nr++];
	*at = (struct chain_root){ .id = n->id, .seq = n->seq, .name = strdup(n->name),
				   .host = strdup(n->host) };
	memcpy(at->writer, n->writer, sizeof(at->writer));
	return at->name && at->host ? ERR_OK : err_set(e, ERR_NOMEM, "%zu roots", r->nr);
}

enum err_code chain_roots_read(struct store *s, struct chain_roots *out, struct err *e)
{
	struct chain_roots r = { .nr = 0 };
	const struct chain_node **v = NULL;
	struct chain_nodes n = { .nr = 0 };
	enum err_code rc = chain_nodes_read(s, &n, e);

	if (!rc)
		rc = in_order(&n, &v, e);
	/* A writer's greatest number first: what follows a node was looked at before it. */
	for (size_t i = n.nr; i-- > 0 && !rc;) {
		const struct chain_node *before = v[i]->has_previous ?
			chain_node_find(&n, &v[i]->previous) : NULL;

		if (before && (!v[i]->record || v[i]->covered))
			n.all[before - n.all].covered = true;
		if (!v[i]->record && !v[i]->covered)
			rc = root_add(&r, v[i], e);
	}
	free(v);
	chain_nodes_release(&n);
	if (rc) {
		chain_roots_release(&r);
		return rc;
	}
	if (r.nr > 0)
		qsort(r.all, r.nr, sizeof(r.all[0]), root_cmp);
	*out = r;
	return ERR_OK;
}
