/* SPDX-License-Identifier: MIT */
/* Getting a chunk: memory, the index's hints, packs that are not indexed, the listing anew, at last
 * every table. */
#include "store/engine/chunks_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"

#define HITS_MAX     16u
#define FILTER_BYTES (24u << 20)
#define SHORT_HEX    12

/* Why no copy could be had so far: the gravest that was met. */
struct trouble {
	enum err_code code;
	bool located; /* a table names the chunk: else the pack only might have had it */
	struct object_id pack;
	uint64_t off;
	struct err err;
};

static bool is_fatal(enum err_code rc)
{
	return rc == ERR_ABSENT || rc == ERR_NOMEM || rc == ERR_CANCELED;
}

static int gravity(enum err_code rc)
{
	return rc == ERR_OK ? 0 : rc == ERR_INCOMPLETE ? 1 : rc == ERR_CORRUPT ? 3 : 2;
}

static void note(struct chunks *c, struct trouble *t, uint32_t ord, bool located, uint64_t off,
		 const struct err *why)
{
	if (located < t->located ||
	    (located == t->located && gravity(why->code) <= gravity(t->code)))
		return;
	t->code = why->code;
	t->located = located;
	t->pack = chunks_pack_id(c, ord);
	t->off = off;
	t->err = *why;
}

/* Once a chunk in this process; where the set is full it begins anew. */
bool chunks_first_report(struct chunks *c, const struct object_id *id, bool add)
{
	static const struct object_id zero;
	uint32_t i;

	chunks_lock(c);
	if (add && c->nr_damaged >= DAMAGED_KEPT / 4 * 3) {
		for (i = 0; i < DAMAGED_KEPT; i++)
			c->damaged[i] = zero;
		c->nr_damaged = 0;
	}
	i = (uint32_t)id_key(id) & (DAMAGED_KEPT - 1);
	while (!id_eq(&c->damaged[i], &zero) && !id_eq(&c->damaged[i], id))
		i = (i + 1) & (DAMAGED_KEPT - 1);
	bool first = !id_eq(&c->damaged[i], id);
	if (first && add) {
		c->damaged[i] = *id;
		c->nr_damaged++;
	}
	chunks_unlock(c);
	return first;
}

static void report(struct chunks *c, const struct object_id *id, const struct trouble *t,
		   const struct err *e)
{
	struct chunk_damage d = {
	    .chunk = *id,
	    .pack = t->pack,
	    .off = t->off,
	    .what = e->msg,
	    .missing = e->code == ERR_NOT_FOUND || e->code == ERR_INCOMPLETE,
	};

	if (!chunks_first_report(c, id, true))
		return;
	atomic_fetch_add(&c->nr_events, 1);
	if (c->cfg.events.damage)
		c->cfg.events.damage(c->cfg.events.ctx, &d);
}

static bool check(struct chunks *c, struct cache_block *b, uint32_t off, uint32_t len,
		  uint32_t index, const struct object_id *id)
{
	struct object_id got;

	if (cache_block_checked(b, index))
		return true;
	digest_sha256(cache_block_plain(b) + off, len, &got);
	if (!id_eq(&got, id))
		return false;
	cache_block_set_checked(b, index);
	atomic_fetch_add(&c->bytes_checked, len);
	return true;
}

static bool from_cache(struct chunks *c, const struct object_id *id, struct chunk_ref *out)
{
	uint32_t off, len, index;
	struct cache_block *b = cache_find(c->cache, id, &off, &len, &index);

	if (!b)
		return false;
	if (!check(c, b, off, len, index, id)) {
		cache_block_put(c->cache, b);
		return false;
	}
	chunks_touch(c, b);
	*out = (struct chunk_ref){.data = cache_block_plain(b) + off, .len = len, .pin = b};
	return true;
}

/* A block that was in memory and proves wrong is read from the medium once more. */
static enum err_code try_place(struct chunks *c, uint32_t ord, const struct packtable *t,
			       const struct table_place *at, const struct object_id *id,
			       struct chunk_ref *out, struct err *e)
{
	const struct table_block *tb = &t->blocks[at->block];
	struct cache_block *b = NULL;
	bool fresh = false, again;
	enum err_code rc;

