/* SPDX-License-Identifier: MIT */
/*
 * Bringing a component back from a snapshot, in steps that vouch recover (and in part vouch rollback) goes through; no
 * type is known here by name.
 *
 *   recovery_open      lock; which snapshot; facts.json; the chosen items                    recover_source.c
 *   recovery_read      every byte of the dump, then its format                               recover_source.c
 *   recovery_plan      what would be done                                                    recover_plan.c
 *   (countdown)                                                                              confirm.c
 *   recovery_execute   hooks, ops->restore, ops->inspect, comparison, note in the history    recover_execute.c
 *   recovery_report    the verdict                                                           recover_report.c
 */
#ifndef VOUCH_TOOLS_RECOVER_H
#define VOUCH_TOOLS_RECOVER_H

#include "tools/common.h"
#include "tools/components/component.h"
#include "tools/lock.h"
#include "tools/ways.h"

struct recover_options {
	const char *from;		/* snapshot, date, backup id; NULL: the newest in which the component is ok */
	const char *into;
	const char *selector;		/* "table": what the items were given by; NULL: none */
	const char *const *items;	/* as typed */
	size_t nr_items;
	bool dry_run, verbose;
	uint64_t rto_all;		/* seconds in which several components should be back; 0: no target */
	bool no_notes;			/* the repository is open for reading: what is done cannot be written down there */
	const atomic_bool *cancel;
};

/** How it ended, as it is noted and printed. */
enum recover_outcome {
	RECOVER_NOT_BEGUN,		/* nothing was touched */
	RECOVER_OK,
	RECOVER_DIFFERS,		/* restored, but not what was recorded */
	RECOVER_FAILED,
	RECOVER_CANCELED
};

struct recover_counts {
	uint64_t equal, differ;
	uint64_t kept;			/* more than recorded, or not recorded, and rightly so */
};

struct recovery {
	struct app *a;
	struct store *s;
	struct component *c;
	const struct recover_options *o;
	struct lock *lock;
	const struct snapshot_list *list;
	const struct snapshot *snapshot;	/* in list; a rollback's safety dump, NULL where it has none */
	const struct way *way;			/* a rollback: what is taken; NULL: a recover */
	char *folder;				/* "postgres/crm" */
	struct strings items;			/* by their full names */
	struct facts recorded, before, found;
	bool has_before;
	struct restore_job job;
	char way_id[WAY_ID_MAX + 1];
	bool way_made;				/* vouch rollback finds it */
	enum recover_outcome outcome;
	bool hook_failed;
	struct recover_counts counts;		/* the chosen ones, or all */
	uint64_t others_changed;		/* items that were not chosen, and are not as before */
	double seconds;				/* from the countdown's end to the comparison's */
	struct err e;				/* where it failed */
};

/**
 * What is to be brought back, and from where.  l outlives r.  After an error, too, recovery_close() is the caller's.
 * ERR_NOT_FOUND: no such snapshot, or item (near names are in the message); ERR_BUSY: the lock.
 */
MUST_CHECK enum err_code recovery_open(struct recovery *r, struct app *a, struct store *s, struct component *c,
				       const struct snapshot_list *l, const struct recover_options *o, struct err *e);
void recovery_close(struct recovery *r);	/* a zeroed one is allowed */

/** The files that facts.json names, whole, and of the digests it names; then ops->read_back. */
MUST_CHECK enum err_code recovery_read(struct recovery *r, struct err *e);

/** Printed on standard output. */
MUST_CHECK enum err_code recovery_plan(struct recovery *r, struct err *e);

/**
 * For a rollback by way: its safety dump where it has one, the items it is of; the lock is the caller's.  ERR_NOT_FOUND: the
 * dump is not there any more.
 */
MUST_CHECK enum err_code recovery_open_way(struct recovery *r, struct app *a, struct store *s, struct component *c,
					   const struct snapshot_list *l, const struct recover_options *o,
					   const struct way *way, struct err *e);

/** r->outcome, r->counts, r->seconds, r->e; prints the rows of the comparison; notes it all in the history. */
void recovery_execute(struct recovery *r);

/** The comparison of found with recorded (and before): prints rows, fills the counts.  In recover_report.c. */
void recovery_compare(struct recovery *r);
/** The verdict, with times and targets, and what to do next; the exit status. */
int recovery_report(struct recovery *r);

/** "WHAT 8.1 s, within the target of 20:00" */
void recovery_target(struct buf *b, const char *what, double seconds, uint64_t target);

/** The facts.json of folder in a snapshot.  ERR_NOT_FOUND: none. */
MUST_CHECK enum err_code recover_facts(struct store *s, const struct snapshot *snap, const char *folder,
				       struct facts *out, struct err *e);

/** The component as it is now, into a snapshot of its own: job->safety_dump (ctx is the recovery).  In recover_safety.c. */
enum err_code recovery_safety_dump(void *ctx, struct component *c, char **snapshot, struct err *e);

/**
 * All of them, one after the other: what cannot be read or planned is said before the countdown, and the rest goes on.
 * The exit status is 0 only where each was brought back and agrees.  yes: no countdown.  In recover.c.
 */
int recover_run(struct app *a, struct store *s, struct component *const *v, size_t nr, const struct recover_options *o,
		bool yes);
/** The newest way back of c that is left.  In rollback.c. */
int rollback_run(struct app *a, struct store *s, struct component *c, const struct recover_options *o, bool yes);

/** "NAME: MESSAGE" and the exit status, for what failed before anything was touched. */
int recover_fail(struct app *a, const char *name, const struct err *e);

/** The exit status of several: the first that is not STATUS_DONE, but damage before all. */
int recover_worse(int status, int other);

/**
 * app_open() for recover and validate, with o's cancel and no_notes: a drive that is locked against writing keeps nobody from what is
 * on it.
 */
int recover_repository(struct app *a, struct recover_options *o, struct store **out);

/** How old the dump is, in seconds. */
double recovery_age(const struct recovery *r);

/** Let c's events be lines and progress of a. */
void recover_events(struct app *a, struct component *c);

/** What c tells of its progress is told as of this stage: its type knows a dump and a restore, not what for. */
struct recover_stage {
	struct component *c;
	struct component_events kept;
	const char *name;
};
void recover_stage_begin(struct recover_stage *s, struct component *c, const char *name);
void recover_stage_end(struct recover_stage *s);

/** "ok", "differs", "failed", ... */
const char *recover_outcome_name(enum recover_outcome o);

#endif
