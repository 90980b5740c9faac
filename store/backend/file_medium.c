/* SPDX-License-Identifier: MIT */
/*
 * Reading what is on the medium, and not what the system remembers of it.  A
 * read with O_DIRECT comes from the device where the file system is one that
 * takes it at its word.  On FUSE it only reaches the file system's program,
 * which reads the device by way of the system's buffers: those can be flushed,
 * once, before anything is read.  On network file systems it reaches another
 * machine's memory, which nobody here can flush.
 */
#include "store/backend/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store/base/checked.h"

#define ALIGN		4096u	/* of memory, offset and length: no medium's sector is longer */
#define NAME_LEN	64u	/* "mapper/vg-lv" */

/* What reads of a file system are worth. */
enum honesty {
	HIDES,			/* may come from a cache of its own, on this machine or another */
	DIRECT,			/* O_DIRECT reads the device */
	IN_MEMORY		/* the system's memory is all the medium there is */
};

static const struct kind {
	unsigned long type;
	enum honesty honesty;
	const char *name;
} kinds[] = {
	{ 0xef53, DIRECT, "ext4" },		{ 0x58465342, DIRECT, "xfs" },
	{ 0x9123683e, DIRECT, "btrfs" },	{ 0x4d44, DIRECT, "vfat" },
	{ 0x2011bab0, DIRECT, "exfat" },	{ 0xf2f52010, DIRECT, "f2fs" },
	{ 0x7366746e, DIRECT, "ntfs3" },	{ 0xca451a4e, DIRECT, "bcachefs" },
	{ 0x794c7630, DIRECT, "overlay" },	/* hands it on to the one below */
	{ 0x01021994, IN_MEMORY, "tmpfs" },	{ 0x858458f6, IN_MEMORY, "ramfs" },
	{ 0x65735546, HIDES, "fuse" },		{ 0x6969, HIDES, "nfs" },
	{ 0x517b, HIDES, "smb" },		{ 0xff534d42, HIDES, "smb" },
	{ 0xfe534d42, HIDES, "smb" },		{ 0x01021997, HIDES, "9p" },
	{ 0x00c36400, HIDES, "ceph" },		{ 0x5346414f, HIDES, "afs" },
	{ 0x2fc12fc1, HIDES, "zfs" },
};

static const struct kind *kind_of(const char *path)
{
	static const struct kind unknown = { 0, HIDES, "a file system of an unknown kind" };
	struct statfs st;

	if (statfs(path, &st) < 0)
		return &unknown;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (((unsigned long)st.f_type & 0xffffffffu) == kinds[i].type)
			return &kinds[i];
	return &unknown;
}

void file_medium_learn(struct file_backend *b, const char *path)
{
	const struct kind *k = kind_of(path);

	b->in_memory = k->honesty == IN_MEMORY;
	b->base.behind = k->honesty == HIDES ? k->name : NULL;
	b->base.kind = k->name;
}

/* Reading. */

/*
 * What the page cache has of the range goes, and no more than the range comes
 * into it.  O_DIRECT reads past it, but for what a file system falls back to
 * (btrfs, where a file is compressed).
 */
static void drop_cached(int fd, uint64_t off, size_t len)
{
	uint64_t from = off / ALIGN * ALIGN;

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	(void)posix_fadvise(fd, (off_t)from,
			    (off_t)((off - from + len + ALIGN - 1) / ALIGN * ALIGN),
			    POSIX_FADV_DONTNEED);
}

static bool set_direct(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return false;
	if (((flags & O_DIRECT) != 0) == on)
		return true;
	return fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* Into room, which is aligned as all else: as io_pread_all, but an end that is not aligned is the file's. */
static enum err_code read_aligned(struct file_backend *b, int fd, uint64_t off, uint8_t *room,
				  size_t len, size_t *got, struct err *e)
{
	size_t n = 0;

	while (n < len && n % ALIGN == 0) {
		ssize_t r = b->io->pread(fd, room + n, len - n, (off_t)(off + n));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "read %zu bytes at %llu", len - n,
				       (unsigned long long)(off + n));
		if (r == 0)
			break;
		n += (size_t)r;
	}
	*got = n;
	return ERR_OK;
}

/* ERR_UNSUPPORTED: not in this way. */
static enum err_code read_direct(struct file_backend *b, int fd, uint64_t off, void *buf,
				 size_t len, size_t *n, struct err *e)
{
	uint64_t from = off / ALIGN * ALIGN;
	size_t skip = (size_t)(off - from), room_len, got = 0;
	enum err_code rc;
	uint8_t *room;

	if (len > SIZE_MAX - 2 * ALIGN)
		return err_set(e, ERR_LIMIT, "%zu bytes at once", len);
	room_len = (skip + len + ALIGN - 1) / ALIGN * ALIGN;
	if (!set_direct(fd, true))
		return ERR_UNSUPPORTED;
	room = aligned_alloc(ALIGN, room_len);
	if (!room)
		return err_set(e, ERR_NOMEM, "%zu bytes", room_len);
	errno = 0;
	rc = read_aligned(b, fd, from, room, room_len, &got, e);
	if (rc == ERR_IO && errno == EINVAL)
		rc = ERR_UNSUPPORTED;
	if (!rc) {
		*n = got <= skip ? 0 : got - skip < len ? got - skip : len;
		memcpy(buf, room + skip, *n);
	}
	free(room);
	return rc;
}

enum err_code file_medium_read(struct file_backend *b, int fd, uint64_t off, void *buf, size_t len,
			       size_t *n, struct err *e)
{
	enum err_code rc = ERR_UNSUPPORTED;

	if (len == 0) {
		*n = 0;
		return ERR_OK;
	}
	drop_cached(fd, off, len);
	if (!b->in_memory)
		rc = read_direct(b, fd, off, buf, len, n, e);
	if (rc != ERR_UNSUPPORTED)
		return rc;
	err_clear(e);
	if (!b->in_memory)
		atomic_store(&b->base.cached, true);
	if (!set_direct(fd, false))
		return err_sys(e, "change how a file is read");
	return io_pread_all(b->io, fd, buf, len, off, n, e);
}

/* Flushing. */

/* The name below /dev of a block device; false where it has none. */
static bool device_name(dev_t dev, char out[NAME_LEN])
{
	char path[64], line[128];
	bool found = false;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(dev), minor(dev));
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "DEVNAME=", 8) != 0 || strlen(line + 8) >= NAME_LEN)
			continue;
		memcpy(out, line + 8, strlen(line + 8) + 1);
		found = true;
	}
	(void)fclose(f);
	return found;
}

bool file_backend_flush(struct backend *base)
{
	struct file_backend *b = file_of(base);
	char name[NAME_LEN], path[NAME_LEN + 8];
	bool done = false;
	struct stat st;
	dev_t dev;
	int fd = -1;

	if (base->ops != &file_ops)
		return false;
	if (!base->behind)
		return true;
	/* Only a file system that was mounted from a block device has its number ("fuseblk"). */
	if (strcmp(base->behind, "fuse") != 0 || file_root_get(b->root, &fd, NULL))
		return false;
	if (fstat(fd, &st) < 0)
		st.st_dev = 0;
	dev = st.st_dev;
	(void)b->io->close(fd);
	if (major(dev) == 0 || !device_name(dev, name))
		return false;
	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev &&
	       ioctl(fd, BLKFLSBUF, 0) == 0;
	(void)close(fd);
	return done;
}
