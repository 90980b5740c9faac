/* SPDX-License-Identifier: MIT */
#include "tools/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANCEL_MS 100		/* how late a request to stop may be noticed */
#define WAIT_MS 10		/* a child that has closed its output has mostly ended */
#define TERM_MS 5000		/* between SIGTERM and SIGKILL: pg_dump ends its transaction */

extern char **environ;

struct spawn {
	char *const *argv;
	pid_t pid;		/* 0: has ended */
	int fd;
	int status;		/* of waitpid, where pid is 0 */
};

/* The child must not inherit what this process blocks or ignores: a producer ignoring SIGPIPE never ends. */
static int start(struct spawn *s, int out_fd)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int sys = posix_spawn_file_actions_init(&files);

	if (sys)
		return sys;
	sys = posix_spawnattr_init(&attr);
	if (sys) {
		posix_spawn_file_actions_destroy(&files);
		return sys;
	}
	sigemptyset(&none);
	sigemptyset(&all);
	sigaddset(&all, SIGPIPE);
	sigaddset(&all, SIGUSR1);
	sys = posix_spawnattr_setsigmask(&attr, &none);
	if (!sys)
		sys = posix_spawnattr_setsigdefault(&attr, &all);
	if (!sys)
		sys = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	if (!sys)
		sys = posix_spawn_file_actions_adddup2(&files, out_fd, STDOUT_FILENO);
	/* Whoever forgot O_CLOEXEC: the producer must not hold the drive busy after us. */
	if (!sys)
		sys = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	if (!sys)
		sys = posix_spawnp(&s->pid, s->argv[0], &files, &attr, s->argv, environ);
	if (sys)
		s->pid = 0;
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return sys;
}

enum err_code spawn_open(char *const *argv, struct spawn **out, struct err *e)
{
	struct spawn *s = calloc(1, sizeof(*s));
	enum err_code rc = ERR_OK;
	int ends[2] = { -1, -1 };
	char text[128];
	int sys;

	if (!s)
		return err_set(e, ERR_NOMEM, "start %s", argv[0]);
	s->argv = argv;
	s->fd = -1;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		rc = err_sys(e, "pipe");
		goto out;
	}
	s->fd = ends[0];
	sys = start(s, ends[1]);
	if (sys) {
		rc = err_set(e, ERR_FAILED, "cannot start %s: %s", argv[0],
			     strerror_r(sys, text, sizeof(text)));
		e->sys = sys;
		goto out;
	}
	/* A larger pipe saves switches between two busy processes; without it all still works. */
	(void)fcntl(s->fd, F_SETPIPE_SZ, 1 << 20);
	*out = s;
	s = NULL;
out:
	if (ends[1] >= 0)
		close(ends[1]);
	spawn_close(s);
	return rc;
}

enum err_code spawn_read_fd(int fd, const atomic_bool *cancel, void *buf, size_t len, size_t *n,
			    struct err *e)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t got;
	int ready;

	for (;;) {
		if (cancel && atomic_load(cancel))
			return err_set(e, ERR_CANCELED, "interrupted");
		ready = poll(&pfd, 1, CANCEL_MS);
		if (ready < 0 && errno != EINTR)
			return err_sys(e, "wait for input");
		if (ready <= 0)
			continue;
		got = read(fd, buf, len);
		if (got >= 0)
			break;
		if (errno != EINTR && errno != EAGAIN)
			return err_sys(e, "read");
	}
	*n = (size_t)got;
	return ERR_OK;
}

enum err_code spawn_read(struct spawn *s, const atomic_bool *cancel, void *buf, size_t len,
			 size_t *n, struct err *e)
{
	enum err_code rc = spawn_read_fd(s->fd, cancel, buf, len, n, e);

	if (rc && rc != ERR_CANCELED)
		err_prefix(e, "output of %s", s->argv[0]);
	return rc;
}

/* True once it has ended (or was never there). */
static bool has_ended(struct spawn *s)
{
	pid_t got;

	if (s->pid == 0)
		return true;
	do
		got = waitpid(s->pid, &s->status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return false;
	if (got < 0)			/* somebody else has waited: the status is unknown, so bad */
		s->status = 255 << 8;
	s->pid = 0;
	return true;
}

enum err_code spawn_end(struct spawn *s, const atomic_bool *cancel, struct err *e)
{
	while (!has_ended(s)) {
		if (cancel && atomic_load(cancel))
			return err_set(e, ERR_CANCELED, "interrupted");
		(void)poll(NULL, 0, WAIT_MS);
	}
	if (WIFSIGNALED(s->status))
		return err_set(e, ERR_FAILED, "%s was killed by signal %d (%s)", s->argv[0],
			       WTERMSIG(s->status), strsignal(WTERMSIG(s->status)));
	if (WEXITSTATUS(s->status) != 0)
		return err_set(e, ERR_FAILED, "%s failed with exit status %d", s->argv[0],
			       WEXITSTATUS(s->status));
	return ERR_OK;
}

void spawn_close(struct spawn *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (!has_ended(s)) {
		(void)kill(s->pid, SIGTERM);
		for (int ms = 0; !has_ended(s) && ms < TERM_MS; ms += WAIT_MS)
			(void)poll(NULL, 0, WAIT_MS);
		if (!has_ended(s)) {
			(void)kill(s->pid, SIGKILL);
			while (!has_ended(s))
				(void)poll(NULL, 0, WAIT_MS);
		}
	}
	free(s);
}
