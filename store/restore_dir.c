/* SPDX-License-Identifier: MIT */
/*
 * The directories of a restore: made beneath the target, kept open while that is cheap, given
 * their attributes when the last thing in them is done.
 */
#include "store/restore_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/checked.h"

/*
 * Idle directories kept open.  A deep tree has as many open for filling as it has levels; 1024
 * descriptors are what a process usually may have, and queued large files need some.
 */
#define OPEN_MAX_IDLE	128u

static void lock_fds(struct restore *r)
{
	if (pthread_mutex_lock(&r->fds) != 0)
		abort();
}

static void unlock_fds(struct restore *r)
{
	if (pthread_mutex_unlock(&r->fds) != 0)
		abort();
}

/* Idle descriptors. */

static void idle_remove_locked(struct restore *r, struct rdir *d)
{
	if (d->newer)
		d->newer->older = d->older;
	else if (r->newest == d)
		r->newest = d->older;
	if (d->older)
		d->older->newer = d->newer;
	else if (r->oldest == d)
		r->oldest = d->newer;
	d->newer = d->older = NULL;
}

static void close_locked(struct restore *r, struct rdir *d)
{
	if (d->fd < 0)
		return;
	(void)close(d->fd);	/* directories: nothing is written through it */
	d->fd = -1;
	r->nr_open--;
}

static void idle_add_locked(struct restore *r, struct rdir *d)
{
	d->older = r->newest;
	d->newer = NULL;
	if (r->newest)
		r->newest->newer = d;
	else
		r->oldest = d;
	r->newest = d;
	while (r->nr_open > OPEN_MAX_IDLE && r->oldest) {
		struct rdir *old = r->oldest;

		idle_remove_locked(r, old);
		close_locked(r, old);
	}
}

/* chain[to], from the directory that holds chain[levels - 1]: as many components at a time as one call takes. */
static int open_below(struct restore *r, int from, struct rdir *const *chain, unsigned levels,
		      unsigned to)
{
	char path[PATH_MAX];
	int at = from;

	while (levels > to) {
		size_t len = 0;
		int fd, saved;

		while (levels > to && len + chain[levels - 1]->e.name_len + 2 <= sizeof(path)) {
			const struct entry *e = &chain[--levels]->e;

			if (len > 0)
				path[len++] = '/';
			memcpy(path + len, e->name, e->name_len);
			len += e->name_len;
		}
		path[len] = '\0';
		fd = restore_openat(r, at, path, O_RDONLY | O_DIRECTORY, 0);
		saved = errno;
		if (at != from)
			(void)close(at);
		errno = saved;
		if (fd < 0)
			return -1;
		at = fd;
	}
	return at;
}

static void opened_locked(struct restore *r, struct rdir *d, int fd)
{
	d->fd = fd;
	r->nr_open++;
	if (!r->reading_back && !r->o->dry_run)
		restore_tmp_share(fd);
}

/*
 * d was open before: find it again from the nearest directory above that is open (the top always is); d->fd stays -1,
 * and errno says why, where it is not there.  Where that directory is far, one on the way stays open too: whoever ends
 * a deep folder asks for its parent next, and so on all the way up.
 */
static void reopen_locked(struct restore *r, struct rdir *d)
{
	struct rdir *chain[TREE_DEPTH_MAX + 1], *up = d;
	unsigned levels = 0;
	int fd;

	for (; up->fd < 0; up = up->parent) {
		if (levels == ARRAY_LEN(chain)) {
			errno = ENAMETOOLONG;
			return;
		}
		chain[levels++] = up;
	}
	if (levels > OPEN_MAX_IDLE) {
		struct rdir *mid = chain[OPEN_MAX_IDLE / 2];

		fd = open_below(r, up->fd, chain, levels, OPEN_MAX_IDLE / 2);
		if (fd < 0)
			return;
		opened_locked(r, mid, fd);
		idle_add_locked(r, mid);
		levels = OPEN_MAX_IDLE / 2;
		up = mid;
	}
	fd = open_below(r, up->fd, chain, levels, 0);
	if (fd >= 0)
		opened_locked(r, d, fd);
}

int rdir_fd(struct restore *r, struct rdir *d)
{
	int fd;

	lock_fds(r);
	if (d->fd >= 0) {
		if (d->users == 0 && d->parent)
			idle_remove_locked(r, d);
	} else {
		reopen_locked(r, d);
	}
	fd = d->fd;
	if (fd >= 0)
		d->users++;
	unlock_fds(r);
	return fd;
}

void rdir_fd_put(struct restore *r, struct rdir *d)
{
	lock_fds(r);
	if (--d->users == 0 && d->parent)	/* the top stays open */
		idle_add_locked(r, d);
	unlock_fds(r);
}

