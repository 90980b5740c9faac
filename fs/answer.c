/* SPDX-License-Identifier: MIT */
#include "fs/answer.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/log.h"
#include "store/store.h"

struct answerer {
	struct fs *fs;
	pthread_t thread;
	atomic_bool ended;
};

static void usr1(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR1);
}

void answer_block(void)
{
	sigset_t set;

	usr1(&set);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		abort();
}

static void say(struct fs *fs)
{
	struct store_stats s;

	store_stats(fs->store, &s);
	log_say(fs->log, EVENT_NOTE, "since it was mounted: %" PRIu64 " blocks (%" PRIu64
		" bytes) read from the medium, %" PRIu64 " bytes checked, %" PRIu64 " of %" PRIu64
		" reads answered from memory, damage met %" PRIu64 " times, %" PRIu64
		" of them healed, %" PRIu64 " packs and records mended", s.blocks_read,
		s.bytes_read, s.bytes_checked, s.cache_hits, s.cache_hits + s.cache_misses,
		s.damaged, s.healed, s.mended);
}

void answer_damage(struct fs *fs)
{
	struct store_stats s;

	store_stats(fs->store, &s);
	if (s.damaged || s.mended)
		log_say(fs->log, EVENT_WARNING, "unmounted; damage met %" PRIu64 " times, %" PRIu64
			" of them healed, %" PRIu64 " packs and records mended so far", s.damaged,
			s.healed, s.mended);
}

static void *serve(void *arg)
{
	struct answerer *a = arg;
	sigset_t set;
	int sig;

	usr1(&set);
	for (;;) {
		if (sigwait(&set, &sig))
			continue;
		if (atomic_load(&a->ended))
			return NULL;
		say(a->fs);
	}
}

enum err_code answer_open(struct fs *fs, struct answerer **out, struct err *e)
{
	struct answerer *a = calloc(1, sizeof(*a));
	int sys;

	if (!a)
		return err_set(e, ERR_NOMEM, "signals");
	a->fs = fs;
	sys = pthread_create(&a->thread, NULL, serve, a);
	if (sys) {
		free(a);
		return err_set(e, ERR_NOMEM, "no thread for signals (error %d)", sys);
	}
	*out = a;
	return ERR_OK;
}

void answer_close(struct answerer *a)
{
	if (!a)
		return;
	atomic_store(&a->ended, true);
	if (pthread_kill(a->thread, SIGUSR1) != 0 || pthread_join(a->thread, NULL) != 0)
		abort();
	free(a);
}
