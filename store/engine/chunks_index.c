/* SPDX-License-Identifier: MIT */
/* Which index is used: the file, the file made anew, or one in memory. All of it is the mender's.
 */
#include "store/engine/chunks_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base/checked.h"

#define RENEWALS_MAX 2u	 /* index files made anew before one in memory is used */
#define ODD_MAX	     64u /* packs that may stay out of an index that cannot be written */

/* The catalog changes hands when nobody is inside it. */
static void install(struct chunks *c, struct catalog *next)
{
	chunks_lock(c);
	c->catalog = next;
	c->catalog_lost = !next;
	packset_forget_nos(c->packs);
	if (pthread_cond_broadcast(&c->changed) != 0)
		abort();
	chunks_unlock(c);
}

static void uninstall(struct chunks *c)
{
	struct catalog *old;

	chunks_lock(c);
	old = c->catalog;
	c->catalog = NULL;
	while (c->catalog_users > 0)
		if (pthread_cond_wait(&c->changed, &c->mutex) != 0)
			abort();
	chunks_unlock(c);
	if (old)
		atomic_fetch_add(&c->index_written, catalog_written(old));
	catalog_close(old);
}

/* Disposable: what cannot be deleted will be refused again, and one in memory used. */
static void delete_index(struct chunks *c)
{
	static const char *const beside[] = {"", "-journal", "-wal", "-shm"};
	char name[4200];

	for (size_t i = 0; i < ARRAY_LEN(beside); i++)
		if (snprintf(name, sizeof(name), "%s%s", c->index_path, beside[i]) <
		    (int)sizeof(name))
			(void)unlink(name);
}

enum err_code chunks_index_private(struct chunks *c, struct err *e)
{
	struct catalog *cat = NULL;
	enum err_code rc = catalog_open(":memory:", c->cfg.repo_id, false, &cat, e);

	c->catalog_private = true;
	install(c, cat);
	return rc;
}

static enum err_code open_file(struct chunks *c, struct catalog **out, struct err *e)
{
	enum err_code rc;

	rc = catalog_open(c->index_path, c->cfg.repo_id, c->cfg.index_read_only, out, e);
	if (rc == ERR_CORRUPT && !c->cfg.index_read_only) {
		delete_index(c);
		rc = catalog_open(c->index_path, c->cfg.repo_id, false, out, e);
	} else if (rc == ERR_IO && !c->cfg.index_read_only) {
		/* A medium that turned out to be read-only may still hold a good one. */
		rc = catalog_open(c->index_path, c->cfg.repo_id, true, out, e);
	}
	return rc;
}

static enum err_code make_private(struct chunks *c, struct err *e)
{
	uninstall(c);
	return chunks_index_private(c, e);
}

enum err_code chunks_index_open(struct chunks *c, struct err *e)
{
	enum err_code rc, index_rc = ERR_OK;
	struct catalog *cat = NULL;

	rc = open_file(c, &cat, e);
	if (rc == ERR_NOMEM)
		return rc;
	if (rc) {
		rc = chunks_index_private(c, e);
		if (rc)
			return rc;
	} else {
		install(c, cat);
	}
	rc = chunks_reconcile_once(c, &index_rc, e);
	if (!rc && index_rc == ERR_CORRUPT && !c->catalog_private)
		return chunks_index_renew(c, e);
	if (!rc && index_rc && !c->catalog_private) {
		rc = make_private(c, e);
		if (!rc)
			rc = chunks_reconcile_once(c, &index_rc, e);
	}
	return rc;
}

enum err_code chunks_index_renew(struct chunks *c, struct err *e)
{
	enum err_code rc, index_rc = ERR_OK;
	struct catalog *cat = NULL;

	uninstall(c);
	if (!c->catalog_private && !c->cfg.index_read_only && c->renewals < RENEWALS_MAX) {
		c->renewals++;
		delete_index(c);
		rc = catalog_open(c->index_path, c->cfg.repo_id, false, &cat, e);
		if (!rc)
			install(c, cat);
		else
			rc = chunks_index_private(c, e);
	} else {
		rc = chunks_index_private(c, e);
	}
	if (!rc)
		rc = chunks_reconcile_once(c, &index_rc, e);
	if (!rc && index_rc && !c->catalog_private) {
		rc = make_private(c, e);
		if (!rc)
			rc = chunks_reconcile_once(c, &index_rc, e);
	}
	return rc;
}

enum err_code chunks_reconcile(struct chunks *c, struct err *e)
{
	enum err_code rc, index_rc = ERR_OK;
	uint32_t odd;

	rc = chunks_reconcile_once(c, &index_rc, e);
	if (rc || !index_rc)
		return rc;
	if (index_rc == ERR_CORRUPT)
		return chunks_index_renew(c, e);
	/* Busy, full: a few packs are searched by their tables; many deserve an index. */
	chunks_lock(c);
	odd = c->nr_odd;
	chunks_unlock(c);
	if (odd <= ODD_MAX || c->catalog_private)
		return ERR_OK;
	rc = make_private(c, e);
	return rc ? rc : chunks_reconcile_once(c, &index_rc, e);
}

enum err_code chunks_sizes(struct chunks *c, chunks_size_fn *fn, void *ctx, struct err *e)
{
	struct catalog *cat = chunks_catalog_get(c);
	struct catalog_pack *rows = NULL;
	enum err_code rc;
	size_t nr = 0;

	if (!cat)
		return ERR_OK;
	rc = catalog_packs(cat, &rows, &nr, e);
	chunks_catalog_put(c);
	for (size_t i = 0; i < nr && !rc; i++) {
		uint32_t ord;
		bool here;

		chunks_lock(c);
		ord = packset_find(c->packs, &rows[i].id);
		here = ord != PACK_ORD_NONE && pack_is_here(packset_at(c->packs, ord));
		chunks_unlock(c);
		if (here)
			rc = fn(ctx, &rows[i].id, rows[i].len, e);
	}
	free(rows);
	return rc;
}

enum err_code chunks_history_stale(struct chunks *c, const char *stamp, bool *stale, struct err *e)
{
	struct catalog *cat = chunks_catalog_get(c);
	enum err_code rc;

	*stale = false;
	if (!cat)
		return ERR_OK;
	rc = catalog_history_stale(cat, stamp, stale, e);
	chunks_catalog_put(c);
	return rc;
}

enum err_code chunks_set_history(struct chunks *c, const char *stamp,
				 const struct catalog_backup *rows, size_t nr, struct err *e)
{
	struct catalog *cat = chunks_catalog_get(c);
	enum err_code rc;

	if (!cat)
		return ERR_OK;
	rc = catalog_set_history(cat, stamp, rows, nr, e);
	chunks_catalog_put(c);
	return rc;
}
