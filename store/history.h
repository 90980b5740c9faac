/* SPDX-License-Identifier: MIT */
/*
 * What vouch did: a line each in log/, and so in the index's view backup_history, which any sqlite3 reads and which is
 * made anew from log/ when the index is lost.
 */
#ifndef VOUCH_STORE_HISTORY_H
#define VOUCH_STORE_HISTORY_H

#include "store/entry.h"
#include "store/err.h"
#include "store/id.h"
#include "store/snapshot.h"

struct store;

#define BACKUP_ID_MAX 200

/** One component's part of a run.  Strings are never NULL. */
struct history_run {
	const char *id;			/* "postgres_20261121_020000", history_id() */
	const char *type, *component;	/* "postgres", "crm" */
	const char *snapshot;		/* its name; "": none was made */
	const char *status;		/* "ok", "failed" */
	const char *error;		/* one line; "" */
	struct vtime time;		/* when its dump began */
	bool has_checksum;
	struct object_id checksum;	/* of its main file */
	uint64_t bytes;			/* of all its files */
	double seconds;
};

/** "TYPE_YYYYMMDD_HHMMSS" of the time in UTC, or with a component "TYPE-COMPONENT_..." (where there are several of a type). */
void history_id(char out[BACKUP_ID_MAX + 1], const char *type, const char *component, struct vtime t);

/** Whether s has the shape of a backup id. */
bool history_is_id(const char *s);

/** Appends it to log/ and to the index.  The store is open for writing. */
MUST_CHECK enum err_code history_add_run(struct store *s, const struct history_run *r, struct err *e);

/** Runs with memory of their own (a run's strings are one allocation, id's); oldest first. */
struct history_runs {
	struct history_run *all;
	size_t nr, cap;
};
/** Every run that log/ knows; the index's view follows, where log/ came from elsewhere meanwhile. */
MUST_CHECK enum err_code history_runs_read(struct store *s, struct history_runs *out, struct err *e);
void history_runs_release(struct history_runs *l);	/* a zeroed one is allowed */

/**
 * The snapshot and the component ("crm") that a backup id means: malloc'ed.  ERR_NOT_FOUND: no such id; ERR_FAILED: that run
 * made no snapshot, or it was let go (why, and the newest good one, are in the message).
 */
MUST_CHECK enum err_code history_find(struct store *s, const char *id, char **snapshot, char **component, struct err *e);

/** The newest other backup of what id is of whose snapshot is there: malloc'ed; NULL: none, or id is unknown. */
MUST_CHECK enum err_code history_newest_good(struct store *s, const char *id, char **out, struct err *e);

/** Anything else that is to be remembered: event "recover", "validate", "rollback", "way-back"; members: JSON without its braces. */
MUST_CHECK enum err_code history_note(struct store *s, const char *event, const char *members, struct err *e);
/** json: the whole object of the line, as text, oldest first. */
typedef enum err_code history_note_fn(void *ctx, const char *time, const char *json, struct err *e);
MUST_CHECK enum err_code history_each_note(struct store *s, const char *event, history_note_fn *fn, void *ctx, struct err *e);

#endif
