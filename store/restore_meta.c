/* SPDX-License-Identifier: MIT */
/*
 * Owner, attributes, mode, times of what a restore has made.  The order matters: a change of
 * owner takes setuid and capabilities away; user.* wants write permission, so it comes before the
 * final mode; an ACL rewrites the mode's group bits, so it comes after; times come last.
 */
#include "store/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LATE_FLAGS	(FS_IMMUTABLE_FL | FS_APPEND_FL)
#define KEPT_FLAGS	(LATE_FLAGS | FS_NODUMP_FL | FS_NOCOW_FL)

/* What one call of restore_meta is about. */
struct meta {
	struct restore *r;
	struct rdir *dir;
	const char *name;		/* NULL: dir itself */
	const struct entry *e;
	const struct meta_at *at;
	char proc[64 + NAME_LEN_MAX];	/* where there is no descriptor: for the l*xattr calls */
	struct stat st;			/* as it was found, or made */
	bool looked;			/* st is set */
	bool ok;
};

static void complain(struct meta *m, const struct err *err, bool from_store)
{
	restore_failed(m->r, m->dir, m->name, err, from_store);
	m->ok = false;
}

/*
 * Some errors say that this place cannot hold it, others that something is wrong.
 * EPERM for root: exFAT and its like.
 */
static bool cannot_hold(int sys)
{
	return sys == EOPNOTSUPP || sys == ENOSYS || sys == EPERM || sys == EINVAL || sys == ENOTTY;
}

static int at_stat(const struct meta_at *at, struct stat *st)
{
	return at->fd >= 0 ? fstat(at->fd, st)
			   : fstatat(at->dirfd, at->name, st, AT_SYMLINK_NOFOLLOW);
}

