/* SPDX-License-Identifier: MIT */
#include "store/engine/chunks_impl.h"

#include <stdlib.h>

#include "store/base/digest.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"

#define AHEAD_PART ((5u << 20) / 2) /* two blocks and a half of a usual MiB in memory for each that is fetched ahead */
#define FRESH_NS 250000000  /* what one block holds of a folder read in order is asked for sooner */
#define RETRY_NS 5000000000 /* a pack found wanting is looked at again, though its size stayed */

struct object_id chunks_pack_id(struct chunks *c, uint32_t ord)
{
	struct object_id id;

	chunks_lock(c);
	id = packset_at(c->packs, ord)->id;
	chunks_unlock(c);
	return id;
}

static bool is_among(const struct pack_info *p, enum which_packs which)
{
	switch (which) {
	case PACKS_ELSEWHERE:
		return p->state == PACK_ELSEWHERE;
	case PACKS_ODD:
		return pack_is_here(p) && p->no == 0;
	default:
		return pack_is_here(p);
	}
}

enum err_code chunks_list_ords(struct chunks *c, enum which_packs which, uint32_t **out, size_t *nr,
			       struct err *e)
{
	uint32_t *ords = NULL, total;
	size_t n = 0;

	chunks_lock(c);
	total = packset_nr(c->packs);
	if ((which == PACKS_ODD && c->nr_odd == 0) ||
	    (which == PACKS_ELSEWHERE && c->nr_elsewhere == 0))
		total = 0;
	if (total > 0)
		ords = malloc(total * sizeof(*ords));
	for (uint32_t i = 0; ords && i < total; i++)
		if (is_among(packset_at(c->packs, i), which))
			ords[n++] = i;
	chunks_unlock(c);
	if (total > 0 && !ords)
		return err_set(e, ERR_NOMEM, "%u packs", total);
	*out = ords;
	*nr = n;
	return ERR_OK;
}

/* What is known of the pack without asking the medium: ERR_OK where it must be asked, here or *elsewhere. */
static enum err_code known_state(struct chunks *c, uint32_t ord, struct object_id *id,
				 bool *elsewhere, struct err *e)
{
	struct pack_info p;

	chunks_lock(c);
	p = *packset_at(c->packs, ord);
	chunks_unlock(c);
	*id = p.id;
	*elsewhere = p.state == PACK_ELSEWHERE;
	if (p.state == PACK_GONE)
		return err_set(e, ERR_NOT_FOUND, "the pack is not here");
	if (!p.hopeless)
		return ERR_OK;
	return p.state == PACK_INCOMPLETE
		   ? err_set(e, ERR_INCOMPLETE, "the pack is incomplete here")
		   : err_set(e, ERR_CORRUPT, "the pack has no table");
}

static void set_state(struct chunks *c, uint32_t ord, enum pack_state state, bool hopeless,
		      bool scanned)
{
	struct object_id id = chunks_pack_id(c, ord);
	char name[PACK_NAME_LEN + 1];
	struct pack_info *p;
	uint64_t size = 0;

	pack_name(&id, name);
	if ((state == PACK_INCOMPLETE || state == PACK_BAD) &&
	    c->backend->ops->size(c->backend, name, &size, NULL))
		size = 0;
	chunks_lock(c);
	p = packset_at(c->packs, ord);
	p->state = state;
	p->hopeless = hopeless;
	p->scanned = scanned;
	p->size_seen = size;
	p->retry_ns = chunks_now_ns() + RETRY_NS;
	chunks_unlock(c);
}

/*
 * Blocks say what they are, so those that are there can be found without the
 * table.  Why it could not be read (why, and e) stays the answer where none is.
 */
static enum err_code scan(struct chunks *c, uint32_t ord, const struct object_id *id,
			  enum err_code why, struct packtable *pt, struct err *e)
{
	enum pack_state state = why == ERR_INCOMPLETE ? PACK_INCOMPLETE : PACK_HERE;
	struct err scan_e = ERR_INIT;
	enum err_code rc;

	rc = pack_rescan(c->backend, id, pt, &scan_e);
	if (rc == ERR_ABSENT || rc == ERR_NOMEM) {
		if (e)
			*e = scan_e;
		return rc;
	}
	if (rc && state == PACK_HERE)
		state = PACK_BAD;
	set_state(c, ord, state, rc != ERR_OK, true);
	return rc ? why : ERR_OK;
}

/* From the pack, or what heals it, or its blocks. */
static enum err_code read_table(struct chunks *c, uint32_t ord, bool scan_incomplete,
				struct packtable *pt, struct err *e)
{
	struct object_id id;
	enum err_code rc;
	bool elsewhere;

