/* SPDX-License-Identifier: MIT */
#include "store/backup_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What the kernel makes up; tmpfs, ramfs and overlay hold real files.  vouch's own mounts, too. */
/* clang-format off */
static const char *const pseudo_types[] = {
	"autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset",
	"debugfs", "devpts", "devtmpfs", "efivarfs", "functionfs", "fuse.gvfsd-fuse", "fuse.lxcfs",
	"fuse.portal", "fuse.vouch", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs",
	"openpromfs", "pipefs", "proc", "pstore", "resctrl", "rpc_pipefs", "securityfs",
	"selinuxfs", "smackfs", "sockfs", "sysfs", "tracefs", "usbfs", "xenfs",
};
/* clang-format on */

struct device {
	uint64_t dev;
	const char *pseudo; /* its file system's name; NULL: an ordinary one */
};

struct skips {
	struct device *all; /* met so far */
	size_t nr, cap;
	uint64_t repo_dev, repo_ino;
	bool has_repo;
};

static const char *pseudo_type(const char *type)
{
	for (size_t i = 0; i < sizeof(pseudo_types) / sizeof(pseudo_types[0]); i++) {
		if (strcmp(type, pseudo_types[i]) == 0)
			return pseudo_types[i];
	}
	return NULL;
}

/** "24 27 0:21 / /proc rw,relatime shared:5 - proc proc rw": the device, and the word after " - ".
 */
static const char *type_in_line(const char *line, uint64_t dev)
{
	const char *dash = strstr(line, " - ");
	unsigned major, minor;
	char word[64];

	if (!dash || sscanf(line, "%*u %*u %u:%u", &major, &minor) != 2 ||
	    makedev(major, minor) != dev || sscanf(dash + 3, "%63s", word) != 1)
		return NULL;
	return pseudo_type(word);
}

/** Asked of the kernel when a device is met, not at the start: a walk can take hours. */
static const char *type_of(uint64_t dev)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	const char *type = NULL;
	char *line = NULL;
	size_t cap = 0;

	if (!f)
		return NULL; /* without /proc there is little to skip */
	while (!type && getline(&line, &cap, f) >= 0)
		type = type_in_line(line, dev);
	free(line);
	(void)fclose(f);
	return type;
}

enum err_code skips_open(struct store *s, struct skips **out, struct err *e)
{
	struct skips *k = calloc(1, sizeof(*k));
	const char *repo = file_backend_path(s->backend);
	struct statx st;

	if (!k)
		return err_set(e, ERR_NOMEM, "mounts");
	if (repo && statx(AT_FDCWD, repo, 0, BACKUP_STATX_MASK, &st) == 0) {
		k->has_repo = true;
		k->repo_dev = meta_dev(&st);
		k->repo_ino = st.stx_ino;
	}
	*out = k;
	return ERR_OK;
}

void skips_close(struct skips *k)
{
	if (!k)
		return;
	free(k->all);
	free(k);
}

const char *skips_pseudo(struct skips *k, const struct statx *st)
{
	uint64_t dev = meta_dev(st);

	for (size_t i = 0; i < k->nr; i++) {
		if (k->all[i].dev == dev)
			return k->all[i].pseudo;
	}
	if (k->nr == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 16;
		struct device *n = realloc(k->all, cap * sizeof(n[0]));

		if (!n)
			return type_of(dev); /* slower, not wrong */
		k->all = n;
		k->cap = cap;
	}
	k->all[k->nr++] = (struct device){.dev = dev, .pseudo = type_of(dev)};
	return k->all[k->nr - 1].pseudo;
}

bool skips_is_repository(const struct skips *k, const struct statx *st)
{
	return k->has_repo && st->stx_ino == k->repo_ino && meta_dev(st) == k->repo_dev;
}

bool skips_is_cache(int dirfd)
{
	static const char sign[] = "Signature: 8a477f597d28d172789f06886806bc55";
	char head[sizeof(sign) - 1];
	int fd = openat(dirfd, "CACHEDIR.TAG", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, head, sizeof(head));
	(void)close(fd);
	return n == (ssize_t)sizeof(head) && memcmp(head, sign, sizeof(head)) == 0;
}
