/* SPDX-License-Identifier: MIT */
/*
 * Depth first, names in memcmp order, one statx an entry.  Levels stand in a list and not on the
 * stack, and only the lowest of them keep their folder open: depth costs neither.
 */
#include "store/backup_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/backup_names.h"
#include "store/format/limits.h"

#define FOLDERS_OPEN_MAX 64u

struct level {
	struct level *up;
	const char *name;	 /* as up lists it; "" for the root */
	const struct plan *plan; /* NULL where nothing below was named */
	bool whole;		 /* everything in it; else only what the plan names */
	bool is_real;		 /* else made up for a stream */
	bool has_iflags;
	unsigned depth;
	int fd; /* -1: none, or closed while far below */
	struct statx st;
	uint64_t source_dev; /* of the source it belongs to, for -x */
	struct entry ent;
	uint8_t *xattrs; /* ent's */
	struct names names;
	size_t at; /* the next of them */
	struct old_dir old;
	size_t path_len;
};

/* The path. */

static enum err_code path_push(struct backup *b, const char *name, struct err *e)
{
	if (b->path.len > 0 && b->path.p[b->path.len - 1] != '/')
		buf_add_u8(&b->path, '/');
	buf_add(&b->path, name, strlen(name) + 1);
	if (b->path.bad)
		return err_set(e, ERR_NOMEM, "path");
	b->path.len--; /* the NUL stands behind */
	return ERR_OK;
}

static void path_cut(struct backup *b, size_t len)
{
	b->path.len = len;
	b->path.p[len] = '\0';
}

static const char *path_in_snapshot(const struct backup *b)
{
	return b->path.len > b->path_root ? (const char *)b->path.p + b->path_root : "";
}

/* Levels. */

static void level_free(struct backup *b, struct level *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	old_dir_close(b, &l->old);
	names_release(&l->names);
	free(l->xattrs);
	free(l);
}

/** Keep no more than so many folders open. */
static void close_far_above(struct level *l)
{
	for (unsigned i = 0; l && i < FOLDERS_OPEN_MAX; i++)
		l = l->up;
	if (l && l->fd >= 0) {
		(void)close(l->fd);
		l->fd = -1;
	}
}

static int open_folder(int dirfd, const char *name, bool to_read)
{
	const int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd;

	if (!to_read)
		return openat(dirfd, name, flags | O_PATH);
	fd = openat(dirfd, name, flags | O_RDONLY | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(dirfd, name, flags | O_RDONLY);
	return fd;
}

/** Back from far below: open the folder again, by way of the one that was read in it. */
static void reopen(struct backup *b, struct level *l, const struct level *below)
{
	struct statx st;

	l->fd = below->fd >= 0 ? open_folder(below->fd, "..", l->whole) : -1;
	if (l->fd >= 0 && statx(l->fd, "", AT_EMPTY_PATH, BACKUP_STATX_MASK, &st) == 0 &&
	    st.stx_ino == l->st.stx_ino && meta_dev(&st) == meta_dev(&l->st))
		return;
	backup_warn(b, 0, "moved while it was read; what is left of it is not in the snapshot");
	l->at = l->names.nr;
}

static enum err_code list_plan(struct level *l, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; l->plan && i < l->plan->nr_kids && !rc; i++)
		rc = names_add(&l->names, l->plan->kids[i]->name, e);
	return rc ? rc : names_sort(&l->names, e);
}

static enum err_code list_whole(struct backup *b, struct level *l, bool named, struct err *e)
{
	int sys = 0;
	enum err_code rc = names_read(&l->names, l->fd, &sys, e);

	if (!rc && sys != 0)
		backup_warn(b, sys, "folder not read to its end");
	if (!rc && b->o->exclude_caches && !named && names_have(&l->names, "CACHEDIR.TAG") &&
	    skips_is_cache(l->fd)) {
		names_release(&l->names);
		rc = names_add(&l->names, "CACHEDIR.TAG", e);
		if (!rc)
			rc = names_sort(&l->names, e);
	}
	return rc;
}

/** The folder's own attributes, into l->ent. */
static enum err_code level_meta(struct backup *b, struct level *l, int dirfd, struct err *e)
{
	const struct meta_at at = {
	    .fd = l->whole ? l->fd : -1,
	    .dirfd = dirfd >= 0 ? dirfd : l->fd,
	    .name = dirfd >= 0 ? l->name : ".",
	};
	enum err_code rc = meta_from_stat(b, &l->st, &l->ent, e);

	if (!rc && l->is_real)
		rc = meta_xattrs(b, &at, &l->ent, e);
	if (rc)
		return rc;
	l->ent.name = l->name;
	l->ent.name_len = strlen(l->name);
	if (l->has_iflags && at.fd >= 0)
		meta_ioctl_flags(at.fd, &l->ent);
	if (l->ent.xattrs_len == 0)
		return ERR_OK;
	l->xattrs = malloc(l->ent.xattrs_len);
	if (!l->xattrs)
		return err_set(e, ERR_NOMEM, "extended attributes");
	memcpy(l->xattrs, l->ent.xattrs, l->ent.xattrs_len);
	l->ent.xattrs = l->xattrs;
	return ERR_OK;
}