/* Life. */

static struct rdir *rdir_alloc(const struct entry *ent, struct rdir *parent)
{
	struct rdir *d = calloc(1, sizeof(*d) + ent->name_len + ent->xattrs_len + 2);
	uint8_t *mem;

	if (!d)
		return NULL;
	d->parent = parent;
	d->e = *ent;
	d->fd = -1;
	d->planned = true;
	mem = d->mem;
	if (ent->name_len)
		memcpy(mem, ent->name, ent->name_len);
	d->e.name = (char *)mem;	/* calloc: the NUL is there */
	mem += ent->name_len + 1;
	if (ent->xattrs_len)
		memcpy(mem, ent->xattrs, ent->xattrs_len);
	d->e.xattrs = mem;
	d->e.user = d->e.group = d->e.target = "";
	d->e.user_len = d->e.group_len = d->e.target_len = 0;
	d->e.content_p = NULL;
	d->e.content_len = 0;
	atomic_init(&d->refs, 1);
	atomic_init(&d->pending, 1);
	return d;
}

enum err_code rdir_new(struct restore *r, struct rdir *parent, const struct entry *ent,
		       struct rdir **out, struct err *e)
{
	struct rdir *d;

	if (parent->depth >= TREE_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "more than %u folders below one another in %s",
			       TREE_DEPTH_MAX, r->o->target);
	d = rdir_alloc(ent, parent);
	if (!d)
		return err_set(e, ERR_NOMEM, "no memory for a folder of %s", r->o->target);
	d->depth = parent->depth + 1;
	atomic_fetch_add(&parent->refs, 1);
	atomic_fetch_add(&parent->pending, 1);
	*out = d;
	return ERR_OK;
}

void rdir_unref(struct restore *r, struct rdir *d)
{
	while (d && atomic_fetch_sub(&d->refs, 1) == 1) {
		struct rdir *parent = d->parent;

		lock_fds(r);
		if (d->fd >= 0 && d->users == 0 && d->parent)
			idle_remove_locked(r, d);
		close_locked(r, d);
		unlock_fds(r);
		free(d);
		d = parent;
	}
}

/* Everything in it is done: its own attributes, now that nothing changes its mtime any more. */
static void finish(struct restore *r, struct rdir *d)
{
	int fd;

	if (!d->made || !d->planned || r->reading_back || restore_stopping(r))
		return;
	if (!r->o->dry_run) {
		struct meta_at at = { .existing = !d->fresh };

		fd = rdir_fd(r, d);
		if (fd < 0) {
			struct err err = ERR_INIT;

			(void)err_sys(&err, "open");
			restore_failed(r, d, NULL, &err, false);
			return;
		}
		at.fd = fd;
		(void)restore_meta(r, d, NULL, &d->e, &at);
		rdir_fd_put(r, d);
	}
	restore_count(r, d);
}

void rdir_done(struct restore *r, struct rdir *d)
{
	while (d && atomic_fetch_sub(&d->pending, 1) == 1) {
		struct rdir *parent = d->parent;

		finish(r, d);
		lock_fds(r);
		if (parent && d->fd >= 0 && d->users == 0) {	/* seldom needed again */
			idle_remove_locked(r, d);
			close_locked(r, d);
		}
		unlock_fds(r);
		rdir_unref(r, d);
		d = parent;	/* which its own pending keeps */
	}
}

/* Making. */

static enum err_code open_made(struct restore *r, struct rdir *d, int pfd, const char *name,
			       struct err *e)
{
	struct stat st;
	int fd = restore_openat(r, pfd, name, O_RDONLY | O_DIRECTORY, 0);

