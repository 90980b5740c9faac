/* SPDX-License-Identifier: MIT */
#include "tools/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "tools/progress.h"

#define ONE_REQUEST_S 0.2	/* timeout(1) and service managers signal the process and its group: nobody asks twice so fast */

static atomic_bool cancel;
static atomic_bool heeded;		/* cancel is looked at */
static atomic_bool stopping;
static bool started;
static pthread_t thread;
static sigset_t taken;

/* Not by way of the progress: whoever is at work in it may wait for the output's reader. */
static void end_at_once(const char *text, size_t len)
{
	static const char clear[] = "\r\033[K";
	ssize_t n = 0;

	if (isatty(STDERR_FILENO))
		n = write(STDERR_FILENO, clear, sizeof(clear) - 1);
	n += write(STDERR_FILENO, text, len);
	(void)n;
	_exit(1);
}

static void ask_to_stop(const struct progress *p)
{
	static double asked;		/* only one thread takes signals */
	static const char early[] = "vouch: interrupted before the repository was open\n";
	static const char again[] = "vouch: stopped at once, half-way: run it again\n";

	if (!atomic_load(&heeded))
		end_at_once(early, sizeof(early) - 1);
	/* What is half written has a temporary name: the next run sweeps it. */
	if (!atomic_exchange(&cancel, true))
		asked = progress_seconds(p);
	else if (progress_seconds(p) - asked > ONE_REQUEST_S)
		end_at_once(again, sizeof(again) - 1);
}

static void *serve(void *arg)
{
	static const struct timespec second = { .tv_sec = 1 };
	struct progress *p = arg;

	for (;;) {
		int sig = sigtimedwait(&taken, NULL, &second);

		if (atomic_load(&stopping))
			return NULL;
		if (sig == SIGUSR1)
			progress_print(p);
		else if (sig > 0)
			ask_to_stop(p);
		else
			progress_tick(p);
	}
}

enum err_code signals_start(struct progress *p, bool stop, struct err *e)
{
	static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old;
	int sys;

	sigemptyset(&taken);
	sigaddset(&taken, SIGUSR1);
	for (size_t i = 0; stop && i < sizeof(stops) / sizeof(stops[0]); i++) {
		/*
		 * What the parent has ignored (nohup, a shell's background job) stays
		 * ignored: a blocked signal would be delivered in spite of that.
		 */
		if (sigaction(stops[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&taken, stops[i]);
	}
	sys = pthread_sigmask(SIG_BLOCK, &taken, NULL);
	if (!sys)
		sys = pthread_create(&thread, NULL, serve, p);
	if (sys)
		return err_set(e, ERR_NOMEM, "no thread for signals (error %d)", sys);
	started = true;
	return ERR_OK;
}

void signals_heeded(void)
{
	atomic_store(&heeded, true);
}

void signals_stop(void)
{
	if (!started)
		return;
	atomic_store(&stopping, true);
	/* SIGUSR1 is always among those it waits for. */
	if (pthread_kill(thread, SIGUSR1) == 0)
		(void)pthread_join(thread, NULL);
	started = false;
}

const atomic_bool *signals_cancel(void)
{
	return &cancel;
}
