/* SPDX-License-Identifier: MIT */
/*
 * Snapshots, once the packs are there.  The tree of each is walked here, and each chunk that it needs and that no pack
 * there has (its pack was damaged here, or is condemned there, or went meanwhile) is read here and stored there in a new
 * pack.  Where that fails the snapshot stays out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/base/pool.h"
#include "store/damage_internal.h"
#include "store/engine/writer.h"
#include "store/forget.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/prune_internal.h"
#include "store/sync_internal.h"

#define PATH_LEN (sizeof("copies/snapshots/") + SNAPSHOT_NAME_LEN + sizeof(".json"))

struct walk {
	struct sync *y;
	struct live live;
	struct pool *pool;
	struct writer *writer;		/* NULL until something is lacking */
	struct sync_packs before;	/* there, when the writer was opened */
	bool ended;			/* what failed is not the reading of what is here */
};

/* What is lacking there. */

static enum err_code writer_begin(struct walk *w, struct err *e)
{
	struct sync *y = w->y;
	struct writer_config cfg = { .chunks = y->far->chunks, .backend = y->far->backend,
				     .params = y->far->super.params };
	unsigned nr = pool_nr_cpus();
	enum err_code rc = sync_packs_list(y->far->backend, &w->before, e);

	if (!rc)
		rc = pool_open(nr, 4 * (size_t)nr, &w->pool, e);
	cfg.pool = w->pool;
	return rc ? rc : writer_open(&cfg, &w->writer, e);
}

static void writer_end(struct walk *w)
{
	writer_close(w->writer);
	pool_close(w->pool);
	sync_packs_release(&w->before);
	w->writer = NULL;
	w->pool = NULL;
}

/* The new packs are read back like those that are copied. */
static enum err_code writer_seal(struct walk *w, struct err *e)
{
	struct sync_packs now = { .nr = 0 };
	struct sync *y = w->y;
	bool ok = true;
	enum err_code rc = ERR_OK;

	if (!w->writer)
		return rc;
	rc = writer_finish(w->writer, e);
	if (!rc)
		rc = sync_packs_list(y->far->backend, &now, e);
	for (size_t i = 0; i < now.nr && !rc; i++) {
		if (sync_packs_find(&w->before, &now.all[i].id))
			continue;
		rc = sync_pack_ok(y, y->far->backend, &now.all[i].id, &ok, e);
		if (!rc && !ok)
			rc = err_set(e, ERR_IO, "%s: what was written does not read back as it was: replace the "
				     "drive", y->far->path);
	}
	sync_packs_release(&now);
	writer_end(w);
	return rc;
}

static enum err_code store_chunk(struct walk *w, const struct object_id *id, bool node,
				 struct err *e)
{
	struct sync *y = w->y;
	struct chunk_ref ref = { 0 };
	enum err_code rc = chunks_get(y->s->chunks, id, &ref, e);

	if (rc)
		return rc;
	if (!w->writer)
		rc = writer_begin(w, e);
	if (!rc)
		rc = writer_put(w->writer, node ? PACK_TREE : PACK_DATA, id, ref.data,
				(uint32_t)ref.len, NULL, e);
	chunk_ref_release(y->s->chunks, &ref);
	w->ended = w->ended || rc;
	y->res->stored_chunks += !rc;
	return rc;
}

static enum err_code on_chunk(void *ctx, const struct object_id *id, bool node, struct err *e)
{
	struct walk *w = ctx;
	bool have = false;
	enum err_code rc = chunks_have(w->y->far->chunks, id, &have, NULL, e);

	if (rc) {
		w->ended = true;
		return rc;
	}
	return have ? ERR_OK : store_chunk(w, id, node, e);
}

/* Packs there that are not to be counted on are unknown from now on. */
static enum err_code look_there(struct sync *y, struct err *e)
{
	struct chunks *c = y->far->chunks;
	enum err_code rc = chunks_refresh(c, e);

	if (!rc)
		rc = chunks_condemn(c, y->condemned.packs, y->condemned.nr, e);
	if (!rc) {
		damage_flush(y->far);		/* what was mended is trusted again */
		rc = damage_doubt(y->far, e);
	}
	if (!rc && y->bad_there.len > 0)
		rc = chunks_condemn(c, (const struct object_id *)(const void *)y->bad_there.p,
				    y->bad_there.len / sizeof(struct object_id), e);
	return rc;
}

/* Their files. */

static bool is_fatal(enum err_code rc)
{
	return rc == ERR_ABSENT || rc == ERR_NOMEM || rc == ERR_CANCELED;
}

/* The bytes of a snapshot, from its file or its copy; ERR_NOT_FOUND: let go meanwhile. */
static enum err_code read_snapshot(struct sync *y, const struct snapshot *snap, struct buf *out,
				   struct err *e)
{
	static const char *const folders[] = { "snapshots/", "copies/snapshots/" };
	bool gone = true;
	enum err_code rc = ERR_OK;
	char path[PATH_LEN];

	for (size_t i = 0; i < 2; i++) {
		struct object_id is;

		(void)snprintf(path, sizeof(path), "%s%s.json", folders[i], snap->name);
		buf_reset(out);
		rc = record_get(y->s->backend, path, SNAPSHOT_JSON_MAX, out, e);
		if (is_fatal(rc))
			return rc;
		if (!rc)
			digest_sha256(out->p, out->len, &is);
		if (!rc && id_eq(&is, &snap->id))
			return ERR_OK;
		gone = gone && rc == ERR_NOT_FOUND;
	}
	return gone ? rc : err_set(e, ERR_CORRUPT, "%s is damaged", path);
}

