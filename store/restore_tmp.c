/* SPDX-License-Identifier: MIT */
/*
 * Temporary names, and what killed restores left under such.  A restore that works in a folder holds a shared lock on
 * it (flock: it ends with the process, whatever ends that); who can have it alone knows that nobody works there, and
 * that every temporary is a leftover.  Where the file system has no such locks leftovers stay.
 */
#include "store/restore_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHARE_TRIES	2000	/* a millisecond each: a folder of a million names is listed in less */

void restore_tmp_name(struct restore *r, char out[RESTORE_TMP_LEN + 1])
{
	/* An odd factor goes through all 2^32 names before one comes again. */
	uint32_t n = r->tmp_base + 2654435761u * atomic_fetch_add(&r->tmp_next, 1);

	(void)snprintf(out, RESTORE_TMP_LEN + 1, ".vouch-%08x", n);
}

static bool is_tmp_name(const char *name)
{
	return strlen(name) == RESTORE_TMP_LEN && strncmp(name, ".vouch-", 7) == 0 &&
	       strspn(name + 7, "0123456789abcdef") == 8;
}

static void remove_leftovers(struct restore *r, int fd)
{
	int again = restore_openat(r, fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		struct stat st;

		if (is_tmp_name(d->d_name) &&
		    fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_uid == geteuid() && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
			(void)unlinkat(fd, d->d_name, 0);
	}
	if (dir)
		(void)closedir(dir);
	else if (again >= 0)
		(void)close(again);
}

/* What cannot be listed or removed stays: it is in nobody's way. */
void restore_tmp_sweep(struct restore *r, int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		remove_leftovers(r, fd);
}

void restore_tmp_share(int fd)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	/* Whoever has it alone is sweeping, and soon done; one who keeps it is no restore: then we go on without. */
	for (int i = 0; i < SHARE_TRIES; i++) {
		if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			return;
		(void)nanosleep(&ms, NULL);
	}
}