/** Why the folder's content is left out, or it is not: only its name is kept. */
static bool is_left_out(struct backup *b, const struct level *l)
{
	const struct level *up = l->up;
	bool named = l->plan && l->plan->whole;
	bool crosses = named || !up || !up->whole || meta_dev(&up->st) != meta_dev(&l->st);
	/* What is only on the way to a source is not read: /dev/shm lies below devtmpfs. */
	const char *pseudo = l->whole && crosses ? skips_pseudo(b->skips, &l->st) : NULL;

	if (pseudo) {
		backup_skipped(b, "skipped what is in it (%s)", pseudo);
		return true;
	}
	if (skips_is_repository(b->skips, &l->st)) {
		backup_skipped(b, "skipped what is in it (the repository)");
		return true;
	}
	if (l->depth > TREE_DEPTH_MAX) {
		backup_warn(b, 0, "folder not read: more than %u folders deep", TREE_DEPTH_MAX);
		return true;
	}
	return b->o->one_file_system && l->whole && meta_dev(&l->st) != l->source_dev;
}

/** Open and list; *gone: it is not there any more. */
static enum err_code level_fill(struct backup *b, struct level *l, int dirfd, bool *gone,
				struct err *e)
{
	bool named = l->plan && l->plan->whole, left_out = is_left_out(b, l);

	*gone = false;
	if (!left_out) {
		l->fd = dirfd >= 0 ? open_folder(dirfd, l->name, l->whole)
				   : open_folder(AT_FDCWD, b->base, l->whole);
		*gone = l->fd < 0 && errno == ENOENT;
		if (*gone)
			backup_skipped(b, "vanished before it was read");
		else if (l->fd < 0)
			backup_warn(b, errno, "folder not read");
	}
	if (l->fd < 0)
		return ERR_OK;
	b->sources_read += named;
	l->has_iflags =
	    meta_has_iflags(l->fd, l->up ? &l->up->st : NULL, &l->st, l->up && l->up->has_iflags);
	return l->whole ? list_whole(b, l, named, e) : list_plan(l, e);
}

static enum err_code begin(struct backup *b, struct level *l, const struct entry *old,
			   struct err *e)
{
	if (old && old->type == ENTRY_DIR)
		old_dir_open(b, &old->node, &l->old);
	l->path_len = b->path.len;
	b->res->dirs += l->up != NULL;
	if (!b->pipe)
		return ERR_OK;
	return pipeline_step(b->pipe, &(struct step){.kind = STEP_DIR_BEGIN}, NULL, e);
}

/** A folder: the walk goes on in it.  *top is the level it lies in, and becomes its own. */
static enum err_code enter(struct backup *b, struct level **top, const char *name,
			   const struct plan *plan, const struct statx *st, const struct entry *old,
			   struct err *e)
{
	struct level *l = calloc(1, sizeof(*l)), *up = *top;
	bool gone = false, whole = plan && plan->whole;
	enum err_code rc;

	if (!l)
		return err_set(e, ERR_NOMEM, "folder");
	*l = (struct level){.up = up, .name = name, .plan = plan, .fd = -1, .is_real = true};
	l->whole = whole || (up && up->whole);
	l->depth = up ? up->depth + 1 : 0;
	l->st = *st;
	l->source_dev = whole || !up ? meta_dev(st) : up->source_dev;
	close_far_above(l);
	rc = level_fill(b, l, up ? up->fd : -1, &gone, e);
	if (!rc && !gone)
		rc = level_meta(b, l, up ? up->fd : -1, e);
	if (!rc && !gone)
		rc = begin(b, l, old, e);
	if (rc || gone)
		level_free(b, l);
	else
		*top = l;
	return rc;
}

/** A folder that is nowhere: streams are named below it. */
static enum err_code enter_made_up(struct backup *b, struct level **top, const char *name,
				   const struct plan *plan, struct err *e)
{
	struct level *l = calloc(1, sizeof(*l));
	uint64_t now = meta_now_ns();
	enum err_code rc;

	if (!l)
		return err_set(e, ERR_NOMEM, "folder");
	*l = (struct level){.up = *top, .name = name, .plan = plan, .fd = -1};
	l->depth = *top ? (*top)->depth + 1 : 0;
	l->st.stx_mode = S_IFDIR | 0755;
	l->st.stx_uid = geteuid();
	l->st.stx_gid = getegid();
	l->st.stx_mtime.tv_sec = (int64_t)(now / 1000000000u);
	l->st.stx_mtime.tv_nsec = (uint32_t)(now % 1000000000u);
	l->st.stx_ctime = l->st.stx_mtime;
	rc = list_plan(l, e);
	if (!rc)
		rc = level_meta(b, l, -1, e);
	if (!rc)
		rc = begin(b, l, NULL, e);
	if (rc)
		level_free(b, l);
	else
		*top = l;
	return rc;
}

