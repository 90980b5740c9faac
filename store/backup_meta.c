/* SPDX-License-Identifier: MIT */
#include "store/backup_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/format/limits.h"

#define OWNER_TEXT_MAX (1u << 20) /* bytes getpwuid_r may ask for before it is given up */

/* Owners' names: asked for once an id, for that may mean a query over the network. */

struct owner_name {
	uint32_t id;
	size_t len;
	char *name; /* owned; NULL: unknown */
};

struct owner_table {
	struct owner_name *all; /* ascending ids */
	size_t nr, cap, last;
};

struct owner_cache {
	struct owner_table users, groups;
	char *text;
	size_t text_cap;
};

enum err_code owner_cache_open(struct owner_cache **out, struct err *e)
{
	struct owner_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ERR_NOMEM, "owners");
	*out = c;
	return ERR_OK;
}

static void owner_table_free(struct owner_table *t)
{
	for (size_t i = 0; i < t->nr; i++)
		free(t->all[i].name);
	free(t->all);
}

void owner_cache_close(struct owner_cache *c)
{
	if (!c)
		return;
	owner_table_free(&c->users);
	owner_table_free(&c->groups);
	free(c->text);
	free(c);
}

static int ask_user(struct owner_cache *c, uint32_t id, const char **name)
{
	struct passwd pw, *found = NULL;
	int rc = getpwuid_r(id, &pw, c->text, c->text_cap, &found);

	*name = found ? pw.pw_name : NULL;
	return rc;
}

static int ask_group(struct owner_cache *c, uint32_t id, const char **name)
{
	struct group gr, *found = NULL;
	int rc = getgrgid_r(id, &gr, c->text, c->text_cap, &found);

	*name = found ? gr.gr_name : NULL;
	return rc;
}

/** The system's name for id in c->text, or NULL: a name that cannot be had is not worth stopping
 * for. */
static const char *ask(struct owner_cache *c, bool group, uint32_t id)
{
	const char *name = NULL;
	int rc = c->text ? 0 : ERANGE;

	do {
		if (rc == ERANGE) {
			size_t cap = c->text_cap ? 2 * c->text_cap : 4096;
			char *n = cap <= OWNER_TEXT_MAX ? realloc(c->text, cap) : NULL;

			if (!n)
				return NULL;
			c->text = n;
			c->text_cap = cap;
		}
		rc = group ? ask_group(c, id, &name) : ask_user(c, id, &name);
	} while (rc == ERANGE || rc == EINTR);
	return rc == 0 && name && strlen(name) <= OWNER_LEN_MAX ? name : NULL;
}

static enum err_code owner_insert(struct owner_cache *c, struct owner_table *t, bool group,
				  uint32_t id, size_t at, struct err *e)
{
	const char *name = ask(c, group, id);
	struct owner_name o = {.id = id};

	if (t->nr == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 16;
		struct owner_name *n = realloc(t->all, cap * sizeof(n[0]));

		if (!n)
			return err_set(e, ERR_NOMEM, "%zu owners", cap);
		t->all = n;
		t->cap = cap;
	}
	if (name) {
		o.name = strdup(name);
		if (!o.name)
			return err_set(e, ERR_NOMEM, "owner");
		o.len = strlen(o.name);
	}
	memmove(&t->all[at + 1], &t->all[at], (t->nr - at) * sizeof(t->all[0]));
	t->all[at] = o;
	t->nr++;
	return ERR_OK;
}

static enum err_code owner_find(struct owner_cache *c, struct owner_table *t, bool group,
				uint32_t id, const char **name, size_t *len, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t lo = 0, hi = t->nr;

	if (t->last < t->nr && t->all[t->last].id == id) {
		lo = t->last;
	} else {
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (t->all[mid].id < id)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo == t->nr || t->all[lo].id != id)
			rc = owner_insert(c, t, group, id, lo, e);
		if (rc)
			return rc;
		t->last = lo;
	}
	*name = t->all[lo].name;
	*len = t->all[lo].len;
	return ERR_OK;
}

/* Stat. */

