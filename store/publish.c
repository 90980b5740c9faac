/* SPDX-License-Identifier: MIT */
/*
 * A snapshot becomes part of the repository: all it refers to is sealed already (the caller's
 * part), so the put of snapshots/NAME.json is the commit point.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/forget.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/internal.h"
#include "store/snapshot.h"

/** This writer's newest, listed or let go. */
struct newest {
	const uint8_t *writer;
	bool found;
	uint64_t seq;
	struct object_id id;
};

static void consider(struct newest *n, const uint8_t writer[16], uint64_t seq,
		     const struct object_id *id)
{
	if (memcmp(writer, n->writer, 16) != 0 || (n->found && seq <= n->seq))
		return;
	n->found = true;
	n->seq = seq;
	n->id = *id;
}

static enum err_code on_forgotten(void *ctx, const struct forgotten *f, struct err *e)
{
	(void)e;
	consider(ctx, f->writer, f->seq, &f->id);
	return ERR_OK;
}

/** Take the place after this writer's newest. */
static enum err_code chain(struct store *s, struct snapshot *snap, struct err *e)
{
	struct newest newest = { .writer = snap->writer };
	struct snapshot_list l = { 0 };
	enum err_code rc;

	rc = snapshot_list_read(s, &l, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < l.nr; i++)
		consider(&newest, l.all[i].writer, l.all[i].seq, &l.all[i].id);
	rc = forgotten_each(s, on_forgotten, &newest, e);
	snap->has_previous = newest.found;
	snap->seq = newest.found ? newest.seq + 1 : 1;
	if (newest.found)
		snap->previous = newest.id;
	if (!rc && snap->seq == 0)
		rc = err_set(e, ERR_LIMIT, "this writer's snapshots cannot be counted any more");
	snapshot_list_release(&l);
	return rc;
}

static enum err_code put_snapshot(struct store *s, const char *name, const struct buf *b,
				  struct err *e)
{
	char path[64 + SNAPSHOT_NAME_LEN], copy[64 + SNAPSHOT_NAME_LEN];
	struct backend *be = s->backend;
	enum err_code rc;

	(void)snprintf(path, sizeof(path), "snapshots/%s.json", name);
	(void)snprintf(copy, sizeof(copy), "copies/snapshots/%s.json", name);
	rc = be->ops->put(be, path, b->p, b->len, e);
	if (rc)
		return rc;
	/*
	 * Committed.  Saying "failed" now would have the caller report a backup that is listed
	 * as not made.
	 */
	if (be->ops->put(be, copy, b->p, b->len, e)) {
		store_event(s, EVENT_WARNING, copy, e, "the snapshot has no second copy");
		err_clear(e);
	}
	return ERR_OK;
}

enum err_code snapshot_publish(struct store *s, struct snapshot *snap, struct err *e)
{
	struct snapshot back = { .name = NULL };
	struct buf b = BUF_INIT;
	int lock_fd = -1;
	enum err_code rc;

	rc = writer_identity(s, snap->writer, &lock_fd, e);
	if (rc)
		return rc;
	rc = chain(s, snap, e);
	if (rc)
		goto out;
	snaprec_encode(snap, &b);
	if (b.bad) {
		rc = err_set(e, ERR_NOMEM, "a snapshot's record");
		goto out;
	}
	/* What could not be read back must not be published. */
	if (b.len > SNAPSHOT_JSON_MAX)
		rc = err_set(e, ERR_LIMIT, "a record of %zu bytes; %u are allowed", b.len,
			     SNAPSHOT_JSON_MAX);
	else
		rc = snaprec_decode(b.p, b.len, &back, e);
	if (!rc)
		rc = put_snapshot(s, back.name, &b, e);
	if (rc)
		goto out;
	snap->id = back.id;
	free(snap->name);
	snap->name = back.name;
	back.name = NULL;
out:
	if (lock_fd >= 0)
		(void)close(lock_fd);
	snapshot_release(&back);
	buf_release(&b);
	if (rc)
		err_prefix(e, "publish the snapshot");
	return rc;
}
