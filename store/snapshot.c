/* SPDX-License-Identifier: MIT */
/*
 * Which snapshots there are.  A snapshot's name is its digest, so what was read and checked
 * once stays true.
 */
#include "store/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/base/array.h"
#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/base/must.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"
#include "store/internal.h"

#define DIR_MAIN	"snapshots/"
#define DIR_COPY	"copies/snapshots/"
#define DIR_FORGOTTEN	"forgotten/"
#define SUFFIX		".json"
#define NAME_DIGITS	16	/* of the id, at a name's end */

struct snapshot_cache {
	pthread_mutex_t mutex;
	struct snapshot *all;		/* mutex; sorted by name */
	size_t nr, cap;			/* mutex */
	struct buf told;		/* mutex; names, back to back, of those said to be bad */
};

enum err_code snapshot_cache_open(struct snapshot_cache **out, struct err *e)
{
	struct snapshot_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ERR_NOMEM, "snapshot cache");
	must(pthread_mutex_init(&c->mutex, NULL));
	*out = c;
	return ERR_OK;
}

void snapshot_cache_close(struct snapshot_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nr; i++)
		snapshot_release(&c->all[i]);
	free(c->all);
	buf_release(&c->told);
	must(pthread_mutex_destroy(&c->mutex));
	free(c);
}

static char *dup_str(const char *s, bool *bad)
{
	char *p = strdup(s ? s : "");

	if (!p)
		*bad = true;
	return p;
}

static char **dup_strs(char *const *from, size_t nr, bool *bad)
{
	char **p = calloc(nr ? nr : 1, sizeof(*p));

	if (!p)
		*bad = true;
	for (size_t i = 0; p && i < nr; i++)
		p[i] = dup_str(from[i], bad);
	return p;
}

static enum err_code copy_snapshot(const struct snapshot *from, struct snapshot *out, struct err *e)
{
	struct snapshot s = *from;	/* its pointers are all replaced below */
	bool bad = false;

	s.name = dup_str(from->name, &bad);
	s.host = dup_str(from->host, &bad);
	s.user = dup_str(from->user, &bad);
	s.version = dup_str(from->version, &bad);
	s.base = dup_str(from->base, &bad);
	s.sources = dup_strs(from->sources, from->nr_sources, &bad);
	s.nr_sources = s.sources ? from->nr_sources : 0;
	s.tags = dup_strs(from->tags, from->nr_tags, &bad);
	s.nr_tags = s.tags ? from->nr_tags : 0;
	s.components = calloc(from->nr_components ? from->nr_components : 1, sizeof(*s.components));
	s.nr_components = s.components ? from->nr_components : 0;
	bad = bad || !s.components;
	for (size_t i = 0; i < s.nr_components; i++) {
		const struct component_outcome *c = &from->components[i];

		s.components[i] = (struct component_outcome){
			.name = dup_str(c->name, &bad), .type = dup_str(c->type, &bad),
			.status = dup_str(c->status, &bad), .detail = dup_str(c->detail, &bad),
		};
	}
	if (bad) {
		snapshot_release(&s);
		return err_set(e, ERR_NOMEM, "a snapshot's record");
	}
	*out = s;
	return ERR_OK;
}

/** Where name is, or belongs. */
static size_t known_place_locked(const struct snapshot_cache *c, const char *name, bool *there)
{
	size_t lo = 0, hi = c->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int cmp = strcmp(c->all[mid].name, name);

		if (cmp == 0) {
			*there = true;
			return mid;
		}
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*there = false;
	return lo;
}

static enum err_code known_get(struct snapshot_cache *c, const char *name, bool *there,
			       struct snapshot *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	must(pthread_mutex_lock(&c->mutex));
	i = known_place_locked(c, name, there);
	if (*there)
		rc = copy_snapshot(&c->all[i], out, e);
	must(pthread_mutex_unlock(&c->mutex));
	return rc;
}

