/* SPDX-License-Identifier: MIT */
/* Damaged blocks: told of; and what the packs here do not give, from their parity or a copy of the repository. */
#include "store/engine/chunks_impl.h"

#include <stdlib.h>

#include "store/engine/pack.h"
#include "store/engine/parity.h"

#define ELSEWHERE_MAX 256u	    /* packs: with more missing, the copy is the repository */
#define ELSEWHERE_NS  60000000000 /* between two looks for them */

/* A block is remembered as if it were a chunk, under a name that no chunk has. */
static struct object_id name_block(const struct object_id *pack, uint64_t off)
{
	struct object_id id = *pack;

	for (int i = 0; i < 8; i++)
		id.b[ID_LEN - 1 - i] ^= (uint8_t)(off >> (8 * i));
	return id;
}

void chunks_known_block(struct chunks *c, const struct object_id *pack, uint64_t off)
{
	const struct object_id id = name_block(pack, off);

	(void)chunks_first_report(c, &id, true);
}

/* Once a block, and once more where it is healed. */
void chunks_report_block(struct chunks *c, const struct object_id *pack, uint64_t off, bool table,
			 enum heal_source healed, const char *what)
{
	struct chunk_damage d = {
	    .pack = *pack,
	    .off = off,
	    .block = true,
	    .table = table,
	    .healed = healed,
	    .what = what ? what : "stored bytes changed after they were written",
	};

	d.chunk = name_block(pack, off);
	d.chunk.b[0] ^= (uint8_t)(table + 2 * (healed != HEAL_NONE));
	if (!chunks_first_report(c, &d.chunk, true))
		return;
	atomic_fetch_add(&c->nr_events, 1);
	if (healed != HEAL_NONE)
		atomic_fetch_add(&c->nr_healed, 1);
	if (c->cfg.events.damage)
		c->cfg.events.damage(c->cfg.events.ctx, &d);
}

/* The thread that mends: what is known of the pack is of a file that is no more. */
static void on_mended(void *ctx, const struct object_id *pack)
{
	struct chunks *c = ctx;
	struct pack_info *p;
	uint32_t ord;

	chunks_lock(c);
	ord = packset_find(c->packs, pack);
	if (ord != PACK_ORD_NONE) {
		p = packset_at(c->packs, ord);
		if (p->state == PACK_ELSEWHERE)
			c->nr_elsewhere--;
		if (!pack_is_here(p) && p->no == 0)
			c->nr_odd++;
		p->state = PACK_HERE;
		p->hopeless = p->scanned = false;
	}
	chunks_unlock(c);
	if (ord != PACK_ORD_NONE)
		tables_drop(c->tables, ord);
}

static void on_news(void *ctx, const struct heal_news *n)
{
	struct chunks *c = ctx;

	if (c->cfg.events.mended)
		c->cfg.events.mended(c->cfg.events.ctx, n);
}

enum err_code chunks_heal_open(struct chunks *c, struct err *e)
{
	struct heal_config cfg = {
	    .backend = c->backend,
	    .replicas = c->cfg.replicas,
	    .ctx = c,
	    .mended = on_mended,
	    .news = on_news,
	};

	return heal_open(&cfg, &c->heal, e);
}

void chunks_set_heal(struct chunks *c, bool heal, bool mend)
{
	uint32_t nr;

	atomic_store(&c->mend_packs, heal && mend);
	atomic_store(&c->healing, heal);
	if (!heal)
		return;
	/* What was found wanting while nothing healed is to be looked at anew. */
	chunks_lock(c);
	nr = packset_nr(c->packs);
	chunks_unlock(c);
	for (uint32_t ord = 0; ord < nr; ord++) {
		struct pack_info *p;
		bool wanting;

		chunks_lock(c);
		p = packset_at(c->packs, ord);
		wanting = p->scanned || p->state == PACK_BAD || p->state == PACK_INCOMPLETE;
		if (wanting)
			p->hopeless = p->scanned = false;
		chunks_unlock(c);
		if (wanting)
			tables_drop(c->tables, ord);
	}
}

/* Of the drive that is gone, and of memory, there is nothing to be healed. */
static bool may_heal(struct chunks *c, enum err_code why)
{
	return atomic_load(&c->healing) &&
	       (why == ERR_CORRUPT || why == ERR_INCOMPLETE || why == ERR_IO ||
		why == ERR_NOT_FOUND);
}

static const char *what_of(enum err_code why)
{
	switch (why) {
	case ERR_IO:
		return "the medium does not give what was stored";
	case ERR_INCOMPLETE:
		return "the pack is cut short";
	case ERR_NOT_FOUND:
		return "the pack is not there";
	default:
		return NULL;
	}
}

void chunks_queue_mend(struct chunks *c, const struct object_id *pack)
{
	if (atomic_load(&c->mend_packs))
		heal_queue(c->heal, pack);
}

static void was_healed(struct chunks *c, const struct object_id *pack, uint64_t off, bool table,
		       enum err_code why, enum heal_source from)
{
	const char *what = what_of(why);

	if (table && !what)
		what = "its table was damaged";
	chunks_report_block(c, pack, off, table, from, what);
	chunks_queue_mend(c, pack);
}

struct table_job {
	const struct object_id *id;
	struct packtable *t;
};

