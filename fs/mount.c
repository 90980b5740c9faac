/* SPDX-License-Identifier: MIT */
/*
 * Start-up and shutdown, in this order: check what was asked, fork (before any thread is), open the repository, read
 * the list of snapshots, mount, refresh, serve.  The parent waits on a pipe for the child's word: one struct err,
 * written when the kernel has been answered for the first time, or when it has failed.
 */
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/answer.h"
#include "fs/control.h"
#include "fs/fresh.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/readahead.h"
#include "fs/refresh.h"
#include "store/base/checked.h"
#include "store/base/pool.h"

#define FUSE_CONF	"/etc/fuse.conf"
#define THREADS_MIN	8u	/* readers that wait for a slow medium must not hold up those who do not */
#define THREADS_MAX	32u
#define ARENAS_MAX	2	/* of the heap: one a thread kept 15 MiB of freed blocks, and read no faster */
#define READAHEAD_MAX	(4u << 20)	/* bytes; the kernel takes what its own setting allows of it */
#define MMAP_MIN	(256 << 10)	/* bytes of an allocation that is given back to the system when it is freed */
#define BACKGROUND_MAX	64u		/* reads ahead that may be under way */

/* What libfuse complained of last: it has no way to return it. */
static struct {
	struct log *to;		/* set once serving */
	char last[512];
} fuse_words;

__attribute__((format(printf, 2, 0)))
static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[512];

	if (level > FUSE_LOG_WARNING)
		return;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	if (fuse_words.to)
		log_say(fuse_words.to, EVENT_WARNING, "%s", line);
	else
		memcpy(fuse_words.last, line, sizeof(line));
}

struct server {
	struct fs fs;
	const char *mountpoint;
	const struct options *options;
	struct fuse_session *se;
	int report_fd;		/* background: where the parent waits; -1 in the foreground, and once it has its word */
	bool detached;		/* in the background and up: the log is all there is */
};

static void report(struct server *sv, const struct err *e)
{
	if (sv->report_fd < 0)
		return;
	/* Less than PIPE_BUF: whole or not at all.  A parent that is gone needs no word. */
	if (write(sv->report_fd, e, sizeof(*e)) < 0)
		(void)e;
	(void)close(sv->report_fd);
	sv->report_fd = -1;
}

/* The mount answers: leave the terminal, and let the parent go. */
static void on_up(void *ctx)
{
	struct server *sv = ctx;
	struct err ok = ERR_INIT;
	int null;

	log_serving(sv->fs.log);
	if (sv->report_fd < 0)
		return;
	log_to_syslog(sv->fs.log);
	(void)setsid();		/* fails only for a group's leader, which a forked child is not */
	if (chdir("/") < 0)
		log_say(sv->fs.log, EVENT_WARNING, "chdir /: error %d", errno);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		if (dup2(null, fd) < 0)
			log_say(sv->fs.log, EVENT_WARNING, "dup2: error %d", errno);
	if (null > 2)
		(void)close(null);
	sv->detached = true;
	report(sv, &ok);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	/*
	 * The kernel judges by the ACLs that were stored, and keeps links' targets: they never change.  A listing always
	 * brings attributes along: a lookup less for each entry.
	 */
	conn->want |= conn->capable & (FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS |
				       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ |
				       FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS |
				       FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT |
				       FUSE_CAP_EXPORT_SUPPORT);
	/* An open that nobody sees must not be what truncates: that comes as setattr, and is refused. */
	conn->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ATOMIC_O_TRUNC);
	fs->no_open = conn->capable & FUSE_CAP_NO_OPEN_SUPPORT && !fs->verify_always;
	fs->no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	conn->max_readahead = READAHEAD_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX / 4 * 3;
	fs->up(fs->up_ctx);
}

static const struct fuse_lowlevel_ops *operations(void)
{
	static struct fuse_lowlevel_ops ops = {
		.init = op_init,
		.lookup = op_lookup,
		.forget = op_forget,
		.forget_multi = op_forget_multi,
		.getattr = op_getattr,
		.readlink = op_readlink,
		.statfs = op_statfs,
		.getxattr = op_getxattr,
		.listxattr = op_listxattr,
		.opendir = op_opendir,
		.readdir = op_readdir,
		.readdirplus = op_readdirplus,
		.releasedir = op_releasedir,
		.open = op_open,
		.read = op_read,
		.lseek = op_lseek,
		.release = op_release,
	};

	ops_refuse_writes(&ops);
	return &ops;
}

/* Options of a mount are separated by commas: those in the path are escaped. */
static enum err_code session_args(const struct server *sv, struct fuse_args *args, struct err *e)
{
	char *opts = NULL, *source = NULL;
	enum err_code rc = ERR_OK;

