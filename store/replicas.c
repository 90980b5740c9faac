/* SPDX-License-Identifier: MIT */
#include "store/replicas_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/base64.h"
#include "store/format/limits.h"

#define EVENT	"replica"
#define KEY	"path"

struct known {
	const char *own;
	size_t nr;
	struct {
		char time[TIME_TEXT_LEN + 1];
		char *path;
	} all[REPLICAS_MAX];	/* in no order */
};

/* As replica_note() writes them: absolute, and nothing in it that leads elsewhere. */
static bool path_ok(const char *path)
{
	size_t len = strlen(path);

	if (path[0] != '/' || len < 2 || len >= PATH_MAX || path[len - 1] == '/' ||
	    strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../"))
		return false;
	return (len < 2 || strcmp(path + len - 2, "/.") != 0) &&
	       (len < 3 || strcmp(path + len - 3, "/..") != 0);
}

/* malloc'ed; NULL where the line names none (or there is no memory: *bad). */
static char *path_of(const struct runlog_line *l, bool *bad)
{
	const char *text = runlog_str(l, KEY), *b64 = runlog_str(l, KEY "_b64");
	struct buf b = BUF_INIT;
	char *path = NULL;

	if (text) {
		path = strdup(text);
		*bad = !path;
	} else if (b64 && strlen(b64) < 2 * PATH_MAX && base64_decode(b64, strlen(b64), &b)) {
		buf_add_u8(&b, '\0');
		path = b.bad ? NULL : strdup((const char *)b.p);
		*bad = !path;
	}
	buf_release(&b);
	if (path && !path_ok(path)) {
		free(path);
		path = NULL;
	}
	return path;
}

/* Where the path of that time belongs; REPLICAS_MAX: nowhere. */
static size_t place_of(struct known *k, const char *time, const char *path)
{
	size_t oldest = 0;

	for (size_t i = 0; i < k->nr; i++) {
		if (strcmp(k->all[i].path, path) == 0)
			return strcmp(k->all[i].time, time) < 0 ? i : REPLICAS_MAX;
		if (strcmp(k->all[i].time, k->all[oldest].time) < 0)
			oldest = i;
	}
	if (k->nr < REPLICAS_MAX)
		return k->nr++;
	return strcmp(k->all[oldest].time, time) < 0 ? oldest : REPLICAS_MAX;
}

static enum err_code on_line(void *ctx, const struct runlog_line *l, struct err *e)
{
	struct known *k = ctx;
	bool bad = false;
	char *path = path_of(l, &bad);
	size_t i;

	if (bad)
		return err_set(e, ERR_NOMEM, "a path");
	if (!path)
		return ERR_OK;
	i = strcmp(path, k->own) == 0 ? REPLICAS_MAX : place_of(k, l->time, path);
	if (i == REPLICAS_MAX) {
		free(path);
		return ERR_OK;
	}
	free(k->all[i].path);
	k->all[i].path = path;
	(void)snprintf(k->all[i].time, sizeof(k->all[i].time), "%s", l->time);
	return ERR_OK;
}

void replicas_free(char **paths, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(paths[i]);
	free(paths);
}

enum err_code replicas_known(struct store *s, char ***paths, size_t *nr, struct err *e)
{
	struct known k = { .own = s->path };
	char **v = calloc(REPLICAS_MAX, sizeof(*v));
	enum err_code rc;

	if (!v)
		return err_set(e, ERR_NOMEM, "the paths of copies");
	rc = runlog_each(s, EVENT, on_line, &k, e);
	for (size_t n = 0; n < k.nr && !rc; n++) {
		size_t newest = 0;

		for (size_t i = 0; i < k.nr; i++)
			if (k.all[i].path && (!k.all[newest].path ||
					      strcmp(k.all[i].time, k.all[newest].time) > 0))
				newest = i;
		v[n] = k.all[newest].path;
		k.all[newest].path = NULL;
	}
	for (size_t i = 0; i < k.nr; i++)
		free(k.all[i].path);
	if (rc) {
		free(v);
		return rc;
	}
	*paths = v;
	*nr = k.nr;
	return ERR_OK;
}

/* Of the repository that lies in b; either of the two files does. */
static enum err_code read_id(struct backend *b, uint8_t id[REPO_ID_LEN], struct err *e)
{
	static const char *const names[] = { "vouch.json", "copies/vouch.json" };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < 2; i++) {
		struct buf text = BUF_INIT;
		struct superblock super;

		rc = record_get(b, names[i], RECORD_JSON_MAX, &text, e);
		if (!rc)
			rc = superblock_decode(text.p, text.len, &super, e);
		buf_release(&text);
		if (!rc) {
			err_clear(e);
			memcpy(id, super.id, REPO_ID_LEN);
			return ERR_OK;
		}
		if (rc == ERR_ABSENT || rc == ERR_NOMEM)
			break;
	}
	return rc;
}

static bool is_itself(const struct store *s, const char *path)
{
	const char *own = file_backend_path(s->backend);
	struct stat a, b;

	return own && stat(own, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

enum err_code replica_open(struct store *s, const char *path, struct backend **out, struct err *e)
{
	struct err mine = ERR_INIT;
	uint8_t id[REPO_ID_LEN];
	struct backend *b = NULL;
	enum err_code rc;

	if (path[0] != '/')
		rc = err_set(&mine, ERR_USAGE, "\"%s\" is no absolute path", path);
	else
		rc = file_backend_open(path, false, false, &io_system, &b, &mine);
	if (!rc && is_itself(s, path))
		rc = err_set(&mine, ERR_NOT_FOUND, "%s is the repository itself", path);
	if (!rc)
		rc = read_id(b, id, &mine);
	if (!rc && memcmp(id, s->super.id, REPO_ID_LEN) != 0)
		rc = err_set(&mine, ERR_NOT_FOUND, "%s is another repository", path);
	if (rc) {
		if (b)
			b->ops->close(b);
		if (e)
			*e = mine;
		return rc;
	}
	b->read_only = true;
	*out = b;
	return ERR_OK;
}

void replica_member(struct buf *out, const char *key, const char *text)
{
	bool plain = true;

	for (const char *p = text; *p && plain; p++)
		plain = *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
	buf_printf(out, "\"%s%s\":\"", key, plain ? "" : "_b64");
	if (plain)
		buf_add_str(out, text);
	else
		base64_encode((const uint8_t *)text, strlen(text), out);
	buf_add_str(out, "\"");
}

enum err_code replica_note(struct store *s, const char *path, struct err *e)
{
	char *absolute = realpath(path, NULL);
	struct buf member = BUF_INIT;
	enum err_code rc;

	if (!absolute)
		return err_sys(e, "find the absolute path of %s", path);
	replica_member(&member, KEY, absolute);
	buf_add_u8(&member, '\0');
	if (member.bad)
		rc = err_set(e, ERR_NOMEM, "%s", path);
	else
		rc = runlog_append(s, EVENT, (const char *)member.p, e);
	buf_release(&member);
	free(absolute);
	return rc;
}
