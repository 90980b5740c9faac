/* SPDX-License-Identifier: MIT */
#include "tools/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/spawn_guard.h"

#define CANCEL_MS 100		/* how late a request to stop may be noticed */
#define WAIT_MS 10		/* a child that has closed its output has mostly ended */
#define LAST_WORDS_MS 2000	/* one that reads no more has mostly something to say */

struct spawn {
	const char *name;	/* of the program, for messages */
	struct spawn_plan plan;
	pid_t guard;		/* 0: has ended, and was waited for */
	struct spawn_ends ends;
	bool ended;
	int status;		/* of waitpid, where ended */
	char last[SPAWN_ERR_MAX + 1];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* No handler of ours may run in the child, so all signals are blocked until it has its own. */
static enum err_code start(struct spawn *s, struct err *e)
{
	struct spawn_shared *shared = s->plan.shared;
	sigset_t all, before;
	char c, text[128];
	ssize_t n;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	s->guard = fork();
	if (s->guard == 0)
		spawn_guard(&s->plan);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (s->guard < 0) {
		s->guard = 0;
		return err_sys(e, "cannot start %s", s->plan.argv[0]);
	}
	close_fd(&s->plan.ready);
	do
		n = read(s->ends.ready, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0 && shared->pid > 0 && !shared->sys)
		return ERR_OK;
	err_set(e, ERR_FAILED, "cannot start %s: %s%s", s->plan.argv[0], shared->sys_what ? shared->sys_what : "",
		strerror_r(shared->sys ? shared->sys : EIO, text, sizeof(text)));
	if (e)
		e->sys = shared->sys;
	return ERR_FAILED;
}

enum err_code spawn_start(const struct spawn_options *o, struct spawn **out, struct err *e)
{
	struct spawn *s = calloc(1, sizeof(*s));
	struct spawn_plan *p;
	enum err_code rc;

	if (!s)
		return err_set(e, ERR_NOMEM, "start %s", o->argv[0]);
	p = &s->plan;
	s->name = o->argv[0];
	s->ends = (struct spawn_ends){ -1, -1, -1, -1 };
	p->in = p->out = p->err = p->life = p->ready = p->err_read = p->in_keep = p->null = -1;
	p->own_session = o->in != SPAWN_STDIN_OURS;
	p->forward_err = o->keep_err;
	p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->shared == MAP_FAILED) {
		p->shared = NULL;
		rc = err_sys(e, "memory to start %s", s->name);
		goto out;
	}
	rc = spawn_plan_words(p, o, e);
	if (!rc)
		rc = spawn_plan_files(p, o, &s->ends, e);
	if (!rc)
		rc = start(s, e);
	if (rc)
		goto out;
	*out = s;
out:
	close_fd(&p->life);
	close_fd(&p->ready);
	close_fd(&p->err_read);
	close_fd(&p->err);
	if (p->out != p->null)
		close_fd(&p->out);
	if (o->in == SPAWN_STDIN_PIPE)
		close_fd(&p->in);
	close_fd(&p->null);
	close_fd(&s->ends.ready);
	if (rc)
		spawn_close(s);
	return rc;
}

enum err_code spawn_open(char *const *argv, struct spawn **out, struct err *e)
{
	struct spawn_options o = { .argv = argv, .in = SPAWN_STDIN_OURS, .keep_err = true };

	return spawn_start(&o, out, e);
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
	enum err_code rc;

	if (s->ends.out < 0) {
		*n = 0;
		return ERR_OK;
	}
	rc = spawn_read_fd(s->ends.out, cancel, buf, len, n, e);
	if (rc && rc != ERR_CANCELED)
		err_prefix(e, "output of %s", s->name);
	return rc;
}

/* write() that no SIGPIPE follows: one that was not there before is taken back. */
static ssize_t write_quietly(int fd, const void *buf, size_t len)
{
	static const struct timespec now = { 0 };
	sigset_t pipe_only, before, pending;
	bool was_there;
	ssize_t n;
	int sys;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	was_there = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
	n = write(fd, buf, len);
	sys = errno;
	if (n < 0 && sys == EPIPE && !was_there)
		while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
			;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = sys;
	return n;
}

static enum err_code failure(const struct spawn *s, int status, const char *said, struct err *e);

/* It reads no more: mostly because it failed, and said why. */
static enum err_code reads_no_more(struct spawn *s, struct err *e)
{
	struct spawn_shared *shared = s->plan.shared;

	for (int ms = 0; ms < LAST_WORDS_MS && !atomic_load(&shared->ended); ms += WAIT_MS)
		(void)poll(NULL, 0, WAIT_MS);
	if (atomic_load(&shared->ended) && shared->status != 0)
		return failure(s, shared->status, spawn_err(s), e);
	return err_set(e, ERR_FAILED, "%s reads no more of its input", s->name);
}

enum err_code spawn_write(struct spawn *s, const atomic_bool *cancel, const void *buf, size_t len,
			  struct err *e)
{
	const char *at = buf;

