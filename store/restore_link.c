/* SPDX-License-Identifier: MIT */
/*
 * Hard links, of files and of whatever else has several names.  The first name that the walk meets is made; names met
 * while that is under way wait with it and are linked by the thread that ends it; later ones are linked at once.
 * Where the first fails, the next one tries.  A group is forgotten when as many names as the source had are done.
 */
#include "store/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct link_group {
	struct link_group *next;	/* in its bucket */
	uint64_t dev, inode, nlink;
	bool busy, there;		/* links mutex: being restored; restored as name in dir */
	struct rdir *dir;		/* a memory reference, where there */
	char name[NAME_LEN_MAX + 1];
	struct ritem *waiting;		/* links mutex */
	uint64_t nr_done;		/* links mutex: names ended */
	uint64_t nr_running;		/* links mutex: items out with a pointer to this */
};

static void lock_links(struct restore *r)
{
	if (pthread_mutex_lock(&r->links) != 0)
		abort();
}

static void unlock_links(struct restore *r)
{
	if (pthread_mutex_unlock(&r->links) != 0)
		abort();
}

static size_t bucket(const struct restore *r, uint64_t dev, uint64_t inode)
{
	uint64_t h = (inode ^ dev * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;

	return (size_t)(h >> 32) & (r->nr_buckets - 1);
}

static bool grow_locked(struct restore *r)
{
	size_t old_nr = r->nr_buckets, nr = old_nr ? 2 * old_nr : 256;
	struct link_group **old = r->groups, **more;

	if (r->nr_groups < old_nr)
		return true;
	more = calloc(nr, sizeof(struct link_group *));
	if (!more)
		return old_nr > 0;	/* longer chains do as well */
	r->groups = more;
	r->nr_buckets = nr;
	for (size_t i = 0; i < old_nr; i++) {
		struct link_group *g, *next;

		for (g = old[i]; g; g = next) {
			struct link_group **at = &more[bucket(r, g->dev, g->inode)];

			next = g->next;
			g->next = *at;
			*at = g;
		}
	}
	free(old);
	return true;
}

static struct link_group *group_locked(struct restore *r, const struct entry *e)
{
	struct link_group *g, **at;

	if (!grow_locked(r))
		return NULL;
	at = &r->groups[bucket(r, e->dev, e->inode)];
	for (g = *at; g; g = g->next)
		if (g->dev == e->dev && g->inode == e->inode)
			return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->dev = e->dev;
	g->inode = e->inode;
	g->nlink = e->nlink;
	g->next = *at;
	*at = g;
	r->nr_groups++;
	return g;
}

static void group_free(struct restore *r, struct link_group *g)
{
	if (g->dir)
		rdir_unref(r, g->dir);
	free(g);
}

bool restore_link_wait(struct restore *r, struct ritem *it)
{
	struct link_group *g;
	bool waits = false;

	if (!(it->e.flags & ENTRY_HARDLINK))
		return false;
	lock_links(r);
	g = group_locked(r, &it->e);	/* without memory for it: a file of its own */
	if (g && g->busy) {
		it->next = g->waiting;
		g->waiting = it;
		waits = true;
	} else if (g) {
		it->group = g;
		g->nr_running++;
		g->busy = !g->there;
	}
	unlock_links(r);
	return waits;
}

/* it is done as far as its group goes; the last name of all frees the group. */
static void leave(struct restore *r, struct link_group *g)
{
	struct link_group **at;

	lock_links(r);
	g->nr_done++;
	g->nr_running--;
	if (g->nr_running > 0 || g->waiting || g->nr_done < g->nlink) {
		unlock_links(r);
		return;
	}
	for (at = &r->groups[bucket(r, g->dev, g->inode)]; *at != g; at = &(*at)->next)
		;
	*at = g->next;
	r->nr_groups--;
	unlock_links(r);
	group_free(r, g);
}

/* What stands there is replaced by a link, by way of a temporary name. */
static int link_over(struct restore *r, int from_fd, const char *from, int to_fd, const char *to)
{
	char tmp[RESTORE_TMP_LEN + 1];
	int saved;

	restore_tmp_name(r, tmp);
	if (linkat(from_fd, from, to_fd, tmp, 0) < 0)
		return -1;
	if (renameat(to_fd, tmp, to_fd, to) == 0)
		return 0;
	saved = errno;
	(void)unlinkat(to_fd, tmp, 0);
	errno = saved;
	return -1;
}

static bool same_file(int from_fd, const char *from, int to_fd, const char *to)
{
	struct stat a, b;

	return fstatat(from_fd, from, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(to_fd, to, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool restore_make(struct ritem *it)
{
	return it->e.type == ENTRY_FILE ? restore_regular(it) : restore_other(it);
}

/* Link it to the group's first; a copy where that cannot be. */
static void link_one(struct ritem *it, struct link_group *g)
{
	struct restore *r = it->r;
	int from = rdir_fd(r, g->dir), to = from < 0 ? -1 : rdir_fd(r, it->dir);
	bool linked = false, unchanged = false;

	if (to >= 0) {
		linked = linkat(from, g->name, to, it->name, 0) == 0;
		if (!linked && errno == EEXIST) {
			unchanged = linked = same_file(from, g->name, to, it->name);
			if (!linked)
				linked = link_over(r, from, g->name, to, it->name) == 0;
		}
		rdir_fd_put(r, it->dir);
	}
	if (from >= 0)
		rdir_fd_put(r, g->dir);
	if (linked) {
		restore_count_item(it, unchanged);
	} else if (restore_make(it)) {
		restore_note(r, NOTE_COPIED_LINK);
	}
}

bool restore_link_try(struct ritem *it)
{
	struct link_group *g = it->group;
	bool there;

	if (!g)
		return false;
	lock_links(it->r);
	there = g->there;
	unlock_links(it->r);
	if (!there)
		return false;
	link_one(it, g);
	leave(it->r, g);
	return true;
}

/*
 * it is there, whole: what the others are linked to. Called by the thread that made the group
 * busy.
 */
static void set_there(struct restore *r, struct link_group *g, struct ritem *it)
{
	atomic_fetch_add(&it->dir->refs, 1);
	g->dir = it->dir;
	memcpy(g->name, it->name, sizeof(g->name));
	lock_links(r);
	g->there = true;	/* from here on others read dir and name, and nobody writes them */
	unlock_links(r);
}

/* The names that waited: linked, or tried themselves while there is none to link to. */
static void see_to(struct restore *r, struct link_group *g, struct ritem *list)
{
	while (list) {
		struct ritem *it = list;

		list = it->next;
		if (restore_stopping(r))
			;	/* only counted */
		else if (g->there)
			link_one(it, g);
		else if (restore_make(it))
			set_there(r, g, it);
		lock_links(r);
		g->nr_done++;
		unlock_links(r);
		restore_item_done(it);
	}
}

void restore_link_done(struct ritem *it, bool ok)
{
	struct link_group *g = it->group;
	struct restore *r = it->r;

	if (!g)
		return;
	if (ok)
		set_there(r, g, it);
	for (;;) {
		struct ritem *list;

		lock_links(r);
		list = g->waiting;
		g->waiting = NULL;
		g->busy = list != NULL;
		unlock_links(r);
		if (!list)
			break;
		see_to(r, g, list);
	}
	leave(r, g);
}

void restore_links_free(struct restore *r)
{
	for (size_t i = 0; i < r->nr_buckets; i++) {
		while (r->groups[i]) {
			struct link_group *g = r->groups[i];

			r->groups[i] = g->next;
			group_free(r, g);
		}
	}
	free(r->groups);
	r->groups = NULL;
	r->nr_buckets = r->nr_groups = 0;
}
