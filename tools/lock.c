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

/* Made where it is not there; only its owner may put locks into it. */
static int open_folder(const char *parent, const char *below, struct err *e)
{
	struct stat st;
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s%s", parent, below) >= (int)sizeof(path)) {
		err_set(e, ERR_LIMIT, "folder for locks: %s%s is too long", parent, below);
		return -1;
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		err_sys(e, "make the folder for locks %s", path);
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(e, "open the folder for locks %s", path);
		goto fail;
	}
	if (st.st_uid != geteuid()) {
		err_set(e, ERR_FAILED, "folder for locks %s: it belongs to another user; remove it", path);
		goto fail;
	}
	return fd;
fail:
	if (fd >= 0)
		close(fd);
	return -1;
}

static int lock_folder(struct err *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	int fd;

	if (geteuid() == 0)
		return open_folder("/run", "/vouch", e);
	if (runtime && runtime[0] == '/')
		return open_folder(runtime, "/vouch", e);
	if (!home || home[0] != '/') {
		err_set(e, ERR_USAGE, "no place for locks: set HOME or XDG_RUNTIME_DIR");
		return -1;
	}
	fd = open_folder(home, "/.cache", e);
	if (fd < 0)
		return -1;
	close(fd);
	return open_folder(home, "/.cache/vouch", e);
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
	if (rc)
		goto out;
	dir = lock_folder(e);
	if (dir < 0) {
		rc = ERR_FAILED;
		goto out;
	}
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
