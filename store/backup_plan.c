/* SPDX-License-Identifier: MIT */
/*
 * Sources become a tree of names below the snapshot's root.  A path is what the system makes of it:
 * folders on the way are resolved, links among them too, so that what is stored can be restored;
 * only a last name that is itself a link is kept as one.
 */
#include "store/backup_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/format/limits.h"

void plan_free(struct plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nr_kids; i++)
		plan_free(p->kids[i]); /* as deep as a path the user gave: PATH_MAX / 2 */
	free(p->kids);
	free(p->name);
	free(p);
}

static struct plan *plan_new(const char *name, size_t len)
{
	struct plan *p = calloc(1, sizeof(*p));

	if (p)
		p->name = strndup(name, len);
	if (p && !p->name) {
		free(p);
		return NULL;
	}
	return p;
}

/** Where name is among the kids, or would be. */
static size_t kid_index(const struct plan *p, const char *name, bool *found)
{
	size_t lo = 0, hi = p->nr_kids;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(p->kids[mid]->name, name);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct plan *plan_kid(const struct plan *p, const char *name)
{
	bool found;
	size_t i;

	if (!p || p->nr_kids == 0)
		return NULL;
	i = kid_index(p, name, &found);
	return found ? p->kids[i] : NULL;
}

static enum err_code kid_get(struct plan *p, const char *name, size_t len, struct plan **out,
			     struct err *e)
{
	struct plan *kid = plan_new(name, len);
	bool found;
	size_t i;

	if (!kid)
		return err_set(e, ERR_NOMEM, "sources");
	i = kid_index(p, kid->name, &found);
	if (found) {
		plan_free(kid);
		*out = p->kids[i];
		return ERR_OK;
	}
	if (p->nr_kids == p->cap_kids) {
		size_t cap = p->cap_kids ? 2 * p->cap_kids : 4;
		struct plan **n = realloc(p->kids, cap * sizeof(n[0]));

		if (!n) {
			plan_free(kid);
			return err_set(e, ERR_NOMEM, "sources");
		}
		p->kids = n;
		p->cap_kids = cap;
	}
	memmove(&p->kids[i + 1], &p->kids[i], (p->nr_kids - i) * sizeof(p->kids[0]));
	p->kids[i] = kid;
	p->nr_kids++;
	*out = kid;
	return ERR_OK;
}

/** The node at rel ("a/b/c"; "" is root), made where it is not there. */
static enum err_code plan_path(struct plan *root, const char *rel, bool real, struct plan **out,
			       struct err *e)
{
	enum err_code rc = ERR_OK;
	struct plan *p = root;

	p->is_real |= real;
	while (!rc && *rel) {
		size_t len = strcspn(rel, "/");

		if (len > NAME_LEN_MAX)
			return err_set(e, ERR_USAGE, "a name of %zu bytes", len);
		if (len > 0)
			rc = kid_get(p, rel, len, &p, e);
		if (!rc)
			p->is_real |= real;
		rel += len;
		rel += *rel == '/';
	}
	*out = p;
	return rc;
}

/* Resolving. */

static enum err_code real_path(const char *path, char **out, struct err *e)
{
	*out = realpath(path, NULL);
	if (*out)
		return ERR_OK;
	if (errno == ENOENT || errno == ENOTDIR)
		return err_set(e, ERR_NOT_FOUND, "source %s is not there", path);
	return err_sys(e, "source %s", path);
}

/** dir + "/" + name, malloc'ed; dir may be "/". */
static char *join(const char *dir, const char *name)
{
	size_t dir_len = strcmp(dir, "/") == 0 ? 0 : strlen(dir), name_len = strlen(name);
	char *p = malloc(dir_len + name_len + 2);

	if (!p)
		return NULL;
	memcpy(p, dir, dir_len);
	p[dir_len] = '/';
	memcpy(p + dir_len + 1, name, name_len + 1);
	return p;
}

/** Links followed but for the last name, which "", "." and ".." are not, nor one with a slash after
 * it. */
static enum err_code resolve_given(char *given, char **out, struct err *e)
{
	char *slash = strrchr(given, '/'), *dir = NULL;
	const char *last = slash + 1;
	enum err_code rc;

	if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return real_path(given, out, e);
	*slash = '\0';
	rc = real_path(slash == given ? "/" : given, &dir, e);
	*slash = '/';
	if (rc)
		return rc;
	*out = join(dir, last);
	free(dir);
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "source");
}

/** src as an absolute path of the file system. */
static enum err_code resolve(const struct backup *b, const char *src, char **out, struct err *e)
{
	char *cwd = NULL, *given;
	enum err_code rc;

	if (*src == '\0')
		return err_set(e, ERR_USAGE, "a source with an empty name");
	if (*src == '/') {
		given = strdup(src);
	} else if (b->o->base) {
		given = join(b->base, src);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return err_sys(e, "current directory");
		given = join(cwd, src);
		free(cwd);
	}
	if (!given)
		return err_set(e, ERR_NOMEM, "source");
	rc = resolve_given(given, out, e);
	free(given);
	return rc;
}

