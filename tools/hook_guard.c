/* SPDX-License-Identifier: MIT */
/*
 * A "before" hook may hold the writers of an application; vouch that is killed must not leave them so.  The process that waits is
 * forked while vouch has threads: all that it needs is made before, and it does only what is safe then.
 */
#include "tools/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/spawn_guard.h"

struct hook_guard {
	int fd;			/* a byte: all is well; its end: vouch is gone */
	pid_t pid;
};

/* The words of each value, NULL behind the last. */
static void programs_free(char ***v)
{
	for (size_t i = 0; v && v[i]; i++)
		config_words_free(v[i]);
	free(v);
}

static enum err_code take_programs(struct config_section *s, const char *key, char ****out, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t nr = 0;
	char ***v;

	while (config_nth(s, key, nr))
		nr++;
	v = calloc(nr + 1, sizeof(char **));
	if (!v)
		return err_set(e, ERR_NOMEM, "%s", key);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = config_split(config_nth(s, key, i), &v[i], e);
	if (rc)
		programs_free(v);
	else
		*out = v;
	return rc;
}

/* It has let go of all that vouch has open: its locks end with it.  What a terminal sends to vouch does not come here. */
static _Noreturn void wait_and_run(int fd, char ***programs, char **env)
{
	ssize_t n;
	char byte;
	int null;

	(void)setsid();
	if (dup2(fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(1);
	spawn_guard_close_from(STDERR_FILENO + 1);
	do
		n = read(STDIN_FILENO, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 0)
		_exit(0);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		_exit(1);
	for (size_t i = 0; programs[i]; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			spawn_guard_default_signals();
			(void)execvpe(programs[i][0], programs[i], env);
			_exit(127);
		}
		while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	_exit(0);
}

static enum err_code start(struct hook_guard *g, char ***programs, char **env, struct err *e)
{
	enum err_code rc = ERR_OK;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	g->pid = fork();
	if (g->pid == 0)
		wait_and_run(ends[0], programs, env);
	if (g->pid < 0)
		rc = err_sys(e, "start a process");
	(void)close(ends[0]);
	if (rc)
		(void)close(ends[1]);
	else
		g->fd = ends[1];
	return rc;
}

enum err_code hook_guard_open(struct config_section *s, const char *key, char *const *env, struct hook_guard **out,
			      struct err *e)
{
	struct hook_guard *g = NULL;
	char ***programs = NULL, **merged = NULL;
	enum err_code rc = ERR_OK;

	*out = NULL;
	if (!config_nth(s, key, 0))
		return ERR_OK;
	g = calloc(1, sizeof(*g));
	merged = spawn_plan_env(env);
	if (!g || !merged)
		rc = err_set(e, ERR_NOMEM, "%s", key);
	if (!rc)
		rc = take_programs(s, key, &programs, e);
	if (!rc)
		rc = start(g, programs, merged, e);
	programs_free(programs);
	free(merged);
	if (rc) {
		free(g);
		err_prefix(e, "[%s%s%s] %s", s->kind, *s->name ? " " : "", s->name, key);
		return rc;
	}
	*out = g;
	return ERR_OK;
}

void hook_guard_close(struct hook_guard *g)
{
	if (!g)
		return;
	while (write(g->fd, "", 1) < 0 && errno == EINTR)
		;
	(void)close(g->fd);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(g);
}
