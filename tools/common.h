/* SPDX-License-Identifier: MIT */
/* What the subcommands share: options, opening the repository, SNAPSHOT[:PATH], messages, exit statuses. */
#ifndef VOUCH_TOOLS_COMMON_H
#define VOUCH_TOOLS_COMMON_H

#include <getopt.h>

#include "store/snapshot.h"
#include "store/store.h"
#include "store/tree.h"
#include "tools/priority.h"
#include "tools/progress.h"

/** What vouch ends with, everywhere; the man pages say the same. */
enum exit_status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,	/* usage or configuration */
	STATUS_PARTIAL = 3,	/* done, but some source files could not be read, or some databases not dumped */
	STATUS_DAMAGE = 4,
	STATUS_ABSENT = 75	/* the repository is not there; EX_TEMPFAIL: try again when the drive is */
};

struct app;
typedef int app_fn(struct app *a, int argc, char **argv);	/* an exit status */

struct command {
	const char *name;
	const char *summary;	/* one line */
	const char *usage;	/* synopsis and options, lines */
	app_fn *run;
};

/** One run of a subcommand. */
struct app {
	const struct command *command;
	const char *repo;			/* --repo, else $VOUCH_REPO, else NULL */
	const char *configuration;		/* vouch.conf(5) that was read, and may name the repository; NULL: none */
	struct snapshot_filter filter;		/* --host, --tag, --path */
	bool json, quiet;
	unsigned jobs;
	uint64_t limit_rate;			/* bytes a second; 0: no limit */
	struct priority priority;
	struct progress *progress;		/* NULL until app_open() */
};

/* Options that every command may take; getopt values. */
enum app_option {
	APP_OPT_JSON = 256,
	APP_OPT_HOST,
	APP_OPT_TAG,
	APP_OPT_PATH,
	APP_OPT_RATE,
	APP_OPT_NICE,
	APP_OPT_IONICE,
	APP_OPT_FIRST		/* a command's own long options begin here */
};

#define APP_LONG_OPTIONS \
	{ "repo", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }
#define APP_LONG_JSON { "json", no_argument, NULL, APP_OPT_JSON }
#define APP_LONG_QUIET { "quiet", no_argument, NULL, 'q' }
#define APP_LONG_JOBS { "jobs", required_argument, NULL, 'j' }
#define APP_LONG_WORK							\
	APP_LONG_JSON, APP_LONG_QUIET, APP_LONG_JOBS,			\
	{ "limit-rate", required_argument, NULL, APP_OPT_RATE },	\
	{ "nice", required_argument, NULL, APP_OPT_NICE },		\
	{ "ionice", required_argument, NULL, APP_OPT_IONICE }
#define APP_WORK_USAGE									\
	"  -j, --jobs N       use N threads (default: one a processor)\n"		\
	"  --limit-rate RATE  at most so many bytes a second (10M)\n"			\
	"  --nice N           processor priority, -20 to 19; --ionice idle|best-effort[:0-7]: the disk's\n" \
	"  --json             progress, events and summary as NDJSON\n"			\
	"  -q, --quiet        only warnings and damage\n"
#define APP_LONG_FILTER						\
	{ "host", required_argument, NULL, APP_OPT_HOST },	\
	{ "tag", required_argument, NULL, APP_OPT_TAG },	\
	{ "path", required_argument, NULL, APP_OPT_PATH }
#define APP_LONG_END { NULL, 0, NULL, 0 }

#define APP_HELP (-2)		/* app_getopt: the usage was asked for, and printed: exit 0 */
#define APP_BAD (-3)		/* app_getopt: a wrong option, and it was said: exit 2 */

/**
 * getopt_long(), which does the common options itself.  shorts begins with ":".  Returns one of the command's own, -1 at
 * the end, APP_HELP or APP_BAD.
 */
int app_getopt(struct app *a, int argc, char **argv, const char *shorts,
	       const struct option *longs);

/** The exit status for app_getopt's APP_HELP or APP_BAD. */
int app_getopt_status(int c);

/** "vouch COMMAND: MESSAGE; see 'vouch help COMMAND'".  Returns STATUS_USAGE. */
int app_usage(struct app *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** Say the error, and what to do next where that is known.  Returns the exit status for its code. */
int app_fail(struct app *a, const struct err *e);

/** "vouch COMMAND: KIND: ..." on standard error; kind may be NULL.  Control characters are escaped. */
void app_say(struct app *a, const char *kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/**
 * Progress and events are told from now on.  work: also take signals (to stop: before app_open() has returned at once,
 * then in order), and mind no closed pipe; otherwise results are what standard output is for, and progress keeps out of
 * their way.
 */
int app_begin(struct app *a, bool work);

/** app_begin(), then the repository, with SIGUSR1 answered in any case; an exit status, and what is wrong was said. */
int app_open(struct app *a, enum store_mode mode, bool work, struct store **out);

/** What to do next, or NULL where the message says it all. */
const char *app_advice(const struct err *e);

/** Like app_fail() for an error of opening the repository at a->repo: "not there" and "not one" need a look at it. */
int app_fail_open(struct app *a, const struct err *e);

/** Ends what app_begin() began.  Standard output that could not be written, or damage that was met, change status. */
int app_end(struct app *a, int status);

/** snapshot_find() with the command's filter, or what a backup's id means (store/history.h). */
MUST_CHECK enum err_code snapshot_named(struct app *a, struct store *s, const struct snapshot_list *l,
					const char *spec, const struct snapshot **out, struct err *e);

/** What SNAPSHOT[:PATH] named. */
struct target {
	struct snapshot_list list;
	const struct snapshot *snapshot;	/* in list */
	const char *path;			/* "" where there was none */
	struct entry_ref ref;
};

/** Damaged snapshots are passed over; the store's events name them. */
MUST_CHECK enum err_code target_find(struct app *a, struct store *s, const char *arg,
				     struct target *out, struct err *e);
void target_release(struct store *s, struct target *t);	/* a zeroed one is allowed */

/** A list of strings that grows. */
struct strings {
	char **v;
	size_t nr, cap;
	bool bad;		/* out of memory once */
};
void strings_add(struct strings *l, const char *s, size_t len);	/* a copy */
void strings_release(struct strings *l);

/** Append the parts of the file name ("-": standard input) that end in '\n', or in NUL with nul.  Empty ones are passed over. */
MUST_CHECK enum err_code strings_read(struct strings *l, const char *name, bool nul,
				      struct err *e);

#endif