/** What abs is called below base ("" for base itself), or NULL where it is not below it. */
static const char *below(const char *base, const char *abs)
{
	size_t len = strcmp(base, "/") == 0 ? 0 : strlen(base);

	if (strncmp(abs, base, len) != 0 || (abs[len] != '/' && abs[len] != '\0'))
		return NULL;
	return abs[len] == '/' ? abs + len + 1 : abs + len;
}

static enum err_code add_name(struct backup *b, const char *name, struct err *e)
{
	b->names[b->nr_names] = strdup(name);
	if (!b->names[b->nr_names])
		return err_set(e, ERR_NOMEM, "sources");
	b->nr_names++;
	return ERR_OK;
}

/** But for slashes at the end of src. */
static bool same_path(const char *src, const char *abs)
{
	size_t len = strlen(abs);

	return strncmp(src, abs, len) == 0 && src[len + strspn(src + len, "/")] == '\0';
}

/** An absolute, resolved source into the plan. */
static enum err_code add_resolved(struct backup *b, const char *src, const char *abs, struct err *e)
{
	const char *rel = below(b->base, abs);
	struct plan *p = NULL;
	enum err_code rc;
	struct statx st;

	if (!rel)
		return err_set(e, ERR_USAGE, "source %s lies outside of %s", src, b->base);
	if (statx(AT_FDCWD, abs, BACKUP_STATX_FLAGS, BACKUP_STATX_MASK, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return err_set(e, ERR_NOT_FOUND, "source %s is not there", src);
		return err_sys(e, "source %s", src);
	}
	if (S_ISLNK(st.stx_mode))
		store_event(
		    b->s, EVENT_NOTE, abs, NULL,
		    "a symbolic link, stored as one; with a slash behind it, what it points to");
	else if (*src == '/' && !same_path(src, abs))
		store_event(b->s, EVENT_NOTE, src, NULL, "is stored as %s", abs);
	rc = add_name(b, !b->o->base ? abs : *rel ? rel : ".", e);
	if (!rc)
		rc = plan_path(b->plan, rel, true, &p, e);
	if (!rc)
		p->whole = true;
	return rc;
}

static enum err_code add_source(struct backup *b, const char *src, struct err *e)
{
	struct err why = ERR_INIT;
	char *abs = NULL;
	enum err_code rc = resolve(b, src, &abs, &why);

	if (!rc)
		rc = add_resolved(b, src, abs, &why);
	if (rc == ERR_IO) { /* there, and not to be had: as with any other file */
		store_event(b->s, EVENT_WARNING, src, &why, "not read");
		b->res->errors++;
		rc = add_name(b, src, e);
	} else if (rc) {
		*e = why;
	}
	free(abs);
	return rc;
}

static enum err_code add_stream(struct backup *b, const struct backup_stream *s, struct err *e)
{
	struct plan *p = b->plan;
	const char *at = s->name;
	enum err_code rc = add_name(b, s->name, e);

	while (!rc && *at) {
		size_t len = strcspn(at, "/");

		if (p->whole || p->stream)
			return err_set(e, ERR_USAGE, "stream %s lies within a source", s->name);
		if (len == 0 || len > NAME_LEN_MAX || (len == 1 && at[0] == '.') ||
		    (len == 2 && at[0] == '.' && at[1] == '.'))
			return err_set(e, ERR_USAGE, "stream name %s", s->name);
		rc = kid_get(p, at, len, &p, e);
		at += len;
		if (*at == '/' && *++at == '\0')
			return err_set(e, ERR_USAGE, "stream name %s", s->name);
	}
	if (rc)
		return rc;
	if (p == b->plan)
		return err_set(e, ERR_USAGE, "a stream with an empty name");
	if (p->whole || p->stream || p->nr_kids > 0)
		return err_set(e, ERR_USAGE, "stream %s has the name of a source", s->name);
	p->stream = s;
	return ERR_OK;
}

enum err_code backup_plan(struct backup *b, struct err *e)
{
	const struct backup_options *o = b->o;
	enum err_code rc = ERR_OK;

	if (o->nr_sources == 0 && o->nr_streams == 0)
		return err_set(e, ERR_USAGE, "nothing to back up");
	b->names = calloc(o->nr_sources + o->nr_streams, sizeof(b->names[0]));
	b->plan = plan_new("", 0);
	if (!b->names || !b->plan)
		return err_set(e, ERR_NOMEM, "sources");
	rc = real_path(o->base ? o->base : "/", &b->base, e);
	for (size_t i = 0; i < o->nr_sources && !rc; i++)
		rc = add_source(b, o->sources[i], e);
	for (size_t i = 0; i < o->nr_streams && !rc; i++)
		rc = add_stream(b, &o->streams[i], e);
	return rc;
}
