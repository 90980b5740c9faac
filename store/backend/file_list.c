/* SPDX-License-Identifier: MIT */
#include "store/backend/file_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "store/backend/file_root.h"
#include "store/base/checked.h"

#define DEPTH_MAX 4u		/* copies/snapshots/NAME is the deepest we write */

struct walk {
	const struct io *io;
	bool with_size;
	bool stop;		/* fn has had enough */
	backend_list_fn *fn;
	void *ctx;
};

/* DT_UNKNOWN (some file systems never tell): ask. */
static unsigned char type_of(const struct io *io, int dirfd, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type;
	if (io->fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_UNKNOWN;
}

static enum err_code found(struct walk *w, int dirfd, const struct dirent *d, const char *name,
			   struct err *e)
{
	struct stat st = { 0 };

	if (w->with_size && w->io->fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", name);
	w->stop = !w->fn(w->ctx, name, (uint64_t)st.st_size);
	return ERR_OK;
}

static enum err_code open_dir(const struct io *io, int dirfd, const char *name, DIR **out,
			      struct err *e)
{
	int fd = io->openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	*out = NULL;
	if (fd < 0 && errno == ENOENT)
		return ERR_OK;
	if (fd < 0)
		return err_sys(e, "open folder %s", name);
	*out = fdopendir(fd);
	if (*out)
		return ERR_OK;
	(void)io->close(fd);
	return err_sys(e, "list %s", name);
}

/* prefix: what lies before the names in dir, "" or ending in '/'. Closes dir. */
static enum err_code walk_dir(struct walk *w, DIR *dir, const char *prefix, unsigned depth,
			      struct err *e)
{
	char name[FILE_NAME_MAX + 2];
	enum err_code rc = ERR_OK;
	struct dirent *d;

	while (!rc && !w->stop && (errno = 0, d = readdir(dir))) {
		int n = snprintf(name, sizeof(name), "%s%s", prefix, d->d_name);
		unsigned char type;

		if (n < 0 || n >= (int)FILE_NAME_MAX ||
		    !file_component_ok(d->d_name, strlen(d->d_name)))
			continue;
		type = type_of(w->io, dirfd(dir), d);
		if (type == DT_REG) {
			rc = found(w, dirfd(dir), d, name, e);
		} else if (type == DT_DIR && depth < DEPTH_MAX && strcmp(name, "tmp") != 0) {
			DIR *sub = NULL;

			name[n] = '/';
			name[n + 1] = '\0';
			rc = open_dir(w->io, dirfd(dir), d->d_name, &sub, e);
			if (!rc && sub)
				rc = walk_dir(w, sub, name, depth + 1, e);
		}
		errno = 0;
	}
	if (!rc && !w->stop && errno != 0)
		rc = err_sys(e, "list %s", *prefix ? prefix : "the repository");
	(void)closedir(dir);
	return rc;
}

enum err_code file_list(const struct io *io, int dirfd, const char *prefix, bool with_size,
			backend_list_fn *fn, void *ctx, struct err *e)
{
	struct walk w = { .io = io, .with_size = with_size, .fn = fn, .ctx = ctx };
	DIR *dir = NULL;
	enum err_code rc = open_dir(io, dirfd, ".", &dir, e);

	if (rc || !dir)
		return rc;
	return walk_dir(&w, dir, prefix, 0, e);
}

static bool is_litter(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	       strcmp(name, "lost+found") == 0 || strcmp(name, "System Volume Information") == 0 ||
	       strcmp(name, "$RECYCLE.BIN") == 0 || strcmp(name, ".DS_Store") == 0 ||
	       strncmp(name, "._", 2) == 0 || strncmp(name, ".Trash", 6) == 0 ||
	       strcmp(name, ".Spotlight-V100") == 0 || strcmp(name, ".fseventsd") == 0;
}

/* What is left of an interrupted create may stand there; a file in it may not. */
static bool is_ours(const char *name)
{
	static const char *const ours[] = { "packs", "snapshots", "forgotten", "log", "copies",
					    "tmp", "condemned", "writers", "README.txt" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return true;
	return false;
}

static bool any_file(void *ctx, const char *name, uint64_t size)
{
	bool *any = ctx;

	(void)size;
	*any = *any || strcmp(name, "README.txt") != 0;
	return !*any;
}

enum err_code file_list_is_free(const struct io *io, int dirfd, bool *is_free, struct err *e)
{
	DIR *dir = NULL;
	enum err_code rc = open_dir(io, dirfd, ".", &dir, e);
	bool any = false;
	struct dirent *d;

	if (rc || !dir)
		return rc ? rc : err_set(e, ERR_NOT_FOUND, "the folder has gone");
	while (!any && (errno = 0, d = readdir(dir)))
		any = !is_litter(d->d_name) && !is_ours(d->d_name);
	if (!any && errno != 0)
		rc = err_sys(e, "list the folder");
	(void)closedir(dir);
	if (!rc && !any)
		rc = file_list(io, dirfd, "", false, any_file, &any, e);
	if (!rc)
		*is_free = !any;
	return rc;
}