/** Best effort: what does not fit in memory is read again. */
static void known_add(struct snapshot_cache *c, const struct snapshot *s)
{
	struct snapshot own, *more;
	bool there;
	size_t i;

	if (copy_snapshot(s, &own, NULL))
		return;
	must(pthread_mutex_lock(&c->mutex));
	i = known_place_locked(c, own.name, &there);
	more = there ? NULL : array_room(c->all, c->nr, &c->cap, sizeof(*more));
	if (more) {
		c->all = more;
		memmove(&c->all[i + 1], &c->all[i], (c->nr - i) * sizeof(c->all[0]));
		c->all[i] = own;
		c->nr++;
		must(pthread_mutex_unlock(&c->mutex));
		return;
	}
	must(pthread_mutex_unlock(&c->mutex));
	snapshot_release(&own);
}

/** True once a name: a mount that lists every two seconds says what is bad once. */
static bool tell_first(struct snapshot_cache *c, const char *name)
{
	bool first = true;

	must(pthread_mutex_lock(&c->mutex));
	for (size_t at = 0; first && at < c->told.len; at += SNAPSHOT_NAME_LEN)
		first = memcmp(c->told.p + at, name, SNAPSHOT_NAME_LEN) != 0;
	if (first && !c->told.bad)
		buf_add(&c->told, name, SNAPSHOT_NAME_LEN);
	must(pthread_mutex_unlock(&c->mutex));
	return first;
}

/** A snapshot's name, and where a file of that name is. */
struct found {
	char name[SNAPSHOT_NAME_LEN + 1];
	bool main, copy;
};

struct listing {
	struct buf found;		/* struct found, not sorted, a name up to twice */
	struct buf forgotten;		/* struct object_id */
	const char *dir;		/* being listed */
};

static bool list_found(void *ctx, const char *path, uint64_t size)
{
	struct found f = { .main = false };
	struct listing *l = ctx;
	const char *name = path + strlen(l->dir);
	size_t len;

	(void)size;
	if (strncmp(path, l->dir, strlen(l->dir)) != 0)
		return true;
	len = strlen(name);
	if (len != SNAPSHOT_NAME_LEN + strlen(SUFFIX) ||
	    strcmp(name + SNAPSHOT_NAME_LEN, SUFFIX) != 0)
		return true;
	memcpy(f.name, name, SNAPSHOT_NAME_LEN);
	if (!snaprec_name_ok(f.name))
		return true;
	f.main = strcmp(l->dir, DIR_MAIN) == 0;
	f.copy = !f.main;
	buf_add(&l->found, &f, sizeof(f));
	return !l->found.bad;
}

static bool list_forgotten(void *ctx, const char *path, uint64_t size)
{
	const char *name = path + strlen(DIR_FORGOTTEN);
	struct listing *l = ctx;
	struct object_id id;

	(void)size;
	if (strncmp(path, DIR_FORGOTTEN, strlen(DIR_FORGOTTEN)) == 0 &&
	    strlen(name) == ID_HEX_LEN + strlen(SUFFIX) &&
	    strcmp(name + ID_HEX_LEN, SUFFIX) == 0 && id_parse(name, &id))
		buf_add(&l->forgotten, &id, sizeof(id));
	return !l->forgotten.bad;
}

