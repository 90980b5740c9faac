/* SPDX-License-Identifier: MIT */
/* What the start of a program needs, all of it made before the fork. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/spawn_guard.h"

#define PIPE_SIZE (1 << 20)	/* saves switches between two busy processes; without it all still works */

/* What the process inside is started and ended with.  It leads a group there where via made it a session (docker does). */
static char inside_start[] = "echo \"" INSIDE_LINE "$$\" >&2; exec \"$@\"";
static char inside_end[] =
	"kill -TERM \"-$1\" 2>/dev/null || kill -TERM \"$1\" 2>/dev/null || exit 0; "
	"for s in 0.05 0.2 0.5 1 1 1 1; do kill -0 \"$1\" 2>/dev/null || exit 0; "
	"sleep $s 2>/dev/null || sleep 1; done; "
	"kill -KILL \"-$1\" 2>/dev/null || kill -KILL \"$1\"";

extern char **environ;

/* As pipe2(), but none of 0 to 2, whatever of those is closed here. */
static int open_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		int low = ends[i];

		if (low > STDERR_FILENO)
			continue;
		ends[i] = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(low);
		if (ends[i] < 0)
			return -1;
	}
	return 0;
}

static size_t count(char *const *words)
{
	size_t n = 0;

	while (words && words[n])
		n++;
	return n;
}

/* via sh -c SCRIPT sh rest..., NULL; the words themselves are borrowed. */
static char **inside_argv(char *const *via, char *script, char *const *rest)
{
	static char sh[] = "sh", c[] = "-c";
	size_t nr_via = count(via), nr = count(rest), n = 0;
	char **out = calloc(nr_via + nr + 5, sizeof(*out));

	if (!out)
		return NULL;
	for (; n < nr_via; n++)
		out[n] = via[n];
	out[n++] = sh;
	out[n++] = c;
	out[n++] = script;
	out[n++] = sh;
	for (size_t i = 0; i < nr; i++)
		out[n++] = rest[i];
	return out;
}

static bool same_name(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return strncmp(a, b, len) == 0 && b[len] == '=';
}

char **spawn_plan_env(char *const *own)
{
	size_t nr_own = count(own), n = 0;
	char **out = calloc(count(environ) + nr_own + 1, sizeof(*out));

	if (!out)
		return NULL;
	for (size_t i = 0; environ && environ[i]; i++) {
		bool replaced = false;

		for (size_t k = 0; k < nr_own && !replaced; k++)
			replaced = same_name(own[k], environ[i]);
		if (!replaced)
			out[n++] = environ[i];
	}
	for (size_t k = 0; k < nr_own; k++)
		out[n++] = own[k];
	return out;
}

enum err_code spawn_plan_words(struct spawn_plan *p, const struct spawn_options *o, struct err *e)
{
	char *own[] = { p->inside, NULL };

	p->env = spawn_plan_env(o->env);
	if (o->via && o->via[0]) {
		p->argv = inside_argv(o->via, inside_start, o->argv);
		p->kill_argv = inside_argv(o->via, inside_end, own);
	} else {
		p->argv = calloc(count(o->argv) + 1, sizeof(*p->argv));
		if (p->argv)
			memcpy(p->argv, o->argv, count(o->argv) * sizeof(*p->argv));
	}
	if (!p->env || !p->argv || (o->via && o->via[0] && !p->kill_argv))
		return err_set(e, ERR_NOMEM, "words of its command");
	return ERR_OK;
}

enum err_code spawn_plan_files(struct spawn_plan *p, const struct spawn_options *o,
			       struct spawn_ends *s, struct err *e)
{
	int ends[2];

	p->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (p->null >= 0 && p->null <= STDERR_FILENO) {
		int low = p->null;

		p->null = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(low);
	}
	if (p->null < 0)
		return err_sys(e, "/dev/null");
	if (open_pipe(ends) < 0)
		return err_sys(e, "pipe");
	p->life = ends[0];
	s->life = ends[1];
	(void)fcntl(p->life, F_SETFL, O_NONBLOCK);
	if (open_pipe(ends) < 0)
		return err_sys(e, "pipe");
	s->ready = ends[0];
	p->ready = ends[1];
	if (o->out_err) {
		p->out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (p->out < 0)
			return err_sys(e, "standard error");
	} else if (!o->out_none) {
		if (open_pipe(ends) < 0)
			return err_sys(e, "pipe");
		s->out = ends[0];
		p->out = ends[1];
		(void)fcntl(s->out, F_SETPIPE_SZ, PIPE_SIZE);
	} else {
		p->out = p->null;
	}
	if (o->in == SPAWN_STDIN_PIPE) {
		if (open_pipe(ends) < 0)
			return err_sys(e, "pipe");
		p->in = ends[0];
		s->in = ends[1];
		(void)fcntl(s->in, F_SETPIPE_SZ, PIPE_SIZE);
		(void)fcntl(s->in, F_SETFL, O_NONBLOCK);
		p->in_keep = s->in;
	} else if (o->in == SPAWN_STDIN_NONE) {
		p->in = p->null;
	} else if (o->in == SPAWN_STDIN_FD && o->in_fd != STDIN_FILENO) {
		p->in = o->in_fd;
	}
	if (!o->keep_err || p->kill_argv) {
		if (open_pipe(ends) < 0)
			return err_sys(e, "pipe");
		p->err_read = ends[0];
		p->err = ends[1];
		(void)fcntl(p->err_read, F_SETFL, O_NONBLOCK);
	}
	return ERR_OK;
}