static const struct {
	unsigned mode;
	enum entry_type type;
} types[] = {
    {S_IFREG, ENTRY_FILE},    {S_IFDIR, ENTRY_DIR},	 {S_IFLNK, ENTRY_SYMLINK},
    {S_IFCHR, ENTRY_CHARDEV}, {S_IFBLK, ENTRY_BLOCKDEV}, {S_IFIFO, ENTRY_FIFO},
};

static struct vtime time_of(const struct statx_timestamp *t)
{
	return (struct vtime){.sec = t->tv_sec, .nsec = t->tv_nsec};
}

uint64_t meta_dev(const struct statx *st)
{
	return makedev(st->stx_dev_major, st->stx_dev_minor);
}

enum err_code meta_from_stat(struct backup *b, const struct statx *st, struct entry *ent,
			     struct err *e)
{
	/* statx has these three for nothing, with the values of the FS_*_FL flags. */
	const uint64_t kept = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP;
	enum err_code rc;

	*ent = (struct entry){.name = "", .nlink = 1};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if ((st->stx_mode & S_IFMT) == types[i].mode)
			ent->type = types[i].type;
	}
	ent->mode = st->stx_mode & 07777;
	ent->uid = st->stx_uid;
	ent->gid = st->stx_gid;
	ent->mtime = time_of(&st->stx_mtime);
	ent->ctime = time_of(&st->stx_ctime);
	ent->dev = meta_dev(st);
	ent->inode = st->stx_ino;
	ent->inode_flags = (uint32_t)(st->stx_attributes & kept);
	if (ent->type != ENTRY_DIR && st->stx_nlink > 1) {
		ent->flags |= ENTRY_HARDLINK;
		ent->nlink = st->stx_nlink;
	}
	if (ent->type == ENTRY_FILE)
		ent->size = st->stx_size;
	if (ent->type == ENTRY_CHARDEV || ent->type == ENTRY_BLOCKDEV) {
		ent->rdev_major = st->stx_rdev_major;
		ent->rdev_minor = st->stx_rdev_minor;
	}
	rc = owner_find(b->owners, &b->owners->users, false, ent->uid, &ent->user, &ent->user_len,
			e);
	if (!rc)
		rc = owner_find(b->owners, &b->owners->groups, true, ent->gid, &ent->group,
				&ent->group_len, e);
	return rc;
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool meta_same(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && meta_dev(a) == meta_dev(b) &&
	       a->stx_mode == b->stx_mode && a->stx_size == b->stx_size &&
	       same_time(&a->stx_mtime, &b->stx_mtime) && same_time(&a->stx_ctime, &b->stx_ctime);
}

int64_t meta_clock_shift_ns;

uint64_t meta_now_ns(void)
{
	struct timespec t;

	/* The clock the kernel stamps files with: cheap, and never ahead of them. */
	if (clock_gettime(CLOCK_REALTIME_COARSE, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec +
	       (uint64_t)meta_clock_shift_ns;
}

static bool is_near(const struct statx_timestamp *t, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t ns;

	if (t->tv_sec < 0 || __builtin_mul_overflow((uint64_t)t->tv_sec, 1000000000u, &ns))
		return false;
	ns += t->tv_nsec;
	return ns + UNSETTLED_NS >= from_ns && ns <= to_ns + UNSETTLED_NS;
}

bool meta_is_unsettled(const struct statx *st, uint64_t from_ns)
{
	uint64_t to_ns = meta_now_ns();

	return is_near(&st->stx_mtime, from_ns, to_ns) || is_near(&st->stx_ctime, from_ns, to_ns);
}

/* Inode flags.  The numbers are those of linux/fs.h, which defines limits of its own. */

#define GETFLAGS   _IOR('f', 1, long)
#define FLAG_NOCOW 0x00800000u

void meta_ioctl_flags(int fd, struct entry *ent)
{
	int flags = 0; /* the call writes an int, whatever its number says */

	if (ioctl(fd, GETFLAGS, &flags) == 0)
		ent->inode_flags |= (uint32_t)flags & FLAG_NOCOW;
}

bool meta_has_iflags(int fd, const struct statx *up, const struct statx *st, bool up_has)
{
	struct statfs fs;

	if (up && meta_dev(up) == meta_dev(st))
		return up_has;
	return fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}
