/* SPDX-License-Identifier: MIT */
#include "fs/refresh.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "store/base/must.h"

#define PERIOD_MS	800	/* a snapshot appears within two seconds, the kernel's one included */

struct refresher {
	struct fs *fs;
	struct fuse_session *se;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool ended;		/* mutex */
	bool want_packs;	/* mutex */
	bool failing;		/* the thread's: the last look failed and was told of */
};

/*
 * Entries of the root live a second in the kernel anyhow; this drops them at
 * once, and with a forgotten snapshot's folder everything cached below it.  The
 * kernel refuses (ENOENT) what it does not hold: nothing to be done about.  It
 * may wait for a lookup in the root to be answered: not once nobody answers.
 */
static void name_changed(void *ctx, const char *name)
{
	struct refresher *r = ctx;

	if (!fuse_session_exited(r->se))
		(void)fuse_lowlevel_notify_inval_entry(r->se, NODEID_ROOT, name, strlen(name));
}

static void node_changed(void *ctx, uint64_t id)
{
	struct refresher *r = ctx;

	if (!fuse_session_exited(r->se))
		(void)fuse_lowlevel_notify_inval_inode(r->se, id, 0, 0);
}

/*
 * The links beside snapshots that are shown by another name than before.  The kernel keeps a link's target for as long
 * as it has the link, and would lead to where nothing is any more, also by names whose second was over.
 */
static void links_changed(struct refresher *r, const struct snap_list *before,
			  const struct snap_list *now)
{
	for (size_t i = 0; i < before->nr; i++) {	/* all of them are in now, at the same place */
		const struct snap *a = &before->all[i], *b = &now->all[i];

		if (a->gone == b->gone && strcmp(a->shown, b->shown) == 0)
			continue;
		node_changed(r, nodeid_of(b->slot, NUMBER_ALIAS8));
		node_changed(r, nodeid_of(b->slot, NUMBER_ALIAS16));
	}
}

static void root_changed(struct refresher *r, const struct snap_list *before,
			 const struct snap_list *now)
{
	links_changed(r, before, now);
	views_each_dir(now->views, node_changed, r);
	node_changed(r, NODEID_ROOT);
	node_changed(r, NODEID_LATEST);
}

static void look(struct refresher *r, bool packs)
{
	const struct snap_list *before = snaps_get(r->fs->snaps), *now;
	struct err e = ERR_INIT;
	enum err_code rc = ERR_OK;

	if (packs)
		rc = store_refresh(r->fs->store, &e);
	if (!rc)
		rc = snaps_refresh(r->fs->snaps, name_changed, r, &e);
	now = snaps_get(r->fs->snaps);
	if (now != before)
		root_changed(r, before, now);
	snaps_put(now);
	snaps_put(before);
	if (rc && !r->failing)
		log_say(r->fs->log, EVENT_WARNING, "looking for new snapshots: %s", e.msg);
	if (!rc && r->failing)
		log_say(r->fs->log, EVENT_NOTE, "the repository answers again");
	r->failing = rc != ERR_OK;
	control_medium(r->fs->control, rc ? &e : NULL);
}

static void add_ms(struct timespec *t, long ms)
{
	t->tv_sec += ms / 1000;
	t->tv_nsec += ms % 1000 * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_sec++;
		t->tv_nsec -= 1000000000;
	}
}

static void *run(void *arg)
{
	struct refresher *r = arg;
	struct timespec until;
	bool ended, packs;

	for (;;) {
		if (clock_gettime(CLOCK_MONOTONIC, &until) < 0)
			abort();
		add_ms(&until, PERIOD_MS);
		must(pthread_mutex_lock(&r->mutex));
		while (!r->ended && pthread_cond_timedwait(&r->wake, &r->mutex, &until) == 0)
			;
		ended = r->ended;
		packs = r->want_packs;
		r->want_packs = false;
		must(pthread_mutex_unlock(&r->mutex));
		if (ended)
			return NULL;
		look(r, packs);
	}
}

enum err_code refresher_open(struct fs *fs, struct fuse_session *se, struct refresher **out,
			     struct err *e)
{
	struct refresher *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;
	int sys;

	if (!r)
		return err_set(e, ERR_NOMEM, "refresher");
	r->fs = fs;
	r->se = se;
	must(pthread_mutex_init(&r->mutex, NULL));
	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&r->wake, &attr));
	must(pthread_condattr_destroy(&attr));
	sys = pthread_create(&r->thread, NULL, run, r);
	if (sys) {
		must(pthread_cond_destroy(&r->wake));
		must(pthread_mutex_destroy(&r->mutex));
		free(r);
		return err_set(e, ERR_NOMEM, "start of the refreshing thread: error %d", sys);
	}
	*out = r;
	return ERR_OK;
}

void refresher_close(struct refresher *r)
{
	if (!r)
		return;
	must(pthread_mutex_lock(&r->mutex));
	r->ended = true;
	must(pthread_cond_signal(&r->wake));
	must(pthread_mutex_unlock(&r->mutex));
	must(pthread_join(r->thread, NULL));
	must(pthread_cond_destroy(&r->wake));
	must(pthread_mutex_destroy(&r->mutex));
	free(r);
}

void refresher_want_packs(struct refresher *r)
{
	if (!r)
		return;
	must(pthread_mutex_lock(&r->mutex));
	r->want_packs = true;
	must(pthread_mutex_unlock(&r->mutex));
}
