/* SPDX-License-Identifier: MIT */
#include "store/engine/chunks_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store/base/checked.h"

#define CACHE_BYTES  (32u << 20)
#define TABLE_BYTES  (16u << 20)
#define FILTER_BYTES (160u << 20) /* 110 million chunks at 12 bits each; not touched where there are fewer */
#define FILTER_KEYS  (4u * (uint64_t)FILTER_BYTES / 3u) /* at 6 bits each: with more it would mostly say "perhaps" */
#define FILTER_AFTER 256u /* queries that said "not there" before a filter is worth loading */
#define HITS_MAX     16u
#define KEYS_SLICE   8192u
#define BESIDE_MAX   64u /* chunks looked at behind the one that was found last */

void chunks_lock(struct chunks *c)
{
	if (pthread_mutex_lock(&c->mutex) != 0)
		abort();
}

void chunks_unlock(struct chunks *c)
{
	if (pthread_mutex_unlock(&c->mutex) != 0)
		abort();
}

int64_t chunks_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct catalog *chunks_catalog_get(struct chunks *c)
{
	struct catalog *cat;

	chunks_lock(c);
	while (!c->catalog && !c->catalog_lost)
		if (pthread_cond_wait(&c->changed, &c->mutex) != 0)
			abort();
	cat = c->catalog;
	if (cat)
		c->catalog_users++;
	chunks_unlock(c);
	return cat;
}

void chunks_catalog_put(struct chunks *c)
{
	chunks_lock(c);
	if (--c->catalog_users == 0 && pthread_cond_broadcast(&c->changed) != 0)
		abort();
	chunks_unlock(c);
}

enum err_code chunks_open(const struct chunks_config *cfg, struct chunks **out, struct err *e)
{
	struct chunks *c = calloc(1, sizeof(*c));
	enum err_code rc = ERR_OK;

	if (!c)
		return err_set(e, ERR_NOMEM, "chunks");
	if (pthread_mutex_init(&c->mutex, NULL) != 0 || pthread_cond_init(&c->changed, NULL) != 0 ||
	    pthread_cond_init(&c->landed, NULL) != 0)
		abort();
	c->cfg = *cfg;
	c->backend = cfg->backend;
	for (size_t i = 0; i < ARRAY_LEN(c->last_found); i++)
		c->last_found[i].ord = PACK_ORD_NONE;
	c->index_path = strdup(cfg->index_path);
	c->damaged = calloc(DAMAGED_KEPT, sizeof(*c->damaged));
	if (!c->index_path || !c->damaged)
		rc = err_set(e, ERR_NOMEM, "chunks");
	if (!rc)
		rc = packset_open(&c->packs, e);
	if (!rc)
		rc = tables_open(TABLE_BYTES, &c->tables, e);
	if (!rc)
		rc = cache_open(cfg->cache_bytes ? cfg->cache_bytes : CACHE_BYTES, &c->cache, e);
	if (!rc) {
		chunks_mend_begin(c);
		rc = chunks_index_open(c, e);
		chunks_mend_end(c);
	}
	if (!rc)
		rc = chunks_heal_open(c, e);
	if (rc) {
		chunks_close(c);
		return rc;
	}
	err_clear(e);
	*out = c;
	return ERR_OK;
}

void chunks_close(struct chunks *c)
{
	if (!c)
		return;
	prefetch_close(c->prefetch);
	heal_close(c->heal); /* its last words are of packs */
	catalog_close(c->catalog);
	tables_close(c->tables);
	cache_close(c->cache);
	packset_close(c->packs);
	filter_close(c->filter);
	while (c->nr_codecs > 0)
		codec_close(c->codecs[--c->nr_codecs]);
	idset_release(&c->doubts);
	idset_release(&c->bad);
	free(c->damaged);
	free(c->index_path);
	if (pthread_cond_destroy(&c->landed) != 0 || pthread_cond_destroy(&c->changed) != 0 ||
	    pthread_mutex_destroy(&c->mutex) != 0)
		abort();
	free(c);
}

void chunks_set_fresh(struct chunks *c)
{
	c->fresh = true;
}

enum err_code chunks_refresh(struct chunks *c, struct err *e)
{
	enum err_code rc;

