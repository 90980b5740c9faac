/* SPDX-License-Identifier: MIT */
/*
 * Neo4j's community edition cannot stop one database: the whole server is down while one is dumped.  Three things see to it
 * that it does not stay so: each way out goes through neo4j_pause_end(); a process that outlives a killed vouch starts the
 * server (the guardian); and DATA/.vouch-stopped, locked by the vouch that works, tells the next vouch when even that did
 * not happen.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/base/must.h"
#include "tools/components/neo4j.h"

#define STOPPED		".vouch-stopped"
#define LOOK_MS		100
#define GUARD_S		120u		/* the guardian waits so long for tools that still hold the store */

struct neo4j_pause {
	char *note;		/* the path */
	int note_fd;		/* locked */
	int guard_fd;		/* a byte: all is well; its end: vouch is gone */
	pid_t guard;
	struct timespec began;
};

const char *neo4j_url(const struct component *c)
{
	const struct neo4j *n = neo4j_of(c);

	return n->url ? n->url : n->live.listen;
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	must(clock_gettime(CLOCK_MONOTONIC, &now));
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void look_later(void)
{
	const struct timespec t = { .tv_nsec = LOOK_MS * 1000000L };

	(void)nanosleep(&t, NULL);
}

static const atomic_bool at_once = true;	/* spawn_end(): has it ended? */

enum err_code neo4j_wait_up(const char *url, uint64_t seconds, struct spawn *server, const atomic_bool *cancel,
			    struct err *e)
{
	const struct http_options o = { .base = url, .connect_s = 2, .idle_s = 10, .cancel = cancel };
	struct timespec began;
	struct http *h = NULL;
	enum err_code rc = http_open(&o, &h, e);
	bool up = false;

	must(clock_gettime(CLOCK_MONOTONIC, &began));
	while (!rc && !up) {
		struct http_answer a = { 0 };

		rc = http_do(h, &(struct http_request){ .method = "GET", .path = "/" }, &a, e);
		http_answer_release(&a);
		up = !rc;
		if (rc == ERR_ABSENT || rc == ERR_IO) {	/* not yet, or just about to */
			err_clear(e);
			rc = ERR_OK;
		}
		if (!rc && !up && server) {
			struct err why = ERR_INIT;
			enum err_code ended = spawn_end(server, &at_once, &why);

			if (ended != ERR_CANCELED)
				rc = err_set(e, ERR_FAILED, "it ended%s%s", ended ? ": " : "", ended ? why.msg : "");
		}
		if (!rc && !up && seconds_since(&began) > (double)seconds)
			rc = err_set(e, ERR_ABSENT, "nothing answers at %s after %llu seconds", url,
				     (unsigned long long)seconds);
		if (!rc && !up)
			look_later();
	}
	http_close(h);
	return rc;
}

/* stop or start: not interrupted, because half of either helps nobody, but not waited for without end. */
static enum err_code run_words(char **words, const char *key, uint64_t seconds, struct err *e)
{
	const struct spawn_options o = { .argv = words, .in = SPAWN_STDIN_NONE, .out_none = true };
	struct timespec began;
	struct spawn *s = NULL;
	enum err_code rc = spawn_start(&o, &s, e);

	must(clock_gettime(CLOCK_MONOTONIC, &began));
	while (!rc && (rc = spawn_end(s, &at_once, e)) == ERR_CANCELED) {
		err_clear(e);
		rc = ERR_OK;
		if (seconds_since(&began) > (double)seconds)
			rc = err_set(e, ERR_FAILED, "%s has not ended after %llu seconds (%s-wait)", words[0],
				     (unsigned long long)seconds, key);
		else
			look_later();
	}
	spawn_close(s);
	if (rc)
		err_prefix(e, "%s", key);
	return rc;
}

static enum err_code start_server(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct timespec began;
	enum err_code rc = ERR_OK;

	if (!neo4j_busy(n->live.data))	/* systemd may have been quicker */
		rc = run_words(n->start, "start", n->start_wait, e);
	must(clock_gettime(CLOCK_MONOTONIC, &began));
	while (!rc && !neo4j_busy(n->live.data)) {
		if (seconds_since(&began) > (double)n->start_wait)
			rc = err_set(e, ERR_FAILED, "start: it ended well, but no server holds %s after %llu seconds",
				     n->live.data, (unsigned long long)n->start_wait);
		else
			look_later();
	}
	if (!rc)
		rc = neo4j_wait_up(neo4j_url(c), n->start_wait, NULL, NULL, e);
	if (rc == ERR_ABSENT)
		rc = e->code = ERR_FAILED;
	if (rc)
		err_prefix(e, "THE NEO4J SERVER OF %s IS NOT UP; start it by hand, or let vouch check %s try again",
			   n->live.home, c->name);
	return rc;
}

static enum err_code stop_server(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct timespec began;
	enum err_code rc = run_words(n->stop, "stop", n->stop_wait, e);

	must(clock_gettime(CLOCK_MONOTONIC, &began));
	while (!rc && neo4j_busy(n->live.data)) {
		if (seconds_since(&began) > (double)n->stop_wait)
			rc = err_set(e, ERR_FAILED, "stop: it ended well, but a server still holds %s after %llu seconds",
				     n->live.data, (unsigned long long)n->stop_wait);
		else if (c->cancel && atomic_load(c->cancel))
			rc = err_set(e, ERR_CANCELED, "interrupted");
		else
			look_later();
	}
	return rc;
}

/*
 * In the child of a fork: only what is safe there.  It has let go of all that vouch has open (its pipes' other ends, its
 * locks), waits for vouch's end, then for that of the tools, which end with vouch, and becomes the start command.
 */
static _Noreturn void guard(int fd, const char *lock, const char *swap, char **start)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const struct timespec later = { .tv_nsec = LOOK_MS * 1000000L };
	sigset_t none;
	ssize_t n;
	char byte;
	int null, store;

	(void)setsid();
	if (dup2(fd, STDIN_FILENO) < 0)
		_exit(1);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 || close_range(3, ~0u, 0) < 0)
		_exit(1);
	do
		n = read(STDIN_FILENO, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 0)
		_exit(0);
	store = open(lock, O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; store >= 0; i++) {
		l.l_type = F_WRLCK;
		if (fcntl(store, F_GETLK, &l) < 0 || l.l_type == F_UNLCK)
			break;
		if (i >= GUARD_S * 1000 / LOOK_MS)
			_exit(0);	/* that is no tool, but a server */
		(void)nanosleep(&later, NULL);
	}
	if (access(swap, F_OK) == 0)
		_exit(1); /* on folders half exchanged it would make an empty database: the next vouch sees to it */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (dup2(STDOUT_FILENO, STDIN_FILENO) >= 0)
		execvp(start[0], start);
	_exit(127);
}