	if (asprintf(&source, "fsname=%s", store_path(sv->fs.store)) < 0)
		source = NULL;
	if (!source || fuse_opt_add_opt(&opts, "ro,nosuid,nodev,noatime,default_permissions") ||
	    fuse_opt_add_opt(&opts, "subtype=vouch") || fuse_opt_add_opt_escaped(&opts, source) ||
	    (sv->options->allow_other && fuse_opt_add_opt(&opts, "allow_other")) ||
	    (sv->options->noexec && fuse_opt_add_opt(&opts, "noexec")) ||
	    fuse_opt_add_arg(args, "vouch") || fuse_opt_add_arg(args, "-o") ||
	    fuse_opt_add_arg(args, opts))
		rc = err_set(e, ERR_NOMEM, "mount options");
	free(source);
	free(opts);
	return rc;
}

static enum err_code mount_failed(const struct server *sv, struct err *e)
{
	if (access("/dev/fuse", F_OK) < 0)
		return err_set(e, ERR_FAILED, "mount on %s: there is no /dev/fuse here (modprobe fuse; "
			       "a container must be given the device)", sv->mountpoint);
	return err_set(e, ERR_FAILED, "mount on %s failed%s%s", sv->mountpoint,
		       fuse_words.last[0] ? ": " : "", fuse_words.last);
}

static enum err_code loop(struct server *sv, struct err *e)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	unsigned nr = 2 * pool_nr_cpus();
	int sys;

	if (!cfg)
		return err_set(e, ERR_NOMEM, "loop configuration");
	nr = nr < THREADS_MIN ? THREADS_MIN : nr > THREADS_MAX ? THREADS_MAX : nr;
	fuse_loop_cfg_set_clone_fd(cfg, 1);
	fuse_loop_cfg_set_max_threads(cfg, nr);
	fuse_loop_cfg_set_idle_threads(cfg, nr);
	/* A signal (positive) and an unmount (0) are the two good ends. */
	sys = fuse_session_loop_mt(sv->se, cfg);
	fuse_loop_cfg_destroy(cfg);
	if (sys < 0)
		return err_set(e, ERR_FAILED, "serving %s: %s", sv->mountpoint, strerror(-sys));
	return ERR_OK;
}

/* libfuse takes over only signals at their default; a caller's handlers know nothing of a mount. */
static void reset_handlers(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	struct sigaction now;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			(void)signal(signals[i], SIG_DFL);	/* they are signals: cannot fail */
	}
}

/* Signals that end the mount go to the main thread alone: the store's and our own threads are made without them. */
static void end_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	if (pthread_sigmask(how, &set, NULL) != 0)
		abort();
}

static enum err_code serve_session(struct server *sv, struct err *e)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	bool mounted = false, handlers = false;
	enum err_code rc;

	rc = session_args(sv, &args, e);
	if (rc)
		goto out;
	sv->se = fuse_session_new(&args, operations(), sizeof(struct fuse_lowlevel_ops), &sv->fs);
	if (!sv->se) {
		rc = err_set(e, ERR_FAILED, "fuse session: %s", fuse_words.last);
		goto out;
	}
	if (fuse_set_signal_handlers(sv->se) != 0) {
		rc = err_sys(e, "signal handlers");
		goto out;
	}
	handlers = true;
	if (fuse_session_mount(sv->se, sv->mountpoint) != 0) {
		rc = mount_failed(sv, e);
		goto out;
	}
	mounted = true;
	readahead_raise(sv->mountpoint);
	fuse_words.to = sv->fs.log;
	rc = refresher_open(&sv->fs, sv->se, &sv->fs.refresher, e);
	if (!rc) {
		end_signals(SIG_UNBLOCK);
		rc = loop(sv, e);
	}
out:
	refresher_close(sv->fs.refresher);	/* it tells the kernel things: not of a session that is gone */
	if (mounted)
		fuse_session_unmount(sv->se);
	if (handlers)
		fuse_remove_signal_handlers(sv->se);
	if (sv->se)
		fuse_session_destroy(sv->se);
	fuse_words.to = NULL;
	fuse_opt_free_args(&args);
	return rc;
}

static enum err_code read_fresh(struct fs *fs, struct err *e)
{
	const char *behind = store_medium_cache(fs->store);

	if (behind)
		log_say(fs->log, EVENT_WARNING, "verify=always: the repository lies on %s, which may "
			"answer from a cache of its own: what is read counts as checked, but not as "
			"read from the medium", behind);
	return fresh_new(fs->store, &fs->fresh, e);
}

static void on_damage(void *ctx, const struct event *ev)
{
	control_damage(ctx, ev);
}

