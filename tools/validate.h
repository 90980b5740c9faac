/* SPDX-License-Identifier: MIT */
/*
 * Proving a dump by restoring it into something temporary and looking at that, in steps; no type is known here by name.
 *
 *   validation_begin      the user's expectations, taken apart                                  validate_expect.c
 *   validation_run        the dump read, restored, compared, examined; expectations; dropped     validate.c
 *   references_compare    values that another component must have                                validate_reference.c
 *   report_*              as text, as JSON, into a file; a note in the history                   validate_report.c
 */
#ifndef VOUCH_TOOLS_VALIDATE_H
#define VOUCH_TOOLS_VALIDATE_H

#include <jansson.h>

#include "tools/common.h"
#include "tools/components/component.h"
#include "tools/recover.h"

/** How one thing that was looked at is. */
enum verdict { VERDICT_OK, VERDICT_WARNING, VERDICT_FAILED };

/** The answer of a query must compare so with a value. */
enum expect_op { EXPECT_EQ, EXPECT_GE, EXPECT_LE };

/** One key expect, not-null or orphans. */
struct expectation {
	const char *key;	/* "expect" */
	char *text;		/* for people: as it was written, or its part */
	char *query;		/* for ops->query */
	enum expect_op op;
	char *value;		/* what is wanted */
};
struct expectations {
	struct expectation *v;
	size_t nr;
};
/** ERR_USAGE, naming file and line. */
MUST_CHECK enum err_code expectations_read(struct component *c, struct expectations *out, struct err *e);
void expectations_release(struct expectations *x);

/** Does the answer (lines of ops->query) meet it?  why gets a sentence either way. */
bool expectation_met(const struct expectation *x, const char *answer, struct buf *why);

/** A section [reference NAME]. */
struct reference {
	const char *name, *from, *from_query, *to, *to_query;	/* of the configuration */
	uint64_t allow;
	char *from_answer, *to_answer;				/* NULL: not asked */
	const char *snapshots[2];				/* where the answers are from; borrowed; NULL: live */
	char *failed;						/* why a query could not be asked */
};
struct references {
	struct reference *v;
	size_t nr;
};
/** All of the file: c is every section.  ERR_USAGE: a key is missing, or names no component. */
MUST_CHECK enum err_code references_read(struct config *config, struct references *out, struct err *e);
void references_release(struct references *r);
/** How many lines of from are not in to; examples: at most five different ones.  ERR_NOMEM. */
MUST_CHECK enum err_code reference_missing(const char *from, const char *to, uint64_t *nr_from, uint64_t *missing,
					   struct buf *examples, struct err *e);

struct validate_options {
	struct recover_options recover;		/* from, cancel, ... */
	bool live;
	const char *report;			/* a file; NULL: none */
};

/** One component's. */
struct validation {
	struct app *a;
	struct component *c;
	const struct validate_options *o;
	struct recovery r;
	struct component_events before;		/* c's, while found() is ours */
	struct expectations expectations;
	char into[64];				/* "": live */
	json_t *items, *checks;			/* of the report */
	uint64_t equal, kept, differ;
	size_t failed, warnings;		/* of checks */
	const char *doing;			/* "structure": what a finding belongs to */
	double seconds;
	bool compared;
	bool bad;				/* out of memory: the report is not whole */
	enum recover_outcome outcome;
	struct err e;
};

/** STATUS_DONE where it is as recorded and as expected.  v is zeroed before; validation_release() in any case. */
int validation_run(struct validation *v, struct app *a, struct store *s, struct component *c, const struct snapshot_list *l,
		   const struct validate_options *o, struct references *refs);
void validation_release(struct validation *v);

/** The whole report, of all components and references. */
struct report {
	struct app *a;
	const char *file;		/* NULL: none */
	struct buf text;		/* as it was printed */
	json_t *json;
	bool bad;
};
void report_begin(struct report *r, struct app *a, const char *file);
/** ERR_USAGE: something is there that a report may not take the place of (a device, a link).  To be asked before long work. */
MUST_CHECK enum err_code report_may_be(const char *file, struct err *e);
/** Print it, and keep it for the file; the history gets a note (s NULL: cannot be written). */
void report_component(struct report *r, struct store *s, const struct validation *v);
/** The time of all components that were restored, beside the target for all. */
void report_total(struct report *r, size_t nr, double seconds, uint64_t target);
/** True: it agrees, or was not to be compared. */
bool report_reference(struct report *r, struct store *s, const struct reference *ref);
/** Write the file.  Releases it. */
MUST_CHECK enum err_code report_end(struct report *r, int status, struct err *e);

#endif
