/* SPDX-License-Identifier: MIT */
/* Programs that vouch starts: what they write is read, what they read is written, and how they end is checked. */
#ifndef VOUCH_TOOLS_SPAWN_H
#define VOUCH_TOOLS_SPAWN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "store/base/buf.h"
#include "store/err.h"

struct spawn;

enum spawn_stdin {
	SPAWN_STDIN_OURS,		/* as it is here */
	SPAWN_STDIN_NONE,		/* /dev/null */
	SPAWN_STDIN_PIPE,		/* spawn_write() */
	SPAWN_STDIN_FD			/* in_fd, from where it stands */
};

struct spawn_options {
	char *const *argv;		/* argv[0] looked up in PATH, no shell; argv[0]'s text outlives the spawn */
	char *const *via;		/* words put before ("docker", "exec", "-i", "shop_mysql"); NULL: none */
	/*
	 * "NAME=value" each, in place of what the environment has; NULL: none.  Secrets go here.  With
	 * via it is up to the words there to pass a NAME on (docker exec -e NAME).
	 */
	char *const *env;
	enum spawn_stdin in;
	int in_fd;
	bool out_none;			/* its standard output is /dev/null: nothing to read */
	bool out_err;			/* its standard output is our standard error, as a hook's: nothing to read */
	bool keep_err;			/* its standard error is ours; else it is kept, the last of it told with a failure */
};

/**
 * Start it: in a session of its own, so that nothing it starts can wait at the terminal for an answer (but with
 * SPAWN_STDIN_OURS in ours, as it may ask), no other file open in it, no signal blocked or ignored but those that a
 * terminal sends where vouch ignores them (nohup).  When vouch ends, however that is, it is ended
 * as by spawn_close(), and its standard input stays open until then: it never takes a killed vouch for the end of its
 * work.  With via, what runs inside is told to end when the client is, or when that was killed: it is started there as
 * `sh -c 'echo PID >&2; exec "$@"'`, and there must be a sh.  ERR_FAILED: it could not be started.
 */
MUST_CHECK enum err_code spawn_start(const struct spawn_options *o, struct spawn **out, struct err *e);
/** argv with standard input and error as they are here. */
MUST_CHECK enum err_code spawn_open(char *const *argv, struct spawn **out, struct err *e);

/** Up to len bytes; *n 0 is the end of its output.  ERR_CANCELED soon after *cancel is set. */
MUST_CHECK enum err_code spawn_read(struct spawn *s, const atomic_bool *cancel, void *buf,
				    size_t len, size_t *n, struct err *e);
/** All of it.  ERR_FAILED, with what it last said, where it reads no more.  Another thread may read meanwhile. */
MUST_CHECK enum err_code spawn_write(struct spawn *s, const atomic_bool *cancel, const void *buf,
				     size_t len, struct err *e);
void spawn_close_stdin(struct spawn *s);	/* its end of input */

/**
 * Wait until it has ended.  ERR_FAILED where that was not with status 0: what happened, and the last line of its standard
 * error that speaks of an error (else the last).
 */
MUST_CHECK enum err_code spawn_end(struct spawn *s, const atomic_bool *cancel, struct err *e);
/**
 * What it wrote to standard error so far, at most the last 16 KiB, NUL-terminated; good until the next call.  It is
 * taken from the program at any time, whether anybody asks or not.
 */
const char *spawn_err(struct spawn *s);
pid_t spawn_pid(const struct spawn *s);

/**
 * One that still runs is told to end, with all of its group (SIGTERM, after five seconds SIGKILL).  One that has ended
 * by itself may leave others behind: a start hook's server.  NULL is allowed.
 */
void spawn_close(struct spawn *s);

/** As spawn_read, from any descriptor (standard input). */
MUST_CHECK enum err_code spawn_read_fd(int fd, const atomic_bool *cancel, void *buf, size_t len,
				       size_t *n, struct err *e);

/**
 * Start, gather its output (NUL-terminated after out->len, at most max bytes in all: ERR_LIMIT; out NULL: none), wait.
 * *status (may be NULL) gets the exit status, 128 + N for signal N, and then only what could not be run is an error.
 */
MUST_CHECK enum err_code spawn_run(const struct spawn_options *o, const atomic_bool *cancel, struct buf *out, size_t max,
				   int *status, struct err *e);

#endif
