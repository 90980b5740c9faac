/* SPDX-License-Identifier: MIT */
/* An entry that is no folder: read, taken over from the parent snapshot, or another name of one
 * that was. */
#include "store/backup_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/format/limits.h"

static void name_it(struct entry *ent, const struct source_file *f)
{
	ent->name = f->name;
	ent->name_len = f->name_len;
}

/** Attributes of what is not opened. */
static enum err_code meta_unopened(struct backup *b, const struct source_file *f, struct entry *ent,
				   struct err *e)
{
	const struct meta_at at = {.fd = -1, .dirfd = f->dirfd, .name = f->name};
	enum err_code rc = meta_from_stat(b, f->st, ent, e);

	name_it(ent, f);
	return rc ? rc : meta_xattrs(b, &at, ent, e);
}

enum err_code visit_other(struct backup *b, const struct source_file *f, bool *kept, struct err *e)
{
	char target[TARGET_LEN_MAX + 2];
	struct entry ent;
	enum err_code rc;
	ssize_t n = 0;

	*kept = false;
	if (S_ISLNK(f->st->stx_mode)) {
		n = readlinkat(f->dirfd, f->name, target, sizeof(target));
		if (n < 0 && errno == ENOENT) {
			backup_skipped(b, "vanished before it was read");
			return ERR_OK;
		}
		if (n <= 0 || (size_t)n > TARGET_LEN_MAX) {
			backup_warn(b, n < 0 ? errno : 0, "link not read");
			return ERR_OK;
		}
	}
	rc = meta_unopened(b, f, &ent, e);
	if (rc)
		return rc;
	ent.target = n > 0 ? target : NULL;
	ent.target_len = ent.size = (size_t)n;
	b->res->others++;
	*kept = true;
	return read_emit(b, STEP_ENTRY, false, &ent, e);
}

static void count_unread(struct backup *b, uint64_t size)
{
	b->res->files++;
	b->res->unchanged_files++;
	b->res->bytes += size;
}

static void count_read(struct backup *b, const struct entry *old)
{
	b->res->files++;
	b->res->changed_files++;
	b->res->new_files += !old && !b->o->force;
}

/** A name of a file that another name has brought in already. */
static enum err_code visit_link(struct backup *b, const struct source_file *f,
				const struct entry *old, struct hardlink *link, bool last,
				struct err *e)
{
	const struct step t = {.kind = STEP_LINK, .link = link, .last = last};
	struct entry ent;
	enum err_code rc = meta_unopened(b, f, &ent, e);

	if (rc)
		return rc;
	if (old && old_is_unchanged(old, f->st)) {
		count_unread(b, f->st->stx_size);
	} else {
		count_read(b, old);
		b->res->bytes += f->st->stx_size;
	}
	return b->pipe ? pipeline_step(b->pipe, &t, &ent, e) : ERR_OK;
}

/** Neither opened nor read: its ctime vouches for its attributes too, they are what they were. */
static enum err_code visit_unchanged(struct backup *b, const struct source_file *f,
				     const struct entry *old, struct err *e)
{
	struct entry ent;
	enum err_code rc = meta_from_stat(b, f->st, &ent, e);

	if (rc)
		return rc;
	name_it(&ent, f);
	ent.inode_flags |= old->inode_flags;
	ent.xattrs = old->xattrs;
	ent.xattrs_len = old->xattrs_len;
	ent.flags |= old->flags & ENTRY_HAS_SHA256;
	ent.sha256 = old->sha256;
	ent.content = old->content;
	ent.content_p = old->content_p;
	ent.content_len = old->content_len;
	ent.node = old->node;
	ent.hole_bytes = old->hole_bytes;
	count_unread(b, ent.size);
	return read_emit(b, STEP_ENTRY, false, &ent, e);
}

/** Counted as it would be read. */
static enum err_code visit_dry(struct backup *b, const struct source_file *f,
			       const struct entry *old, struct err *e)
{
	struct entry ent;
	enum err_code rc = meta_from_stat(b, f->st, &ent, e);

	count_read(b, old);
	b->res->bytes += f->st->stx_size;
	return rc ? rc : read_emit(b, STEP_ENTRY, false, &ent, e);
}

enum err_code visit_file(struct backup *b, const struct source_file *f, const struct entry *old,
			 bool *kept, struct err *e)
{
	struct hardlink *link = NULL;
	bool last = false;
	enum err_code rc;

	*kept = true;
	if (f->st->stx_nlink > 1)
		link = links_find(b->links, meta_dev(f->st), f->st->stx_ino, &last);
	if (link)
		return visit_link(b, f, old, link, last, e);
	if (old && !b->o->force && old_is_unchanged(old, f->st) && old_is_here(b, old))
		return visit_unchanged(b, f, old, e);
	if (!b->pipe)
		return visit_dry(b, f, old, e);
	rc = read_file(b, f, kept, e);
	if (*kept)
		count_read(b, old);
	return rc;
}
