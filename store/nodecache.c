/* SPDX-License-Identifier: MIT */
/*
 * Decoded nodes by id.  A node is copied out of its block: a walk holds nodes of many blocks for
 * long, and a pinned block is a MiB.  No lock is held while a node is fetched or decoded; where two
 * threads fetch the same one, the first to put it in wins.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "store/base/checked.h"
#include "store/base/must.h"
#include "store/format/limits.h"
#include "store/internal.h"

#define NR_SHARDS	8u
#define NR_BUCKETS	1024u		/* a shard; chains stay short at 2 MiB a shard */
#define BEFORE_STEP	16u	/* a sum for each 16th entry: 3 bytes an entry, at most 15 decodes */

/* What stands before each entry of a leaf; made at need, immutable. */
struct before {
	struct totals *sums;	/* before entry 0, 16, ... */
	uint64_t numbers[];	/* before entry 0, 1, ..., nr */
};

struct cached {
	struct node n;			/* immutable once it is in, like bytes, id and cost */
	uint8_t *bytes;
	struct object_id id;
	size_t cost;
	_Atomic(struct before *) before;	/* leaves; NULL until it is wanted */
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

static void before_free(struct before *b)
{
	if (b)
		free(b->sums);
	free(b);
}

static void cached_free(struct cached *n)
{
	node_release(&n->n);
	before_free(atomic_load(&n->before));
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
	size_t per = sizeof(uint32_t) + 2 * sizeof(uint64_t) + sizeof(struct totals) / BEFORE_STEP;

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

void node_cache_set_max(struct node_cache *c, size_t max_bytes)
{
	c->shard_bytes = max_bytes / NR_SHARDS;
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

/** Decodes every entry once; totals_add_entry sees to it that numbers fit. */
static enum err_code before_fill(const struct node *n, struct before *b, struct err *e)
{
	struct totals sum = { 0 };
	enum err_code rc = ERR_OK;
	struct entry ent;

	for (uint32_t i = 0; i <= n->nr && !rc; i++) {
		b->numbers[i] = sum.files + sum.dirs + sum.others;
		if (i % BEFORE_STEP == 0)
			b->sums[i / BEFORE_STEP] = sum;
		if (i == n->nr)
			break;
		node_entry(n, i, &ent);
		rc = totals_add_entry(&sum, &ent, e);
	}
	return rc;
}

static enum err_code before_get(struct cached *n, const struct before **out, struct err *e)
{
	struct before *b = atomic_load_explicit(&n->before, memory_order_acquire), *none = NULL;
	size_t nr = (size_t)n->n.nr + 1;
	enum err_code rc;

	*out = b;
	if (b)
		return ERR_OK;
	b = malloc(sizeof(*b) + nr * sizeof(b->numbers[0]));
	if (b)
		b->sums = malloc((nr / BEFORE_STEP + 1) * sizeof(*b->sums));
	if (!b || !b->sums) {
		free(b);
		return err_set(e, ERR_NOMEM, "no memory for the sums of %u entries", n->n.nr);
	}
	rc = before_fill(&n->n, b, e);
	if (rc) {
		before_free(b);
		return rc;
	}
	/* Another thread may have been first; its sums are the same. */
	if (!atomic_compare_exchange_strong(&n->before, &none, b)) {
		before_free(b);
		b = none;
	}
	*out = b;
	return ERR_OK;
}

enum err_code node_cache_numbers(void *pin, const uint64_t **out, struct err *e)
{
	const struct before *b = NULL;
	enum err_code rc = before_get(pin, &b, e);

	if (!rc)
		*out = b->numbers;
	return rc;
}

enum err_code node_cache_before(void *pin, uint32_t i, struct totals *out, struct err *e)
{
	struct cached *n = pin;
	struct totals sum = { 0 };
	const struct before *b;
	enum err_code rc = ERR_OK;
	uint32_t at = 0;

	if (i > BEFORE_STEP) {
		rc = before_get(n, &b, e);
		if (rc)
			return rc;
		at = i - i % BEFORE_STEP;
		sum = b->sums[i / BEFORE_STEP];
	}
	for (; at < i && !rc; at++) {
		struct entry ent;

		node_entry(&n->n, at, &ent);
		rc = totals_add_entry(&sum, &ent, e);
	}
	if (!rc)
		*out = sum;
	return rc;
}
