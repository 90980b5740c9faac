/* SPDX-License-Identifier: MIT */
/* Of spawn.c alone: the process between vouch and a program, which ends the program when vouch is gone. */
#ifndef VOUCH_TOOLS_SPAWN_GUARD_H
#define VOUCH_TOOLS_SPAWN_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/spawn.h"

#define SPAWN_ERR_MAX 16384u	/* of what a program says on standard error; errors come last */
#define INSIDE_LINE "vouch: inside "	/* then the process id there, alone on a line of standard error */
#define INSIDE_DIGITS 20

/* In memory that vouch and the guard share; the guard writes, vouch reads. */
struct spawn_shared {
	atomic_uint_fast64_t err_total;	/* bytes that went into err since the start */
	atomic_bool ended;		/* status is good */
	int status;			/* as of waitpid */
	pid_t pid;			/* of the program; good when the ready pipe is closed */
	int sys;			/* why it was not started, errno */
	const char *sys_what;		/* the step that failed (a constant: "its pipes: "); NULL: the program itself */
	char err[SPAWN_ERR_MAX];	/* a ring */
};

/* All that the guard needs, made before the fork: after it nothing may be allocated. */
struct spawn_plan {
	char **argv, **env;
	char **kill_argv;		/* with via: what ends the process inside; inside is one of its words */
	char inside[INSIDE_DIGITS + 1];
	int in, out, err;		/* the program's; -1: as they are here */
	int life;			/* 'c': standard input is closed; end: vouch is gone, or wants it ended */
	int ready;			/* closed by the program's start or failure */
	int err_read;			/* other end of err, -1: none */
	int in_keep;			/* the end to write to of in, -1: none */
	int null;			/* /dev/null */
	bool own_session;
	bool forward_err;		/* to our standard error, not into the ring */
	struct spawn_shared *shared;
};

/* vouch's ends of the pipes; -1: none, or closed. */
struct spawn_ends {
	int life, ready, out, in;
};

/** argv, env, kill_argv; the words themselves are borrowed. */
MUST_CHECK enum err_code spawn_plan_words(struct spawn_plan *p, const struct spawn_options *o,
					  struct err *e);
/** The descriptors.  After an error, too, what was opened is there, to be closed. */
MUST_CHECK enum err_code spawn_plan_files(struct spawn_plan *p, const struct spawn_options *o,
					  struct spawn_ends *s, struct err *e);

/** The environment with own ("NAME=value", NULL: none) in place of what is there; the strings are borrowed.  free(). */
char **spawn_plan_env(char *const *own);

/** In the child of a fork with all signals blocked. */
void spawn_guard(struct spawn_plan *p) __attribute__((noreturn));
/* For any child of a fork. */
void spawn_guard_close_from(unsigned first);	/* this descriptor and all above */
/** All are delivered again and do what they do by default; but those that nohup, or a shell's background job, ignores stay so. */
void spawn_guard_default_signals(void);

#endif
