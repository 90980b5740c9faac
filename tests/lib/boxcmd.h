/* SPDX-License-Identifier: MIT */
/*
 * vouch's commands as typed, each in a process of its own, on a repository and components of boxtype.h in a private folder.
 * A test program brings its component_types.
 */
#ifndef VOUCH_TESTS_BOXCMD_H
#define VOUCH_TESTS_BOXCMD_H

#include "tests/lib/boxtype.h"
#include "tests/lib/testrepo.h"
#include "tools/commands.h"

extern struct testrepo repo;
extern char conf[256], box[256];	/* vouch.conf; the file of component crm, of log it is that with .log behind */
extern char said[65536];		/* of the last command: standard output and error */

/** cmocka's: the configuration is configure("", ""), and there is no box yet. */
int boxcmd_setup(void **state);
int boxcmd_teardown(void **state);

/** Components crm, of type box, with these keys beside its own, and log, of type heap; rest: keys of that, and sections. */
void configure(const char *keys, const char *rest);

/** A file of these bytes, for its owner only. */
void put(const char *path, const char *text);
void assert_file(const char *path, const char *want);

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define RUN(...) run_until(&cmd_run, NULL, ARGS(__VA_ARGS__))
#define RECOVER(...) run_until(&cmd_recover, NULL, ARGS(__VA_ARGS__))
#define ROLLBACK(...) run_until(&cmd_rollback, NULL, ARGS(__VA_ARGS__))
#define VALIDATE(...) run_until(&cmd_validate, NULL, ARGS(__VA_ARGS__))

/** Without a terminal; its exit status.  ^C comes when it has said until (NULL: never). */
int run_until(const struct command *c, const char *until, const char *const *args);
int on_terminal(const struct command *c, const char *until, const char *const *args);

void assert_status(int status, int want);
void assert_said(const char *text);

/** How many lines of the history are of that event; the last is in said. */
size_t notes(const char *event);

/** vouch run of this component; the snapshot's name, malloc'ed. */
char *snapshot(const char *component);
/** The newest one's. */
char *newest_snapshot(void);

#endif
