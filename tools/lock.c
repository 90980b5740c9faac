/* SPDX-License-Identifier: MIT */
#include "tools/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"

#define HOLDER_MAX 128		/* bytes that say who holds it */

struct lock {
	int fd;
};

/* Made where it is not there; it must be ours. */
static enum err_code open_folder(const char *parent, const char *below, int *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct stat st;
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s%s", parent, below) >= (int)sizeof(path))
		return err_set(e, ERR_LIMIT, "folder for locks: %s%s is too long", parent, below);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "make the folder for locks %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		rc = err_sys(e, "open the folder for locks %s", path);
	else if (st.st_uid != geteuid())
		rc = err_set(e, ERR_FAILED, "folder for locks %s: it belongs to another user; set HOME to a folder of your own",
			     path);
	if (rc && fd >= 0)
		close(fd);
	if (!rc)
		*out = fd;
	return rc;
}

/* Not XDG_RUNTIME_DIR, which cron's jobs do not have: they and a login would not see each other's locks. */
static enum err_code lock_folder(int *out, struct err *e)
{
	const char *home = getenv("HOME");
	enum err_code rc;
	int cache;

	if (geteuid() == 0)
		return open_folder("/run", "/vouch", out, e);
	if (!home || home[0] != '/')
		return err_set(e, ERR_USAGE, "no place for locks: set HOME to a folder of your own");
	rc = open_folder(home, "/.cache", &cache, e);
	if (rc)
		return rc;
	close(cache);
	return open_folder(home, "/.cache/vouch", out, e);
}

/* "REPOSITORY-COMPONENT.lock"; a component may be called anything. */
static enum err_code lock_name(const char *repository, const char *component, struct buf *out, struct err *e)
{
	buf_printf(out, "%s-", repository);
	for (const char *p = component; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-')
			buf_add_u8(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
	buf_add(out, ".lock", sizeof(".lock"));
	return out->bad ? err_set(e, ERR_NOMEM, "lock of %s", component) : ERR_OK;
}

static enum err_code busy(int fd, const char *component, struct err *e)
{
	char holder[HOLDER_MAX + 1];
	ssize_t n = pread(fd, holder, HOLDER_MAX, 0);

	if (n < 0)
		n = 0;
	holder[n] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
	return err_set(e, ERR_BUSY, "%s is in use by another vouch%s%s%s; try again when it has ended", component,
		       *holder ? " (" : "", holder, *holder ? ")" : "");
}

/* Only for messages: what is left there by one that was killed harms nobody. */
static void tell_holder(int fd, const char *doing)
{
	char text[HOLDER_MAX];
	int n = snprintf(text, sizeof(text), "%s, process %ld\n", doing, (long)getpid());

	bool told = n > 0 && n < (int)sizeof(text) && ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n;

	(void)told;
}

enum err_code lock_take(const char *repository, const char *component, const char *doing, struct lock **out, struct err *e)
{
	struct lock *l = calloc(1, sizeof(*l));
	struct buf name = BUF_INIT;
	enum err_code rc;
	int dir = -1;

	if (!l)
		return err_set(e, ERR_NOMEM, "lock of %s", component);
	l->fd = -1;
	rc = lock_name(repository, component, &name, e);
	if (!rc)
		rc = lock_folder(&dir, e);
	if (rc)
		goto out;
	l->fd = openat(dir, (const char *)name.p, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->fd < 0) {
		rc = err_sys(e, "lock of %s", component);
		goto out;
	}
	/* The file stays when it is let go: taken away, two could each hold a lock of that name. */
	if (flock(l->fd, LOCK_EX | LOCK_NB) < 0) {
		rc = errno == EWOULDBLOCK ? busy(l->fd, component, e) : err_sys(e, "lock of %s", component);
		goto out;
	}
	tell_holder(l->fd, doing);
	*out = l;
	l = NULL;
out:
	if (dir >= 0)
		close(dir);
	buf_release(&name);
	lock_release(l);
	return rc;
}

void lock_release(struct lock *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}
