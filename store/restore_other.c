/* SPDX-License-Identifier: MIT */
/*
 * Symbolic links, FIFOs and devices: made by name, in one step, or beside and renamed where
 * something is in the way.
 */
#include "store/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int make(const struct entry *e, int dirfd, const char *name)
{
	dev_t dev = makedev(e->rdev_major, e->rdev_minor);

	switch (e->type) {
	case ENTRY_SYMLINK:
		return symlinkat(e->target, dirfd, name);
	case ENTRY_FIFO:
		return mknodat(dirfd, name, S_IFIFO | 0600, 0);
	case ENTRY_CHARDEV:
		return mknodat(dirfd, name, S_IFCHR | 0600, dev);
	case ENTRY_BLOCKDEV:
		return mknodat(dirfd, name, S_IFBLK | 0600, dev);
	default:
		errno = EINVAL;
		return -1;
	}
}

/* What stands at it is what shall stand there, attributes aside. */
static bool is_there(const struct entry *e, int dirfd, const char *name, const struct stat *st)
{
	char target[TARGET_LEN_MAX + 1];

	switch (e->type) {
	case ENTRY_SYMLINK:
		return S_ISLNK(st->st_mode) &&
		       readlinkat(dirfd, name, target, sizeof(target)) == (ssize_t)e->target_len &&
		       memcmp(target, e->target, e->target_len) == 0;
	case ENTRY_FIFO:
		return S_ISFIFO(st->st_mode);
	case ENTRY_CHARDEV:
		return S_ISCHR(st->st_mode) && st->st_rdev == makedev(e->rdev_major, e->rdev_minor);
	case ENTRY_BLOCKDEV:
		return S_ISBLK(st->st_mode) && st->st_rdev == makedev(e->rdev_major, e->rdev_minor);
	default:
		return false;
	}
}

/* name is taken. *existing: by what shall be there; else it is beside, as tmp. */
static enum err_code make_beside(struct ritem *it, int dirfd, char *tmp, bool *existing,
				 struct err *e)
{
	struct stat st;

	if (fstatat(dirfd, it->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "look at what is there");
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_EXISTS, "a folder of this name is in the way; move it away");
	/* A second name elsewhere may be somebody else's: its attributes are not ours to change. */
	*existing = st.st_nlink == 1 && is_there(&it->e, dirfd, it->name, &st);
	if (*existing)
		return ERR_OK;
	restore_tmp_name(it->r, tmp);
	if (make(&it->e, dirfd, tmp) < 0) {
		tmp[0] = '\0';
		return err_sys(e, "create it");
	}
	return ERR_OK;
}

bool restore_other(struct ritem *it)
{
	struct restore *r = it->r;
	struct meta_at at = { .fd = -1, .name = it->name, .may_inherit = !it->dir->planned };
	char tmp[RESTORE_TMP_LEN + 1] = "";
	struct err err = ERR_INIT;
	bool meta_ok = false;

	if ((it->e.type == ENTRY_CHARDEV || it->e.type == ENTRY_BLOCKDEV) && !r->special) {
		restore_note(r, NOTE_DEVICE);
		return false;
	}
	at.dirfd = rdir_fd(r, it->dir);
	if (at.dirfd < 0) {
		(void)err_sys(&err, "open the folder it is in");
		goto out;
	}
	if (make(&it->e, at.dirfd, it->name) < 0) {
		if (errno != EEXIST)
			(void)err_sys(&err, "create it");
		else if (!make_beside(it, at.dirfd, tmp, &at.existing, &err) && tmp[0])
			at.name = tmp;
	}
	if (!err.code)
		meta_ok = restore_meta(r, it->dir, it->name, &it->e, &at);
	if (!err.code && tmp[0]) {
		if (renameat(at.dirfd, tmp, at.dirfd, it->name) == 0)
			tmp[0] = '\0';
		else
			(void)err_sys(&err, "rename it into place");
	}
	if (tmp[0])
		(void)unlinkat(at.dirfd, tmp, 0);	/* else swept by the next restore */
	rdir_fd_put(r, it->dir);
out:
	if (err.code)
		restore_failed(r, it->dir, it->name, &err, false);
	else if (meta_ok)
		restore_count_item(it, false);
	return !err.code;
}
