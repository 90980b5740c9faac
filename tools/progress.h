/* SPDX-License-Identifier: MIT */
/* What the store tells while it works, for a person, a program, or a log. */
#ifndef VOUCH_TOOLS_PROGRESS_H
#define VOUCH_TOOLS_PROGRESS_H

#include "store/store.h"

/**
 * Notes, warnings and damage are lines on standard error, always whole.  Progress is a bar there where it is a
 * terminal; with json all of it is also NDJSON on standard output.  Any thread.
 */
struct progress;

struct progress_options {
	const char *command;	/* "backup": in front of each line; must outlive the progress */
	bool json;
	bool quiet;		/* no bar, no notes; warnings and damage are always said */
	bool listing;		/* results go to standard output as they come: progress_tell() keeps out of their way */
};

MUST_CHECK enum err_code progress_open(const struct progress_options *o, struct progress **out,
				       struct err *e);
void progress_close(struct progress *p);	/* clears the bar; NULL is allowed */

/** To give to store_open() and mount_run(). */
struct store_events progress_events(struct progress *p);

/** Take the bar away (it comes back with the next event): something else will be printed. */
void progress_clear(struct progress *p);	/* NULL is allowed */

/**
 * How far a command is that lists: files, bytes, path of ev.  A bar only after a second, and where standard output is no
 * terminal, on which the list itself is to be seen; as NDJSON after a second too.
 */
void progress_tell(struct progress *p, const struct event *ev);

/** One line of how far it is, whatever the options: the answer to SIGUSR1.  Gives up where the output is stuck. */
void progress_print(struct progress *p);

/** Call it about once a second: what is shown must not stand still where nothing is told. */
void progress_tick(struct progress *p);

/** "vouch COMMAND: KIND: text" on standard error; kind may be NULL.  p may be NULL. */
void progress_say(struct progress *p, const char *command, const char *kind, const char *text);

/** How many EVENT_DAMAGE were seen. */
uint64_t progress_damage(struct progress *p);
/** It was mended, or its being there is what the command's own status says. */
void progress_forget_damage(struct progress *p);

double progress_seconds(const struct progress *p);	/* since progress_open() */

/** Colours may be used on fd: a terminal that is not dumb, and no NO_COLOR. */
bool progress_colour(int fd);

#endif
