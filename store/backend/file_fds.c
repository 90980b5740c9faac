/* SPDX-License-Identifier: MIT */
#include "store/backend/file_fds.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/backend/file_root.h"
#include "store/base/digest.h"
#include "store/base/must.h"

#define NR_FDS		64u		/* of the 1024 a process may have open */
#define LIFE_MS		2000u

struct file_fd {
	int fd;				/* -1: free */
	unsigned refs;
	bool stale;			/* not to be found; closed with its last reference */
	uint64_t opened_ms, used;
	uint64_t hash;
	char name[FILE_NAME_MAX + 1];
};

struct file_fds {
	const struct io *io;
	pthread_mutex_t mutex;
	uint64_t clock;			/* mutex; counts uses */
	struct file_fd fds[NR_FDS];	/* mutex; but fd of a referenced entry does not change */
};

/* Descriptors to close once the mutex is released: close may wait for a network. */
struct litter {
	unsigned nr;
	int fd[NR_FDS + 1];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC_COARSE, &t));
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void discard_locked(struct file_fd *d, struct litter *l)
{
	l->fd[l->nr++] = d->fd;
	d->fd = -1;
	d->stale = false;
}

static void sweep_locked(struct file_fds *f, struct litter *l)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < NR_FDS; i++) {
		struct file_fd *d = &f->fds[i];

		if (d->fd < 0)
			continue;
		if (now - d->opened_ms >= LIFE_MS)
			d->stale = true;
		if (d->stale && d->refs == 0)
			discard_locked(d, l);
	}
}

static void clear(struct file_fds *f, struct litter *l)
{
	for (unsigned i = 0; i < l->nr; i++)
		(void)f->io->close(l->fd[i]);	/* opened to read: nothing can be lost */
}

enum err_code file_fds_open(const struct io *io, struct file_fds **out, struct err *e)
{
	struct file_fds *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(e, ERR_NOMEM, "descriptors");
	f->io = io;
	must(pthread_mutex_init(&f->mutex, NULL));
	for (size_t i = 0; i < NR_FDS; i++)
		f->fds[i].fd = -1;
	*out = f;
	return ERR_OK;
}

void file_fds_close(struct file_fds *f)
{
	if (!f)
		return;
	file_fds_drop(f, NULL);
	must(pthread_mutex_destroy(&f->mutex));
	free(f);
}

struct file_fd *file_fds_find(struct file_fds *f, const char *name)
{
	uint64_t hash = digest_xxh3(name, strlen(name));
	struct litter l = { 0 };
	struct file_fd *got = NULL;

	must(pthread_mutex_lock(&f->mutex));
	sweep_locked(f, &l);
	for (size_t i = 0; i < NR_FDS && !got; i++) {
		struct file_fd *d = &f->fds[i];

		if (d->fd >= 0 && !d->stale && d->hash == hash && strcmp(d->name, name) == 0)
			got = d;
	}
	if (got) {
		got->refs++;
		got->used = ++f->clock;
	}
	must(pthread_mutex_unlock(&f->mutex));
	clear(f, &l);
	return got;
}

static struct file_fd *room_locked(struct file_fds *f, struct litter *l)
{
	struct file_fd *oldest = NULL;

	for (size_t i = 0; i < NR_FDS; i++) {
		struct file_fd *d = &f->fds[i];

		if (d->fd < 0)
			return d;
		if (d->refs == 0 && (!oldest || d->used < oldest->used))
			oldest = d;
	}
	if (oldest)
		discard_locked(oldest, l);
	return oldest;
}

struct file_fd *file_fds_add(struct file_fds *f, const char *name, int fd)
{
	struct litter l = { 0 };
	struct file_fd *d;

	must(pthread_mutex_lock(&f->mutex));
	d = room_locked(f, &l);
	if (d) {
		d->fd = fd;
		d->refs = 1;
		d->stale = false;
		d->opened_ms = now_ms();
		d->used = ++f->clock;
		d->hash = digest_xxh3(name, strlen(name));
		memcpy(d->name, name, strlen(name) + 1);	/* file_name_ok: it fits */
	}
	must(pthread_mutex_unlock(&f->mutex));
	clear(f, &l);
	return d;
}

int file_fd_number(const struct file_fd *d)
{
	return d->fd;
}

void file_fds_put(struct file_fds *f, struct file_fd *d)
{
	struct litter l = { 0 };

	must(pthread_mutex_lock(&f->mutex));
	d->refs--;
	if (d->stale && d->refs == 0)
		discard_locked(d, &l);
	must(pthread_mutex_unlock(&f->mutex));
	clear(f, &l);
}

void file_fds_drop(struct file_fds *f, const char *name)
{
	struct litter l = { 0 };

	must(pthread_mutex_lock(&f->mutex));
	for (size_t i = 0; i < NR_FDS; i++)
		if (f->fds[i].fd >= 0 && (!name || strcmp(f->fds[i].name, name) == 0))
			f->fds[i].stale = true;
	sweep_locked(f, &l);
	must(pthread_mutex_unlock(&f->mutex));
	clear(f, &l);
}

void file_fds_tidy(struct file_fds *f)
{
	struct litter l = { 0 };

	must(pthread_mutex_lock(&f->mutex));
	sweep_locked(f, &l);
	must(pthread_mutex_unlock(&f->mutex));
	clear(f, &l);
}
