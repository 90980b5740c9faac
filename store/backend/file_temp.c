/* SPDX-License-Identifier: MIT */
#include "store/backend/file_temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/base/process.h"

#define OWN_AGE_S	60
#define FOREIGN_AGE_S	(24 * 3600)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char host[8 + 1];

/* The machine's id, or its name where there is none; hashed, as it is nobody else's business. */
static void init_host(void)
{
	struct buf b = BUF_INIT;
	char name[256] = "";
	struct object_id id;

	if (io_read_file(&io_system, AT_FDCWD, "/etc/machine-id", sizeof(name), &b, NULL) ||
	    b.len == 0) {
		(void)gethostname(name, sizeof(name) - 1);
		buf_reset(&b);
		buf_add_str(&b, name);
	}
	buf_add_str(&b, "vouch tmp");
	digest_sha256(b.p, b.bad ? 0 : b.len, &id);
	(void)hex_encode(id.b, 4, host);
	buf_release(&b);
}

static const char *host_tag(void)
{
	if (pthread_once(&once, init_host) != 0)
		abort();
	return host;
}

/* 1: locked, 0: somebody else holds it, -1: this medium has no locks. */
static int lock(int fd, int how)
{
	int rc;

	do {
		rc = flock(fd, how);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 1;
	return errno == EWOULDBLOCK ? 0 : -1;
}

enum err_code file_temp_create(const struct io *io, int dirfd, char name[FILE_TEMP_NAME_LEN + 1],
			       int *fd, struct err *e)
{
	char hex[16 + 1];
	uint8_t rnd[8];
	enum err_code rc = digest_random(rnd, sizeof(rnd), e);
	int got;

	if (rc)
		return rc;
	(void)snprintf(name, FILE_TEMP_NAME_LEN + 1, "%s-%ld-%s", host_tag(), (long)getpid(),
		       hex_encode(rnd, sizeof(rnd), hex));
	got = io->openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (got < 0)
		return err_sys(e, "create tmp/%s", name);
	/*
	 * A sweep may hold the lock for a moment (it finds a young file of a living
	 * process, and lets go); where there are no locks the process id protects.
	 */
	(void)lock(got, LOCK_EX);
	*fd = got;
	return ERR_OK;
}

/* The process id in one of our own names; 0 where it is another host's, or no such name. */
static pid_t own_pid(const char *name)
{
	size_t n = strlen(host_tag());
	char *end;
	long pid;

	if (strncmp(name, host_tag(), n) != 0 || name[n] != '-')
		return 0;
	errno = 0;
	pid = strtol(name + n + 1, &end, 10);
	return errno == 0 && *end == '-' && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static bool is_dead(const char *name, const struct stat *st, int locked)
{
	pid_t pid = own_pid(name);
	time_t age = time(NULL) - st->st_mtim.tv_sec;

	if (locked == 0)
		return false;
	if (pid == 0)
		return age > FOREIGN_AGE_S;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return true;
	/* Dead, but never reaped: as in a container whose first process does not do that. */
	if (locked > 0 && process_ticks((uint64_t)pid) == 0 && process_ticks((uint64_t)getpid()) != 0)
		return true;
	return age > (locked > 0 ? OWN_AGE_S : FOREIGN_AGE_S);
}

static enum err_code sweep_one(const struct io *io, int dirfd, const char *name, struct err *e)
{
	enum err_code rc = ERR_OK;
	int fd = -1, locked = 1;
	struct stat st;

	if (io->fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, "stat tmp/%s", name);
	if (S_ISDIR(st.st_mode))
		return ERR_OK;		/* not ours */
	if (S_ISREG(st.st_mode)) {
		/* To write: NFS gives an exclusive lock only then. */
		fd = io->openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
		if (fd < 0)
			return errno == ENOENT ? ERR_OK : err_sys(e, "open tmp/%s", name);
		locked = lock(fd, LOCK_EX | LOCK_NB);
	}
	if (is_dead(name, &st, locked) && io->unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		rc = err_sys(e, "delete tmp/%s", name);
	if (fd >= 0)
		(void)io->close(fd);
	return rc;
}

enum err_code file_temp_sweep(const struct io *io, int dirfd, struct err *e)
{
	int fd = io->openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	enum err_code rc = ERR_OK;
	struct dirent *d;

	if (!dir) {
		rc = err_sys(e, "list tmp");
		if (fd >= 0)
			(void)io->close(fd);
		return rc;
	}
	while ((errno = 0, d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (rc)
			(void)!sweep_one(io, dirfd, d->d_name, NULL);
		else
			rc = sweep_one(io, dirfd, d->d_name, e);
	}
	if (errno != 0 && !rc)
		rc = err_sys(e, "list tmp");
	(void)closedir(dir);
	return rc;
}