	chunks_mend_begin(c);
	rc = chunks_reconcile(c, e);
	chunks_mend_end(c);
	return rc;
}

/* Mender: every key the index has, and the tables that are in no index. */
static enum err_code fill_filter(struct chunks *c, struct filter *f)
{
	struct catalog_scan at = {0};
	uint64_t *keys = malloc(KEYS_SLICE * sizeof(*keys));
	uint64_t chunks = 0, packs = 0;
	uint32_t *ords = NULL;
	size_t nr = 0;
	enum err_code rc;

	rc = keys && c->catalog ? catalog_count(c->catalog, &chunks, &packs, NULL) : ERR_NOMEM;
	if (!rc && chunks > FILTER_KEYS)
		rc = ERR_LIMIT;
	if (!rc) /* a row's number is no promise: a sparse level costs its zeros no memory until they are set */
		filter_reserve(f, chunks);
	while (!rc) {
		rc = catalog_keys(c->catalog, &at, keys, KEYS_SLICE, &nr, NULL);
		if (rc || nr == 0)
			break;
		for (size_t i = 0; i < nr; i++)
			filter_add(f, keys[i]);
	}
	if (!rc)
		rc = chunks_list_ords(c, PACKS_ODD, &ords, &nr, NULL);
	for (size_t i = 0; i < nr && !rc; i++) {
		struct table *t = NULL;

		if (chunks_load_table(c, ords[i], true, &t, NULL))
			continue;
		for (uint32_t j = 0; j < table_get(t)->nr_chunks; j++)
			filter_add(f, id_key(&table_get(t)->chunks[j].id));
		tables_release(c->tables, t);
	}
	free(ords);
	free(keys);
	return rc;
}

/* A filter that cannot be loaded is done without. */
static void load_filter(struct chunks *c)
{
	struct filter *f = NULL;

	chunks_mend_begin(c);
	if (c->filter || filter_open(FILTER_BYTES, &f, NULL))
		goto out;
	if (fill_filter(c, f)) {
		filter_close(f);
		goto out;
	}
	chunks_lock(c);
	c->filter = f;
	c->filter_source = FILTER_INDEX;
	chunks_unlock(c);
out:
	chunks_mend_end(c);
}

/* False: surely not here, and nothing was asked to know it. */
static bool perhaps_here(struct chunks *c, uint64_t key)
{
	bool perhaps, load;

	chunks_lock(c);
	perhaps = !c->filter || filter_has(c->filter, key);
	load = !c->filter && c->filter_misses == FILTER_AFTER;
	if (load)
		c->filter_misses++; /* once, come what may */
	chunks_unlock(c);
	if (load)
		load_filter(c);
	return perhaps;
}

/* Chunk number of the table is the one that was asked for. */
static void found_at(struct chunks *c, uint32_t ord, const struct packtable *t, uint32_t number,
		     uint32_t *len)
{
	if (len)
		*len = t->chunks[number].len;
	chunks_lock(c);
	c->last_found[t->kind - PACK_DATA] = (struct found){.ord = ord, .number = number};
	chunks_unlock(c);
}

enum err_code chunks_condemn(struct chunks *c, const struct object_id *packs, size_t nr,
			     struct err *e)
{
	enum err_code rc = ERR_OK;

	chunks_lock(c);
	for (size_t i = 0; i < nr && !rc; i++) {
		uint32_t ord = packset_add(c->packs, &packs[i]);	/* PACK_GONE where it is not here */

		if (ord == PACK_ORD_NONE)
			rc = err_set(e, ERR_NOMEM, "%zu packs", nr);
		else
			packset_at(c->packs, ord)->condemned = true;
	}
	chunks_unlock(c);
	return rc;
}

static bool ord_has(struct chunks *c, uint32_t ord, uint32_t hint, const struct object_id *id,
		    uint32_t *len)
{
	struct table_place place;
	const struct packtable *pt;
	struct table *t = NULL;
	bool has;

	chunks_lock(c);
	has = !packset_at(c->packs, ord)->condemned;
	chunks_unlock(c);
	if (!has)
		return false;
	if (chunks_load_table(c, ord, true, &t, NULL))
		return false;
	pt = table_get(t);
	has = table_find(pt, id, hint, &place);
	if (has)
		found_at(c, ord, pt, pt->blocks[place.block].first_chunk + place.index, len);
	tables_release(c->tables, t);
	return has;
}

