/* SPDX-License-Identifier: MIT */
/*
 * vouch run: components, one after the other, into one snapshot; no type is known here by name.
 *
 *   cmd_run.c      options, vouch.conf, --dry-run
 *   run.c          locks ──► before hooks ──► each component ──► after hooks ──► the snapshot ──► the history
 *   run_part.c     one component: its hooks, ops->dump, facts.json; or nothing of it
 *   run_hooks.c    hooks, and their being run though vouch is killed
 *   run_tell.c     what looks wrong though it went well; the summary, as text and JSON
 */
#ifndef VOUCH_TOOLS_RUN_H
#define VOUCH_TOOLS_RUN_H

#include "store/history.h"
#include "tools/common.h"
#include "tools/components/component.h"
#include "tools/history.h"
#include "tools/hook.h"
#include "tools/lock.h"

/** One component of a run. */
struct run_part {
	struct app *a;			/* for what the component tells */
	const char *name, *type;	/* "crm", "postgres"; views */
	struct config_section *section;
	struct component *c;		/* NULL: it could not be opened, and e says why */
	bool named_id;			/* there are several of its type: its ids have its name */
	char *folder;			/* "postgres/crm" */
	struct lock *lock;

	bool begun;			/* its dump was */
	char id[BACKUP_ID_MAX + 1];
	struct vtime began;
	double seconds;
	char instant[48];
	uint64_t bytes, new_bytes;
	uint64_t items, rows;		/* tables and their rows; labels, nodes; collections, points */
	bool has_lines;			/* the type counted the lines of its text */
	uint64_t lines;
	bool has_checksum;
	struct object_id checksum;
	struct err e;			/* e.code is ERR_OK where it went well */

	bool has_last;			/* the good run before */
	uint64_t last_bytes;
	double last_seconds;
};

struct run {
	struct app *a;
	struct store *s;
	struct config_section *section;	/* [run]; NULL: there is none */
	struct strings tags;
	bool dry_run, keep_partial;
	const atomic_bool *cancel;
	struct run_part *parts;
	size_t nr;
	struct history_runs before;		/* the history */

	struct lock *hooks_lock;
	struct assembly *to;
	char *snapshot, *partial;	/* names; NULL: none was made */
	uint64_t new_bytes, stored_bytes;
	bool hook_failed, unwritten;	/* after hooks; the history */
	uint64_t nr_warnings;
};

/** All of it; the parts are there, each open or with the error why not.  An exit status. */
int run_all(struct run *r);
void run_release(struct run *r);	/* the parts' contents and all else; components stay open */

/** Of p's last good run, what is known; and its id, which none has that was. */
void run_part_before(struct run *r, struct run_part *p);
/** Dump it: p->e says how that went. */
void run_part_dump(struct run *r, struct run_part *p);

/** Say what looks wrong of a dump that went well. */
void run_warn(struct run *r, const struct run_part *p);
/** "NAME: failed: ..." */
void run_tell_failed(struct run *r, const struct run_part *p);
/** What would be done. */
bool run_tell_plan(struct run *r);
/** The lines at the end; false where standard output could not be written. */
bool run_tell_summary(struct run *r, int status);

/** The "before" hooks, with the "after" ones guarded; then run_hooks_after() in every case. */
MUST_CHECK enum err_code run_hooks_before(struct run *r, struct config_section *s, const char *before, const char *after,
					  const char *components, struct hook_guard **guard, struct err *e);
void run_hooks_after(struct run *r, struct config_section *s, const char *after, const char *components,
		     const char *outcome, struct hook_guard *guard);

#endif