static enum err_code start_guard(const struct neo4j *n, struct neo4j_pause *p, struct err *e)
{
	char *lock = neo4j_path(n->live.data, "databases", "store_lock"), *swap = neo4j_path(n->live.data, NEO4J_SWAP, NULL);
	enum err_code rc = ERR_OK;
	int ends[2] = { -1, -1 };

	if (!lock || !swap)
		rc = err_set(e, ERR_NOMEM, "out of memory");
	else if (pipe2(ends, O_CLOEXEC) < 0)
		rc = err_sys(e, "pipe");
	if (!rc) {
		p->guard = fork();
		if (p->guard == 0)
			guard(ends[0], lock, swap, n->start);
		if (p->guard < 0)
			rc = err_sys(e, "fork");
	}
	if (ends[0] >= 0)
		close(ends[0]);
	if (rc && ends[1] >= 0)
		close(ends[1]);
	p->guard_fd = rc ? -1 : ends[1];
	free(lock);
	free(swap);
	return rc;
}

/* The guardian is told that all is well: it does nothing. */
static void end_guard(struct neo4j_pause *p)
{
	if (p->guard_fd < 0)
		return;
	while (write(p->guard_fd, "", 1) < 0 && errno == EINTR)
		;
	close(p->guard_fd);
	p->guard_fd = -1;
	while (waitpid(p->guard, NULL, 0) < 0 && errno == EINTR)
		;
}

static void pause_close(struct neo4j_pause *p, bool done)
{
	end_guard(p);
	if (done && p->note)
		(void)unlink(p->note);
	if (p->note_fd >= 0)
		close(p->note_fd);
	free(p->note);
	free(p);
}