static enum err_code use_table(void *ctx, struct backend *source, struct err *e)
{
	const struct table_job *j = ctx;

	return pack_read_table(source, j->id, j->t, e);
}

bool chunks_heal_table(struct chunks *c, const struct object_id *id, enum err_code why,
		       struct packtable *t)
{
	struct table_job j = {.id = id, .t = t};
	enum heal_source from;

	if (!may_heal(c, why))
		return false;
	from = heal_try(c->heal, id, HEAL_TABLE, use_table, &j);
	/* Of a pack that is not here nobody knows yet whether it is wanted. */
	if (from != HEAL_NONE && why != ERR_NOT_FOUND)
		was_healed(c, id, 0, true, why, from);
	return from != HEAL_NONE;
}

struct block_job {
	struct chunks *c;
	const struct object_id *id;
	const struct packtable *t;
	uint32_t i;
	struct codec *codec;
	uint8_t *plain, *checked;
};

static enum err_code use_block(void *ctx, struct backend *source, struct err *e)
{
	struct block_job *j = ctx;
	const struct table_block *b = &j->t->blocks[j->i];
	enum err_code rc = pack_read_block(source, j->id, j->t, j->i, j->codec, j->plain, e);

	if (rc)
		return rc;
	free(j->checked);
	j->checked = chunks_check_all(j->c, &j->t->chunks[b->first_chunk], b->nr_chunks, j->plain);
	if (!j->checked)
		return err_set(e, ERR_NOMEM, "a block");
	for (uint32_t k = 0; k < b->nr_chunks; k++)
		if (!(j->checked[k / 8] >> k % 8 & 1))
			return err_set(e, ERR_CORRUPT, "its SHA-256 is wrong");
	return ERR_OK;
}

bool chunks_heal_block(struct chunks *c, const struct object_id *id, const struct packtable *t,
		       uint32_t i, enum err_code why, struct codec *codec, uint8_t **plain,
		       uint8_t **checked)
{
	const struct table_block *b = &t->blocks[i];
	struct block_job j = {.c = c, .id = id, .t = t, .i = i, .codec = codec};
	enum heal_source from;

	if (!may_heal(c, why))
		return false;
	/* Not into plain: what is in there may still be all that can be had. */
	j.plain = cache_buffer(c->cache, b->plain_len);
	if (!j.plain)
		return false;
	from = heal_try(c->heal, id, b->off, use_block, &j);
	if (from == HEAL_NONE) {
		free(j.plain);
		free(j.checked);
		return false;
	}
	free(*plain);
	*plain = j.plain;
	*checked = j.checked;
	was_healed(c, id, b->off, false, why, from);
	return true;
}

/* Looking for packs that are not here. */

struct search {
	struct chunks *c;
	bool parity; /* by the names of parity files, else of packs */
	struct object_id *ids;
	size_t nr;
};

static bool is_known_here(struct chunks *c, const struct object_id *id)
{
	uint32_t ord;
	bool here;

	chunks_lock(c);
	ord = packset_find(c->packs, id);
	here = ord != PACK_ORD_NONE && pack_is_here(packset_at(c->packs, ord));
	chunks_unlock(c);
	return here;
}

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct search *s = ctx;
	struct object_id id;

	(void)size;
	if (!(s->parity ? parity_name_parse(name, &id) : pack_name_parse(name, &id)) ||
	    is_known_here(s->c, &id))
		return true;
	for (size_t i = 0; i < s->nr; i++)
		if (id_eq(&s->ids[i], &id))
			return true;
	s->ids[s->nr++] = id;
	return s->nr < ELSEWHERE_MAX;
}

static enum err_code search_replica(void *ctx, struct backend *replica, struct err *e)
{
	struct search *s = ctx;
	enum err_code rc;

	if (s->nr == ELSEWHERE_MAX)
		return ERR_OK;
	rc = replica->ops->list(replica, "packs/", false, on_name, s, e);
	return rc ? rc : ERR_NOT_FOUND; /* the next may have others */
}

void chunks_find_elsewhere(struct chunks *c)
{
	struct search s = {.c = c, .parity = true};
	int64_t now = chunks_now_ns();
	bool lately;

	chunks_lock(c);
	lately = c->elsewhere_ns != 0 && now - c->elsewhere_ns < ELSEWHERE_NS;
	c->elsewhere_ns = lately ? c->elsewhere_ns : now;
	chunks_unlock(c);
	s.ids = lately ? NULL : malloc(ELSEWHERE_MAX * sizeof(*s.ids));
	if (!s.ids)
		return;
	/* What cannot be listed has nothing to offer; its turn comes again. */
	if (c->backend->ops->list(c->backend, "packs/", false, on_name, &s, NULL))
		s.nr = 0;
	s.parity = false;
	heal_each_replica(c->heal, search_replica, &s);
	chunks_lock(c);
	for (size_t i = 0; i < s.nr; i++) {
		uint32_t ord = packset_add(c->packs, &s.ids[i]);

		if (ord != PACK_ORD_NONE && packset_at(c->packs, ord)->state == PACK_GONE) {
			packset_at(c->packs, ord)->state = PACK_ELSEWHERE;
			c->nr_elsewhere++;
		}
	}
	chunks_unlock(c);
	free(s.ids);
}
