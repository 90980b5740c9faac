/* SPDX-License-Identifier: MIT */
#include "store/backend/file_root.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "store/base/must.h"

#define MARKER_MAX ((size_t)1 << 20)
#define ID_KEY	   "\"id\": \""	/* in vouch.json, as this program writes it ... */
#define ID_TEXT_LEN 32		/* ... and so many digits follow */

#define FOLDER_MAX 24u		/* bytes of a folder's name: "copies/snapshots" is the longest */

static const char *const markers[2] = { "vouch.json", "copies/vouch.json" };

/* What a folder is known by: cheap to look at, and what decides where that has changed. */
struct look {
	dev_t dev;
	ino_t ino;
	bool marked;		/* vouch.json is there */
	off_t size;		/* of it; not its inode, which vfat invents anew */
	struct timespec mtime;
};

struct sums {
	bool have[2], named[2];
	struct object_id id[2];
	char name[2][ID_TEXT_LEN];	/* the repository's id, as it stands there; where named */
};

struct file_root {
	const struct io *io;
	char *path;
	pthread_mutex_t mutex;
	struct look look;	/* mutex */
	struct sums sums;	/* mutex */
	char (*durable)[FOLDER_MAX];	/* mutex; folders whose own names survive a power cut */
	size_t nr_durable, cap_durable;	/* mutex */
};

/* Errors by which the kernel says that a medium has gone. */
static bool is_gone(int sys)
{
	return sys == ENODEV || sys == ENXIO || sys == ENOMEDIUM || sys == ENOTCONN ||
	       sys == ESTALE || sys == ESHUTDOWN;
}

static enum err_code open_path(const struct file_root *r, int *fd, struct err *e)
{
	*fd = r->io->openat(AT_FDCWD, r->path, O_RDONLY | O_DIRECTORY, 0);
	if (*fd >= 0)
		return ERR_OK;
	if (errno == ENOENT || errno == ENOTDIR || errno == EIO || is_gone(errno)) {
		(void)err_sys(e, "%s is not there (is the drive plugged in and mounted?)", r->path);
		if (e)
			e->code = ERR_ABSENT;
		return ERR_ABSENT;
	}
	return err_sys(e, "open %s", r->path);
}

static enum err_code take_look(const struct file_root *r, int fd, struct look *out, struct err *e)
{
	struct stat st;

	*out = (struct look){ 0 };
	if (r->io->fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return err_sys(e, "stat %s", r->path);
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	if (r->io->fstatat(fd, markers[0], &st, AT_SYMLINK_NOFOLLOW) == 0) {
		out->marked = true;
		out->size = st.st_size;
		out->mtime = st.st_mtim;
	}
	return ERR_OK;
}

static bool look_same(const struct look *a, const struct look *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->marked == b->marked &&
	       a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Its parameters may change, its id never does. */
static bool find_name(const struct buf *b, char out[ID_TEXT_LEN])
{
	const uint8_t *at = memmem(b->p, b->len, ID_KEY, strlen(ID_KEY));
	size_t left;

	if (!at)
		return false;
	at += strlen(ID_KEY);
	left = b->len - (size_t)(at - b->p);
	if (left <= ID_TEXT_LEN || at[ID_TEXT_LEN] != '"')
		return false;
	memcpy(out, at, ID_TEXT_LEN);
	return true;
}

static void read_sums(const struct file_root *r, int fd, struct sums *out)
{
	struct buf b = BUF_INIT;

	*out = (struct sums){ 0 };
	for (int i = 0; i < 2; i++) {
		buf_reset(&b);
		if (io_read_file(r->io, fd, markers[i], MARKER_MAX, &b, NULL))
			continue;
		digest_sha256(b.p, b.len, &out->id[i]);
		out->have[i] = true;
		out->named[i] = b.len > 0 && find_name(&b, out->name[i]);
	}
	buf_release(&b);
}

/* One of what is there was there before, or is the same repository's: either may be damaged, or newer than the other. */
static bool sums_meet(const struct sums *a, const struct sums *b)
{
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++) {
			if (a->have[i] && b->have[k] && id_eq(&a->id[i], &b->id[k]))
				return true;
			if (a->named[i] && b->named[k] &&
			    memcmp(a->name[i], b->name[k], ID_TEXT_LEN) == 0)
				return true;
		}
	return false;
}

static enum err_code recognise(struct file_root *r, int fd, struct err *e)
{
	struct look now;
	struct sums sums;
	bool ok, unmarked;
	enum err_code rc = take_look(r, fd, &now, e);

