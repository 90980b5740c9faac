/* SPDX-License-Identifier: MIT */
#include "tests/lib/boxcmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/history.h"

struct testrepo repo;
char conf[256], box[256];
char said[65536];

void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

void assert_file(const char *path, const char *want)
{
	char text[4096];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		fail_msg("%s is not there", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_string_equal(text, want);
}

void configure(const char *keys, const char *rest)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "[repository]\npath = %s\nrto = 45m\n[component crm]\ntype = box\nfile = %s\n%s\n"
		       "[component log]\ntype = heap\nfile = %s.log\n%s\n", repo.path, box, keys, box, rest);
	put(conf, text);
}

int boxcmd_setup(void **state)
{
	(void)state;
	testrepo_make(&repo);
	(void)snprintf(conf, sizeof(conf), "%s/vouch.conf", repo.dir);
	(void)snprintf(box, sizeof(box), "%s/box", repo.dir);
	(void)unsetenv("VOUCH_REPO");
	configure("", "");
	return 0;
}

int boxcmd_teardown(void **state)
{
	(void)state;
	testrepo_remove(&repo);
	return 0;
}

/* Commands */

static _Noreturn void command(const struct command *c, const char *const *args)
{
	char *argv[24] = { 0 };
	char config[] = "--config";
	struct app a = { .command = c };
	int argc = 0;

	argv[argc++] = strdup(c->name);
	argv[argc++] = config;
	argv[argc++] = conf;
	for (size_t i = 0; args[i] && argc < 23; i++)
		argv[argc++] = strdup(args[i]);
	opterr = 0;
	optind = 0;
	/* The test's memory is no leak of the command's. */
	_exit(app_end(&a, c->run(&a, argc, argv)));
}

static int ended(int fd, pid_t child, const char *until)
{
	size_t n = 0;
	ssize_t got;
	int status;

	while (n < sizeof(said) - 1 && (got = read(fd, said + n, sizeof(said) - 1 - n)) > 0) {
		n += (size_t)got;
		said[n] = '\0';
		if (until && strstr(said, until)) {
			assert_int_equal(kill(child, SIGINT), 0);
			until = NULL;
		}
	}
	said[n] = '\0';
	close(fd);
	if (until)
		fail_msg("no \"%s\" in: %s", until, said);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_until(const struct command *c, const char *until, const char *const *args)
{
	int ends[2];
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[0]);
		if (dup2(ends[1], STDOUT_FILENO) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
			_exit(99);
		close(ends[1]);
		command(c, args);
	}
	close(ends[1]);
	return ended(ends[0], child, until);
}

int on_terminal(const struct command *c, const char *until, const char *const *args)
{
	int fd;
	pid_t child = forkpty(&fd, NULL, NULL, NULL);

	assert_true(child >= 0);
	if (child == 0)
		command(c, args);
	return ended(fd, child, until);
}

void assert_said(const char *text)
{
	if (!strstr(said, text))
		fail_msg("no \"%s\" in:\n%s", text, said);
}

void assert_status(int status, int want)
{
	if (status != want)
		fail_msg("exit status %d, not %d:\n%s", status, want, said);
}

/* The repository */

static enum err_code see_note(void *ctx, const char *at, const char *json, struct err *e)
{
	(void)at;
	(void)e;
	++*(size_t *)ctx;
	(void)snprintf(said, sizeof(said), "%s", json);
	return ERR_OK;
}

size_t notes(const char *event)
{
	size_t nr = 0;

	testrepo_open(&repo, STORE_READ);
	OK(history_each_note(repo.s, event, see_note, &nr, &ok_err));
	testrepo_close(&repo);
	return nr;
}

char *newest_snapshot(void)
{
	struct snapshot_list l = { 0 };
	char *name;

	testrepo_open(&repo, STORE_READ);
	OK(snapshot_list_read(repo.s, &l, &ok_err));
	assert_true(l.nr > 0);
	name = strdup(l.all[l.nr - 1].name);
	snapshot_list_release(&l);
	testrepo_close(&repo);
	return name;
}

char *snapshot(const char *component)
{
	assert_status(RUN("-q", component), STATUS_DONE);
	return newest_snapshot();
}
