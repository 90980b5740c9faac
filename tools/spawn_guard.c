/* SPDX-License-Identifier: MIT */
/*
 *   vouch ──fork──► guard ──fork, exec──► program (leader of its process group)
 *
 * A program is to end when vouch does, however that ends (kill -9), with all it started, and with the process inside a
 * container that ending its client leaves alive.  PR_SET_PDEATHSIG does none of that: it follows the thread that
 * forked, and reaches one process.  So the guard waits for the end of a pipe that only vouch holds.  It also
 * takes the program's standard error, so that the program never waits for vouch to read that, and holds standard input
 * open until the program is ended: psql executes what it has got at the end of its input.
 *
 * vouch has threads: between fork and exec nothing may be called here that takes a lock.
 */
#include "tools/spawn_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 10
#define TERM_MS 5000		/* between SIGTERM and SIGKILL: pg_dump ends its transaction */
#define KILL_MS 5000		/* after SIGKILL: a process in a system call that hangs is left behind */
#define INSIDE_MS 2000		/* a client that was just started may still have to say who is inside */
#define KILL_RUN_MS 15000	/* for what ends the process inside; it waits five seconds itself */

struct guard {
	struct spawn_plan *p;
	pid_t pid;		/* the program's */
	bool reaped;
	int status;
	/* While the process inside is not known: the line so far. */
	char line[sizeof(INSIDE_LINE) + INSIDE_DIGITS];
	size_t line_len;
	bool line_passed;	/* this line is none of ours: pass the rest of it on */
	bool inside_known;
};

static void on_child(int sig)
{
	(void)sig;	/* it only ends ppoll() */
}

static void close_between(unsigned first, unsigned last)
{
	struct rlimit lim;

	if (first > last || close_range(first, last, 0) == 0)
		return;
	/* Linux before 5.9. */
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur <= last)
		last = (unsigned)lim.rlim_cur;
	for (unsigned fd = first; fd <= last && fd <= INT_MAX; fd++)
		close((int)fd);
}

void spawn_guard_close_from(unsigned first)
{
	close_between(first, UINT_MAX);
}

/* Nothing that vouch holds may stay open here: its locks would be held on, and readers of its output would wait. */
static void close_others(const int *keep, size_t nr)
{
	unsigned from = STDERR_FILENO + 1;

	for (;;) {
		unsigned next = UINT_MAX;

		for (size_t i = 0; i < nr; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next == UINT_MAX) {
			spawn_guard_close_from(from);
			return;
		}
		if (next > from)
			close_between(from, next - 1);
		from = next + 1;
	}
}

void spawn_guard_default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGHUP && sig != SIGINT && sig != SIGQUIT)
			(void)sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void failed_start(struct spawn_plan *p, const char *what)
{
	p->shared->sys = errno;
	p->shared->sys_what = what;
	_exit(127);
}

static void run_program(struct spawn_plan *p, pid_t guard)
{
	/* Should somebody kill the guard.  The guard has one thread; and if it is gone already nobody waits for us. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != guard)
		_exit(127);
	/* Not only a group: stopped by the terminal for asking something there, it would never end. */
	if (p->own_session && setsid() < 0)
		failed_start(p, "its session: ");
	if ((p->in >= 0 && dup2(p->in, STDIN_FILENO) < 0) ||
	    (p->out >= 0 && dup2(p->out, STDOUT_FILENO) < 0) ||
	    (p->err >= 0 && dup2(p->err, STDERR_FILENO) < 0))
		failed_start(p, "its pipes: ");
	if (p->ready != STDERR_FILENO + 1 && dup3(p->ready, STDERR_FILENO + 1, O_CLOEXEC) < 0)
		failed_start(p, "its pipes: ");
	spawn_guard_close_from(STDERR_FILENO + 2);
	spawn_guard_default_signals();
	(void)execvpe(p->argv[0], p->argv, p->env);
	failed_start(p, NULL);
}

static void keep(struct guard *g, const char *text, size_t len)
{
	struct spawn_shared *s = g->p->shared;
	uint64_t total = atomic_load(&s->err_total);

	if (g->p->forward_err) {
		ssize_t n = write(STDERR_FILENO, text, len);

		(void)n;	/* nobody could be told */
		return;
	}
	for (size_t i = 0; i < len; i++)
		s->err[(total + i) % SPAWN_ERR_MAX] = text[i];
	atomic_store(&s->err_total, total + len);
}

/* The line is whole, without its newline. */
static bool is_inside(const struct guard *g)
{
	size_t mark = sizeof(INSIDE_LINE) - 1;

	if (g->line_len <= mark || g->line_len > mark + INSIDE_DIGITS ||
	    memcmp(g->line, INSIDE_LINE, mark) != 0)
		return false;
	for (size_t i = mark; i < g->line_len; i++)
		if (g->line[i] < '0' || g->line[i] > '9')
			return false;
	return true;
}

/* Until the process inside has said who it is; the client may speak before it. */
static void search_byte(struct guard *g, char c)
{
	size_t mark = sizeof(INSIDE_LINE) - 1;

	if (g->line_passed) {
		keep(g, &c, 1);
		g->line_passed = c != '\n';
		return;
	}
	if (c == '\n' && is_inside(g)) {
		memcpy(g->p->inside, g->line + mark, g->line_len - mark);
		g->p->inside[g->line_len - mark] = '\0';
		g->inside_known = true;
		g->line_len = 0;
		return;
	}
	g->line[g->line_len++] = c;
	if (c == '\n' || g->line_len == sizeof(g->line)) {
		keep(g, g->line, g->line_len);
		g->line_passed = c != '\n';
		g->line_len = 0;
	}
}