static enum err_code write_note(struct component *c, struct neo4j_pause *p, struct err *e)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
			   "vouch %s (process %ld) has stopped this server to dump or restore [component %s]; if no "
			   "vouch runs, start it, or run vouch check\n",
			   store_version(), (long)getpid(), c->name);

	p->note = neo4j_path(neo4j_of(c)->live.data, STOPPED, NULL);
	if (!p->note)
		return err_set(e, ERR_NOMEM, "out of memory");
	p->note_fd = open(p->note, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (p->note_fd < 0)
		return err_sys(e, "make %s, by which a stopped server is found again", p->note);
	if (flock(p->note_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? err_set(e, ERR_BUSY, "another vouch has stopped the server of %s", c->name) :
					      err_sys(e, "lock %s", p->note);
	if (len >= (int)sizeof(text))
		len = (int)sizeof(text) - 1;
	if (ftruncate(p->note_fd, 0) < 0 || write(p->note_fd, text, (size_t)len) != len || fsync(p->note_fd) < 0)
		return err_sys(e, "write %s", p->note);
	return ERR_OK;
}

enum err_code neo4j_pause_possible(const struct component *c, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);

	if (n->stop || !neo4j_busy(n->live.data))	/* stop and start come together */
		return ERR_OK;
	return err_set(e, ERR_FAILED,
		       "the Neo4j server of %s runs, and the community edition cannot be dumped or restored while it does: "
		       "configure stop and start of [component %s], or stop it before",
		       n->live.home, c->name);
}

enum err_code neo4j_pause_begin(struct component *c, struct neo4j_pause **out, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct neo4j_pause *p;
	enum err_code rc = neo4j_pause_possible(c, e);

	*out = NULL;
	if (rc || !neo4j_busy(n->live.data))
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, ERR_NOMEM, "out of memory");
	p->note_fd = p->guard_fd = -1;
	rc = write_note(c, p, e);
	if (!rc)
		rc = start_guard(n, p, e);
	if (rc) {
		pause_close(p, rc != ERR_BUSY);
		return rc;
	}
	must(clock_gettime(CLOCK_MONOTONIC, &p->began));
	rc = stop_server(c, e);
	if (rc)
		return neo4j_pause_end(c, p, NULL, rc, e);
	*out = p;
	return ERR_OK;
}

enum err_code neo4j_pause_end(struct component *c, struct neo4j_pause *p, double *seconds, enum err_code rc, struct err *e)
{
	struct err why = ERR_INIT;

	if (!p)
		return rc;
	if (start_server(c, &why)) {
		if (rc)
			err_prefix(e, "%s; before that", why.msg);
		else
			rc = err_set(e, why.code, "%s", why.msg);
		pause_close(p, false);
		return rc;
	}
	if (seconds)
		*seconds = seconds_since(&p->began);
	pause_close(p, true);
	return rc;
}

enum err_code neo4j_cure(struct component *c, struct err *e)
{
	struct neo4j_pause *p = NULL;
	enum err_code rc = start_server(c, e);

	if (!rc)
		rc = neo4j_pause_begin(c, &p, e);
	if (p)
		pause_close(p, true);	/* as it was found: not running */
	return rc;
}

/* Whether the note is there, and no vouch holds it. */
static enum err_code left_over(const char *note, bool *left, struct err *e)
{
	int fd = open(note, O_RDONLY | O_CLOEXEC);
	enum err_code rc = ERR_OK;

	*left = false;
	if (fd < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, "look at %s", note);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		*left = true;
	else if (errno == EWOULDBLOCK)
		rc = err_set(e, ERR_BUSY, "another vouch has stopped the server, and works on it (%s)", note);
	else
		rc = err_sys(e, "lock %s", note);
	close(fd);
	return rc;
}

enum err_code neo4j_finish_left(struct component *c, const char *data, struct err *e)
{
	bool any = false;
	enum err_code rc = neo4j_unswap_left(data, &any, e);

	if (any)
		component_note(c, "a vouch that was killed had half exchanged the folders of %s: the old ones are back", data);
	return rc;
}

enum err_code neo4j_resume(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	char *note = neo4j_path(n->live.data, STOPPED, NULL);
	bool left = false;
	enum err_code rc = note ? left_over(note, &left, e) : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = neo4j_finish_left(c, n->live.data, e);
	if (!rc && left && neo4j_busy(n->live.data)) {
		component_note(c, "a vouch was killed while it had stopped this server; it was started again");
	} else if (!rc && left && n->start) {
		component_note(c, "a vouch was killed while it had stopped this server: it is started now");
		rc = start_server(c, e);
	} else if (!rc && left) {
		rc = err_set(e, ERR_FAILED,
			     "a vouch was killed while it had stopped the server of %s: start it, and remove %s",
			     n->live.home, note);
	}
	if (!rc && left && unlink(note) < 0 && errno != ENOENT)
		rc = err_sys(e, "remove %s", note);
	free(note);
	return rc;
}