	while (!fresh) {
		rc = chunks_load_block(c, ord, t, at->block, c->whole, &b, &fresh, e);
		if (rc)
			return rc;
		/* Checked is given out: where that is to be once only, the block is read again. */
		again = c->fresh && !fresh && (cache_block_checked(b, at->index) ||
					       !chunks_is_fresh(c, ord, tb->off));
		if (!again && cache_block_len(b) == tb->plain_len &&
		    check(c, b, at->off, at->len, at->index, id)) {
			chunks_touch(c, b);
			*out = (struct chunk_ref){
			    .data = cache_block_plain(b) + at->off, .len = at->len, .pin = b};
			return ERR_OK;
		}
		cache_drop(c->cache, ord, tb->off);
		cache_block_put(c->cache, b);
	}
	return err_set(e, ERR_CORRUPT, "its SHA-256 is wrong");
}

/* A pack that is incomplete here may have the chunk in the part that is not. */
static enum err_code not_in(struct chunks *c, uint32_t ord, struct err *why)
{
	enum pack_state state;

	chunks_lock(c);
	state = packset_at(c->packs, ord)->state;
	chunks_unlock(c);
	return state == PACK_INCOMPLETE
		   ? err_set(why, ERR_INCOMPLETE, "the pack is incomplete here")
		   : ERR_NOT_FOUND;
}

/* ERR_NOT_FOUND: the pack does not have it, or is not here.  Damage is noted in t, and returned. */
static enum err_code try_pack(struct chunks *c, uint32_t ord, uint32_t hint,
			      const struct object_id *id, struct chunk_ref *out, struct trouble *t,
			      struct err *e)
{
	struct err why = ERR_INIT;
	struct table_place at;
	struct table *table = NULL;
	bool located = false;
	enum err_code rc;
	uint64_t off = 0;

	rc = chunks_load_table(c, ord, true, &table, &why);
	if (!rc) {
		if (!table_find(table_get(table), id, hint, &at)) {
			rc = not_in(c, ord, &why);
		} else {
			located = true;
			off = table_get(table)->blocks[at.block].off;
			rc = try_place(c, ord, table_get(table), &at, id, out, &why);
		}
		tables_release(c->tables, table);
	}
	if (rc && rc != ERR_NOT_FOUND && !is_fatal(rc))
		note(c, t, ord, located, off, &why);
	if (is_fatal(rc) && e)
		*e = why;
	return rc;
}

static bool settled(enum err_code rc)
{
	return rc == ERR_OK || is_fatal(rc);
}

/* The index's hints. ERR_NOT_FOUND where none of them held. */
static enum err_code try_hits(struct chunks *c, const struct object_id *id, struct chunk_ref *out,
			      struct trouble *t, struct err *e)
{
	struct catalog *cat = chunks_catalog_get(c);
	struct catalog_hit hits[HITS_MAX];
	enum err_code rc = ERR_NOT_FOUND;
	unsigned nr = 0;

	if (!cat)
		return ERR_NOT_FOUND;
	if (catalog_find(cat, id_key(id), hits, HITS_MAX, &nr, NULL))
		nr = 0; /* busy or broken: the listing anew finds out which */
	chunks_catalog_put(c);
	for (unsigned i = 0; i < nr && !settled(rc); i++) {
		uint32_t ord;

		chunks_lock(c);
		ord = packset_by_no(c->packs, hits[i].pack);
		chunks_unlock(c);
		if (ord != PACK_ORD_NONE)
			rc = try_pack(c, ord, hits[i].block, id, out, t, e);
	}
	return settled(rc) ? rc : ERR_NOT_FOUND;
}

/* Packs that are in no index: few, their tables mostly in memory. */
static enum err_code try_listed(struct chunks *c, enum which_packs which, const struct object_id *id,
				struct chunk_ref *out, struct trouble *t, struct err *e)
{
	uint32_t *ords = NULL;
	enum err_code rc;
	size_t nr = 0;