	rc = known_state(c, ord, &id, &elsewhere, e);
	if (rc)
		return rc;
	rc = elsewhere ? err_set(e, ERR_NOT_FOUND, "the pack is not here")
		       : pack_read_table(c->backend, &id, pt, e);
	if (rc == ERR_NOT_FOUND && !elsewhere)
		set_state(c, ord, PACK_GONE, false, false);
	else if (rc && chunks_heal_table(c, &id, rc, pt))
		rc = ERR_OK;
	else if (rc == ERR_INCOMPLETE && !scan_incomplete)
		set_state(c, ord, PACK_INCOMPLETE, false, false);
	else if (rc == ERR_CORRUPT || rc == ERR_INCOMPLETE)
		rc = scan(c, ord, &id, rc, pt, e);
	return rc;
}

enum err_code chunks_load_table(struct chunks *c, uint32_t ord, bool scan_incomplete,
				struct table **out, struct err *e)
{
	struct table *t = tables_get(c->tables, ord);
	struct packtable pt = {0};
	enum err_code rc;

	if (t) {
		*out = t;
		return ERR_OK;
	}
	rc = read_table(c, ord, scan_incomplete, &pt, e);
	if (rc)
		return rc;
	t = tables_put(c->tables, ord, &pt);
	if (!t)
		return err_set(e, ERR_NOMEM, "a pack's table");
	err_clear(e);
	*out = t;
	return ERR_OK;
}

static enum err_code codec_take(struct chunks *c, struct codec **out, struct err *e)
{
	struct codec *codec = NULL;

	chunks_lock(c);
	if (c->nr_codecs > 0)
		codec = c->codecs[--c->nr_codecs];
	chunks_unlock(c);
	if (!codec)
		return codec_open(1, out, e);
	*out = codec;
	return ERR_OK;
}

static void codec_give(struct chunks *c, struct codec *codec)
{
	chunks_lock(c);
	if (c->nr_codecs < CODECS_KEPT) {
		c->codecs[c->nr_codecs++] = codec;
		codec = NULL;
	}
	chunks_unlock(c);
	codec_close(codec);
}

uint8_t *chunks_check_all(struct chunks *c, const struct chunk_desc *chunks, uint32_t nr,
			  const uint8_t *plain)
{
	uint8_t *checked = calloc(nr / 8 + 1, 1);
	struct digest_job *jobs = calloc(nr + 1, sizeof(*jobs));
	struct object_id *got = malloc((nr + 1) * sizeof(*got));
	uint64_t good = 0;

	if (!checked || !jobs || !got) {
		free(checked);
		checked = NULL;		/* each is checked when it is asked for */
		goto out;
	}
	for (uint32_t i = 0; i < nr; plain += chunks[i++].len)
		jobs[i] = (struct digest_job){ .buf = plain, .len = chunks[i].len, .out = &got[i] };
	digest_sha256_many(jobs, nr);
	for (uint32_t i = 0; i < nr; i++) {
		if (!id_eq(&got[i], &chunks[i].id))
			continue;
		checked[i / 8] |= (uint8_t)(1u << i % 8);
		good += chunks[i].len;
	}
	atomic_fetch_add(&c->bytes_checked, good);
out:
	free(jobs);
	free(got);
	return checked;
}

/* From the medium into the cache. */
static enum err_code read_block(struct chunks *c, uint32_t ord, const struct packtable *t,
				uint32_t i, bool check_all, struct cache_block **out, struct err *e)
{
	const struct chunk_desc *chunks = &t->chunks[t->blocks[i].first_chunk];
	const struct table_block *b = &t->blocks[i];
	struct object_id id = chunks_pack_id(c, ord);
	struct codec *codec = NULL;
	uint8_t *plain = NULL, *checked = NULL;
	enum err_code rc;
	bool damaged;

	if (b->plain_len == 0 || b->plain_len > BLOCK_PLAIN_MAX)
		return err_set(e, ERR_CORRUPT, "block of %u bytes", b->plain_len);
	rc = codec_take(c, &codec, e);
	if (rc)
		return rc;
	plain = cache_buffer(c->cache, b->plain_len);
	if (!plain) {
		rc = err_set(e, ERR_NOMEM, "block of %u bytes", b->plain_len);
		goto out;
	}
	/* Each chunk is checked now, or when it is asked for: the damaged ones are told apart then. */
	rc = pack_salvage_block(c->backend, &id, t, i, codec, plain, &damaged, e);
	if ((rc || damaged) &&
	    chunks_heal_block(c, &id, t, i, rc ? rc : ERR_CORRUPT, codec, &plain, &checked)) {
		rc = ERR_OK;
		err_clear(e);
	} else if (damaged) {
		chunks_report_block(c, &id, b->off, false, HEAL_NONE, NULL);
	}
	if (rc)
		goto out;
	atomic_fetch_add(&c->blocks_read, 1);
	atomic_fetch_add(&c->bytes_read, b->stored_len);
	if (check_all && !checked)
		checked = chunks_check_all(c, chunks, b->nr_chunks, plain);
	*out = cache_put_checked(c->cache, ord, b->off, plain, b->plain_len, chunks, b->nr_chunks,
				 checked);
	plain = NULL;
	if (!*out)
		rc = err_set(e, ERR_NOMEM, "block of %u bytes", b->plain_len);
out:
	free(checked);
	free(plain);
	codec_give(c, codec);
	return rc;
}

