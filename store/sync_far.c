/* SPDX-License-Identifier: MIT */
/* The other end: found, or made. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/hex.h"
#include "store/format/limits.h"
#include "store/replicas_internal.h"
#include "store/sync_internal.h"

/* What is told of the copy says so. */
static void on_far_event(void *ctx, const struct event *ev)
{
	const struct sync *y = ctx;
	struct event far = *ev;
	char text[1200];

	if (ev->kind != EVENT_PROGRESS) {
		(void)snprintf(text, sizeof(text), "in the copy: %s", ev->text ? ev->text : "");
		far.text = text;
	}
	if (y->s->events.fn)
		y->s->events.fn(y->s->events.ctx, &far);
}

/* The path dir has, or will have; malloc'ed.  ERR_ABSENT: what it is to lie in is not there. */
static enum err_code settled_path(const char *dir, char **out, struct err *e)
{
	char *path = realpath(dir, NULL), *parent = NULL, *base, *above = NULL;
	enum err_code rc = ERR_OK;

	if (path) {
		*out = path;
		return ERR_OK;
	}
	if (errno != ENOENT)
		return err_sys(e, "%s", dir);
	parent = strdup(dir);
	if (!parent)
		return err_set(e, ERR_NOMEM, "a path");
	for (size_t len = strlen(parent); len > 1 && parent[len - 1] == '/'; )
		parent[--len] = '\0';
	base = strrchr(parent, '/');
	if (base)
		*base++ = '\0';
	above = realpath(!base ? "." : *parent ? parent : "/", NULL);
	if (!above)
		rc = err_set(e, ERR_ABSENT, "the folder that %s is to lie in is not there (is the drive plugged in "
			     "and mounted?)", dir);
	else if (asprintf(out, "%s/%s", strcmp(above, "/") == 0 ? "" : above,
			  base ? base : parent) < 0)
		rc = err_set(e, ERR_NOMEM, "a path");
	free(parent);
	free(above);
	return rc;
}

static bool is_inside(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Where a copy was before, an empty folder is the mount point of a drive that is not there. */
static enum err_code not_there_before(struct sync *y, const char *path, struct err *e)
{
	char **known = NULL;
	size_t nr = 0;
	enum err_code rc;

	if (y->o->make_anew)
		return ERR_OK;
	rc = replicas_known(y->s, &known, &nr, e);
	for (size_t i = 0; i < nr && !rc; i++)
		if (strcmp(known[i], path) == 0)
			rc = err_set(e, ERR_ABSENT, "%s held a copy, and holds none now: is the drive plugged in and "
				     "mounted? (--new makes one there)", path);
	if (nr > 0 || known)
		replicas_free(known, nr);
	return rc;
}

/* The repository's own vouch.json, whichever of the two is whole. */
static enum err_code read_super(struct store *s, struct buf *text, struct err *e)
{
	static const char *const names[] = { "vouch.json", "copies/vouch.json" };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < 2; i++) {
		struct superblock super;

		buf_reset(text);
		rc = record_get(s->backend, names[i], RECORD_JSON_MAX, text, e);
		if (!rc)
			rc = superblock_decode(text->p, text->len, &super, e);
		if (!rc && memcmp(super.id, s->super.id, REPO_ID_LEN) != 0)
			rc = err_set(e, ERR_CORRUPT, "%s is another repository's", names[i]);
		if (!rc || rc == ERR_ABSENT || rc == ERR_NOMEM)
			break;
	}
	return rc;
}

/*
 * As store_create() does it.  From here on it is a repository, with all that its snapshots need: it has none.  Before
 * vouch.json is there the next sync begins anew.
 */
static enum err_code make_far(struct sync *y, const char *path, struct err *e)
{
	struct buf text = BUF_INIT;
	struct backend *b = NULL;
	enum err_code rc = read_super(y->s, &text, e);

	if (!rc)
		rc = file_backend_open(path, true, true, &io_system, &b, e);
	if (!rc)
		rc = record_put_readme(b, e);
	if (!rc)
		rc = b->ops->put(b, "vouch.json", text.p, text.len, e);
	if (!rc)
		rc = b->ops->put(b, "copies/vouch.json", text.p, text.len, e);
	if (b)
		b->ops->close(b);
	buf_release(&text);
	return rc;
}

static bool has_none(enum err_code rc)
{
	return rc == ERR_ABSENT || rc == ERR_NOT_FOUND;
}

/* What stands at dir is something else, as why says. */
static enum err_code is_other(const struct sync *y, const struct err *why, struct err *e)
{
	return err_set(e, ERR_USAGE, "%s; name an empty folder, or a copy of repository %s", why->msg,
		       y->s->id_text);
}

enum err_code sync_look_far(struct sync *y, const char *dir, struct backend **out, struct err *e)
{
	struct err why = ERR_INIT;
	char *path = NULL;
	enum err_code rc = settled_path(dir, &path, e);

	if (rc)
		return rc;
	rc = replica_open(y->s, path, out, &why);
	if (rc == ERR_ABSENT) {
		*out = NULL;
		rc = not_there_before(y, path, e);
	} else if (rc == ERR_NOT_FOUND) {
		rc = is_other(y, &why, e);
	} else if (rc) {
		*e = why;
	}
	free(path);
	return rc;
}

/* A copy, or nothing yet. */
static enum err_code find_or_make(struct sync *y, const char *path, bool *made, struct err *e)
{
	struct err why = ERR_INIT;
	struct backend *b = NULL;
	enum err_code rc = replica_open(y->s, path, &b, &why);

	*made = has_none(rc);
	if (b)
		b->ops->close(b);
	if (rc && !*made) {
		*e = why;
		return rc;
	}
	if (!*made)
		return ERR_OK;
	if (is_inside(path, y->s->path))
		return rc == ERR_NOT_FOUND ? is_other(y, &why, e) :
		       err_set(e, ERR_USAGE, "%s lies inside the repository", path);
	if (rc == ERR_ABSENT)
		rc = not_there_before(y, path, e);
	else
		rc = ERR_OK;
	if (!rc)
		rc = make_far(y, path, e);
	return rc == ERR_EXISTS ? is_other(y, &why, e) : rc;
}

enum err_code sync_open_far(struct sync *y, const char *dir, bool *made, struct err *e)
{
	char *path = NULL;
	enum err_code rc = settled_path(dir, &path, e);

	if (!rc)
		rc = find_or_make(y, path, made, e);
	y->far_events = (struct store_events){ .fn = on_far_event, .ctx = y };
	if (!rc)
		rc = store_open(path, STORE_WRITE, &y->far_events, &y->far, e);
	if (!rc && memcmp(y->far->super.id, y->s->super.id, REPO_ID_LEN) != 0)
		rc = err_set(e, ERR_USAGE, "%s is another repository by now", path);
	if (!rc) {
		y->far->backend->fresh = true;
		if (y->far->backend->behind)
			store_event(y->far, EVENT_NOTE, NULL, NULL,
				    "its medium is reached through %s, which may have a cache: what is read back "
				    "may not come from the medium", y->far->backend->behind);
	}
	free(path);
	return rc;
}
