/* SPDX-License-Identifier: MIT */
/*
 * versions/PATH/DATE.  Every path below versions/ that some snapshot has is a folder, found by name though not listed;
 * what it lists is a link for each distinct version, DATE being the first snapshot that has it.
 *
 * A path has no number to compute, so that the paths in use stand in a table, the oldest making room.  Who still holds
 * the node of one that went gets ESTALE, and the kernel looks it up anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control_impl.h"
#include "fs/versions.h"
#include "store/base/checked.h"

#define PATHS		4096u	/* half a MiB with paths of the usual lengths */
#define PATH_LEN_MAX	4096u	/* what a program can name */

/* A folder (no shown), or a link in it. */
struct place {
	uint64_t nr;		/* its node id's; 0: empty */
	uint64_t key;		/* hash of both */
	char *path;		/* len bytes, and a NUL behind */
	size_t len;
	char shown[SNAP_NAME_MAX];
	struct vtime taken;	/* links: when the snapshot was */
};

struct versions {
	pthread_mutex_t mutex;
	uint64_t last;			/* mutex, as all here */
	struct place places[PATHS];	/* by nr % PATHS */
	struct version_list *recent;	/* asked for again by each lookup after a listing */
};

enum err_code versions_open(struct versions **out, struct err *e)
{
	struct versions *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(e, ERR_NOMEM, "table of paths");
	must(pthread_mutex_init(&v->mutex, NULL));
	*out = v;
	return ERR_OK;
}

void versions_close(struct versions *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < PATHS; i++)
		free(v->places[i].path);
	versions_list_free(v->recent);
	must(pthread_mutex_destroy(&v->mutex));
	free(v);
}

/* The table. */

static uint64_t key_of(const char *path, size_t len, const char *shown)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)path[i]) * UINT64_C(0x100000001b3);
	h *= 31;
	for (; *shown; shown++)
		h = (h ^ (uint8_t)*shown) * UINT64_C(0x100000001b3);
	return h;
}

static struct place *find_locked(struct versions *v, uint64_t key, const char *path, size_t len,
				 const char *shown)
{
	for (size_t i = 0; i < PATHS; i++) {
		struct place *p = &v->places[i];

		if (p->nr && p->key == key && p->len == len && memcmp(p->path, path, len) == 0 &&
		    strcmp(p->shown, shown) == 0)
			return p;
	}
	return NULL;
}

/* The node id of path, or of the link to the version that was first in a snapshot. */
static enum err_code node_of(struct versions *v, const char *path, size_t len,
			     const struct version *link, uint64_t *out, struct err *e)
{
	const char *shown = link ? link->shown : "";
	struct place new = { .key = key_of(path, len, shown), .len = len };
	struct place *p;
	char *old = NULL;

	new.path = malloc(len + 1);
	if (!new.path)
		return err_set(e, ERR_NOMEM, "a path of %zu bytes", len);
	memcpy(new.path, path, len);
	new.path[len] = '\0';
	if (link) {
		memcpy(new.shown, shown, sizeof(new.shown));
		new.taken = link->taken;
	}
	must(pthread_mutex_lock(&v->mutex));
	p = find_locked(v, new.key, path, len, shown);
	if (p) {
		old = new.path;
	} else {
		new.nr = ++v->last;
		p = &v->places[new.nr % PATHS];
		old = p->path;
		*p = new;
	}
	*out = ctl_id(CTL_VERSION, p->nr & KIND_DATA_MASK);
	must(pthread_mutex_unlock(&v->mutex));
	free(old);
	return ERR_OK;
}

/* A copy of what nodeid is; the caller frees its path. */
static enum err_code place_of(struct versions *v, uint64_t nodeid, struct place *out,
			      struct err *e)
{
	const struct place *p = &v->places[ctl_data(nodeid) % PATHS];
	enum err_code rc = ERR_OK;

	*out = (struct place){ 0 };
	must(pthread_mutex_lock(&v->mutex));
	if (nodeid != VERSIONS_TOP) {
		if (p->nr && (p->nr & KIND_DATA_MASK) == ctl_data(nodeid))
			*out = *p;
		else
			rc = ctl_none(e, ESTALE);
	}
	if (!rc) {
		out->path = calloc(1, out->len + 1);
		if (out->path && out->len)
			memcpy(out->path, p->path, out->len);
	}
	must(pthread_mutex_unlock(&v->mutex));
	if (!rc && !out->path)
		rc = err_set(e, ERR_NOMEM, "a path");
	return rc;
}

/* Lists of versions. */

static void list_put(struct versions *v, struct version_list *l)
{
	bool last;

	if (!l)
		return;
	must(pthread_mutex_lock(&v->mutex));
	last = --l->refs == 0;
	must(pthread_mutex_unlock(&v->mutex));
	if (last)
		versions_list_free(l);
}

static enum err_code list_get(const struct ctl *c, const struct place *p,
			      struct version_list **out, struct err *e)
{
	const struct snap_list *now = snaps_get(c->fs->snaps);
	struct versions *v = c->fs->control->versions;
	struct version_list *l = NULL, *old = NULL;
	enum err_code rc = ERR_OK;

	must(pthread_mutex_lock(&v->mutex));
	if (v->recent && v->recent->snaps == now && v->recent->path.len == p->len &&
	    (p->len == 0 || memcmp(v->recent->path.p, p->path, p->len) == 0)) {
		l = v->recent;
		l->refs++;
	}
	must(pthread_mutex_unlock(&v->mutex));
	snaps_put(now);
	if (!l) {
		rc = versions_list(c->fs, p->path, p->len, &l, e);
		if (rc)
			return rc;
		must(pthread_mutex_lock(&v->mutex));
		old = v->recent;
		v->recent = l;
		l->refs++;
		must(pthread_mutex_unlock(&v->mutex));
		list_put(v, old);
	}
	*out = l;
	return ERR_OK;
}