	rc = chunks_list_ords(c, which, &ords, &nr, e);
	if (rc)
		return rc;
	rc = ERR_NOT_FOUND;
	for (size_t i = 0; i < nr && !settled(rc); i++)
		rc = try_pack(c, ords[i], 0, id, out, t, e);
	free(ords);
	return settled(rc) ? rc : ERR_NOT_FOUND;
}

/* Packs that are not here, but whose parity is, or that a copy of the repository has. */
static enum err_code try_elsewhere(struct chunks *c, const struct object_id *id, bool look,
				   struct chunk_ref *out, struct trouble *t, struct err *e)
{
	if (!atomic_load(&c->healing))
		return ERR_NOT_FOUND;
	if (look) {
		chunks_mend_begin(c);
		chunks_find_elsewhere(c);
		chunks_mend_end(c);
	}
	return try_listed(c, PACKS_ELSEWHERE, id, out, t, e);
}

/* One table: does it have the chunk; and its keys go into f, where given. */
static enum err_code ask_table(struct chunks *c, uint32_t ord, const struct object_id *id,
			       struct filter *f, bool *has, struct err *e)
{
	struct table_place at;
	struct table *t = NULL;
	enum err_code rc;

	rc = chunks_load_table(c, ord, true, &t, e);
	if (rc) /* a pack without a table is odd, or in the index: it was asked */
		return is_fatal(rc) ? rc : ERR_OK;
	*has = table_find(table_get(t), id, 0, &at);
	chunks_lock(c);
	if (f) {
		for (uint32_t i = 0; i < table_get(t)->nr_chunks; i++)
			filter_add(f, id_key(&table_get(t)->chunks[i].id));
		packset_at(c->packs, ord)->keys_known = true;
	}
	chunks_unlock(c);
	tables_release(c->tables, t);
	return ERR_OK;
}

/* Mender: ask all tables, or those whose keys are not in the filter; *found is the first pack that
 * has it. */
static enum err_code walk_tables(struct chunks *c, const struct object_id *id, bool only_unknown,
				 struct filter *f, uint32_t *found, struct err *e)
{
	uint32_t *ords = NULL;
	enum err_code rc;
	bool has = false;
	size_t nr = 0;

	rc = chunks_list_ords(c, PACKS_HERE, &ords, &nr, e);
	for (size_t i = 0; i < nr && !rc && !has; i++) {
		bool known;

		chunks_lock(c);
		known = packset_at(c->packs, ords[i])->keys_known;
		chunks_unlock(c);
		if (only_unknown && known)
			continue;
		rc = ask_table(c, ords[i], id, f, &has, e);
		if (has)
			*found = ords[i];
	}
	free(ords);
	return rc;
}

/* Mender: the first missing chunk costs a walk of all tables, and leaves a filter of all their
 * keys. */
static enum err_code first_walk(struct chunks *c, const struct object_id *id, uint32_t *found,
				struct err *e)
{
	struct filter *f = NULL, *old;
	enum err_code rc;

	rc = filter_open(FILTER_BYTES, &f, e);
	if (rc)
		return rc;
	chunks_lock(c);
	for (uint32_t i = 0; i < packset_nr(c->packs); i++)
		packset_at(c->packs, i)->keys_known = false; /* not in this filter */
	chunks_unlock(c);
	rc = walk_tables(c, id, false, f, found, e);
	if (!rc && *found == PACK_ORD_NONE) {
		chunks_lock(c);
		old = c->filter;
		c->filter = f;
		c->filter_source = FILTER_TABLES;
		chunks_unlock(c);
		f = old;
	}
	filter_close(f);
	return rc;
}

/* Mender: the next ones mostly nothing. */
static enum err_code find_in_tables(struct chunks *c, const struct object_id *id, uint32_t *found,
				    struct err *e)
{
	enum err_code rc;
	bool perhaps;

