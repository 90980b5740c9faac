/* SPDX-License-Identifier: MIT */
/*
 * For libraries that are loaded before libc (LD_PRELOAD) and look at a program's calls: the
 * functions that they stand in front of, and whether a call is about a folder that is watched
 * (WATCH: their absolute paths, with ':' between).
 */
#ifndef VOUCH_TESTS_FAULT_WATCHED_H
#define VOUCH_TESTS_FAULT_WATCHED_H

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WATCHED_PATH_LEN (2 * PATH_MAX)

/* libc's own function, as real: two threads that look it up at once find the same. */
#define REAL(ret, name, ...) \
	static ret (*real)(__VA_ARGS__); \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, #name)

/* O_TMPFILE has O_DIRECTORY in it. */
#define OPEN_MAKES(flags) (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE)

/* An argument that is there only sometimes, of open(2) and its like. */
#define MODE_OF(flags) __extension__({ \
	va_list ap_; \
	mode_t mode_ = 0; \
	if (OPEN_MAKES(flags)) { \
		va_start(ap_, flags); \
		mode_ = va_arg(ap_, mode_t); \
		va_end(ap_); \
	} \
	mode_; })

/* What fd is, into out; false where it is nothing with a path. */
static inline bool watched_fd_path(int fd, char out[WATCHED_PATH_LEN])
{
	REAL(ssize_t, readlink, const char *, char *, size_t);
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = real(link, out, PATH_MAX - 1);
	if (n <= 0 || out[0] != '/')
		return false;
	out[n] = '\0';
	return true;
}

/* The absolute path of a call's arguments; path NULL or "": what fd itself is. */
static inline bool watched_resolve(int dirfd, const char *path, char out[WATCHED_PATH_LEN])
{
	size_t n;

	if (!path || !*path)
		return watched_fd_path(dirfd, out);
	if (*path == '/') {
		(void)snprintf(out, WATCHED_PATH_LEN, "%s", path);
		return true;
	}
	if (dirfd == AT_FDCWD ? !getcwd(out, PATH_MAX) : !watched_fd_path(dirfd, out))
		return false;
	n = strlen(out);
	(void)snprintf(out + n, WATCHED_PATH_LEN - n, "/%s", path);
	return true;
}

/* Where in path begins what lies below a watched folder; NULL where it is in none. */
static inline const char *watched_below(const char *path)
{
	const char *dirs = getenv("WATCH");

	while (dirs && *dirs) {
		size_t n = strcspn(dirs, ":");

		if (n > 0 && strncmp(path, dirs, n) == 0 && (path[n] == '/' || path[n] == '\0'))
			return path + n;
		dirs += n + (dirs[n] == ':');
	}
	return NULL;
}

#endif
