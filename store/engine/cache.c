/* SPDX-License-Identifier: MIT */
#include "store/engine/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/must.h"
#include "store/engine/spares.h"

/*
 * Blocks lie in shards by (pack, block), each with a list by age; chunks are found through shards
 * of their own, by id.  A block's life:
 *
 *   made ─► its chunks are entered ─► listed ─► unlisted ─► its chunks are taken out ─► freed
 *                                  └─ another was first ─┘
 *
 * So whoever unlists a block (or made it in vain) is the only one to take its chunks out, and no
 * entry outlives its block.  The list holds one reference.  Eviction turns exactly that one into
 * none, under the shard's mutex: from then on cache_find, which sees entries of dying blocks and
 * takes references only where there is one, passes it over.
 *
 * No mutex is taken while another is held.
 */
#define BLOCK_SHARDS	1u	/* asked once a block, and one clock over all of them evicts what is oldest */
#define BLOCK_CHAINS	256u
#define CHUNK_SHARDS	16u
#define CHUNK_CHAINS	256u	/* to begin with; doubled as they fill */

struct entry {
	struct entry *next;	/* chunk shard's mutex */
	struct cache_block *block;
	struct object_id id;
	uint32_t off, len, index;
};

struct cache_block {
	atomic_uint refs;
	atomic_bool used;	/* since eviction last came by */
	atomic_bool touched;	/* by a reader, ever */
	uint32_t pack, block;
	uint8_t *plain;
	size_t plain_len;
	size_t bytes;		/* what it counts for: itself, its entries, its bytes */
	struct cache_block *chain, *newer, *older;	/* block shard's mutex */
	uint32_t nr;
	struct entry *entries;
	atomic_uchar checked[];	/* a bit a chunk */
};

struct block_shard {
	pthread_mutex_t mutex;
	struct cache_block *chains[BLOCK_CHAINS];	/* mutex */
	struct cache_block *newest, *oldest;		/* mutex */
	size_t nr;					/* mutex */
};

struct chunk_shard {
	pthread_mutex_t mutex;
	struct entry **chains;	/* mutex */
	size_t nr_chains, nr;	/* mutex; nr_chains is a power of two */
};

struct cache {
	size_t max_bytes;
	struct spares spares;
	atomic_size_t bytes;	/* of listed blocks */
	struct block_shard blocks[BLOCK_SHARDS];
	struct chunk_shard chunks[CHUNK_SHARDS];
};

static uint32_t mix(uint32_t pack, uint32_t block)
{
	uint64_t x = ((uint64_t)pack << 32 | block) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(x >> 32);
}

static struct block_shard *shard_of(struct cache *c, uint32_t pack, uint32_t block)
{
	return &c->blocks[mix(pack, block) % BLOCK_SHARDS];
}

static struct cache_block **chain_of(struct block_shard *s, uint32_t pack, uint32_t block)
{
	return &s->chains[mix(pack, block) / BLOCK_SHARDS % BLOCK_CHAINS];
}

static struct chunk_shard *chunk_shard_of(struct cache *c, const struct object_id *id)
{
	return &c->chunks[id_key(id) % CHUNK_SHARDS];
}

static struct entry **entry_chain_of(struct chunk_shard *s, const struct object_id *id)
{
	return &s->chains[id_key(id) / CHUNK_SHARDS & (s->nr_chains - 1)];
}

enum err_code cache_open(size_t max_bytes, struct cache **out, struct err *e)
{
	struct cache *c = calloc(1, sizeof(*c));
	bool ok = c != NULL;