static enum err_code serve(struct server *sv, const char *repository,
			   const struct store_events *ev, struct err *e)
{
	struct fs *fs = &sv->fs;
	struct store_events store_ev;
	struct answerer *answerer = NULL;
	enum err_code rc;

	fuse_set_log_func(on_fuse_log);
	/* Before there is another thread.  Fails only for what is not a number. */
	(void)mallopt(M_ARENA_MAX, ARENAS_MAX);
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_MIN);
	reset_handlers();
	end_signals(SIG_BLOCK);
	answer_block();
	fs->uid = geteuid();
	fs->gid = getegid();
	fs->verify_always = sv->options->verify_always;
	fs->up = on_up;
	fs->up_ctx = sv;
	rc = log_open(ev, &fs->log, e);
	if (rc)
		goto out;
	store_ev = log_store_events(fs->log);
	/* A signal while an index is rebuilt must still end this: nothing is mounted yet, the default action does. */
	end_signals(SIG_UNBLOCK);
	rc = store_open(repository, STORE_READ, &store_ev, &fs->store, e);
	end_signals(SIG_BLOCK);
	if (!rc)
		store_set_heal(fs->store, !sv->options->no_heal);
	if (!rc && sv->options->verify_always)
		rc = read_fresh(fs, e);
	else if (!rc)
		rc = store_read_ahead(fs->store, e);
	if (!rc)
		rc = nodes_open(&fs->nodes, e);
	if (!rc)
		rc = snaps_open(fs->store, fs->log, sv->options->local_time, &fs->snaps, e);
	if (!rc)
		rc = control_open(sv->options->show_control, &fs->control, e);
	if (!rc)
		log_on_damage(fs->log, on_damage, fs->control);
	if (!rc)
		rc = answer_open(fs, &answerer, e);
	if (!rc)
		rc = serve_session(sv, e);
out:
	answer_close(answerer);
	if (rc && sv->detached)
		log_say(fs->log, EVENT_WARNING, "the mount on %s ends: %s", sv->mountpoint,
			e ? e->msg : err_name(rc));
	if (fs->store)
		answer_damage(fs);
	snaps_close(fs->snaps);
	nodes_close(fs->nodes);
	fresh_close(fs->fresh);
	store_close(fs->store);
	control_close(fs->control);	/* after the store's last word of damage */
	log_close(fs->log);
	end_signals(SIG_UNBLOCK);
	return rc;
}

static void child(struct server *sv, const struct mount_options *o, const struct store_events *ev,
		  int report_fd)
{
	struct err e = ERR_INIT;
	enum err_code rc;

	/*
	 * A daemon keeps nobody's files open: a test's or a shell's pipe would
	 * never see its end.
	 */
	sv->report_fd = 3;
	if (report_fd != 3 && dup3(report_fd, 3, O_CLOEXEC) < 0)
		_exit(1);
	if (close_range(4, ~0u, 0) < 0)
		_exit(1);
	rc = serve(sv, o->repository, ev, &e);
	report(sv, &e);		/* nothing where the parent has its word: then the log has this */
	_exit(rc ? 1 : 0);
}

static enum err_code in_background(struct server *sv, const struct mount_options *o,
				   const struct store_events *ev, struct err *e)
{
	int pipe_fd[2], status;
	struct err said = ERR_INIT;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	pid = fork();
	if (pid < 0) {
		(void)err_sys(e, "fork");
		(void)close(pipe_fd[0]);
		(void)close(pipe_fd[1]);
		return e ? e->code : ERR_IO;
	}
	if (pid == 0)
		child(sv, o, ev, pipe_fd[1]);
	(void)close(pipe_fd[1]);
	do {
		n = read(pipe_fd[0], &said, sizeof(said));
	} while (n < 0 && errno == EINTR);
	(void)close(pipe_fd[0]);
	if (n != (ssize_t)sizeof(said)) {
		(void)waitpid(pid, &status, 0);
		return err_set(e, ERR_FAILED, "the mounting process ended without a word");
	}
	if (said.code) {
		(void)waitpid(pid, &status, 0);
		if (e)
			*e = said;
	}
	return said.code;
}

enum err_code mount_run(const struct mount_options *o, const struct store_events *ev,
			struct err *e)
{
	struct options options;
	struct server sv = { .options = &options, .report_fd = -1 };
	char *mountpoint = NULL;
	enum err_code rc;

	rc = options_parse(o->fuse_options, o->by_mount, &options, e);
	if (!rc && options.allow_other)
		rc = options_check_allow_other(FUSE_CONF, geteuid() == 0, e);
	if (!rc)
		rc = mountpoint_check(o->mountpoint, o->repository, &mountpoint, e);
	if (rc)
		return rc;
	sv.mountpoint = mountpoint;
	if (o->foreground)
		rc = serve(&sv, o->repository, ev, e);
	else
		rc = in_background(&sv, o, ev, e);
	free(mountpoint);
	return rc;
}
