/* SPDX-License-Identifier: MIT */
/*
 * The ways back that recovers left: what each overwrote, kept beside, or in a snapshot of its own.  Each is a line
 * "way-back" in log/ when it is made, and another when it was taken, let go, or found gone; what is left is all of the
 * first without one of the others.
 */
#ifndef VOUCH_TOOLS_WAYS_H
#define VOUCH_TOOLS_WAYS_H

#include <jansson.h>
#include <stdint.h>

#include "store/err.h"
#include "tools/common.h"
#include "tools/components/component.h"

#define WAY_KEPT_S (7u * 86400u)	/* seconds: long enough to see on Monday what Friday's recover broke */
#define WAY_ID_MAX 160

struct way {
	char *id, *component, *type;
	char *from;			/* the snapshot whose recover left it; "" */
	char *into;			/* what was overwritten; "": the component's own */
	char *kind, *snapshot;		/* of json: "" where it has none */
	int64_t made;			/* seconds since 1970 */
	json_t *items;			/* array of names: what of the component it is of; empty: all */
	json_t *json;			/* what the type's restore() gave */
};

/** Those of this host that are left, oldest first. */
struct ways {
	struct way *v;
	size_t nr;
};
void ways_release(struct ways *w);

/** component NULL: of all. */
MUST_CHECK enum err_code ways_read(struct store *s, const char *component, struct ways *out, struct err *e);

/** A name for one that is made now. */
void way_id(char out[WAY_ID_MAX + 1], const char *component);

/** It exists: of j's snapshot (may be NULL), into and items.  The same id again: json takes the place of what it had. */
MUST_CHECK enum err_code way_made(struct store *s, const struct component *c, const char *id, const struct restore_job *j,
				  const json_t *json, struct err *e);
/** It does not any more: state "taken", "discarded", "gone". */
MUST_CHECK enum err_code way_ended(struct store *s, const struct way *w, const char *state, struct err *e);

/** A snapshot that holds nothing but a safety dump is let go with the way that needed it. */
MUST_CHECK enum err_code way_forget_snapshot(struct store *s, const char *name, struct err *e);

/**
 * Let go what is older than WAY_KEPT_S of the component, whose lock is held, and say so.  What cannot be let go is a
 * warning, and tried again the next time.  For run and recover.
 */
void ways_discard_old(struct app *a, struct store *s, struct component *c);

#endif