	for (size_t i = 0; ok && i < CHUNK_SHARDS; i++) {
		c->chunks[i].chains = calloc(CHUNK_CHAINS, sizeof(struct entry *));
		c->chunks[i].nr_chains = CHUNK_CHAINS;
		ok = c->chunks[i].chains != NULL;
	}
	if (!ok) {
		for (size_t i = 0; c && i < CHUNK_SHARDS; i++)
			free(c->chunks[i].chains);
		free(c);
		return err_set(e, ERR_NOMEM, "no memory for a cache");
	}
	c->max_bytes = max_bytes;
	spares_init(&c->spares);
	for (size_t i = 0; i < BLOCK_SHARDS; i++)
		must(pthread_mutex_init(&c->blocks[i].mutex, NULL));
	for (size_t i = 0; i < CHUNK_SHARDS; i++)
		must(pthread_mutex_init(&c->chunks[i].mutex, NULL));
	*out = c;
	return ERR_OK;
}

static void free_block(struct cache *c, struct cache_block *b)
{
	spares_put(&c->spares, b->plain);
	free(b->entries);
	free(b);
}

static void drop_ref(struct cache *c, struct cache_block *b)
{
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free_block(c, b);
}

/* A reference, unless the last one has gone. */
static bool ref_live(struct cache_block *b)
{
	unsigned n = atomic_load_explicit(&b->refs, memory_order_relaxed);

	while (n > 0)
		if (atomic_compare_exchange_weak_explicit(&b->refs, &n, n + 1, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

/* Where there is no memory for more chains the old ones grow longer. */
static void grow_locked(struct chunk_shard *s)
{
	size_t nr = s->nr_chains;
	struct entry **old = s->chains, **chains = calloc(nr * 2, sizeof(*chains));

	if (!chains)
		return;
	s->chains = chains;
	s->nr_chains = nr * 2;
	for (size_t i = 0; i < nr; i++) {
		for (struct entry *n, *p = old[i]; p; p = n) {
			struct entry **to = entry_chain_of(s, &p->id);

			n = p->next;
			p->next = *to;
			*to = p;
		}
	}
	free(old);
}

static void enter_chunks(struct cache *c, struct cache_block *b)
{
	for (uint32_t i = 0; i < b->nr; i++) {
		struct entry *p = &b->entries[i], **to;
		struct chunk_shard *s = chunk_shard_of(c, &p->id);

		must(pthread_mutex_lock(&s->mutex));
		if (s->nr >= s->nr_chains)
			grow_locked(s);
		to = entry_chain_of(s, &p->id);
		p->next = *to;
		*to = p;
		s->nr++;
		must(pthread_mutex_unlock(&s->mutex));
	}
}

static void take_chunks_out(struct cache *c, struct cache_block *b)
{
	for (uint32_t i = 0; i < b->nr; i++) {
		struct entry *p = &b->entries[i], **at;
		struct chunk_shard *s = chunk_shard_of(c, &p->id);

		must(pthread_mutex_lock(&s->mutex));
		for (at = entry_chain_of(s, &p->id); *at != p; at = &(*at)->next)
			;
		*at = p->next;
		s->nr--;
		must(pthread_mutex_unlock(&s->mutex));
	}
}

static void list_locked(struct block_shard *s, struct cache_block *b)
{
	b->newer = NULL;
	b->older = s->newest;
	if (s->newest)
		s->newest->newer = b;
	else
		s->oldest = b;
	s->newest = b;
	s->nr++;
}

static void unlist_locked(struct block_shard *s, struct cache_block *b)
{
	*(b->newer ? &b->newer->older : &s->newest) = b->older;
	*(b->older ? &b->older->newer : &s->oldest) = b->newer;
	s->nr--;
}

static void unchain_locked(struct block_shard *s, struct cache_block *b)
{
	struct cache_block **at = chain_of(s, b->pack, b->block);

	while (*at != b)
		at = &(*at)->chain;
	*at = b->chain;
}

static struct cache_block *look_locked(struct block_shard *s, uint32_t pack, uint32_t block)
{
	struct cache_block *b = *chain_of(s, pack, block);

	while (b && (b->pack != pack || b->block != block))
		b = b->chain;
	return b;
}

/* The oldest that nobody holds and nobody has used since last time: unlisted, no references. */
static struct cache_block *victim_locked(struct block_shard *s)
{
	for (size_t n = s->nr; n > 0; n--) {
		struct cache_block *b = s->oldest;
		unsigned one = 1;

		unlist_locked(s, b);
		if (!atomic_exchange(&b->used, false) &&
		    atomic_compare_exchange_strong(&b->refs, &one, 0)) {
			unchain_locked(s, b);
			return b;
		}
		list_locked(s, b);
	}
	return NULL;
}

/*
 * Down to the bound, or until all that is left is held.  The shard that took something in gives
 * first; what was used stays until every shard has been asked once.
 */
static void evict(struct cache *c, const struct block_shard *first)
{
	size_t at = (size_t)(first - c->blocks);

	for (size_t k = 0; k < 2 * BLOCK_SHARDS; k++) {
		struct block_shard *s = &c->blocks[(at + k) % BLOCK_SHARDS];

		while (atomic_load(&c->bytes) > c->max_bytes) {
			struct cache_block *b;

			must(pthread_mutex_lock(&s->mutex));
			b = victim_locked(s);
			must(pthread_mutex_unlock(&s->mutex));
			if (!b)
				break;
			atomic_fetch_sub(&c->bytes, b->bytes);
			take_chunks_out(c, b);
			free_block(c, b);
		}
	}
}

size_t cache_max(const struct cache *c)
{
	return c->max_bytes;
}

void cache_set_max(struct cache *c, size_t max_bytes)
{
	c->max_bytes = max_bytes;
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < BLOCK_SHARDS; i++) {
		for (struct cache_block *older, *b = c->blocks[i].newest; b; b = older) {
			older = b->older;
			assert(atomic_load(&b->refs) == 1);
			free_block(c, b);
		}
		must(pthread_mutex_destroy(&c->blocks[i].mutex));
	}
	for (size_t i = 0; i < CHUNK_SHARDS; i++) {
		free(c->chunks[i].chains);
		must(pthread_mutex_destroy(&c->chunks[i].mutex));
	}
	spares_release(&c->spares);
	free(c);
}

struct cache_block *cache_find(struct cache *c, const struct object_id *chunk, uint32_t *off,
			       uint32_t *len, uint32_t *index)
{
	struct chunk_shard *s = chunk_shard_of(c, chunk);
	struct cache_block *b = NULL;

	must(pthread_mutex_lock(&s->mutex));
	for (const struct entry *p = *entry_chain_of(s, chunk); p && !b; p = p->next) {
		if (!id_eq(&p->id, chunk) || !ref_live(p->block))
			continue;
		b = p->block;
		*off = p->off;
		*len = p->len;
		*index = p->index;
	}
	must(pthread_mutex_unlock(&s->mutex));
	if (b)
		atomic_store_explicit(&b->used, true, memory_order_relaxed);
	return b;
}

struct cache_block *cache_get(struct cache *c, uint32_t pack, uint32_t block)
{
	struct block_shard *s = shard_of(c, pack, block);
	struct cache_block *b;

	must(pthread_mutex_lock(&s->mutex));
	b = look_locked(s, pack, block);
	if (b)
		atomic_fetch_add(&b->refs, 1);
	must(pthread_mutex_unlock(&s->mutex));
	if (b)
		atomic_store_explicit(&b->used, true, memory_order_relaxed);
	return b;
}

static struct cache_block *make_block(uint32_t pack, uint32_t block, uint8_t *plain,
				      size_t plain_len, const struct chunk_desc *chunks,
				      uint32_t nr)
{
	size_t own = sizeof(struct cache_block) + (nr + 7) / 8;
	struct cache_block *b = calloc(1, own);
	uint32_t off = 0;

	if (b)
		b->entries = calloc(nr, sizeof(b->entries[0]));
	if (!b || !b->entries) {
		free(b);
		free(plain);
		return NULL;
	}
	atomic_init(&b->refs, 1);
	b->pack = pack;
	b->block = block;
	b->plain = plain;
	b->plain_len = plain_len;
	b->bytes = own + nr * sizeof(b->entries[0]) + plain_len;
	b->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		assert(chunks[i].len <= plain_len - off);
		b->entries[i] = (struct entry){
			.block = b,
			.id = chunks[i].id,
			.off = off,
			.len = chunks[i].len,
			.index = i,
		};
		off += chunks[i].len;
	}
	return b;
}

struct cache_block *cache_put_checked(struct cache *c, uint32_t pack, uint32_t block,
				      uint8_t *plain, size_t plain_len,
				      const struct chunk_desc *chunks, uint32_t nr,
				      const uint8_t *checked)
{
	struct cache_block *b = make_block(pack, block, plain, plain_len, chunks, nr), *other;
	struct block_shard *s = shard_of(c, pack, block);

	if (!b)
		return NULL;
	for (uint32_t i = 0; i < (nr + 7) / 8 && checked; i++)
		atomic_init(&b->checked[i], checked[i]);
	atomic_init(&b->used, checked != NULL);	/* by nobody yet; not to go before those that were */
	enter_chunks(c, b);
	must(pthread_mutex_lock(&s->mutex));
	other = look_locked(s, pack, block);
	if (other) {
		atomic_fetch_add(&other->refs, 1);
	} else {
		struct cache_block **chain = chain_of(s, pack, block);

		atomic_fetch_add(&b->refs, 1);	/* the list's */
		b->chain = *chain;
		*chain = b;
		list_locked(s, b);
		atomic_fetch_add(&c->bytes, b->bytes);
	}
	must(pthread_mutex_unlock(&s->mutex));
	if (other) {
		take_chunks_out(c, b);
		drop_ref(c, b);
		return other;
	}
	if (atomic_load(&c->bytes) > c->max_bytes)
		evict(c, s);
	return b;
}

struct cache_block *cache_put(struct cache *c, uint32_t pack, uint32_t block, uint8_t *plain,
			      size_t plain_len, const struct chunk_desc *chunks, uint32_t nr)
{
	return cache_put_checked(c, pack, block, plain, plain_len, chunks, nr, NULL);
}

uint8_t *cache_buffer(struct cache *c, size_t len)
{
	return spares_get(&c->spares, len);
}

bool cache_block_touch(struct cache_block *b)
{
	return !atomic_load_explicit(&b->touched, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&b->touched, true, memory_order_relaxed);
}

void cache_block_place(const struct cache_block *b, uint32_t *pack, uint32_t *block)
{
	*pack = b->pack;
	*block = b->block;
}

const uint8_t *cache_block_plain(const struct cache_block *b)
{
	return b->plain;
}

size_t cache_block_len(const struct cache_block *b)
{
	return b->plain_len;
}

bool cache_block_checked(const struct cache_block *b, uint32_t index)
{
	assert(index < b->nr);
	return atomic_load_explicit(&b->checked[index / 8], memory_order_acquire) >> index % 8 & 1;
}

void cache_block_set_checked(struct cache_block *b, uint32_t index)
{
	assert(index < b->nr);
	atomic_fetch_or_explicit(&b->checked[index / 8], (unsigned char)(1u << index % 8),
				 memory_order_release);
}

void cache_block_put(struct cache *c, struct cache_block *b)
{
	struct block_shard *s;

	if (!b)
		return;
	s = shard_of(c, b->pack, b->block);
	drop_ref(c, b);
	/* What could not go while it was held goes now. */
	if (atomic_load_explicit(&c->bytes, memory_order_relaxed) > c->max_bytes)
		evict(c, s);
}

void cache_drop(struct cache *c, uint32_t pack, uint32_t block)
{
	struct block_shard *s = shard_of(c, pack, block);
	struct cache_block *b;

	must(pthread_mutex_lock(&s->mutex));
	b = look_locked(s, pack, block);
	if (b) {
		unlist_locked(s, b);
		unchain_locked(s, b);
	}
	must(pthread_mutex_unlock(&s->mutex));
	if (!b)
		return;
	atomic_fetch_sub(&c->bytes, b->bytes);
	take_chunks_out(c, b);
	drop_ref(c, b);
}

size_t cache_bytes(struct cache *c)
{
	return atomic_load(&c->bytes);
}
