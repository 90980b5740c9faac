/* SPDX-License-Identifier: MIT */
/* What a restore counts and tells; what stops it. */
#include "store/restore_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "store/base/array.h"
#include "store/base/digest.h"

#define TELL_NS		100000000L	/* between two progress events */

static const char *const note_text[NOTE_NR] = {
	[NOTE_OWNER] = "owners were not restored (not root, or this file system has none)",
	[NOTE_SETID] = "setuid and setgid bits of files were left out (needs root and --special)",
	[NOTE_PRIVILEGED_XATTR] =
		"security.* and trusted.* attributes were left out (needs root and --special)",
	[NOTE_DEVICE] = "devices were left out (needs root and --special)",
	[NOTE_INODE_FLAGS] = "inode flags were left out (needs root and --special)",
	[NOTE_XATTR] = "extended attributes or ACLs cannot be kept by this file system",
	[NOTE_MODE] = "modes cannot be kept by this file system",
	[NOTE_COPIED_LINK] = "hard links were restored as files of their own",
	[NOTE_NOT_READ_BACK] = "files could not be read back (no permission)",
};

/* Counting and telling. */

static void lock_count(struct restore *r)
{
	if (pthread_mutex_lock(&r->count) != 0)
		abort();
}

static void unlock_count(struct restore *r)
{
	if (pthread_mutex_unlock(&r->count) != 0)
		abort();
}

bool restore_stopping(struct restore *r)
{
	if (r->o->cancel && atomic_load(r->o->cancel)) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_CANCELED, "stopped on request");
		restore_stop(r, &err);
	}
	return atomic_load(&r->stopping);
}

void restore_stop(struct restore *r, const struct err *err)
{
	lock_count(r);
	if (!r->stop.code)
		r->stop = *err;
	unlock_count(r);
	atomic_store(&r->stopping, true);
}

char *restore_path(const struct rdir *dir, const char *name)
{
	size_t len = name ? strlen(name) : 0;
	char *path, *p;

	for (const struct rdir *d = dir; d; d = d->parent)
		len += d->e.name_len + 1;
	path = malloc(len + 1);
	if (!path)
		return NULL;
	p = path + len;
	*p = '\0';
	if (name) {
		p -= strlen(name);
		memcpy(p, name, strlen(name));
	}
	for (const struct rdir *d = dir; d && d->e.name_len > 0; d = d->parent) {
		if (*p)
			*--p = '/';
		p -= d->e.name_len;
		memcpy(p, d->e.name, d->e.name_len);
	}
	memmove(path, p, strlen(p) + 1);
	return path;
}

void restore_event(struct restore *r, enum event_kind kind, struct rdir *dir, const char *name,
		   const char *text)
{
	char *path = restore_path(dir, name);

	store_event(r->s, kind, path, NULL, "%s", text);
	free(path);
}

/*
 * One more failed path, so that the read-back pass does not report it again. Without memory it
 * does.
 */
static void remember_failed_locked(struct restore *r, const char *path)
{
	uint64_t *more = array_room(r->failed, r->nr_failed, &r->cap_failed, sizeof(*more));

	if (!more)
		return;
	r->failed = more;
	r->failed[r->nr_failed++] = digest_xxh3(path, strlen(path));
}

static bool failed_before(struct restore *r, const char *path)
{
	uint64_t key = digest_xxh3(path, strlen(path));
	bool found = false;

	lock_count(r);
	for (size_t i = 0; !found && i < r->nr_failed; i++)
		found = r->failed[i] == key;
	unlock_count(r);
	return found;
}

/* What is the matter with the place written to as a whole, not with one file. */
static bool stops_all(const struct err *err, bool from_store)
{
	if (err->code == ERR_NOMEM || err->code == ERR_ABSENT || err->code == ERR_CANCELED)
		return true;
	return err->sys == EMFILE || err->sys == ENFILE ||
	       (!from_store && (err->sys == ENOSPC || err->sys == EDQUOT || err->sys == EROFS));
}

static void stop_full(struct restore *r, const char *path, const struct err *err)
{
	struct err full = *err;
	struct statvfs st;
	uint64_t done;

	lock_count(r);
	done = r->res.bytes;
	unlock_count(r);
	if ((err->sys == ENOSPC || err->sys == EDQUOT) && r->top->fd >= 0 &&
	    fstatvfs(r->top->fd, &st) == 0) {
		(void)err_set_at(&full, err->code, err->file, err->line,
				 "%.600s: %" PRIu64 " of %" PRIu64
				 " bytes are written below %.200s, %" PRIu64
				 " are free there; make room and run it again",
				 err->msg, done, r->bytes_total, r->o->target,
				 (uint64_t)st.f_bavail * st.f_frsize);
		full.sys = err->sys;
	}
	err_prefix(&full, "%s", path && *path ? path : r->o->target);
	restore_stop(r, &full);
}