/** *top is done: what it was is told, and the walk goes on above. */
static enum err_code leave(struct backup *b, struct level **top, struct err *e)
{
	const struct step t = {.kind = STEP_DIR_END};
	struct level *l = *top, *up = l->up;
	enum err_code rc = b->pipe ? pipeline_step(b->pipe, &t, &l->ent, e) : ERR_OK;

	if (up) {
		path_cut(b, up->path_len);
		if (!rc && up->is_real && up->fd < 0)
			reopen(b, up, l);
	}
	level_free(b, l);
	*top = up;
	return rc;
}

static enum err_code visit_stat(struct backup *b, struct level **top, const char *name,
				const struct plan *plan, const struct statx *st, struct err *e)
{
	struct level *l = *top;
	bool is_dir = S_ISDIR(st->stx_mode);
	const struct source_file f = {.dirfd = l->fd,
				      .name = name,
				      .name_len = strlen(name),
				      .st = st,
				      .has_iflags = l->has_iflags};
	struct entry old_ent, *old = NULL;
	const char *pseudo = NULL;
	bool kept = true;
	enum err_code rc;

	if (!plan && b->excludes &&
	    patterns_match(b->excludes, path_in_snapshot(b), is_dir) == PATTERN_MATCH)
		return ERR_OK;
	if (!is_dir && (plan || meta_dev(st) != meta_dev(&l->st)))
		pseudo = skips_pseudo(b->skips, st);
	if (S_ISSOCK(st->stx_mode) || pseudo) {
		backup_skipped(b, "skipped (%s)", pseudo ? pseudo : "socket");
		return ERR_OK;
	}
	if (l->old.open && old_dir_find(b, &l->old, name, f.name_len, &old_ent))
		old = &old_ent;
	if (is_dir)
		return enter(b, top, name, plan, st, old, e);
	if (S_ISREG(st->stx_mode))
		rc = visit_file(b, &f, old, &kept, e);
	else
		rc = visit_other(b, &f, &kept, e);
	b->sources_read += kept && plan && plan->whole;
	return rc;
}

static enum err_code visit(struct backup *b, struct level **top, const char *name, struct err *e)
{
	struct level *l = *top;
	const struct plan *plan = plan_kid(l->plan, name);
	enum err_code rc = path_push(b, name, e);
	struct statx st;

	if (rc)
		return rc;
	if (plan && plan->stream)
		rc = read_stream(b, plan->stream, name, e);
	else if (plan && !plan->is_real)
		rc = enter_made_up(b, top, name, plan, e);
	else if (strlen(name) > NAME_LEN_MAX)
		backup_warn(b, 0, "not read: a name of %zu bytes", strlen(name));
	else if (statx(l->fd, name, BACKUP_STATX_FLAGS, BACKUP_STATX_MASK, &st) == 0)
		rc = visit_stat(b, top, name, plan, &st, e);
	else if (errno == ENOENT)
		backup_skipped(b, "vanished before it was read");
	else
		backup_warn(b, errno, "not read");
	if (*top == l)
		path_cut(b, l->path_len);
	return rc;
}

static enum err_code enter_root(struct backup *b, struct level **top, struct err *e)
{
	struct entry_ref old = {0};
	struct statx st;
	enum err_code rc;

	rc = path_push(b, b->base, e);
	if (rc)
		return rc;
	b->path_root = b->path.p[b->path.len - 1] == '/' ? b->path.len : b->path.len + 1;
	if (!b->plan->is_real)
		return enter_made_up(b, top, "", b->plan, e);
	if (statx(AT_FDCWD, b->base, 0, BACKUP_STATX_MASK, &st) < 0)
		return err_sys(e, "%s", b->base);
	if (!S_ISDIR(st.stx_mode))
		return err_set(e, ERR_USAGE, "%s is not a folder", b->base);
	/* A parent that cannot be read is as good as none; the damage has been told. */
	if (b->has_parent && tree_root(b->s, &b->parent, &old, NULL))
		old = (struct entry_ref){0};
	rc = enter(b, top, "", b->plan, &st, old.pin ? &old.e : NULL, e);
	if (old.pin)
		entry_ref_release(b->s, &old);
	if (!rc && !*top)
		rc = err_set(e, ERR_NOT_FOUND, "%s is not there", b->base);
	return rc;
}

enum err_code backup_walk(struct backup *b, struct err *e)
{
	struct level *top = NULL;
	enum err_code rc = enter_root(b, &top, e);

	while (!rc && top) {
		if (top->at < top->names.nr)
			rc = visit(b, &top, top->names.all[top->at++], e);
		else
			rc = leave(b, &top, e);
		if (!rc)
			rc = backup_canceled(b, e);
		backup_progress(b);
	}
	while (top) {
		struct level *up = top->up;

		level_free(b, top);
		top = up;
	}
	return rc;
}
