/* SPDX-License-Identifier: MIT */
/*
 * Decoded nodes by id.  A node is copied out of its block: a walk holds nodes of many blocks for
 * long, and a pinned block is a MiB.  No lock is held while a node is fetched or decoded; where two
 * threads fetch the same one, the first to put it in wins.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "store/base/checked.h"
#include "store/format/limits.h"
#include "store/internal.h"

#define NR_SHARDS	8u
#define NR_BUCKETS	1024u		/* a shard; chains stay short at 2 MiB a shard */
#define BEFORE_STEP	16u	/* a sum for each 16th entry: 3 bytes an entry, at most 15 decodes */

struct cached {
	struct node n;			/* immutable once it is in, like bytes, id and cost */
	uint8_t *bytes;
	struct object_id id;
	size_t cost;
	_Atomic(struct totals *) before;	/* sums before entry 0, 16, ...; made at need */
	struct cached *chain;		/* shard mutex, like all below */
	struct cached *newer, *older;	/* where refs is 0 */
	unsigned refs;
};

struct shard {
	pthread_mutex_t mutex;
	struct cached *buckets[NR_BUCKETS];	/* mutex, like all below */
	struct cached *newest, *oldest;		/* unpinned ones only */
	size_t bytes;				/* of all, pinned or not */
};

struct node_cache {
	size_t shard_bytes;
	struct shard shards[NR_SHARDS];
};

static void must(int rc)
{
	if (rc != 0)
		abort();
}

static struct shard *shard_of(struct node_cache *c, const struct object_id *id)
{
	return &c->shards[id->b[0] % NR_SHARDS];
}

static struct cached **bucket_of(struct shard *h, const struct object_id *id)
{
	return &h->buckets[(id->b[1] | (size_t)id->b[2] << 8) % NR_BUCKETS];
}

enum err_code node_cache_open(size_t max_bytes, struct node_cache **out, struct err *e)
{
	struct node_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ERR_NOMEM, "node cache");
	c->shard_bytes = max_bytes / NR_SHARDS;
	for (unsigned i = 0; i < NR_SHARDS; i++)
		must(pthread_mutex_init(&c->shards[i].mutex, NULL));
	*out = c;
	return ERR_OK;
}

static void cached_free(struct cached *n)
{
	node_release(&n->n);
	free(atomic_load(&n->before));
	free(n->bytes);
	free(n);
}

void node_cache_close(struct node_cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < NR_SHARDS; i++) {
		struct shard *h = &c->shards[i];

		for (unsigned k = 0; k < NR_BUCKETS; k++) {
			while (h->buckets[k]) {
				struct cached *n = h->buckets[k];

				h->buckets[k] = n->chain;
				cached_free(n);
			}
		}
		must(pthread_mutex_destroy(&h->mutex));
	}
	free(c);
}

static void unlink_locked(struct shard *h, struct cached *n)
{
	if (n->newer)
		n->newer->older = n->older;
	else
		h->newest = n->older;
	if (n->older)
		n->older->newer = n->newer;
	else
		h->oldest = n->newer;
	n->newer = n->older = NULL;
}

static struct cached *find_locked(struct shard *h, const struct object_id *id)
{
	struct cached *n = *bucket_of(h, id);

	while (n && !id_eq(&n->id, id))
		n = n->chain;
	if (n && n->refs++ == 0)
		unlink_locked(h, n);
	return n;
}

/** Take what is beyond the bound out of the shard; the caller frees the list after unlocking. */
static struct cached *evict_locked(struct node_cache *c, struct shard *h)
{
	struct cached *gone = NULL;

	while (h->bytes > c->shard_bytes && h->oldest) {
		struct cached *n = h->oldest, **at = bucket_of(h, &n->id);

		unlink_locked(h, n);
		while (*at != n)
			at = &(*at)->chain;
		*at = n->chain;
		h->bytes -= n->cost;
		n->chain = gone;
		gone = n;
	}
	return gone;
}

static void free_list(struct cached *gone)
{
	while (gone) {
		struct cached *next = gone->chain;

		cached_free(gone);
		gone = next;
	}
}

static size_t cost_of(const struct node *n)
{
	size_t per = sizeof(uint32_t) + sizeof(uint64_t) + sizeof(struct totals) / BEFORE_STEP;

	if (n->children)
		per += sizeof(struct node_child);
	return sizeof(struct cached) + n->len + n->nr_owners * sizeof(struct owner) + n->nr * per;
}

enum err_code chunk_of_tree(struct store *s, const struct object_id *id, struct chunk_ref *ref,
			    struct err *e)
{
	enum err_code rc = chunks_get(s->chunks, id, ref, e);
	char hex[ID_HEX_LEN + 1];

	/*
	 * ERR_NOT_FOUND would say that a file has no such name, or no data there, and be
	 * believed.
	 */
	if (rc == ERR_NOT_FOUND)
		rc = err_set(e, ERR_INCOMPLETE, "chunk %s is in no pack that is here",
			     id_hex(id, hex));
	return rc;
}