/*
 * What was put in one after the other is asked for one after the other, by the next backup of the
 * same files: a look behind the chunk that was found last spares a query of the index.
 */
static bool is_beside(struct chunks *c, unsigned kind, const struct object_id *id, uint32_t *len)
{
	const struct packtable *pt;
	struct table *t = NULL;
	uint32_t i, end;
	struct found at;
	bool has, here;

	chunks_lock(c);
	at = c->last_found[kind];
	here = at.ord != PACK_ORD_NONE && pack_is_here(packset_at(c->packs, at.ord)) &&
	       !packset_at(c->packs, at.ord)->condemned;
	chunks_unlock(c);
	if (!here || chunks_load_table(c, at.ord, true, &t, NULL))
		return false;
	pt = table_get(t);
	/* A table that was read anew may be shorter. */
	i = at.number < pt->nr_chunks ? at.number : pt->nr_chunks;
	end = pt->nr_chunks - i > BESIDE_MAX ? i + BESIDE_MAX : pt->nr_chunks;
	while (i < end && !id_eq(&pt->chunks[i].id, id))
		i++;
	has = i < end;
	if (has)
		found_at(c, at.ord, pt, i, len);
	tables_release(c->tables, t);
	return has;
}

/* A pack that left the listing since its row was written is not asked. */
static bool hit_has(struct chunks *c, const struct catalog_hit *hit, const struct object_id *id,
		    uint32_t *len)
{
	uint32_t ord;

	chunks_lock(c);
	ord = packset_by_no(c->packs, hit->pack);
	if (ord != PACK_ORD_NONE && !pack_is_here(packset_at(c->packs, ord)))
		ord = PACK_ORD_NONE;
	chunks_unlock(c);
	return ord != PACK_ORD_NONE && ord_has(c, ord, hit->block, id, len);
}

enum err_code chunks_have(struct chunks *c, const struct object_id *id, bool *have, uint32_t *len,
			  struct err *e)
{
	struct catalog_hit hits[HITS_MAX];
	uint32_t *ords = NULL;
	struct catalog *cat;
	bool found = false;
	bool gone = false;
	enum err_code rc;
	unsigned nr = 0;
	size_t n = 0;

	rc = chunks_ask_doubt(c, id, &gone, e);
	if (rc)
		return rc;
	if (gone || !perhaps_here(c, id_key(id)))
		goto out;
	for (unsigned i = 0; i < ARRAY_LEN(c->last_found) && !found; i++)
		found = is_beside(c, i, id, len);
	if (found)
		goto out;
	/* An index that is busy or broken is as one that does not know: a chunk too many is stored.
	 */
	cat = chunks_catalog_get(c);
	if (cat) {
		if (catalog_find(cat, id_key(id), hits, HITS_MAX, &nr, NULL))
			nr = 0;
		chunks_catalog_put(c);
	}
	for (unsigned i = 0; i < nr && !found; i++)
		found = hit_has(c, &hits[i], id, len);
	if (found)
		goto out;
	rc = chunks_list_ords(c, PACKS_ODD, &ords, &n, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < n && !found; i++)
		found = ord_has(c, ords[i], 0, id, len);
	free(ords);
	if (!found) {
		chunks_lock(c);
		if (c->filter_misses < FILTER_AFTER)
			c->filter_misses++;
		chunks_unlock(c);
	}
out:
	*have = found;
	return ERR_OK;
}

static bool copy_table(const struct packtable *t, struct packtable *out)
{
	*out = *t;
	out->blocks = malloc((t->nr_blocks + 1) * sizeof(*out->blocks));
	out->chunks = malloc((t->nr_chunks + 1) * sizeof(*out->chunks));
	if (!out->blocks || !out->chunks) {
		packtable_release(out);
		return false;
	}
	memcpy(out->blocks, t->blocks, t->nr_blocks * sizeof(*out->blocks));
	memcpy(out->chunks, t->chunks, t->nr_chunks * sizeof(*out->chunks));
	return true;
}

