/* SPDX-License-Identifier: MIT */
/* Folders of the control folder with a name for each snapshot; and the first of them, SHA256SUMS. */
#include "fs/control_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/sums.h"

#define SUFFIX_MAX	8u
#define SNAP_LINK_MAX	256u	/* "latest-HOST", with the NUL: no name is longer */

enum err_code snaps_slot(const struct snap_list *l, uint64_t slot, const struct snap **out,
			 struct err *e)
{
	const struct snap *s = slot <= SLOT_MAX ? snap_list_slot(l, (uint32_t)slot) : NULL;

	if (!s || s->gone)
		return ctl_none(e, ESTALE);
	*out = s;
	return ERR_OK;
}

/* By every name that the root has for it: the folder's own, the links beside it, latest and latest-HOST. */
static const struct snap *by_name(const struct snap_list *l, const char *name, size_t len)
{
	const struct view_node *link;
	char text[SNAP_LINK_MAX];
	const struct snap *s;
	bool alias;

	if (len == 6 && memcmp(name, "latest", 6) == 0)
		return l->newest;
	s = snap_list_name(l, name, len, &alias);
	if (s || len >= sizeof(text))
		return s;
	memcpy(text, name, len);
	text[len] = '\0';
	link = views_child(l->views, NODEID_ROOT, text);
	return link && link->target ? snap_list_name(l, link->target, strlen(link->target), &alias)
				    : NULL;
}

/* They go by their full names alone. */
static const struct snap *kept_by_name(const struct snap_list *l, enum snap_kind of, const char *name)
{
	for (size_t i = 0; i < l->nr; i++)
		if (l->all[i].kind == of && !l->all[i].gone && strcmp(l->all[i].shown, name) == 0)
			return &l->all[i];
	return NULL;
}

enum err_code snaps_find(const struct ctl *c, const struct snap_name *as, const char *name,
			 uint64_t *out, struct err *e)
{
	size_t len = strlen(name), suffix = strlen(as->suffix);
	const struct snap_list *l = snaps_get(c->fs->snaps);
	const struct snap *s = NULL;

	/* Listed is the name that the root lists as a folder. */
	if (as->of != SNAP_DATED)
		s = kept_by_name(l, as->of, name);
	else if (len > suffix && strcmp(name + len - suffix, as->suffix) == 0)
		s = by_name(l, name, len - suffix);
	if (s)
		*out = as->of == SNAP_DATED ? ctl_id(as->kind, s->slot) : nodeid_of(s->slot, 0);
	snaps_put(l);
	return s ? ERR_OK : ctl_none(e, ENOENT);
}

enum err_code snaps_each(const struct ctl *c, const struct snap_name *as, uint64_t after,
			 struct ctl_listing *to, struct err *e)
{
	const struct snap_list *l = snaps_get(c->fs->snaps);
	uint64_t i = after < CTL_COOKIE_FIRST ? 0 : after - CTL_COOKIE_FIRST + 1;
	char name[SNAP_NAME_MAX + SUFFIX_MAX];
	bool room = true;

	(void)e;
	for (; i < l->nr && room; i++) {
		const struct snap *s = &l->all[i];

		if (s->gone || s->kind != as->of)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", s->shown, as->suffix);
		if (as->of == SNAP_DATED)
			room = ctl_list(to, name, ctl_id(as->kind, s->slot), S_IFREG,
					CTL_COOKIE_FIRST + i);
		else
			room = ctl_list(to, name, nodeid_of(s->slot, 0), S_IFDIR,
					CTL_COOKIE_FIRST + i);
	}
	snaps_put(l);
	return ERR_OK;
}

/* SHA256SUMS. */

static enum err_code sums_root(const struct ctl *c, uint64_t nodeid, struct vtime *time,
			       struct entry_ref *out, struct err *e)
{
	const struct snap_list *l = snaps_get(c->fs->snaps);
	const struct snap *s = NULL;
	enum err_code rc = snaps_slot(l, ctl_data(nodeid), &s, e);

	if (!rc) {
		*time = s->time;
		rc = tree_root(c->fs->store, &s->root, out, e);
	}
	if (!rc && out->e.type != ENTRY_DIR)
		rc = err_set(e, ERR_CORRUPT, "the snapshot's root is not a folder");
	snaps_put(l);
	return rc;
}

static enum err_code sums_stat(const struct ctl *c, uint64_t nodeid, struct stat *st,
			       struct err *e)
{
	struct entry_ref root = { 0 };
	struct vtime time = { 0 };
	struct timespec t;
	enum err_code rc = sums_root(c, nodeid, &time, &root, e);

	if (!rc) {
		t = (struct timespec){ .tv_sec = (time_t)time.sec, .tv_nsec = (long)time.nsec };
		ctl_stat(c, S_IFREG | 0400, &t, st);
		st->st_size = (off_t)sums_size(&root.e);
		st->st_blksize = 128 << 10;
	}
	entry_ref_release(c->fs->store, &root);
	return rc;
}

static enum err_code sums_read_at(const struct ctl *c, uint64_t nodeid, uint64_t off, void *buf,
				  size_t len, size_t *n, struct err *e)
{
	struct entry_ref root = { 0 };
	struct vtime time;
	enum err_code rc = sums_root(c, nodeid, &time, &root, e);

	if (!rc)
		rc = sums_read(c->fs->store, &root.e, off, buf, len, n, e);
	entry_ref_release(c->fs->store, &root);
	return rc;
}

const struct ctl_ops ctl_sums_ops = { .stat = sums_stat, .read = sums_read_at };