static int found_cmp(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/** List, sort, and join what is there twice; *nr different names stay at l->found.p. */
static enum err_code list_names(struct store *s, struct listing *l, size_t *nr, struct err *e)
{
	const struct backend_ops *ops = s->backend->ops;
	size_t all, kept = 0;
	enum err_code rc;
	struct found *f;

	/* The copies first: what is published between the two listings is seen in the second. */
	l->dir = DIR_COPY;
	rc = ops->list(s->backend, DIR_COPY, false, list_found, l, e);
	l->dir = DIR_MAIN;
	if (!rc)
		rc = ops->list(s->backend, DIR_MAIN, false, list_found, l, e);
	if (!rc)
		rc = ops->list(s->backend, DIR_FORGOTTEN, false, list_forgotten, l, e);
	if (!rc && (l->found.bad || l->forgotten.bad))
		rc = err_set(e, ERR_NOMEM, "a list of snapshots");
	if (rc)
		return rc;
	f = (struct found *)(void *)l->found.p;
	all = l->found.len / sizeof(*f);
	if (all > 0)
		qsort(f, all, sizeof(*f), found_cmp);
	for (size_t i = 0; i < all; i++) {
		if (kept > 0 && strcmp(f[kept - 1].name, f[i].name) == 0) {
			f[kept - 1].main = f[kept - 1].main || f[i].main;
			f[kept - 1].copy = f[kept - 1].copy || f[i].copy;
		} else {
			f[kept++] = f[i];
		}
	}
	*nr = kept;
	return ERR_OK;
}

enum err_code snapshot_list_stamp(struct store *s, uint64_t *stamp, struct err *e)
{
	struct listing l = { BUF_INIT, BUF_INIT, NULL };
	enum err_code rc;
	size_t nr = 0;

	rc = list_names(s, &l, &nr, e);
	if (!rc) {
		uint64_t sum = digest_xxh3(l.found.p, nr * sizeof(struct found));

		/* These come in any order. */
		for (size_t at = 0; at < l.forgotten.len; at += ID_LEN)
			sum += digest_xxh3_seed(l.forgotten.p + at, ID_LEN, 1);
		*stamp = sum;
	}
	buf_release(&l.found);
	buf_release(&l.forgotten);
	return rc;
}

/** By as much of the id as a name has. */
static bool is_forgotten(const struct listing *l, const char *name)
{
	for (size_t at = 0; at < l->forgotten.len; at += sizeof(struct object_id)) {
		char hex[ID_HEX_LEN + 1];
		struct object_id id;

		memcpy(&id, l->forgotten.p + at, sizeof(id));
		if (memcmp(id_hex(&id, hex), name + SNAPSHOT_NAME_LEN - NAME_DIGITS, NAME_DIGITS) == 0)
			return true;
	}
	return false;
}

static enum err_code read_one(struct store *s, const char *dir, const char *name,
			      struct snapshot *out, struct err *e)
{
	char path[sizeof(DIR_COPY) + SNAPSHOT_NAME_LEN + sizeof(SUFFIX)];
	char hex[ID_HEX_LEN + 1];
	struct buf b = BUF_INIT;
	struct snapshot snap;
	struct object_id id;
	enum err_code rc;

	(void)snprintf(path, sizeof(path), "%s%s" SUFFIX, dir, name);
	rc = record_get(s->backend, path, SNAPSHOT_JSON_MAX, &b, e);
	if (rc)
		goto out;
	/* The digest before the decoder: what is damaged need not be understood. */
	digest_sha256(b.p, b.len, &id);
	if (memcmp(id_hex(&id, hex), name + SNAPSHOT_NAME_LEN - NAME_DIGITS, NAME_DIGITS) != 0) {
		rc = err_set(e, ERR_CORRUPT, "%s: its %zu bytes are not those it is named after",
			     path, b.len);
		goto out;
	}
	rc = snaprec_decode(b.p, b.len, &snap, e);
	if (rc) {
		err_prefix(e, "%s", path);
	} else if (strcmp(snap.name, name) != 0) {
		rc = err_set(e, ERR_CORRUPT, "%s: it was made at another time, as %s", path,
			     snap.name);
		snapshot_release(&snap);
	}
out:
	buf_release(&b);
	if (!rc)
		*out = snap;
	return rc;
}

bool snapshot_let_go(struct store *s, const struct snapshot *snap)
{
	char path[sizeof(DIR_FORGOTTEN) + ID_HEX_LEN + sizeof(SUFFIX)], hex[ID_HEX_LEN + 1];
	uint64_t size;

	(void)snprintf(path, sizeof(path), DIR_FORGOTTEN "%s" SUFFIX, id_hex(&snap->id, hex));
	return s->backend->ops->size(s->backend, path, &size, NULL) == ERR_OK;
}

/**
 * From the file, else from its copy.  A failure that is not of this snapshot alone is ERR_NOMEM
 * or ERR_ABSENT.
 */
static enum err_code read_either(struct store *s, const struct found *f, struct snapshot *out,
				 struct err *e)
{
	struct err main = ERR_INIT;
	enum err_code rc;

	if (f->main) {
		rc = read_one(s, DIR_MAIN, f->name, out, &main);
		if (!rc)
			return ERR_OK;
	} else {
		rc = err_set(&main, ERR_NOT_FOUND, DIR_MAIN "%s" SUFFIX " is missing", f->name);
	}
	if (f->copy && rc != ERR_NOMEM && rc != ERR_ABSENT && rc != ERR_UNSUPPORTED) {
		rc = read_one(s, DIR_COPY, f->name, out, e);
		if (!rc && main.code == ERR_NOT_FOUND && snapshot_let_go(s, out)) {
			snapshot_release(out);
			return err_set(e, ERR_NOT_FOUND, "snapshot %s was let go", f->name);
		}
		if (!rc) {
			/* Cached from now on: said once.  Missing is no damage: a copy by rsync may be under way. */
			healing_records(s, true);
			store_event(s, main.code == ERR_NOT_FOUND ? EVENT_WARNING : EVENT_DAMAGE,
				    NULL, &main, "snapshot %s: its second copy is used", f->name);
			return ERR_OK;
		}
		/* NOT_FOUND is for what is in neither place. */
		if (rc == ERR_NOMEM || rc == ERR_ABSENT || main.code == ERR_NOT_FOUND)
			return rc;
	}
	if (e)
		*e = main;
	return main.code;
}

static enum err_code add_bad(struct snapshot_list *l, const char *name, struct err *e)
{
	char **p = reallocarray(l->bad, l->nr_bad + 1, sizeof(*p));

	if (p) {
		l->bad = p;
		p[l->nr_bad] = strdup(name);
	}
	if (!p || !p[l->nr_bad])
		return err_set(e, ERR_NOMEM, "a list of snapshots");
	l->nr_bad++;
	return ERR_OK;
}

/** Add f's snapshot to out (which has room), or to its bad ones, or pass over what is gone. */
static enum err_code add_found(struct store *s, const struct listing *l, const struct found *f,
			       struct snapshot_list *out, struct err *e)
{
	struct snapshot snap;
	enum err_code rc;
	bool there;

	/* A forgotten one's second copy goes later than the file, or never, where that was cut short. */
	if (!f->main && is_forgotten(l, f->name))
		return ERR_OK;
	rc = known_get(s->snapshots, f->name, &there, &snap, e);
	if (!rc && !there) {
		rc = read_either(s, f, &snap, e);
		if (rc == ERR_NOMEM || rc == ERR_ABSENT)
			return rc;
		if (rc == ERR_NOT_FOUND) {
			err_clear(e);	/* let go between the listing and now */
			return ERR_OK;
		}
		if (rc) {
			if (tell_first(s->snapshots, f->name))
				store_event(s, EVENT_DAMAGE, NULL, e, "snapshot %s cannot be read",
					    f->name);
			err_clear(e);
			return add_bad(out, f->name, e);
		}
		known_add(s->snapshots, &snap);
	}
	if (rc)
		return rc;
	out->all[out->nr++] = snap;
	return ERR_OK;
}

static int time_cmp(const void *a, const void *b)
{
	const struct snapshot *x = a, *y = b;
	int c = vtime_cmp(x->time, y->time);

	return c ? c : id_cmp(&x->id, &y->id);
}

enum err_code snapshot_list_read(struct store *s, struct snapshot_list *out, struct err *e)
{
	struct listing l = { BUF_INIT, BUF_INIT, NULL };
	struct snapshot_list got = { 0 };
	enum err_code rc;
	size_t nr = 0;

	rc = list_names(s, &l, &nr, e);
	if (rc)
		goto out;
	got.all = calloc(nr ? nr : 1, sizeof(got.all[0]));
	if (!got.all)
		rc = err_set(e, ERR_NOMEM, "a list of %zu snapshots", nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		struct found f;

		memcpy(&f, l.found.p + i * sizeof(f), sizeof(f));
		rc = add_found(s, &l, &f, &got, e);
	}
	if (rc)
		goto out;
	healing_records(s, false);
	qsort(got.all, got.nr, sizeof(got.all[0]), time_cmp);
	*out = got;
	got = (struct snapshot_list){ 0 };
out:
	snapshot_list_release(&got);
	buf_release(&l.found);
	buf_release(&l.forgotten);
	if (rc)
		err_prefix(e, "list the snapshots");
	return rc;
}

void snapshot_list_release(struct snapshot_list *l)
{
	for (size_t i = 0; i < l->nr; i++)
		snapshot_release(&l->all[i]);
	for (size_t i = 0; i < l->nr_bad; i++)
		free(l->bad[i]);
	free(l->all);
	free(l->bad);
	*l = (struct snapshot_list){ 0 };
}
