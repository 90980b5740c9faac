/* SPDX-License-Identifier: MIT */
/* Opening beneath a restore's target, whatever links stand there. */
#include "store/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Without openat2 (before Linux 5.6): one component after the other, none of them a link. */
static int openat_steps(int dirfd, const char *path, int flags, mode_t mode)
{
	char name[NAME_LEN_MAX + 1];
	int at = dirfd, fd = -1, saved;

	for (;;) {
		size_t len = strcspn(path, "/");
		bool last = path[len] == '\0';

		if (len == 0 || len > NAME_LEN_MAX) {
			errno = EINVAL;
			fd = -1;
			break;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		fd = openat(at, name, last ? flags : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
			    mode);
		if (fd < 0 || last)
			break;
		if (at != dirfd)
			(void)close(at);
		at = fd;
		path += len + 1;
	}
	saved = errno;
	if (at != dirfd)
		(void)close(at);
	errno = saved;
	return fd;
}

/** path: relative, of checked names; nothing of it is followed, nothing leaves dirfd. */
int restore_openat(struct restore *r, int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (r->no_openat2)
		return openat_steps(dirfd, path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}