static int at_chown(const struct meta_at *at, uid_t uid, gid_t gid)
{
	return at->fd >= 0 ? fchown(at->fd, uid, gid)
			   : fchownat(at->dirfd, at->name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

static int at_chmod(const struct meta_at *at, mode_t mode)
{
	/* With AT_SYMLINK_NOFOLLOW the C library goes through /proc where the kernel cannot. */
	return at->fd >= 0 ? fchmod(at->fd, mode)
			   : fchmodat(at->dirfd, at->name, mode, AT_SYMLINK_NOFOLLOW);
}

static ssize_t at_getxattr(const struct meta *m, const char *name, void *buf, size_t len)
{
	return m->at->fd >= 0 ? fgetxattr(m->at->fd, name, buf, len)
			      : lgetxattr(m->proc, name, buf, len);
}

static int at_setxattr(const struct meta *m, const char *name, const void *buf, size_t len)
{
	return m->at->fd >= 0 ? fsetxattr(m->at->fd, name, buf, len, 0)
			      : lsetxattr(m->proc, name, buf, len, 0);
}

static int at_removexattr(const struct meta *m, const char *name)
{
	return m->at->fd >= 0 ? fremovexattr(m->at->fd, name) : lremovexattr(m->proc, name);
}

static void set_owner(struct meta *m)
{
	const struct entry *e = m->e;

	if (m->looked && m->st.st_uid == e->uid && m->st.st_gid == e->gid)
		return;
	if (at_chown(m->at, e->uid, e->gid) == 0)
		return;
	if (!cannot_hold(errno)) {
		struct err err = ERR_INIT;

		(void)err_sys(&err, "set the owner %u:%u", e->uid, e->gid);
		complain(m, &err, false);
		return;
	}
	/* Without root the group may be one of ours. */
	if (m->r->is_root || at_chown(m->at, (uid_t)-1, e->gid) < 0 || e->uid != geteuid())
		restore_note(m->r, NOTE_OWNER);
}

static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

static bool is_privileged(const char *name)
{
	return strncmp(name, "security.", 9) == 0 || strncmp(name, "trusted.", 8) == 0;
}

static bool ours_to_set(const struct meta *m, const char *name)
{
	return is_acl(name) || strncmp(name, "user.", 5) == 0 ||
	       (is_privileged(name) && m->r->special);
}

static bool has_value(const struct meta *m, const char *name, const void *value, size_t len)
{
	uint8_t *now = malloc(len + 1);
	bool same = now && at_getxattr(m, name, now, len + 1) == (ssize_t)len &&
		    memcmp(now, value, len) == 0;

	free(now);
	return same;
}

static void set_xattr(struct meta *m, const char *name, const void *value, size_t len)
{
	struct err err = ERR_INIT;

	if (m->at->existing && has_value(m, name, value, len))
		return;
	if (at_setxattr(m, name, value, len) == 0)
		return;
	/* user.* on a read-only file of an earlier restore; the final mode follows. */
	if (errno == EACCES && m->at->existing && at_chmod(m->at, 0600) == 0 &&
	    at_setxattr(m, name, value, len) == 0)
		return;
	if (cannot_hold(errno)) {
		restore_note(m->r, NOTE_XATTR);
		return;
	}
	/* A full attribute block is this file's trouble, not a full disk. */
	(void)err_sys(&err, "set %.255s (%zu bytes)", name, len);
	err.sys = 0;
	complain(m, &err, false);
}

/* All but the ACLs, or only them. */
static void set_xattrs(struct meta *m, bool acls)
{
	char name[XATTR_NAME_MAX + 1];
	struct entry_xattr x;

	for (size_t i = 0; entry_xattr_at(m->e, i, &x); i++) {
		struct err err = ERR_INIT;
		uint8_t *value;

		if (x.name_len == 0 || x.name_len > XATTR_NAME_MAX || x.value_len > XATTR_VALUE_MAX)
			continue;	/* the decoder lets none through */
		memcpy(name, x.name, x.name_len);
		name[x.name_len] = '\0';
		if (is_acl(name) != acls)
			continue;
		if (!ours_to_set(m, name)) {
			restore_note(m->r,
				     is_privileged(name) ? NOTE_PRIVILEGED_XATTR : NOTE_XATTR);
			continue;
		}
		value = malloc(x.value_len + 1);
		if (!value)
			(void)err_set(&err, ERR_NOMEM, "attribute of %zu bytes", x.value_len);
		else if (!entry_xattr_value(m->r->s, &x, value, &err))
			set_xattr(m, name, value, x.value_len);
		if (err.code)
			complain(m, &err, true);
		free(value);
	}
}

static bool recorded(const struct entry *e, const char *name)
{
	struct entry_xattr x;

	for (size_t i = 0; entry_xattr_at(e, i, &x); i++)
		if (x.name_len == strlen(name) && memcmp(x.name, name, x.name_len) == 0)
			return true;
	return false;
}

/* Take off what was there before and is not in the snapshot. */
static void prune_xattrs(struct meta *m)
{
	ssize_t len;
	char *list;

	if (m->at->fd < 0)
		return;
	len = flistxattr(m->at->fd, NULL, 0);
	if (len <= 0 || !(list = malloc((size_t)len)))
		return;
	len = flistxattr(m->at->fd, list, (size_t)len);
	for (ssize_t i = 0; i < len; i += (ssize_t)strlen(list + i) + 1)
		if (ours_to_set(m, list + i) && !recorded(m->e, list + i) &&
		    at_removexattr(m, list + i) < 0)
			restore_note(m->r, NOTE_XATTR);
	free(list);
}

static void set_mode(struct meta *m)
{
	mode_t mode = m->e->mode & 07777;
	struct stat st;

	if (m->e->type == ENTRY_SYMLINK)
		return;
	if (m->e->type != ENTRY_DIR && (mode & 06000) && !m->r->special) {
		mode &= 01777;
		restore_note(m->r, NOTE_SETID);
	}
	/* On a file with an ACL, chmod would overwrite the mask: compare first. */
	if (m->at->existing && at_stat(m->at, &st) == 0 && (st.st_mode & 07777) == mode)
		return;
	/* Made with that mode; what has changed since had no part in it. */
	if (!m->at->existing && m->looked && (m->st.st_mode & 07777) == mode)
		return;
	if (at_chmod(m->at, mode) == 0)
		return;
	if (cannot_hold(errno)) {
		restore_note(m->r, NOTE_MODE);
	} else {
		struct err err = ERR_INIT;

		(void)err_sys(&err, "set the mode %04o", (unsigned)mode);
		complain(m, &err, false);
	}
}

static void set_times(struct meta *m)
{
	const struct vtime *t = &m->e->mtime;
	struct timespec ts[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = (time_t)t->sec, .tv_nsec = (long)t->nsec },
	};
	struct stat st;
	int rc;

	if (m->at->existing && at_stat(m->at, &st) == 0 && st.st_mtim.tv_sec == ts[1].tv_sec &&
	    st.st_mtim.tv_nsec == ts[1].tv_nsec)
		return;
	rc = m->at->fd >= 0 ? futimens(m->at->fd, ts)
			    : utimensat(m->at->dirfd, m->at->name, ts, AT_SYMLINK_NOFOLLOW);
	if (rc < 0) {
		struct err err = ERR_INIT;

		(void)err_sys(&err, "set the time");
		complain(m, &err, false);
	}
}

/* Inode flags. */

static int change_flags(int fd, uint32_t flags)
{
	int now = 0, want;

	if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return -1;
	want = (now & ~(int)KEPT_FLAGS) | (int)(flags & KEPT_FLAGS);
	return want == now ? 0 : ioctl(fd, FS_IOC_SETFLAGS, &want);
}

static void flags_failed(struct restore *r, struct rdir *dir, const char *name)
{
	struct err err = ERR_INIT;

	(void)err_sys(&err, "set the inode flags");
	restore_failed(r, dir, name, &err, false);
}

static void set_flags(struct meta *m)
{
	struct late_flags *late;
	int now = 0;

	if (m->e->inode_flags == 0 || (m->e->type != ENTRY_FILE && m->e->type != ENTRY_DIR))
		return;
	if (!m->r->special) {
		restore_note(m->r, NOTE_INODE_FLAGS);
		return;
	}
	/* A file of an earlier restore that has them all is left alone. */
	if (ioctl(m->at->fd, FS_IOC_GETFLAGS, &now) == 0 &&
	    ((uint32_t)now & KEPT_FLAGS) == (m->e->inode_flags & KEPT_FLAGS))
		return;
	if (!(m->e->inode_flags & LATE_FLAGS)) {
		if (change_flags(m->at->fd, m->e->inode_flags) < 0)
			flags_failed(m->r, m->dir, m->name);
		return;
	}
	late = calloc(1, sizeof(*late));
	if (!late) {
		errno = ENOMEM;
		flags_failed(m->r, m->dir, m->name);
		return;
	}
	late->dir = m->dir;
	late->flags = m->e->inode_flags;
	if (m->name)
		memcpy(late->name, m->name, strnlen(m->name, NAME_LEN_MAX));
	atomic_fetch_add(&m->dir->refs, 1);
	if (pthread_mutex_lock(&m->r->count) != 0)
		abort();
	late->next = m->r->late;
	m->r->late = late;
	if (pthread_mutex_unlock(&m->r->count) != 0)
		abort();
}

void restore_late_flags(struct restore *r)
{
	struct late_flags *l;

	/* One thread by now: every item is done. */
	while ((l = r->late)) {
		int dirfd = rdir_fd(r, l->dir);
		int fd = dirfd;

		if (dirfd >= 0 && l->name[0])
			fd = restore_openat(r, dirfd, l->name, O_RDONLY | O_NONBLOCK, 0);
		if (!restore_stopping(r) && (fd < 0 || change_flags(fd, l->flags) < 0))
			flags_failed(r, l->dir, l->name[0] ? l->name : NULL);
		if (fd >= 0 && fd != dirfd)
			(void)close(fd);	/* opened to read */
		if (dirfd >= 0)
			rdir_fd_put(r, l->dir);
		r->late = l->next;
		rdir_unref(r, l->dir);
		free(l);
	}
}

bool restore_meta(struct restore *r, struct rdir *dir, const char *name, const struct entry *ent,
		  const struct meta_at *at)
{
	struct meta m = { .r = r, .dir = dir, .name = name, .e = ent, .at = at, .ok = true };

	if (at->fd < 0)
		(void)snprintf(m.proc, sizeof(m.proc), "/proc/self/fd/%d/%s", at->dirfd, at->name);
	/* A look is cheaper than to set what is right: that is written to the journal all the same. */
	m.looked = (at->existing || (at->fd >= 0 && !at->may_inherit)) && at_stat(at, &m.st) == 0;
	if (at->existing && !m.looked) {
		struct err err = ERR_INIT;

		(void)err_sys(&err, "look at what is there");
		complain(&m, &err, false);
		return false;
	}
	set_owner(&m);
	if (at->existing)
		prune_xattrs(&m);
	else if (at->may_inherit && ent->type != ENTRY_SYMLINK)
		(void)at_removexattr(&m, "system.posix_acl_access");	/* usually there is none */
	set_xattrs(&m, false);
	set_mode(&m);
	set_xattrs(&m, true);
	set_times(&m);
	set_flags(&m);
	return m.ok;
}
