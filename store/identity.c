/* SPDX-License-Identifier: MIT */
/*
 * Who writes: a random id for this host and this repository, kept outside the repository, so
 * that a copied repository has no two writers with one chain.  Its lock is a flock, which dies
 * with its holder.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/base/io.h"
#include "store/base/must.h"
#include "store/internal.h"

#define HEAD	"{\"writer\":\""
#define TAIL	"\"}\n"

enum err_code make_dirs(const char *path, struct err *e)
{
	enum err_code rc = ERR_OK;
	char *p = strdup(path);

	if (!p)
		return err_set(e, ERR_NOMEM, "a path of %zu bytes", strlen(path));
	for (char *at = p; !rc && at; ) {
		at = strchr(at + 1, '/');
		if (at)
			*at = '\0';
		if (mkdir(p, 0700) < 0 && errno != EEXIST)
			rc = err_sys(e, "make folder %s", p);
		if (at)
			*at = '/';
	}
	free(p);
	return rc;
}

/** $HOME, else what the user database says; malloc'ed. */
static char *home_dir(void)
{
	const char *home = getenv("HOME");
	struct passwd pw, *found = NULL;
	char text[4096];

	if (home && home[0] == '/')
		return strdup(home);
	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) != 0 || !found ||
	    found->pw_dir[0] != '/')
		return NULL;
	return strdup(found->pw_dir);
}

enum err_code user_dir(const char *env_name, const char *as_root, const char *below_home,
		       char **out, struct err *e)
{
	const char *env = getenv(env_name);
	char *home = NULL, *path = NULL;
	enum err_code rc;
	int n;

	if (env && env[0] == '/') {	/* XDG: a relative one is to be ignored */
		n = asprintf(&path, "%s/vouch", env);
	} else if (as_root && geteuid() == 0) {
		n = asprintf(&path, "%s", as_root);
	} else {
		home = home_dir();
		if (!home)
			return err_set(e, ERR_NOT_FOUND, "no $%s and no home folder", env_name);
		n = asprintf(&path, "%s/%s/vouch", home, below_home);
	}
	free(home);
	if (n < 0)
		return err_set(e, ERR_NOMEM, "a path");
	rc = make_dirs(path, e);
	if (rc) {
		free(path);
		return rc;
	}
	*out = path;
	return ERR_OK;
}

static enum err_code lock(int dir, const char *name, int *out, struct err *e)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum err_code rc;

	if (fd < 0)
		return err_sys(e, "open %s", name);
	while (flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		rc = err_sys(e, "lock %s", name);
		(void)close(fd);
		return rc;
	}
	*out = fd;
	return ERR_OK;
}

static enum err_code read_identity(int dir, const char *name, uint8_t id[16], struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc;

	rc = io_read_file(&io_system, dir, name, 4096, &b, e);
	if (!rc && (b.len != strlen(HEAD TAIL) + 32 || memcmp(b.p, HEAD, strlen(HEAD)) != 0 ||
		    memcmp(b.p + b.len - strlen(TAIL), TAIL, strlen(TAIL)) != 0 ||
		    !hex_decode((const char *)b.p + strlen(HEAD), 32, id)))
		rc = err_set(e, ERR_CORRUPT, "%s is damaged", name);
	buf_release(&b);
	return rc;
}

/** Under the lock: what the file says; else a new one, durably. */
static enum err_code identity_locked(struct store *s, int dir, const char *base, uint8_t id[16],
				     struct err *e)
{
	char name[64], tmp[64], text[64], hex[33];
	enum err_code rc;
	int n;

	(void)snprintf(name, sizeof(name), "%s.json", base);
	(void)snprintf(tmp, sizeof(tmp), "%s.json.tmp", base);
	rc = read_identity(dir, name, id, e);
	if (rc == ERR_CORRUPT)
		store_event(s, EVENT_WARNING, name, e, "a new writer's identity is made");
	if (rc != ERR_CORRUPT && rc != ERR_NOT_FOUND)
		return rc;
	err_clear(e);
	rc = digest_random(id, 16, e);
	if (rc)
		return rc;
	n = snprintf(text, sizeof(text), HEAD "%s" TAIL, hex_encode(id, 16, hex));
	(void)unlinkat(dir, tmp, 0);	/* a dead writer's; the lock is ours */
	return io_publish(&io_system, dir, tmp, dir, name, text, (size_t)n, e);
}

static enum err_code kept_identity(struct store *s, uint8_t id[16], int *lock_fd, struct err *e)
{
	int dir = -1, fd = -1;
	char *path = NULL;
	enum err_code rc;
	char name[64];

	rc = user_dir("XDG_STATE_HOME", "/var/lib/vouch", ".local/state", &path, e);
	if (rc)
		return rc;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		rc = err_sys(e, "open %s", path);
		goto out;
	}
	(void)snprintf(name, sizeof(name), "%s.lock", s->id_text);
	rc = lock(dir, name, &fd, e);
	if (!rc)
		rc = identity_locked(s, dir, s->id_text, id, e);
	if (rc) {
		err_prefix(e, "%s", path);
		goto out;
	}
	if (lock_fd) {
		*lock_fd = fd;
		fd = -1;
	}
out:
	if (fd >= 0)
		(void)close(fd);
	if (dir >= 0)
		(void)close(dir);
	free(path);
	return rc;
}

enum err_code writer_identity(struct store *s, uint8_t id[16], int *lock_fd, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool first = false;
	int fd = -1;

	rc = kept_identity(s, id, lock_fd ? &fd : NULL, e);
	if (!rc) {
		if (lock_fd)
			*lock_fd = fd;
		return ERR_OK;
	}
	if (rc == ERR_NOMEM)
		return rc;
	rc = ERR_OK;
	must(pthread_mutex_lock(&s->mutex));
	if (!s->has_writer) {
		rc = digest_random(s->writer, sizeof(s->writer), NULL);
		first = s->has_writer = !rc;
	}
	memcpy(id, s->writer, sizeof(s->writer));
	must(pthread_mutex_unlock(&s->mutex));
	if (rc)
		return err_set(e, rc, "no random bytes for a writer's identity");
	if (first)
		store_event(s, EVENT_WARNING, NULL, e,
			    "this host's identity cannot be kept; this run gets one of its own");
	err_clear(e);
	if (lock_fd)
		*lock_fd = -1;
	return ERR_OK;
}
