/* SPDX-License-Identifier: MIT */
/*
 * One pack: read here, its SHA-256 taken on the way, written there under a temporary name, synced, read back past the
 * cache, and only then given its name: so what has its name there can be counted on by the next sync.  Several are under way at once, so that reading, hashing, syncing and reading back go on side by side.
 */
#include <stdlib.h>

#include "store/base/digest.h"
#include "store/damage_internal.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/limits.h"
#include "store/sync_internal.h"

#define PIECE_LEN ((size_t)1 << 20)

struct copying {
	struct sync *y;
	struct backend_put *put;
	struct digest *digest;
	bool ended;		/* what failed is not the reading of what is here */
};

/* A parity_sink, too. */
static enum err_code add_piece(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct copying *c = ctx;
	enum err_code rc;

	digest_add(c->digest, buf, len);
	rc = c->y->far->backend->ops->put_add(c->put, buf, len, e);
	if (!rc)
		rc = sync_step(c->y, len, e);
	c->ended = c->ended || rc;
	return rc;
}

/* Of the one that is open, if one is. */
static void copying_release(struct copying *c)
{
	c->y->far->backend->ops->put_abort(c->put);
	digest_close(c->digest);
}

static enum err_code copying_begin(struct copying *c, struct sync *y, struct err *e)
{
	enum err_code rc;

	*c = (struct copying){ .y = y };
	rc = digest_open(&c->digest, e);
	if (!rc)
		rc = y->far->backend->ops->put_begin(y->far->backend, &c->put, e);
	c->ended = rc;
	return rc;
}

static enum err_code copying_commit(struct copying *c, const char *name, struct err *e)
{
	struct backend_put *put = c->put;
	enum err_code rc;

	c->put = NULL;
	rc = c->y->far->backend->ops->put_commit(put, name, e);
	c->ended = c->ended || rc;
	return rc;
}

/* Whether the medium gives what was put, before it gets its name. */
static enum err_code read_back(struct copying *c, const struct object_id *id, struct err *e)
{
	struct backend *b = c->y->far->backend;
	uint8_t *piece = malloc(PIECE_LEN);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "a pack");
	size_t n = PIECE_LEN;
	struct object_id is;

	for (uint64_t off = 0; !rc && n == PIECE_LEN; off += n) {
		rc = b->ops->put_get(c->put, off, piece, PIECE_LEN, &n, e);
		if (!rc)
			digest_add(c->digest, piece, n);
		if (!rc)
			rc = sync_step(c->y, 0, e);
	}
	free(piece);
	digest_finish(c->digest, &is);
	if (!rc && !id_eq(&is, id))
		rc = err_set(e, ERR_IO, "%s: what was written does not read back as it was: replace the drive",
			     c->y->far->path);
	c->ended = c->ended || rc;
	return rc;
}

typedef enum err_code piece_fn(void *ctx, const uint8_t *buf, size_t len, struct err *e);

static enum err_code read_pieces(struct sync *y, struct backend *b, const char *name, piece_fn *fn,
				 void *ctx, struct err *e)
{
	size_t want = rate_piece(&y->rate, PIECE_LEN), n = want;
	uint8_t *piece = malloc(want);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "%s", name);

	for (uint64_t off = 0; !rc && n == want; off += n) {
		rc = b->ops->get(b, name, off, piece, want, &n, e);
		if (!rc && off + n > PACK_LEN_MAX)
			rc = err_set(e, ERR_CORRUPT, "%s is longer than any pack", name);
		if (!rc && n > 0)
			rc = fn(ctx, piece, n, e);
	}
	free(piece);
	return rc;
}

/* What the medium did, and not the whole of it being away. */
static bool is_damage(enum err_code rc)
{
	return rc == ERR_IO || rc == ERR_CORRUPT || rc == ERR_INCOMPLETE || rc == ERR_LIMIT ||
	       rc == ERR_NOT_FOUND;
}

struct summing {
	struct sync *y;
	struct digest *digest;
	bool counts;		/* for the progress and the limit */
	bool ended;
};

static enum err_code sum_piece(void *ctx, const uint8_t *buf, size_t len, struct err *e)
{
	struct summing *m = ctx;
	enum err_code rc;

	digest_add(m->digest, buf, len);
	rc = sync_step(m->y, m->counts ? len : 0, e);
	m->ended = rc;
	return rc;
}