/* I15: all that it needs was read back there.  look: files of its names may be there, damaged. */
static enum err_code publish(struct sync *y, const struct snapshot *snap, bool look, bool *put,
			     struct err *e)
{
	struct buf bytes = BUF_INIT;
	char path[PATH_LEN];
	enum err_code rc = read_snapshot(y, snap, &bytes, e);

	if (rc) {
		buf_release(&bytes);
		if (is_fatal(rc))
			return rc;
		if (rc != ERR_NOT_FOUND)
			store_event(y->s, EVENT_DAMAGE, NULL, e, "snapshot %s is not copied", snap->name);
		err_clear(e);
		return ERR_OK;
	}
	rc = heartbeat_check(y->heart, e);
	/* Its signature goes before it; it may have come since the others were copied. */
	(void)snprintf(path, sizeof(path), "snapshots/%s.sig", snap->name);
	if (!rc)
		rc = sync_record(y, path, e);
	(void)snprintf(path, sizeof(path), "snapshots/%s.json", snap->name);
	if (!rc)
		rc = sync_put_record(y, path, &bytes, look, put, e);
	(void)snprintf(path, sizeof(path), "copies/snapshots/%s.json", snap->name);
	if (!rc)
		rc = sync_put_record(y, path, &bytes, look, put, e);
	buf_release(&bytes);
	return rc;
}

/* Which. */

/* Of all that are listed there, sorted; malloc'ed. */
static enum err_code listed_there(struct sync *y, struct object_id **out, size_t *nr, struct err *e)
{
	struct snapshot_list l = { 0 };
	enum err_code rc = snapshot_list_read(y->far, &l, e);

	if (rc)
		return rc;
	*out = calloc(l.nr + 1, sizeof(**out));
	*nr = l.nr;
	if (!*out)
		rc = err_set(e, ERR_NOMEM, "%zu snapshots", l.nr);
	for (size_t i = 0; i < l.nr && !rc; i++)
		(*out)[i] = l.all[i].id;
	if (!rc)
		qsort(*out, l.nr, sizeof(**out), id_sort_cmp);
	snapshot_list_release(&l);
	return rc;
}

static bool has_record(struct backend *b, const struct object_id *id)
{
	char path[sizeof("forgotten/.json") + ID_HEX_LEN + 1], hex[ID_HEX_LEN + 1];
	uint64_t size;

	(void)snprintf(path, sizeof(path), "forgotten/%s.json", id_hex(id, hex));
	return b->ops->size(b, path, &size, NULL) == ERR_OK;
}

static enum err_code leave_out(struct walk *w, const struct snapshot *snap, struct err *e)
{
	store_event(w->y->s, EVENT_DAMAGE, NULL, e, "snapshot %s is left out of the copy: not all that it needs "
		    "can be read", snap->name);
	err_clear(e);
	w->y->res->left_out++;
	/* What was met on the way may be what is lacking: the next one looks again. */
	live_release(&w->live);
	return ERR_OK;
}

static enum err_code copy_one(struct walk *w, const struct snapshot *snap, struct err *e)
{
	struct sync *y = w->y;
	bool put = false;
	enum err_code rc = sync_step(y, 0, e);

	if (rc)
		return rc;
	rc = live_add_tree(y->s, &w->live, &snap->root, y->o->cancel, e);
	if (rc && !w->ended && !is_fatal(rc))
		return leave_out(w, snap, e);
	if (!rc)
		rc = writer_seal(w, e);
	if (!rc)
		rc = publish(y, snap, true, &put, e);
	y->res->copied_snapshots += put;
	return rc;
}

enum err_code sync_snapshots(struct sync *y, struct err *e)
{
	struct walk w = { .y = y };
	struct object_id *there = NULL;
	bool put = false;
	size_t nr = 0;
	enum err_code rc = look_there(y, e);

	w.live.on_chunk = on_chunk;
	w.live.ctx = &w;
	if (!rc)
		rc = digest_random(&w.live.seed, sizeof(w.live.seed), e);
	if (!rc)
		rc = listed_there(y, &there, &nr, e);
	for (size_t i = 0; i < y->here.nr && !rc; i++) {
		const struct snapshot *snap = &y->here.all[i];

		if (bsearch(&snap->id, there, nr, sizeof(*there), id_sort_cmp))	/* either of its two files may be lacking */
			rc = publish(y, snap, false, &put, e);
		else if (!has_record(y->far->backend, &snap->id))
			rc = copy_one(&w, snap, e);
	}
	y->res->records += put;
	writer_end(&w);
	live_release(&w.live);
	free(there);
	return rc;
}

enum err_code sync_count_snapshots(struct sync *y, struct backend *far, struct err *e)
{
	enum err_code rc = ERR_OK;
	char path[PATH_LEN];

	for (size_t i = 0; i < y->here.nr && !rc; i++) {
		const struct snapshot *snap = &y->here.all[i];
		uint64_t size;

		(void)snprintf(path, sizeof(path), "snapshots/%s.json", snap->name);
		if (has_record(y->s->backend, &snap->id) || (far && has_record(far, &snap->id)))
			continue;
		rc = far ? far->ops->size(far, path, &size, e) : ERR_NOT_FOUND;
		if (rc == ERR_NOT_FOUND) {
			err_clear(e);
			rc = ERR_OK;
			y->res->copied_snapshots++;
		}
	}
	return rc;
}

enum err_code sync_forget(struct sync *y, struct err *e)
{
	struct snapshot_list there = { 0 };
	enum err_code rc = snapshot_list_read(y->far, &there, e);

	for (size_t i = 0; i < there.nr && !rc; i++) {
		if (!has_record(y->far->backend, &there.all[i].id))
			continue;
		rc = snapshot_remove_files(y->far, there.all[i].name, e);
		y->res->forgotten += !rc;
	}
	snapshot_list_release(&there);
	return rc;
}