void chunks_set_whole(struct chunks *c)
{
	c->whole = true;
}

void chunks_set_cache(struct chunks *c, size_t bytes)
{
	cache_set_max(c->cache, bytes);
}

static struct flight *find_flight(struct chunks *c, uint32_t ord, uint32_t off)
{
	struct flight *f = c->flights;

	while (f && (f->ord != ord || f->off != off))
		f = f->next;
	return f;
}

static void end_flight(struct chunks *c, const struct flight *mine)
{
	struct flight **at = &c->flights;

	chunks_lock(c);
	while (*at != mine)
		at = &(*at)->next;
	*at = mine->next;
	if (pthread_cond_broadcast(&c->landed) != 0)
		abort();
	chunks_unlock(c);
}

void chunks_note_fresh(struct chunks *c, uint32_t ord, uint32_t off)
{
	if (!c->fresh)
		return;
	chunks_lock(c);
	c->fresh_blocks[c->next_fresh++ % FRESH_KEPT] = (struct fresh_block){
	    .ord = ord, .off = off, .read_ns = chunks_now_ns()};
	chunks_unlock(c);
}

bool chunks_is_fresh(struct chunks *c, uint32_t ord, uint32_t off)
{
	int64_t since = chunks_now_ns() - FRESH_NS;
	bool found = false;

	chunks_lock(c);
	for (unsigned i = 0; i < FRESH_KEPT && !found; i++)
		found = c->fresh_blocks[i].ord == ord && c->fresh_blocks[i].off == off &&
			c->fresh_blocks[i].read_ns > since;
	chunks_unlock(c);
	return found;
}

/*
 * Blocks are known to the cache by their place in the pack, not by their
 * ordinal: that may change where a pack without a table was scanned.
 */
enum err_code chunks_load_block(struct chunks *c, uint32_t ord, const struct packtable *t,
				uint32_t i, bool check_all, struct cache_block **out, bool *fresh,
				struct err *e)
{
	struct flight mine = {.ord = ord, .off = t->blocks[i].off};
	struct cache_block *b;
	enum err_code rc;

	chunks_lock(c);
	for (;;) {
		b = cache_get(c->cache, ord, mine.off);
		if (b)
			break;
		if (!find_flight(c, ord, mine.off)) {
			mine.next = c->flights;
			c->flights = &mine;
			break;
		}
		if (pthread_cond_wait(&c->landed, &c->mutex) != 0)
			abort();
	}
	chunks_unlock(c);
	*fresh = !b;
	if (b) {
		*out = b;
		return ERR_OK;
	}
	rc = read_block(c, ord, t, i, check_all, out, e);
	if (!rc)
		chunks_note_fresh(c, ord, mine.off);
	end_flight(c, &mine);
	return rc;
}

/* A prefetching thread's: whoever comes for the block meanwhile waits for it as for any that is on its way. */
static void load_ahead(void *ctx, uint32_t ord, uint32_t block)
{
	struct cache_block *b = NULL;
	struct chunks *c = ctx;
	struct table *t = NULL;
	bool fresh;

	if (chunks_load_table(c, ord, false, &t, NULL))
		return;
	/* What cannot be read is found out again, and told of, by who wants it. */
	if (block < table_get(t)->nr_blocks &&
	    !chunks_load_block(c, ord, table_get(t), block, true, &b, &fresh, NULL)) {
		if (fresh)
			atomic_fetch_add_explicit(&c->blocks_ahead, 1, memory_order_relaxed);
		cache_block_put(c->cache, b);
	}
	tables_release(c->tables, t);
}

enum err_code chunks_prefetch(struct chunks *c, unsigned nr_threads, struct err *e)
{
	/* What was fetched must still be there when it is come to. */
	unsigned ahead = (unsigned)(cache_max(c->cache) / AHEAD_PART);

	return prefetch_open(nr_threads, ahead ? ahead : 1, load_ahead, c, &c->prefetch, e);
}

/* The block of a table that begins at off; nr_blocks where there is none. */
static uint32_t block_at(const struct packtable *t, uint32_t off)
{
	uint32_t lo = 0, hi = t->nr_blocks;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->blocks[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nr_blocks && t->blocks[lo].off == off ? lo : t->nr_blocks;
}

void chunks_touch(struct chunks *c, struct cache_block *b)
{
	uint32_t ord, off, i, nr;
	struct table *t;

	if (!c->prefetch || !cache_block_touch(b))
		return;
	cache_block_place(b, &ord, &off);
	t = tables_get(c->tables, ord);
	if (!t)		/* it had to go for others: this much memory is not there */
		return;
	nr = table_get(t)->nr_blocks;
	i = block_at(table_get(t), off);
	tables_release(c->tables, t);
	if (i < nr)
		prefetch_touch(c->prefetch, ord, i, nr);
}
