/* SPDX-License-Identifier: MIT */
/* Extended attributes; POSIX ACLs and file capabilities are among them. */
#include "store/backup_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "store/base/digest.h"
#include "store/format/limits.h"

#define LIST_FIRST 1024u /* bytes of names that are asked for at first */

struct xattr_source {
	int fd;
	char path[NAME_LEN_MAX +
		  40]; /* where fd is -1: through /proc, not following the last name */
};

static bool source_init(struct xattr_source *x, const struct meta_at *at)
{
	int n;

	x->fd = at->fd;
	if (at->fd >= 0)
		return true;
	n = snprintf(x->path, sizeof(x->path), "/proc/self/fd/%d/%s", at->dirfd, at->name);
	return n > 0 && (size_t)n < sizeof(x->path);
}

static ssize_t source_list(const struct xattr_source *x, char *buf, size_t cap)
{
	return x->fd >= 0 ? flistxattr(x->fd, buf, cap) : llistxattr(x->path, buf, cap);
}

static ssize_t source_get(const struct xattr_source *x, const char *name, void *buf, size_t cap)
{
	return x->fd >= 0 ? fgetxattr(x->fd, name, buf, cap) : lgetxattr(x->path, name, buf, cap);
}

static bool is_none(int sys)
{
	/* ENOENT: gone since, or no /proc; the latter is told once, at the start. */
	return sys == ENOTSUP || sys == ENOSYS || sys == ENODATA || sys == ENOENT;
}

static bool is_ours(const char *name)
{
	return strncmp(name, "user.vouch.", 11) == 0;
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/** A value too long for an entry becomes a chunk. */
static enum err_code value_chunk(struct backup *b, struct xattr *x, struct err *e)
{
	enum err_code rc;
	uint8_t *at;
	size_t room;

	x->in_chunk = true;
	digest_sha256(x->value, x->value_len, &x->id);
	if (!b->pipe)
		return ERR_OK;
	rc = pipeline_room(b->pipe, x->value_len, &at, &room, e);
	if (rc)
		return rc;
	memcpy(at, x->value, x->value_len);
	pipeline_filled(b->pipe, x->value_len);
	return pipeline_cut(b->pipe, STEP_VALUE, x->value_len, false, e);
}

static enum err_code add_one(struct backup *b, const struct xattr_source *src, const char *name,
			     uint8_t *value, struct err *e)
{
	struct xattr x = {.name = name, .name_len = strlen(name), .value = value};
	ssize_t n = source_get(src, name, value, XATTR_VALUE_MAX);
	enum err_code rc = ERR_OK;

	if (n < 0) {
		if (!is_none(errno))
			backup_warn(b, errno, "extended attribute %s not read", name);
		return ERR_OK;
	}
	x.value_len = (size_t)n;
	if (x.name_len > 255 || b->xattrs.len + x.name_len + x.value_len + 64 > XATTRS_LEN_MAX) {
		backup_warn(b, 0, "extended attribute %s is too much", name);
		return ERR_OK;
	}
	if (x.value_len > XATTR_INLINE_MAX)
		rc = value_chunk(b, &x, e);
	if (!rc)
		xattr_encode(&x, &b->xattrs);
	return rc;
}

/** The names in list, sorted, one after the other. */
static enum err_code add_all(struct backup *b, const struct xattr_source *src, const char *list,
			     size_t len, struct err *e)
{
	const char **names = calloc(len, sizeof(names[0])); /* each takes two bytes at least */
	uint8_t *value = malloc(XATTR_VALUE_MAX);
	enum err_code rc = ERR_OK;
	size_t nr = 0;

	if (!names || !value) {
		rc = err_set(e, ERR_NOMEM, "extended attributes");
		goto out;
	}
	for (const char *at = list; at < list + len; at += strlen(at) + 1)
		names[nr++] = at;
	qsort(names, nr, sizeof(names[0]), by_name);
	for (size_t i = 0; i < nr && !rc; i++) {
		if (!is_ours(names[i]))
			rc = add_one(b, src, names[i], value, e);
	}
	if (!rc && b->xattrs.bad)
		rc = err_set(e, ERR_NOMEM, "extended attributes");
out:
	free(value);
	free(names);
	return rc;
}

/** All names, where the first small buffer did not hold them. */
static ssize_t list_large(const struct xattr_source *src, char **out)
{
	ssize_t n;

	*out = malloc(XATTR_VALUE_MAX); /* the kernel's own limit for a list, too */
	if (!*out)
		return -1;
	n = source_list(src, *out, XATTR_VALUE_MAX);
	return n;
}

enum err_code meta_xattrs(struct backup *b, const struct meta_at *at, struct entry *ent,
			  struct err *e)
{
	struct xattr_source src;
	char small[LIST_FIRST], *large = NULL;
	enum err_code rc = ERR_OK;
	ssize_t n;

	buf_reset(&b->xattrs);
	if (!source_init(&src, at))
		return ERR_OK;
	n = source_list(&src, small, sizeof(small));
	if (n < 0 && errno == ERANGE)
		n = list_large(&src, &large);
	if (n < 0 && !is_none(errno))
		backup_warn(b, errno, "extended attributes not read");
	if (n > 0)
		rc = add_all(b, &src, large ? large : small, (size_t)n, e);
	free(large);
	ent->xattrs = b->xattrs.p;
	ent->xattrs_len = rc ? 0 : b->xattrs.len;
	return rc;
}