	*found = PACK_ORD_NONE;
	if (c->filter_source != FILTER_TABLES)
		return first_walk(c, id, found, e);
	rc = walk_tables(c, id, true, c->filter, found, e);
	if (rc || *found != PACK_ORD_NONE)
		return rc;
	chunks_lock(c);
	perhaps = filter_has(c->filter, id_key(id));
	chunks_unlock(c);
	return perhaps ? walk_tables(c, id, false, NULL, found, e) : ERR_OK;
}

/* The index may be another's, or old: what it does not know, a table may.  Then it is made anew. */
static enum err_code search_all(struct chunks *c, const struct object_id *id, struct chunk_ref *out,
				struct trouble *t, struct err *e)
{
	uint32_t ord = PACK_ORD_NONE;
	bool indexed = false;
	enum err_code rc;

	chunks_mend_begin(c);
	rc = find_in_tables(c, id, &ord, e);
	if (!rc && ord != PACK_ORD_NONE) {
		chunks_lock(c);
		indexed = packset_at(c->packs, ord)->no != 0;
		chunks_unlock(c);
	}
	if (indexed)
		rc = chunks_index_renew(c, e);
	chunks_mend_end(c);
	if (rc)
		return rc;
	return ord == PACK_ORD_NONE ? ERR_NOT_FOUND : try_pack(c, ord, 0, id, out, t, e);
}

static enum err_code explain(struct chunks *c, const struct object_id *id, const struct trouble *t,
			     struct err *e)
{
	char chunk[ID_HEX_LEN + 1], pack[ID_HEX_LEN + 1];
	struct err why = ERR_INIT;

	id_hex(id, chunk);
	id_hex(&t->pack, pack);
	switch (t->code) {
	case ERR_OK:
	case ERR_NOT_FOUND:
		err_set(&why, ERR_NOT_FOUND, "chunk %.*s is in no pack that is here", SHORT_HEX,
			chunk);
		break;
	case ERR_INCOMPLETE:
		err_set(&why, ERR_INCOMPLETE,
			"chunk %.*s is not here; pack %.*s is incomplete (a copy under way, or cut "
			"short)",
			SHORT_HEX, chunk, SHORT_HEX, pack);
		break;
	default:
		why = t->err;
		pack[SHORT_HEX] = '\0';
		if (!strstr(why.msg, pack)) /* what the pack's reader says names it */
			err_prefix(&why, "pack %s, block at %" PRIu64, pack, t->off);
		err_prefix(&why, "chunk %.*s", SHORT_HEX, chunk);
	}
	report(c, id, t, &why);
	if (e)
		*e = why;
	return why.code;
}

enum err_code chunks_get(struct chunks *c, const struct object_id *id, struct chunk_ref *out,
			 struct err *e)
{
	bool again = true, known;
	struct trouble t;
	enum err_code rc;

	if (!c->fresh && from_cache(c, id, out)) {
		atomic_fetch_add_explicit(&c->hits, 1, memory_order_relaxed);
		return ERR_OK;
	}
	atomic_fetch_add_explicit(&c->misses, 1, memory_order_relaxed);
	known = !chunks_first_report(c, id, false);
	for (int round = 0; again; round++) {
		t = (struct trouble){0};
		rc = try_hits(c, id, out, &t, e);
		if (!settled(rc))
			rc = try_listed(c, PACKS_ODD, id, out, &t, e);
		if (!settled(rc))
			rc = try_elsewhere(c, id, false, out, &t, e);
		if (settled(rc))
			return rc;
		if (round > 0 || (known && t.located))
			break; /* damage that is known is not mended by looking */
		rc = chunks_look_again(c, &again, e);
		if (rc)
			return rc;
	}
	if (!t.located) {
		rc = search_all(c, id, out, &t, e);
		if (settled(rc) || (rc != ERR_NOT_FOUND && t.code == ERR_OK))
			return rc;
		rc = try_elsewhere(c, id, true, out, &t, e);
		if (settled(rc))
			return rc;
	}
	return explain(c, id, &t, e);
}

void chunk_ref_release(struct chunks *c, struct chunk_ref *r)
{
	if (r->pin)
		cache_block_put(c->cache, r->pin);
	*r = (struct chunk_ref){0};
}