static enum err_code pack_ok(struct sync *y, struct backend *b, const struct object_id *id,
			     bool counts, bool *ok, struct err *e)
{
	struct summing m = { .y = y, .counts = counts };
	char name[PACK_NAME_LEN + 1];
	struct object_id is;
	enum err_code rc = digest_open(&m.digest, e);

	*ok = false;
	if (rc)
		return rc;
	pack_name(id, name);
	rc = read_pieces(y, b, name, sum_piece, &m, e);
	if (!rc) {
		digest_finish(m.digest, &is);
		*ok = id_eq(&is, id);
	} else if (!m.ended && is_damage(rc)) {
		err_clear(e);
		rc = ERR_OK;
	}
	digest_close(m.digest);
	return rc;
}

enum err_code sync_pack_ok(struct sync *y, struct backend *b, const struct object_id *id, bool *ok,
			   struct err *e)
{
	return pack_ok(y, b, id, false, ok, e);
}

/* As it lies here.  ERR_CORRUPT, c->ended not set: its bytes are not those it is named after. */
static enum err_code copy_plain(struct copying *c, const struct object_id *id, const char *name,
				struct err *e)
{
	struct object_id is;
	enum err_code rc = read_pieces(c->y, c->y->s->backend, name, add_piece, c, e);

	if (rc)
		return rc;
	digest_finish(c->digest, &is);
	if (!id_eq(&is, id))
		return err_set(e, ERR_CORRUPT, "%s: its SHA-256 is not its name", name);
	rc = read_back(c, id, e);
	return rc ? rc : copying_commit(c, name, e);
}

/* As it was once written. */
static enum err_code copy_rebuilt(struct copying *c, const struct object_id *id, const char *name,
				  struct err *e)
{
	struct parity_report report = { .lost = 0 };
	struct object_id is;
	enum err_code rc = parity_rebuild(c->y->s->backend, id, add_piece, c, &report, e);

	if (!rc) {
		digest_finish(c->digest, &is);
		rc = read_back(c, id, e);
	}
	return rc ? rc : copying_commit(c, name, e);
}

static void count(struct sync *y, uint64_t *what, uint64_t n)
{
	sync_lock(y);
	*what += n;
	sync_unlock(y);
}

static enum err_code note_bad_there(struct sync *y, const struct object_id *id, struct err *e)
{
	bool bad;

	sync_lock(y);
	buf_add(&y->bad_there, id, sizeof(*id));
	bad = y->bad_there.bad;
	sync_unlock(y);
	return bad ? err_set(e, ERR_NOMEM, "a list of packs") : ERR_OK;
}

/* Neither it nor its parity can be read here.  What is there may still be whole. */
static enum err_code cannot_copy(struct sync *y, const struct sync_task *t, const char *name,
				 const struct err *why, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool ok = false;

	if (t->there.len != PACK_ABSENT)
		rc = sync_pack_ok(y, y->far->backend, &t->here.id, &ok, e);
	if (!rc && !ok && t->there.len != PACK_ABSENT)
		rc = note_bad_there(y, &t->here.id, e);
	if (rc)
		return rc;
	if (why->code == ERR_NOT_FOUND) {
		sync_lock(y);
		y->vanished = true;
		sync_unlock(y);
		return ERR_OK;
	}
	count(y, &y->res->damaged_packs, 1);
	store_event(y->s, EVENT_DAMAGE, name, why, ok ? "pack is damaged; the copy's is whole" :
		    "pack is damaged beyond its parity; what is whole of it is copied");
	return ERR_OK;
}

/* *copied: it is there now, read back. */
static enum err_code copy_pack(struct sync *y, const struct sync_task *t, bool *copied,
			       struct err *e)
{
	struct err why = ERR_INIT, again = ERR_INIT;
	char name[PACK_NAME_LEN + 1];
	struct copying c;
	bool healed = false;
	enum err_code rc = copying_begin(&c, y, &why);

	pack_name(&t->here.id, name);
	if (!rc)
		rc = copy_plain(&c, &t->here.id, name, &why);
	if (rc && !c.ended && is_damage(rc) && rc != ERR_NOT_FOUND) {
		copying_release(&c);
		rc = copying_begin(&c, y, &again);
		if (!rc)
			rc = copy_rebuilt(&c, &t->here.id, name, &again);
		healed = !rc;
		if (c.ended)
			why = again;
	}
	copying_release(&c);
	if (rc && (c.ended || !is_damage(rc))) {
		*e = why;
		return rc;
	}
	if (why.code && why.code != ERR_NOT_FOUND)
		chunks_queue_mend(y->s->chunks, &t->here.id);
	if (rc)
		return cannot_copy(y, t, name, &why, e);
	if (healed) {
		count(y, &y->res->healed_packs, 1);
		store_event(y->s, EVENT_DAMAGE, name, &why,
			    "pack is damaged; its parity gave the copy the right bytes");
	}
	count(y, &y->res->copied_packs, 1);
	count(y, &y->res->copied_bytes, t->here.len);
	*copied = true;
	return ERR_OK;
}