/* What there is of standard error now; the descriptor does not block. */
static void take_err(struct guard *g)
{
	struct spawn_plan *p = g->p;
	char some[4096];

	while (p->err_read >= 0) {
		ssize_t n = read(p->err_read, some, sizeof(some));
		size_t i = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(p->err_read);
			p->err_read = -1;
			return;
		}
		while (i < (size_t)n && p->kill_argv && !g->inside_known)
			search_byte(g, some[i++]);
		keep(g, some + i, (size_t)n - i);
	}
}

static void reap(struct guard *g)
{
	pid_t got;

	if (g->reaped)
		return;
	do
		got = waitpid(g->pid, &g->status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got != 0)
		g->reaped = true;
	if (got < 0)
		g->status = 255 << 8;
}

static void signal_all(struct guard *g, int sig)
{
	/* Before its setsid() there is no such group. */
	if ((!g->p->own_session || kill(-g->pid, sig) < 0) && !g->reaped)
		(void)kill(g->pid, sig);
}

/* The program has ended, and nobody is left in its group. */
static bool all_gone(struct guard *g)
{
	reap(g);
	if (!g->reaped || !g->p->own_session)
		return g->reaped;
	while (waitpid(-g->pid, NULL, WNOHANG) > 0)
		;
	return kill(-g->pid, 0) < 0 && errno == ESRCH;
}

static void tick(struct guard *g)
{
	(void)poll(NULL, 0, TICK_MS);
	take_err(g);
}

/* End the process inside, by a command put before as for the program itself. */
static void end_inside(struct guard *g)
{
	struct spawn_plan *p = g->p;
	pid_t got = 0, pid = fork();

	if (pid == 0) {
		(void)dup2(p->null, STDIN_FILENO);
		(void)dup2(p->null, STDOUT_FILENO);
		(void)dup2(p->null, STDERR_FILENO);
		spawn_guard_close_from(STDERR_FILENO + 1);
		spawn_guard_default_signals();
		(void)execvpe(p->kill_argv[0], p->kill_argv, p->env);
		_exit(127);
	}
	if (pid < 0)
		return;
	for (int ms = 0; ms < KILL_RUN_MS && got == 0; ms += TICK_MS) {
		got = waitpid(pid, NULL, WNOHANG);
		if (got == 0)
			tick(g);
	}
	if (got == 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
}

/* First inside: the end of its input must not come before. */
static void end_program(struct guard *g)
{
	if (g->p->kill_argv) {
		for (int ms = 0; ms < INSIDE_MS && !g->inside_known && !g->reaped; ms += TICK_MS) {
			tick(g);
			reap(g);
		}
		if (g->inside_known && !(g->reaped && g->status == 0))
			end_inside(g);
		reap(g);
	}
	if (!all_gone(g))
		signal_all(g, SIGTERM);
	for (int ms = 0; ms < TERM_MS && !all_gone(g); ms += TICK_MS)
		tick(g);
	if (all_gone(g))
		return;
	signal_all(g, SIGKILL);
	for (int ms = 0; ms < KILL_MS && !all_gone(g); ms += TICK_MS)
		tick(g);
}

/* True: it is to be ended. */
static bool told(struct guard *g)
{
	struct spawn_plan *p = g->p;
	char what;
	ssize_t n = read(p->life, &what, 1);

	if (n < 0)
		return errno != EINTR && errno != EAGAIN;
	if (n == 0)
		return true;
	if (p->in_keep >= 0)
		close(p->in_keep);
	p->in_keep = -1;
	return false;
}

static void watch(struct guard *g)
{
	struct spawn_plan *p = g->p;
	sigset_t waiting;

	sigfillset(&waiting);
	sigdelset(&waiting, SIGCHLD);
	for (;;) {
		struct pollfd fds[2] = { { .fd = p->life, .events = POLLIN },
					 { .fd = p->err_read, .events = POLLIN } };
		int ready;

		reap(g);
		if (g->reaped)
			break;
		ready = ppoll(fds, 2, NULL, &waiting);
		if (ready <= 0)
			continue;
		if (fds[1].revents)
			take_err(g);
		if (fds[0].revents && told(g)) {
			end_program(g);
			return;
		}
	}
	take_err(g);
	/* A client that was killed, or lost its server, may leave the process inside alive. */
	if (p->kill_argv && g->inside_known && g->status != 0)
		end_inside(g);
}

void spawn_guard(struct spawn_plan *p)
{
	struct sigaction child = { .sa_handler = on_child };
	int keeps[] = { p->life, p->err_read, p->in_keep, p->null };
	struct guard g = { .p = p };
	pid_t self = getpid();

	(void)sigaction(SIGCHLD, &child, NULL);
	/* What the program leaves behind is ours to wait for: the first process of a container, vouch itself, may never do it. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	g.pid = fork();
	if (g.pid == 0)
		run_program(p, self);
	if (g.pid < 0)
		failed_start(p, "its process: ");
	p->shared->pid = g.pid;
	(void)setpgid(0, 0);
	(void)dup2(p->null, STDIN_FILENO);
	(void)dup2(p->null, STDOUT_FILENO);
	if (!p->forward_err)
		(void)dup2(p->null, STDERR_FILENO);
	close_others(keeps, sizeof(keeps) / sizeof(keeps[0]));

	watch(&g);
	if (g.line_len > 0)
		keep(&g, g.line, g.line_len);
	p->shared->status = g.reaped ? g.status : 255 << 8;
	atomic_store(&p->shared->ended, true);
	_exit(0);
}