/* Operations. */

static bool is_shown(const struct ctl *c, const char *name)
{
	const struct snap_list *l = snaps_get(c->fs->snaps);
	bool alias;
	const struct snap *s = snap_list_name(l, name, strlen(name), &alias);
	bool yes = s && !alias;

	snaps_put(l);
	return yes;
}

/* *out stays 0 where no version of p was first in a snapshot of that name. */
static enum err_code find_link(const struct ctl *c, const struct place *p, const char *name,
			       uint64_t *out, struct err *e)
{
	struct version_list *l = NULL;
	enum err_code rc = list_get(c, p, &l, e);

	for (size_t i = 0; !rc && i < l->nr; i++)
		if (strcmp(l->all[i].shown, name) == 0) {
			rc = node_of(c->fs->control->versions, p->path, p->len, &l->all[i], out,
				     e);
			break;
		}
	list_put(c->fs->control->versions, l);
	return rc;
}

static enum err_code find_path(const struct ctl *c, const struct place *p, const char *name,
			       uint64_t *out, struct err *e)
{
	struct buf path = BUF_INIT;
	enum err_code rc = ERR_OK;
	bool exists = false;

	buf_add(&path, p->path, p->len);
	if (p->len)
		buf_add_u8(&path, '/');
	buf_add_str(&path, name);
	if (path.bad)
		rc = err_set(e, ERR_NOMEM, "a path");
	else if (path.len > PATH_LEN_MAX)
		rc = ctl_none(e, ENAMETOOLONG);
	if (!rc)
		rc = versions_exist(c->fs, (const char *)path.p, path.len, &exists, e);
	if (!rc)
		rc = exists ? node_of(c->fs->control->versions, (const char *)path.p, path.len,
				      NULL, out, e)
			    : ctl_none(e, ENOENT);
	buf_release(&path);
	return rc;
}

static enum err_code version_find(const struct ctl *c, uint64_t dir, const char *name,
				  uint64_t *out, struct err *e)
{
	struct place p;
	enum err_code rc = place_of(c->fs->control->versions, dir, &p, e);
	uint64_t found = 0;

	if (!rc && p.shown[0])
		rc = ctl_none(e, ENOTDIR);
	if (!rc && is_shown(c, name))
		rc = find_link(c, &p, name, &found, e);
	if (!rc && !found)
		rc = find_path(c, &p, name, &found, e);
	if (!rc)
		*out = found;
	free(p.path);
	return rc;
}

static void add_target(const struct place *p, struct buf *out)
{
	size_t up = 2 + (p->len > 0);	/* .vouch, versions, and each part of the path */

	for (size_t i = 0; i < p->len; i++)
		up += p->path[i] == '/';
	while (up-- > 0)
		buf_add_str(out, "../");
	buf_add_str(out, p->shown);
	if (p->len) {
		buf_add_u8(out, '/');
		buf_add(out, p->path, p->len);
	}
}

static enum err_code version_link(const struct ctl *c, uint64_t nodeid, struct buf *out,
				  struct err *e)
{
	struct place p;
	enum err_code rc = place_of(c->fs->control->versions, nodeid, &p, e);

	if (!rc && !p.shown[0])
		rc = ctl_none(e, EINVAL);
	if (!rc)
		add_target(&p, out);
	free(p.path);
	return rc;
}

static enum err_code version_stat(const struct ctl *c, uint64_t nodeid, struct stat *st,
				  struct err *e)
{
	const struct snap_list *l;
	struct buf target = BUF_INIT;
	struct timespec t;
	struct place p;
	enum err_code rc = place_of(c->fs->control->versions, nodeid, &p, e);

	if (!rc && p.shown[0]) {
		t = (struct timespec){ .tv_sec = (time_t)p.taken.sec,
				       .tv_nsec = (long)p.taken.nsec };
		ctl_stat(c, S_IFLNK | 0777, &t, st);
		add_target(&p, &target);
		st->st_size = (off_t)target.len;
	} else if (!rc) {
		l = snaps_get(c->fs->snaps);
		ctl_stat(c, S_IFDIR | 0700, &l->changed, st);
		st->st_size = 4096;
		snaps_put(l);
	}
	buf_release(&target);
	free(p.path);
	return rc;
}

static enum err_code version_list(const struct ctl *c, uint64_t dir, uint64_t after,
				  struct ctl_listing *to, struct err *e)
{
	uint64_t i = after < CTL_COOKIE_FIRST ? 0 : after - CTL_COOKIE_FIRST + 1, nodeid;
	struct versions *v = c->fs->control->versions;
	struct version_list *l = NULL;
	struct place p;
	enum err_code rc = place_of(v, dir, &p, e);
	bool room = true;

	if (!rc && p.shown[0])
		rc = ctl_none(e, ENOTDIR);
	if (!rc)
		rc = list_get(c, &p, &l, e);
	for (; !rc && i < l->nr && room; i++) {
		rc = node_of(v, p.path, p.len, &l->all[i], &nodeid, e);
		if (!rc)
			room = ctl_list(to, l->all[i].shown, nodeid, S_IFLNK, CTL_COOKIE_FIRST + i);
	}
	list_put(v, l);
	free(p.path);
	return rc;
}

const struct ctl_ops ctl_version_ops = {
	.find = version_find, .stat = version_stat, .list = version_list, .link = version_link,
};