	while (len > 0) {
		struct pollfd pfd = { .fd = s->ends.in, .events = POLLOUT };
		ssize_t n;

		if (s->ends.in < 0)
			return err_set(e, ERR_FAILED, "input of %s is closed", s->name);
		if (cancel && atomic_load(cancel))
			return err_set(e, ERR_CANCELED, "interrupted");
		if (poll(&pfd, 1, CANCEL_MS) <= 0)
			continue;
		n = write_quietly(s->ends.in, at, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno == EPIPE)
			return reads_no_more(s, e);
		if (n < 0)
			return err_sys(e, "input of %s", s->name);
		at += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

void spawn_close_stdin(struct spawn *s)
{
	if (s->ends.in < 0)
		return;
	close_fd(&s->ends.in);
	while (write_quietly(s->ends.life, "c", 1) < 0 && errno == EINTR)
		;		/* the guard closes its own, or is gone */
}

/* True once it has ended. */
static bool has_ended(struct spawn *s)
{
	struct spawn_shared *shared = s->plan.shared;
	pid_t got = 0;

	if (s->ended)
		return true;
	if (s->guard > 0 && !atomic_load(&shared->ended)) {
		do
			got = waitpid(s->guard, NULL, WNOHANG);
		while (got < 0 && errno == EINTR);
		if (got == s->guard)
			s->guard = 0;
		if (got == 0)
			return false;
	}
	/* Without its guard the status is unknown, so bad. */
	s->status = atomic_load(&shared->ended) ? shared->status : 255 << 8;
	s->ended = true;
	return true;
}

enum err_code spawn_end(struct spawn *s, const atomic_bool *cancel, struct err *e)
{
	for (int ms = 1; !has_ended(s); ms = ms < WAIT_MS ? ms + 1 : WAIT_MS) {
		if (cancel && atomic_load(cancel))
			return err_set(e, ERR_CANCELED, "interrupted");
		(void)poll(NULL, 0, ms);
	}
	return s->status == 0 ? ERR_OK : failure(s, s->status, spawn_err(s), e);
}

/* The line that tells most: the last that speaks of an error, else the last. */
static void telling_line(const char *said, const char **line, size_t *len)
{
	bool error_seen = false;

	*line = "";
	*len = 0;
	while (*said) {
		size_t n = strcspn(said, "\n");
		char low[128];
		size_t i = 0;
		bool error;

		for (; i < n && i < sizeof(low) - 1; i++)
			low[i] = said[i] >= 'A' && said[i] <= 'Z' ? (char)(said[i] | 0x20) : said[i];
		low[i] = '\0';
		error = strstr(low, "error") || strstr(low, "fatal");
		if (strspn(said, " \t\r\n") < n && (error || !error_seen)) {
			*line = said;
			*len = n;
			error_seen = error;
		}
		said += n;
		said += *said == '\n';
	}
}

static enum err_code failure(const struct spawn *s, int status, const char *said, struct err *e)
{
	const char *line;
	size_t len;

	telling_line(said, &line, &len);
	if (len > 400)
		len = 400;
	if (WIFSIGNALED(status))
		return err_set(e, ERR_FAILED, "%s was killed by signal %d (%s)%s%.*s", s->name,
			       WTERMSIG(status), strsignal(WTERMSIG(status)), len ? ": " : "",
			       (int)len, line);
	return err_set(e, ERR_FAILED, "%s failed with exit status %d%s%.*s", s->name,
		       WEXITSTATUS(status), len ? ": " : "", (int)len, line);
}

const char *spawn_err(struct spawn *s)
{
	struct spawn_shared *shared = s->plan.shared;
	uint64_t total, len;

	/* The guard may write meanwhile: then once more. */
	for (int tries = 0; tries < 3; tries++) {
		total = atomic_load(&shared->err_total);
		len = total < SPAWN_ERR_MAX ? total : SPAWN_ERR_MAX;
		for (uint64_t i = 0; i < len; i++) {
			char c = shared->err[(total - len + i) % SPAWN_ERR_MAX];

			s->last[i] = c == '\0' ? ' ' : c;
		}
		s->last[len] = '\0';
		if (atomic_load(&shared->err_total) == total)
			break;
	}
	return s->last;
}

pid_t spawn_pid(const struct spawn *s)
{
	return s->plan.shared->pid;
}

void spawn_close(struct spawn *s)
{
	if (!s)
		return;
	/* Its input is closed last: many a program takes the end of it for the end of the work. */
	close_fd(&s->ends.out);
	close_fd(&s->ends.life);
	if (s->guard > 0)
		while (waitpid(s->guard, NULL, 0) < 0 && errno == EINTR)
			;
	close_fd(&s->ends.in);
	free(s->plan.argv);
	free(s->plan.kill_argv);
	free(s->plan.env);
	if (s->plan.shared)
		(void)munmap(s->plan.shared, sizeof(*s->plan.shared));
	free(s);
}

/* 128 + N for signal N. */
static int exit_status(const struct spawn *s)
{
	return WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
}

static enum err_code gather(struct spawn *s, const atomic_bool *cancel, struct buf *out, size_t max, struct err *e)
{
	enum err_code rc;
	uint8_t *room;
	size_t n;

	do {
		room = buf_room(out, 65536);
		if (!room)
			return err_set(e, ERR_NOMEM, "output of %s", s->name);
		rc = spawn_read(s, cancel, room, 65535, &n, e);
		if (rc)
			return rc;
		if (out->len > max || n > max - out->len)
			return err_set(e, ERR_LIMIT, "output of %s is over %zu bytes", s->name, max);
		out->len += n;
	} while (n > 0);
	room[0] = '\0';
	return ERR_OK;
}

enum err_code spawn_run(const struct spawn_options *o, const atomic_bool *cancel, struct buf *out, size_t max, int *status,
			struct err *e)
{
	struct spawn_options with = *o;
	struct spawn *s = NULL;
	enum err_code rc;

	if (!out)
		with.out_none = true;
	rc = spawn_start(&with, &s, e);
	if (rc)
		return rc;
	if (out)
		rc = gather(s, cancel, out, max, e);
	if (!rc)
		rc = spawn_end(s, cancel, e);
	if (status && (!rc || (rc == ERR_FAILED && s->ended))) {
		*status = exit_status(s);
		err_clear(e);
		rc = ERR_OK;
	}
	spawn_close(s);
	return rc;
}