	/*
	 * One of ours from an earlier restore, or a user's: without root it must be opened up to
	 * be filled.
	 */
	if (fd < 0 && errno == EACCES && !r->is_root && !r->reading_back && !r->o->dry_run &&
	    fchmodat(pfd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
		fd = restore_openat(r, pfd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(e, "open");
	if (!d->fresh && !r->is_root && !r->reading_back && !r->o->dry_run &&
	    fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0700) != 0700)
		(void)fchmod(fd, (st.st_mode & 07777) | 0700);	/* else creating tells */
	if (!r->reading_back && !r->o->dry_run) {
		if (!d->fresh)
			restore_tmp_sweep(r, fd);
		restore_tmp_share(fd);
		/* A default ACL would be inherited by all that is made in it. */
		if (d->planned && (!d->fresh || !d->parent)) {
			(void)fremovexattr(fd, "system.posix_acl_default");
			(void)fremovexattr(fd, "system.posix_acl_access");
		}
	}
	lock_fds(r);
	d->fd = fd;
	r->nr_open++;
	if (d->parent)
		idle_add_locked(r, d);
	unlock_fds(r);
	d->made = true;
	return ERR_OK;
}

/* A folder of this name, ours or there before; never what a link points to. */
static enum err_code make_one(struct restore *r, struct rdir *d, int pfd, struct err *e)
{
	const char *name = d->e.name;
	struct stat st;

	for (int tries = 0; tries < 3; tries++) {
		if (mkdirat(pfd, name, 0700) == 0) {
			d->fresh = true;
			return ERR_OK;
		}
		if (errno != EEXIST)
			return err_sys(e, "make the folder");
		if (fstatat(pfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, "look at what is there");
		if (S_ISDIR(st.st_mode))
			return ERR_OK;
		if (!S_ISLNK(st.st_mode))
			return err_set(
			    e, ERR_EXISTS,
			    "a file of this name is in the way of a folder; move it away");
		if (unlinkat(pfd, name, 0) < 0)
			return err_sys(e, "remove the link in the way of a folder");
		restore_event(r, EVENT_NOTE, d, NULL, "replaced a symbolic link by a folder");
	}
	return err_set(e, ERR_EXISTS, "somebody keeps putting links in the way of this folder");
}

static bool make_below(struct restore *r, struct rdir *d)
{
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;
	int pfd = rdir_fd(r, d->parent);

	if (pfd < 0) {
		rc = err_sys(&err, "open the folder above");
		goto out;
	}
	if (!r->reading_back && !r->o->dry_run)
		rc = make_one(r, d, pfd, &err);
	if (!rc)
		rc = open_made(r, d, pfd, d->e.name, &err);
	rdir_fd_put(r, d->parent);
out:
	if (!rc)
		return true;
	d->failed = true;
	restore_failed(r, d, NULL, &err, false);
	return false;
}

/* A dry run only looks whether it is there. */
static void look_below(struct restore *r, struct rdir *d)
{
	struct err ignored = ERR_INIT;
	int pfd = d->parent->absent ? -1 : rdir_fd(r, d->parent);

	d->absent = pfd < 0 || open_made(r, d, pfd, d->e.name, &ignored);
	d->made = true;
	if (pfd >= 0)
		rdir_fd_put(r, d->parent);
}

bool rdir_make(struct restore *r, struct rdir *d)
{
	while (!d->made) {
		struct rdir *up = d;

		/* From the topmost that is not there; a loop, because a tree may be deep. */
		while (up->parent && !up->parent->made && !up->parent->failed)
			up = up->parent;
		if (d->failed || (up->parent && up->parent->failed)) {
			d->failed = true;
			return false;
		}
		if (r->o->dry_run) {
			look_below(r, up);
		} else if (!make_below(r, up)) {
			d->failed = true;
			return false;
		}
	}
	return true;
}

/* Whether the kernel has openat2; some sandboxes answer EPERM to calls they do not know. */
static void probe_openat2(struct restore *r, int fd)
{
	int again = restore_openat(r, fd, ".", O_PATH | O_DIRECTORY, 0);

	if (again >= 0)
		(void)close(again);
	else
		r->no_openat2 = errno == ENOSYS || errno == EPERM;
}

enum err_code rdir_open_top(struct restore *r, const struct entry *what, struct rdir **out,
			    struct err *e)
{
	struct entry top = *what;
	enum err_code rc = ERR_OK;
	struct rdir *d;
	int at = -1;

	top.name_len = 0;
	if (what->type != ENTRY_DIR)
		top = (struct entry){ .type = ENTRY_DIR };
	d = rdir_alloc(&top, NULL);
	if (!d)
		return err_set(e, ERR_NOMEM, "no memory for %s", r->o->target);
	d->planned = what->type == ENTRY_DIR;
	d->included = r->includes == NULL;
	if (!r->reading_back && !r->o->dry_run) {
		d->fresh = mkdir(r->o->target, 0700) == 0;
		if (!d->fresh && errno != EEXIST) {
			rc = err_sys(e, "make %s", r->o->target);
			goto out;
		}
	}
	/* The user's own path may go through links; everything after it may not. */
	at = open(r->o->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0 && errno == ENOENT && r->o->dry_run) {
		d->absent = d->made = true;
		goto out;
	}
	if (at < 0) {
		rc = err_sys(e, "open %s", r->o->target);
		goto out;
	}
	probe_openat2(r, at);
	rc = open_made(r, d, at, ".", e);
	if (rc)
		err_prefix(e, "%s", r->o->target);
out:
	if (at >= 0)
		(void)close(at);	/* O_PATH */
	if (!rc)
		*out = d;
	else
		free(d);
	return rc;
}