void restore_failed(struct restore *r, struct rdir *dir, const char *name, const struct err *err,
		    bool from_store)
{
	char *path = restore_path(dir, name);
	bool damage = from_store && err->code != ERR_UNSUPPORTED && err->code != ERR_LIMIT;

	if (restore_stopping(r))
		goto out;	/* what made it stop is told by restore_run */
	if (stops_all(err, from_store)) {
		stop_full(r, path, err);
		goto out;
	}
	if (r->reading_back && path && failed_before(r, path))
		goto out;
	store_event(r->s, damage ? EVENT_DAMAGE : EVENT_WARNING, path, err, "%s",
		    r->reading_back ? "not as it should be when read back" : "not restored");
	lock_count(r);
	r->res.errors++;
	r->res.damaged += damage;
	if (path && !r->reading_back)
		remember_failed_locked(r, path);
	unlock_count(r);
out:
	free(path);
}

void restore_note(struct restore *r, enum restore_note n)
{
	atomic_fetch_add(&r->notes[n], 1);
}

void restore_tell_notes(struct restore *r)
{
	for (int i = 0; i < NOTE_NR; i++) {
		unsigned long long n = atomic_load(&r->notes[i]);

		if (n > 0)
			store_event(r->s, i == NOTE_COPIED_LINK ? EVENT_WARNING : EVENT_NOTE, NULL,
				    NULL, "%llu %s", n, note_text[i]);
	}
}

/* Whether an event is due; fills it. */
static bool due_locked(struct restore *r, struct event *ev)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec - r->told.tv_sec <= 1 &&
	    (now.tv_sec - r->told.tv_sec) * 1000000000L + now.tv_nsec - r->told.tv_nsec <= TELL_NS)
		return false;
	r->told = now;
	*ev = (struct event){
		.kind = EVENT_PROGRESS,
		.text = r->reading_back ? "read back" : "restore",
		.files = r->res.files,
		.files_total = r->files_total,
		.bytes = r->moving + (r->reading_back ? r->res.verified_bytes : r->res.bytes),
		.bytes_total = r->bytes_total,
		.errors = r->res.errors,
	};
	return true;
}

static void tell(struct restore *r, const struct rdir *dir, const char *name, struct event *ev)
{
	char *path = restore_path(dir, name);

	ev->path = path;
	if (r->s->events.fn)
		r->s->events.fn(r->s->events.ctx, ev);
	free(path);
}

void restore_count(struct restore *r, const struct rdir *dir)
{
	struct event ev;
	bool due;

	lock_count(r);
	r->res.dirs += !r->reading_back;
	due = due_locked(r, &ev);
	unlock_count(r);
	if (due)
		tell(r, dir, NULL, &ev);
}

static void moved_end_locked(struct ritem *it)
{
	it->r->moving -= it->moved;
	it->moved = 0;
}

void restore_count_item(struct ritem *it, bool unchanged)
{
	struct restore *r = it->r;
	struct event ev;
	bool due;

	lock_count(r);
	moved_end_locked(it);
	if (r->reading_back) {
		r->res.verified_bytes += it->e.size;
	} else if (it->e.type == ENTRY_FILE) {
		r->res.files++;
		r->res.bytes += it->e.size;
		r->res.unchanged += unchanged;
	} else {
		r->res.others++;
	}
	due = due_locked(r, &ev);
	unlock_count(r);
	if (due)
		tell(r, it->dir, it->name, &ev);
}

void restore_moved(struct ritem *it, uint64_t len, bool is_data)
{
	struct restore *r = it->r;
	struct event ev;
	bool due;

	lock_count(r);
	it->moved += len;
	r->moving += len;
	due = due_locked(r, &ev);
	unlock_count(r);
	if (due)
		tell(r, it->dir, it->name, &ev);
	if (is_data)
		rate_wait(&r->rate, len);
}

void restore_moved_end(struct ritem *it)
{
	lock_count(it->r);
	moved_end_locked(it);
	unlock_count(it->r);
}