/* Parity: what cannot be copied is made anew from the pack there. */

static enum err_code parity_ok(struct sync *y, const struct sync_pack *here, bool *ok,
			       struct parity_report *report, struct err *e)
{
	enum err_code rc = parity_check_file(y->far->backend, &here->id, report, e);

	*ok = !rc && report->par_bad == 0 && !report->longer && report->pack_len == here->len;
	if (rc && is_damage(rc)) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

static enum err_code copy_parity_file(struct sync *y, const char *name, struct err *e)
{
	struct err why = ERR_INIT;
	struct copying c;
	enum err_code rc = copying_begin(&c, y, &why);

	if (!rc)
		rc = read_pieces(y, y->s->backend, name, add_piece, &c, &why);
	if (!rc)
		rc = copying_commit(&c, name, &why);
	copying_release(&c);
	if (rc && !c.ended && is_damage(rc))
		return ERR_OK;		/* found wanting in a moment */
	if (rc)
		*e = why;
	return rc;
}

static enum err_code step_read(void *ctx, size_t len, struct err *e)
{
	(void)len;
	return sync_step(ctx, 0, e);
}

static enum err_code copy_parity(struct sync *y, const struct sync_task *t, struct err *e)
{
	struct parity_report report = { .permille = 0 };
	char name[PARITY_NAME_LEN + 1];
	uint32_t permille;
	bool ok = false;
	enum err_code rc;

	parity_name(&t->here.id, name);
	rc = copy_parity_file(y, name, e);
	if (!rc)
		rc = parity_ok(y, &t->here, &ok, &report, e);
	if (rc)
		return rc;
	permille = report.permille ? report.permille : y->far->super.params.parity;
	if (!ok && permille > 0)
		rc = parity_write(y->far->backend, &t->here.id, permille, step_read, y, e);
	if (!rc)
		count(y, &y->res->copied_bytes, t->here.par_len);
	return rc;
}

/* Of a pack that is there, whole as far as is known. */
static enum err_code lacks_parity(struct sync *y, const struct sync_task *t, bool look, bool *lacks,
				  struct err *e)
{
	struct parity_report report = { .permille = 0 };
	bool ok = true;
	enum err_code rc = ERR_OK;

	*lacks = false;
	if (t->here.par_len == PACK_ABSENT)
		return ERR_OK;
	if (t->there.par_len != t->here.par_len)
		ok = false;
	else if (look)
		rc = parity_ok(y, &t->here, &ok, &report, e);
	*lacks = !ok;
	return rc;
}

static enum err_code check_there(struct sync *y, const struct sync_task *t, bool *ok, struct err *e)
{
	enum err_code rc = pack_ok(y, y->far->backend, &t->here.id, true, ok, e);

	if (!rc) {
		count(y, &y->res->checked_packs, 1);
		count(y, &y->res->checked_bytes, t->here.len);
	}
	return rc;
}

enum err_code sync_task_do(struct sync *y, const struct sync_task *t, struct err *e)
{
	bool same = t->here.len == t->there.len, ok = same, copied = false, lacks = false;
	bool doubted = sync_doubts(y, &t->here.id), look = y->o->check || doubted;
	char name[PACK_NAME_LEN + 1];
	enum err_code rc = ERR_OK;

	if (same && look)
		rc = check_there(y, t, &ok, e);
	if (!rc && !ok)
		rc = copy_pack(y, t, &copied, e);
	if (!rc && same && copied) {
		pack_name(&t->here.id, name);
		count(y, &y->res->mended_packs, 1);
		store_event(y->far, EVENT_WARNING, name, NULL, "was damaged; it is copied again");
	}
	if (!rc && doubted && (ok || copied))
		mended_note_pack(y->far, &t->here.id);
	if (!rc && (ok || copied))
		rc = lacks_parity(y, t, copied || look, &lacks, e);
	if (!rc && lacks) {
		count(y, &y->res->copied_parity, copied ? 0 : 1);
		rc = copy_parity(y, t, e);
	}
	return rc;
}