/* Mender: the pack is here, its number in the catalog is no, or 0 where that could not take it. */
static enum err_code register_pack(struct chunks *c, const struct object_id *id,
				   const struct packtable *t, uint32_t no, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct packtable copy;
	uint32_t ord;

	chunks_lock(c);
	ord = packset_add(c->packs, id);
	if (ord == PACK_ORD_NONE) {
		rc = err_set(e, ERR_NOMEM, "%u packs", packset_nr(c->packs));
	} else {
		packset_at(c->packs, ord)->state = PACK_HERE;
		packset_at(c->packs, ord)->hopeless = false;
		packset_at(c->packs, ord)->scanned = false;
		if (no == 0)
			c->nr_odd++;
		else
			rc = packset_set_no(c->packs, ord, no, e);
	}
	chunks_unlock(c);
	if (rc)
		return rc;
	chunks_note_keys(c, ord, t);
	chunks_end_doubts(c, t);
	if (copy_table(t, &copy))
		tables_release(c->tables, tables_put(c->tables, ord, &copy));
	return ERR_OK;
}

static bool index_packs(struct chunks *c, const struct object_id *ids,
			const struct packtable *tables, size_t nr, uint32_t *nos)
{
	enum err_code rc;

	if (!c->catalog || catalog_begin(c->catalog, NULL))
		return false;
	for (size_t i = 0; i < nr; i++)
		if (catalog_add_pack(c->catalog, &ids[i], &tables[i], &nos[i], NULL))
			return false; /* and all of them were rolled back */
	rc = catalog_end(c->catalog, NULL);
	return rc == ERR_OK;
}

/*
 * The packs are there whatever becomes of the index: where that cannot take
 * them, they are searched by their tables, and the next refresh tries again.
 */
enum err_code chunks_add_packs(struct chunks *c, const struct object_id *ids,
			       const struct packtable *tables, size_t nr, struct err *e)
{
	uint32_t *nos = calloc(nr + 1, sizeof(*nos));
	enum err_code rc = ERR_OK;
	bool indexed;

	if (!nos)
		return err_set(e, ERR_NOMEM, "%zu packs", nr);
	chunks_mend_begin(c);
	indexed = index_packs(c, ids, tables, nr, nos);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = register_pack(c, &ids[i], &tables[i], indexed ? nos[i] : 0, e);
	chunks_mend_end(c);
	free(nos);
	return rc;
}

enum err_code chunks_each_pack(struct chunks *c, chunks_pack_fn *fn, void *ctx, struct err *e)
{
	struct object_id *ids = NULL;
	enum err_code rc = ERR_OK;
	size_t nr = 0;
	uint32_t total;

	chunks_lock(c);
	total = packset_nr(c->packs);
	ids = malloc((total + 1) * sizeof(*ids));
	for (uint32_t i = 0; ids && i < total; i++)
		if (pack_is_here(packset_at(c->packs, i)))
			ids[nr++] = packset_at(c->packs, i)->id;
	chunks_unlock(c);
	if (!ids)
		return err_set(e, ERR_NOMEM, "%u packs", total);
	qsort(ids, nr, sizeof(*ids), id_sort_cmp);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = fn(ctx, &ids[i], e);
	free(ids);
	return rc;
}

void chunks_stats(struct chunks *c, struct chunks_stats *out)
{
	struct catalog *cat = chunks_catalog_get(c);
	struct stat st;

	*out = (struct chunks_stats){
	    .blocks_read = atomic_load(&c->blocks_read),
	    .bytes_read = atomic_load(&c->bytes_read),
	    .bytes_checked = atomic_load(&c->bytes_checked),
	    .damaged = atomic_load(&c->nr_events),
	    .healed = atomic_load(&c->nr_healed),
	    .mended = c->heal ? heal_mended(c->heal) : 0,
	    .hits = atomic_load(&c->hits),
	    .misses = atomic_load(&c->misses),
	    .blocks_ahead = atomic_load(&c->blocks_ahead),
	    .cache_bytes = cache_bytes(c->cache),
	    .index_written = atomic_load(&c->index_written),
	};
	if (!cat)
		return;
	if (stat(c->index_path, &st) == 0)
		out->index_bytes = (uint64_t)st.st_size;
	out->index_written += catalog_written(cat);
	if (catalog_count(cat, &out->chunks, &out->packs, NULL))
		out->chunks = out->packs = 0; /* busy: statistics are not worth an error */
	chunks_catalog_put(c);
}
