/* SPDX-License-Identifier: MIT */
/* The vouch command: finds the subcommand, and sets up what all of them need. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "tools/commands.h"
#include "tools/text.h"

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

/* LeakSanitizer attaches to the process, which an undumpable one refuses. */
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define KEEP_DUMPABLE 1
#else
#define KEEP_DUMPABLE 0
#endif

static const struct command *const commands[] = {
	&cmd_init,  &cmd_backup, &cmd_snapshots, &cmd_ls,     &cmd_cat,
	&cmd_diff,  &cmd_mount,	 &cmd_restore,	 &cmd_verify, &cmd_forget, &cmd_prune,
	&cmd_status, &cmd_parity,
	&cmd_sync,
	&cmd_repair,
	&cmd_recover, &cmd_rollback, &cmd_validate,
	&cmd_key,
	&cmd_check,
	&cmd_history,
	&cmd_run,
};

static void print_usage(FILE *to)
{
	fputs("usage: vouch [--repo PATH] COMMAND [OPTION...] [ARGUMENT...]\n"
	      "       vouch help [COMMAND]\n"
	      "       vouch --version\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nThe repository is a folder; --repo or VOUCH_REPO says which.\n"
	      "exit status: 0 done, 1 failed, 2 usage or configuration, 3 done in part: some source\n"
	      "             files could not be read, some databases not dumped; 4 damage found,\n"
	      "             75 the repository is not there\n", to);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const struct command *best = NULL;
	struct buf shown = BUF_INIT;
	size_t least = 4, d;		/* more than three edits away is another word */

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		size_t len = strlen(name);

		d = text_distance(name, commands[i]->name);
		if (len >= 2 && strncmp(name, commands[i]->name, len) == 0)
			d = 1;
		if (d < least && d < strlen(commands[i]->name)) {
			least = d;
			best = commands[i];
		}
	}
	text_escape_str(&shown, name);
	buf_add_u8(&shown, '\0');
	fprintf(stderr, "vouch: there is no command '%s'", shown.bad ? "" : (char *)shown.p);
	if (best)
		fprintf(stderr, "; did you mean '%s'?\n", best->name);
	else
		fputs("; see 'vouch help'\n", stderr);
	buf_release(&shown);
	return STATUS_USAGE;
}

static int help(const char *name)
{
	const struct command *c;

	if (!name) {
		print_usage(stdout);
		return STATUS_DONE;
	}
	c = find_command(name);
	if (!c)
		return unknown_command(name);
	fputs(c->usage, stdout);
	return STATUS_DONE;
}

/* Standard descriptors that are closed would be given to the repository's files. */
static void open_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			_exit(STATUS_FAILED);
}

static void prepare_process(void)
{
	struct rlimit files;

	open_standard_descriptors();
	/* Only how bytes become characters: numbers are written the same for everybody. */
	(void)setlocale(LC_CTYPE, "");
	/* Where the parent ignores SIGCHLD, no producer's exit status could be read. */
	(void)signal(SIGCHLD, SIG_DFL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	/* A core dump would hold what is being backed up, and keys. */
	if (!KEEP_DUMPABLE)
		(void)prctl(PR_SET_DUMPABLE, 0);
}

static int flush_status(int status)
{
	if ((fflush(stdout) || ferror(stdout)) && status == STATUS_DONE) {
		perror("vouch: standard output");
		return STATUS_FAILED;
	}
	return status;
}

/*
 * mount(8) calls helpers in two forms: mount.TYPE SPEC DIR ..., and by way of mount.fuse3 "vouch REPO DIR -o ...",
 * where a path stands in a command's place.
 */
static bool is_mount_call(int argc, char **argv)
{
	const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;

	if (argc > 0 && strncmp(base ? base + 1 : argv[0], "mount.", 6) == 0)
		return true;
	return argc >= 3 && argv[1][0] == '/';
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "repo", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		APP_LONG_END
	};
	struct app a = { .repo = getenv("VOUCH_REPO") };
	int c;

	prepare_process();
	opterr = 0;			/* what is wrong is said in our own words */
	if (is_mount_call(argc, argv)) {
		a.command = &cmd_mount;
		return app_end(&a, cmd_mount.run(&a, argc, argv));
	}
	/* "+": options after the command are the command's. */
	while ((c = getopt_long(argc, argv, "+r:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			a.repo = optarg;
			break;
		case 'h':
			print_usage(stdout);
			return flush_status(STATUS_DONE);
		case 'V':
			printf("vouch %s\n", store_version());
			return flush_status(STATUS_DONE);
		default:
			fputs("vouch: an option before the command that is unknown or lacks its value; "
			      "see 'vouch help'\n", stderr);
			return STATUS_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return STATUS_USAGE;
	}
	argc -= optind;
	argv += optind;
	if (strcmp(argv[0], "help") == 0)
		return flush_status(help(argv[1]));
	a.command = find_command(argv[0]);
	if (!a.command)
		return unknown_command(argv[0]);
	optind = 0;			/* start again, with the command's options */
	return app_end(&a, a.command->run(&a, argc, argv));
}