	if (rc)
		return rc;
	must(pthread_mutex_lock(&r->mutex));
	ok = look_same(&now, &r->look);
	/* A repository being made has no marker: the folder itself must do. */
	unmarked = !r->sums.have[0] && !r->sums.have[1];
	if (unmarked)
		ok = now.dev == r->look.dev && now.ino == r->look.ino;
	must(pthread_mutex_unlock(&r->mutex));
	if (ok)
		return ERR_OK;
	read_sums(r, fd, &sums);
	must(pthread_mutex_lock(&r->mutex));
	ok = sums_meet(&sums, &r->sums);
	if (ok) {
		r->look = now;
		r->sums = sums;
		r->nr_durable = 0;	/* it may be a copy on another drive */
	}
	must(pthread_mutex_unlock(&r->mutex));
	if (ok)
		return ERR_OK;
	return err_set(e, ERR_ABSENT, "%s is not there: its place holds %s", r->path,
		       sums.have[0] || sums.have[1] ? "another repository" : "no repository");
}

enum err_code file_root_get(struct file_root *r, int *fd, struct err *e)
{
	int got = -1;
	enum err_code rc = open_path(r, &got, e);

	if (rc)
		return rc;
	rc = recognise(r, got, e);
	if (rc)
		(void)r->io->close(got);
	else
		*fd = got;
	return rc;
}

/*
 * Where the look changes between the two calls the next file_root_get reads the sums
 * again, and finds them the same.
 */
static enum err_code learn(struct file_root *r, struct err *e)
{
	struct look look;
	struct sums sums;
	int fd = -1;
	enum err_code rc = open_path(r, &fd, e);

	if (rc)
		return rc;
	rc = take_look(r, fd, &look, e);
	if (!rc) {
		read_sums(r, fd, &sums);
		must(pthread_mutex_lock(&r->mutex));
		r->look = look;
		r->sums = sums;
		must(pthread_mutex_unlock(&r->mutex));
	}
	(void)r->io->close(fd);
	return rc;
}

void file_root_learn(struct file_root *r)
{
	if (learn(r, NULL))
		return;		/* what is known by now stays, and is compared at the next use */
}

enum err_code file_root_open(const struct io *io, const char *path, struct file_root **out,
			     struct err *e)
{
	struct file_root *r = calloc(1, sizeof(*r));
	enum err_code rc;

