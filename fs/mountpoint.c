/* SPDX-License-Identifier: MIT */
#include "fs/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err_code check_folder(const char *path, struct err *e)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0) {
		switch (errno) {
		case ENOENT:
			return err_set(e, ERR_USAGE, "mount point %s is not there: make the folder "
				       "first", path);
		case ENOTCONN:
		case ECONNABORTED:
			return err_set(e, ERR_USAGE, "mount point %s still has a mount whose "
				       "program died: fusermount3 -u %s", path, path);
		case ENOTDIR:
			break;
		default:
			(void)err_sys(e, "mount point %s", path);
			return e ? e->code = ERR_USAGE : ERR_USAGE;
		}
		return err_set(e, ERR_USAGE, "mount point %s is not a folder", path);
	}
	if (!S_ISDIR(st.stx_mode))
		return err_set(e, ERR_USAGE, "mount point %s is not a folder", path);
	if (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT &&
	    st.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return err_set(e, ERR_USAGE, "mount point %s is in use: something is mounted there "
			       "already", path);
	/* fusermount3 asks this too, and would say so on its own stderr. */
	if (geteuid() != 0 && access(path, W_OK) < 0)
		return err_set(e, ERR_USAGE, "mount point %s is not yours to write to", path);
	return ERR_OK;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0' ||
					      (n && dir[n - 1] == '/'));
}

enum err_code mountpoint_check(const char *path, const char *repository, char **out,
			       struct err *e)
{
	char *at = NULL, *repo = NULL;
	enum err_code rc;

	rc = check_folder(path, e);
	if (rc)
		return rc;
	at = realpath(path, NULL);
	if (!at) {
		rc = err_sys(e, "mount point %s", path);
		goto out;
	}
	repo = realpath(repository, NULL);	/* where it fails, store_open says why */
	if (repo && is_below(repo, at))
		rc = err_set(e, ERR_USAGE, "mount point %s would hide the repository %s", at, repo);
	else if (repo && is_below(at, repo))
		rc = err_set(e, ERR_USAGE, "mount point %s lies in the repository", at);
	if (!rc) {
		*out = at;
		at = NULL;
	}
out:
	free(at);
	free(repo);
	return rc;
}