static enum err_code load(struct store *s, const struct object_id *id, struct cached **out,
			  struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	struct chunk_ref ref = { 0 };
	struct cached *n = NULL;
	enum err_code rc;

	rc = chunk_of_tree(s, id, &ref, e);
	if (rc)
		goto out;
	if (ref.len > NODE_LEN_MAX) {
		rc = err_set(e, ERR_CORRUPT, "%zu bytes; a node has at most %u", ref.len,
			     NODE_LEN_MAX);
		goto out;
	}
	n = calloc(1, sizeof(*n));
	if (n)
		n->bytes = malloc(ref.len ? ref.len : 1);
	if (!n || !n->bytes) {
		rc = err_set(e, ERR_NOMEM, "no memory for %zu bytes", ref.len);
		goto out;
	}
	memcpy(n->bytes, ref.data, ref.len);
	rc = node_decode(n->bytes, ref.len, &n->n, e);
	if (rc)
		goto out;
	n->id = *id;
	n->cost = cost_of(&n->n);
	n->refs = 1;
	*out = n;
	n = NULL;
out:
	chunk_ref_release(s->chunks, &ref);
	if (n) {
		free(n->bytes);
		free(n);
	}
	if (rc)
		err_prefix(e, "node %s", id_hex(id, hex));
	return rc;
}

enum err_code node_cache_get(struct store *s, const struct object_id *id, const struct node **out,
			     void **pin, struct err *e)
{
	struct shard *h = shard_of(s->nodes, id);
	struct cached *n, *mine = NULL, *gone, **at;
	enum err_code rc;

	must(pthread_mutex_lock(&h->mutex));
	n = find_locked(h, id);
	must(pthread_mutex_unlock(&h->mutex));
	if (n)
		goto found;

	rc = load(s, id, &mine, e);
	if (rc)
		return rc;
	must(pthread_mutex_lock(&h->mutex));
	n = find_locked(h, id);
	if (!n) {
		n = mine;
		mine = NULL;
		at = bucket_of(h, id);
		n->chain = *at;
		*at = n;
		h->bytes += n->cost;
	}
	gone = evict_locked(s->nodes, h);
	must(pthread_mutex_unlock(&h->mutex));
	free_list(gone);
	if (mine)
		cached_free(mine);
found:
	*out = &n->n;
	*pin = n;
	return ERR_OK;
}

void node_cache_put(struct store *s, void *pin)
{
	struct cached *n = pin, *gone = NULL;
	struct shard *h;

	if (!n)
		return;
	h = shard_of(s->nodes, &n->id);
	must(pthread_mutex_lock(&h->mutex));
	if (--n->refs == 0) {
		n->older = h->newest;
		if (h->newest)
			h->newest->newer = n;
		else
			h->oldest = n;
		h->newest = n;
		gone = evict_locked(s->nodes, h);
	}
	must(pthread_mutex_unlock(&h->mutex));
	free_list(gone);
}

/** sum += entries from up to (not with) to. */
static enum err_code add_entries(const struct node *n, uint32_t from, uint32_t to,
				 struct totals *sum, struct err *e)
{
	for (uint32_t i = from; i < to; i++) {
		enum err_code rc;
		struct entry ent;

		node_entry(n, i, &ent);
		rc = totals_add_entry(sum, &ent, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code make_before(struct cached *n, const struct totals **out, struct err *e)
{
	struct totals *sums, sum = { 0 }, *none = NULL;
	size_t nr = n->n.nr / BEFORE_STEP + 1;
	enum err_code rc = ERR_OK;

	sums = malloc(nr * sizeof(*sums));
	if (!sums)
		return err_set(e, ERR_NOMEM, "no memory for the sums of %u entries", n->n.nr);
	for (size_t k = 0; k < nr && !rc; k++) {
		uint32_t from = (uint32_t)k * BEFORE_STEP;

		sums[k] = sum;
		if (k + 1 < nr)
			rc = add_entries(&n->n, from, from + BEFORE_STEP, &sum, e);
	}
	if (rc) {
		free(sums);
		return rc;
	}
	/* Another thread may have been first; its sums are the same. */
	if (!atomic_compare_exchange_strong(&n->before, &none, sums)) {
		free(sums);
		sums = none;
	}
	*out = sums;
	return ERR_OK;
}

enum err_code node_cache_before(void *pin, uint32_t i, struct totals *out, struct err *e)
{
	struct cached *n = pin;
	const struct totals *sums = atomic_load(&n->before);
	struct totals sum = { 0 };
	enum err_code rc;

	if (!sums && i > BEFORE_STEP) {
		rc = make_before(n, &sums, e);
		if (rc)
			return rc;
	}
	if (sums)
		sum = sums[i / BEFORE_STEP];
	rc = add_entries(&n->n, sums ? i - i % BEFORE_STEP : 0, i, &sum, e);
	if (!rc)
		*out = sum;
	return rc;
}