	if (!r)
		return err_set(e, ERR_NOMEM, "%s", path);
	r->io = io;
	must(pthread_mutex_init(&r->mutex, NULL));
	r->path = strdup(path);
	if (r->path)
		rc = learn(r, e);
	else
		rc = err_set(e, ERR_NOMEM, "%s", path);
	if (rc)
		file_root_close(r);
	else
		*out = r;
	return rc;
}

void file_root_close(struct file_root *r)
{
	if (!r)
		return;
	must(pthread_mutex_destroy(&r->mutex));
	free(r->durable);
	free(r->path);
	free(r);
}

const char *file_root_path(const struct file_root *r)
{
	return r->path;
}

bool file_component_ok(const char *s, size_t len)
{
	if (len == 0 || s[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool file_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len > FILE_NAME_MAX)
		return false;
	for (;;) {
		size_t n = strcspn(name, "/");

		if (!file_component_ok(name, n))
			return false;
		if (name[n] == '\0')
			return true;
		name += n + 1;
	}
}

enum err_code file_root_err(struct file_root *r, int sys, const char *what, const char *name,
			    struct err *e)
{
	int fd = -1;

	if (sys == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "%s is not in the repository", name);
	if (sys == ELOOP || sys == ENOTDIR || sys == EISDIR)
		return err_set(e, ERR_CORRUPT,
			       "%s/%s: a link, or something else that does not belong there",
			       r->path, name);
	if (is_gone(sys)) {
		errno = sys;
		(void)err_sys(e, "%s %s/%s", what, r->path, name);
		if (e)
			e->code = ERR_ABSENT;
		return ERR_ABSENT;
	}
	/* A drive that was pulled reads as EIO until it is unmounted. */
	if (sys == EIO) {
		if (file_root_get(r, &fd, e) == ERR_ABSENT)
			return ERR_ABSENT;
		if (fd >= 0)
			(void)r->io->close(fd);
	}
	errno = sys;
	return err_sys(e, "%s %s/%s", what, r->path, name);
}

enum err_code file_root_lost(struct file_root *r, enum err_code rc, struct err *e)
{
	struct err now = ERR_INIT;
	int fd = -1;

	if (rc != ERR_IO)
		return rc;
	if (file_root_get(r, &fd, &now) == ERR_ABSENT) {
		if (e)
			*e = now;
		return ERR_ABSENT;
	}
	if (fd >= 0)
		(void)r->io->close(fd);
	/* It is back, but what was open is not. */
	if (e && is_gone(e->sys)) {
		e->code = ERR_ABSENT;
		return ERR_ABSENT;
	}
	return rc;
}

static bool is_durable(struct file_root *r, const char *path, size_t len)
{
	bool found = false;

	must(pthread_mutex_lock(&r->mutex));
	for (size_t i = 0; i < r->nr_durable && !found; i++)
		found = strncmp(r->durable[i], path, len) == 0 && r->durable[i][len] == '\0';
	must(pthread_mutex_unlock(&r->mutex));
	return found;
}

/* What there is no memory for is made durable again the next time. */
static void note_durable(struct file_root *r, const char *path, size_t len)
{
	must(pthread_mutex_lock(&r->mutex));
	if (r->nr_durable == r->cap_durable) {
		size_t cap = r->cap_durable ? 2 * r->cap_durable : 16;
		void *more = reallocarray(r->durable, cap, sizeof(*r->durable));

		if (more) {
			r->durable = more;
			r->cap_durable = cap;
		}
	}
	if (r->nr_durable < r->cap_durable) {
		memcpy(r->durable[r->nr_durable], path, len);
		r->durable[r->nr_durable++][len] = '\0';
	}
	must(pthread_mutex_unlock(&r->mutex));
}

/*
 * One folder down, to path's first len bytes; closes dir.  Who means to write there must know that
 * the folder's name is durable: one who was killed after the mkdir leaves it in doubt.
 */
static int descend(struct file_root *r, int dir, const char *path, size_t len, bool create, int *sys)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
	char whole[FILE_NAME_MAX + 1];
	const char *slash, *component;
	int fd;

	memcpy(whole, path, len);
	whole[len] = '\0';
	slash = strrchr(whole, '/');
	component = slash ? slash + 1 : whole;
	fd = r->io->openat(dir, component, flags, 0);
	if (fd < 0 && errno == ENOENT && create &&
	    (r->io->mkdirat(dir, component, 0700) == 0 || errno == EEXIST))
		fd = r->io->openat(dir, component, flags, 0);
	*sys = errno;
	if (fd >= 0 && create && !(len < FOLDER_MAX && is_durable(r, path, len))) {
		if (io_fsync_dir(r->io, dir) < 0) {
			*sys = errno;
			(void)r->io->close(fd);
			fd = -1;
		} else if (len < FOLDER_MAX) {
			note_durable(r, path, len);
		}
	}
	(void)r->io->close(dir);
	return fd;
}

enum err_code file_root_dir(struct file_root *r, const char *name, bool create, int *dirfd,
			    const char **last, struct err *e)
{
	const char *at = name, *slash;
	enum err_code rc;
	int fd = -1, sys = 0;

	if (!file_name_ok(name))
		return err_set(e, ERR_USAGE, "\"%s\" is not a name in a repository", name);
	rc = file_root_get(r, &fd, e);
	if (rc)
		return rc;
	while ((slash = strchr(at, '/'))) {
		fd = descend(r, fd, name, (size_t)(slash - name), create, &sys);
		if (fd < 0)
			return file_root_err(r, sys, "open the folder of", name, e);
		at = slash + 1;
	}
	*dirfd = fd;
	*last = at;
	return ERR_OK;
}
