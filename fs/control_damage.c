/* SPDX-License-Identifier: MIT */
/*
 * "damage": what this mount has met, and every path of every snapshot that needs it.  The paths are looked up when the
 * file is, once for the same damage and snapshots.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control_impl.h"
#include "store/base/checked.h"
#include "store/verify.h"

#define KEPT		256u		/* damaged chunks and blocks listed; more are counted */
#define PATHS_MAX	(1u << 20)	/* bytes of paths listed */
#define SECONDS_MAX	20u		/* spent on finding them */

struct met {
	struct event_damage d;	/* what is NULL: why has it */
	char why[160];
	struct timespec at, mended;	/* mended: d.mended */
};

struct damages {
	pthread_mutex_t mutex;
	pthread_cond_t done;
	bool making;			/* mutex, as all here: one at a time */
	struct met met[KEPT];
	size_t nr;
	uint64_t unlisted;
	uint64_t version;		/* grows with each */
	struct buf text;		/* made for ... */
	uint64_t text_version, text_refusals;
	const struct snap_list *text_snaps;	/* held; NULL: none made */
};

enum err_code damages_open(struct damages **out, struct err *e)
{
	struct damages *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(e, ERR_NOMEM, "list of damage");
	must(pthread_mutex_init(&d->mutex, NULL));
	must(pthread_cond_init(&d->done, NULL));
	*out = d;
	return ERR_OK;
}

void damages_close(struct damages *d)
{
	if (!d)
		return;
	buf_release(&d->text);
	if (d->text_snaps)
		snaps_put(d->text_snaps);
	must(pthread_cond_destroy(&d->done));
	must(pthread_mutex_destroy(&d->mutex));
	free(d);
}

static bool same(const struct event_damage *a, const struct event_damage *b)
{
	return id_eq(&a->chunk, &b->chunk) && id_eq(&a->pack, &b->pack) && a->off == b->off &&
	       a->block == b->block && a->table == b->table;
}

static struct timespec now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) < 0)
		t = (struct timespec){ 0 };
	return t;
}

/* The pack is whole again. */
static void mended_locked(struct damages *d, const struct object_id *pack)
{
	for (size_t i = 0; i < d->nr; i++) {
		struct met *m = &d->met[i];

		if (m->d.mended || !id_eq(&m->d.pack, pack))
			continue;
		m->d.mended = true;
		m->mended = now();
		d->version++;
	}
}

static void add_locked(struct damages *d, const struct event_damage *new)
{
	struct met *m = &d->met[d->nr];

	for (size_t i = 0; i < d->nr; i++)
		if (same(&d->met[i].d, new) && d->met[i].d.healed == new->healed &&
		    !d->met[i].d.mended)
			return;
	d->version++;
	if (d->nr == KEPT) {
		d->unlisted++;
		return;
	}
	m->d = *new;
	m->d.what = NULL;
	(void)snprintf(m->why, sizeof(m->why), "%s", new->what ? new->what : "");
	m->at = now();
	d->nr++;
}

void control_damage(struct control *c, const struct event *ev)
{
	struct damages *d = c->damages;

	must(pthread_mutex_lock(&d->mutex));
	if (ev->damage->mended)
		mended_locked(d, &ev->damage->pack);
	else
		add_locked(d, ev->damage);
	must(pthread_mutex_unlock(&d->mutex));
}

/* Making the text, from a copy of the list. */

struct found {
	struct met met;
	struct buf paths;
	size_t last_len;		/* of the last line in paths */
	uint64_t nr_unlisted;
};

struct maker {
	struct found all[KEPT];
	size_t nr;
	size_t bytes;			/* of paths */
	struct found others;		/* nodes met on the way */
};

static void touched(void *ctx, const struct snapshot *snap, const char *path,
		    const struct object_id *chunk, bool folder)
{
	struct maker *m = ctx;
	struct found *to = &m->others;
	size_t before, len;

	for (size_t i = 0; i < m->nr; i++) {
		if (!m->all[i].met.d.block && id_eq(&m->all[i].met.d.chunk, chunk)) {
			to = &m->all[i];
			break;
		}
	}
	before = to->paths.len;
	buf_printf(&to->paths, "    %s", snap->name);
	ctl_add_escaped(&to->paths, path);
	buf_add_str(&to->paths, folder ? " (the folder, and what is in it)\n" : "\n");
	len = to->paths.len - before;
	/* A file may need a chunk many times over, and is listed once. */
	if (to->paths.bad || (len == to->last_len &&
			      memcmp(to->paths.p + before, to->paths.p + before - len, len) == 0)) {
		to->paths.len = before;
	} else if (m->bytes + len > PATHS_MAX) {
		to->paths.len = before;
		to->nr_unlisted++;
	} else {
		to->last_len = len;
		m->bytes += len;
	}
}

static void add_head(struct buf *out, const struct met *m)
{
	char chunk[ID_HEX_LEN + 1], pack[ID_HEX_LEN + 1];
	static const struct object_id none;

	ctl_add_time(out, &m->at);
	buf_add_u8(out, ' ');
	id_hex(&m->d.chunk, chunk);
	id_hex(&m->d.pack, pack);
	if (!m->d.block)
		buf_printf(out, "chunk %s %s", chunk, m->d.missing ? "missing" : "damaged");
	if (!m->d.block && !id_eq(&m->d.pack, &none))
		buf_add_str(out, " in ");
	if (!id_eq(&m->d.pack, &none))
		buf_printf(out, "pack %s%s at %llu", pack,
			   m->d.table ? ", table" : m->d.block ? ", block" : "",
			   (unsigned long long)m->d.off);
	if (m->why[0]) {
		buf_add_str(out, ": ");
		ctl_add_escaped(out, m->why);
	}
	if (m->d.healed)
		buf_add_str(out, "; healed: it was read right all the same");
	if (m->d.mended) {
		buf_add_str(out, "; the pack was mended at ");
		ctl_add_time(out, &m->mended);
	}
	buf_add_u8(out, '\n');
}

void ctl_add_time(struct buf *out, const struct timespec *t)
{
	char when[32] = "?";
	struct tm tm;

	if (gmtime_r(&t->tv_sec, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_add_str(out, when);
}

void ctl_add_escaped(struct buf *out, const char *s)
{
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch < 0x20 || ch == 0x7f || ch == '\\')
			buf_printf(out, "\\x%02x", ch);
		else
			buf_add_u8(out, ch);
	}
}

static void add_found(struct buf *out, const struct found *f)
{
	if (f->paths.bad)
		buf_add_str(out, "    (no memory for its paths)\n");
	else if (f->paths.len)
		buf_add(out, f->paths.p, f->paths.len);
	if (f->nr_unlisted)
		buf_printf(out, "    and %llu more paths\n", (unsigned long long)f->nr_unlisted);
}

static void find_paths(struct store *s, struct maker *m, struct buf *out)
{
	struct object_id ids[KEPT];
	struct err e = ERR_INIT;
	size_t nr = 0;
	bool all = false;

	for (size_t i = 0; i < m->nr; i++)
		if (!m->all[i].met.d.block)
			ids[nr++] = m->all[i].met.d.chunk;
	if (nr && verify_touched(s, ids, nr, SECONDS_MAX, NULL, touched, m, &all, &e)) {
		buf_add_str(out, "# The paths could not all be looked up: ");
		ctl_add_escaped(out, e.msg);
		buf_add_u8(out, '\n');
	} else if (nr && !all) {
		buf_printf(out, "# Not all paths were looked up: %u seconds had passed.\n",
			   SECONDS_MAX);
	}
}

static enum err_code make(const struct ctl *c, struct maker *m, uint64_t unlisted,
			  struct buf *out, struct err *e)
{
	bool refused = refusals_text(c->fs->control->refusals, out);

	if (m->nr == 0 && !refused)
		buf_add_str(out, "# No damage was met in what was read through this mount.\n");
	if (m->nr == 0)
		return out->bad ? err_set(e, ERR_NOMEM, "list of damage") : ERR_OK;
	buf_add_str(out, "# Damage met by this mount, and the paths that need what is damaged.\n");
	find_paths(c->fs->store, m, out);
	for (size_t i = 0; i < m->nr; i++) {
		add_head(out, &m->all[i].met);
		add_found(out, &m->all[i]);
	}
	if (m->others.paths.len || m->others.nr_unlisted) {
		buf_add_str(out, "met while this was looked up:\n");
		add_found(out, &m->others);
	}
	if (unlisted)
		buf_printf(out, "and %llu more\n", (unsigned long long)unlisted);
	return out->bad ? err_set(e, ERR_NOMEM, "list of damage") : ERR_OK;
}

static void maker_free(struct maker *m)
{
	for (size_t i = 0; m && i < m->nr; i++)
		buf_release(&m->all[i].paths);
	if (m)
		buf_release(&m->others.paths);
	free(m);
}

/* A copy of the list, and begins the making. */
static struct maker *begin_locked(struct damages *d)
{
	struct maker *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	for (size_t i = 0; i < d->nr; i++)
		m->all[i].met = d->met[i];
	m->nr = d->nr;
	d->making = true;
	return m;
}

static void end_locked(struct damages *d, uint64_t version, uint64_t refusals,
		       const struct snap_list *l, const struct buf *text)
{
	d->making = false;
	must(pthread_cond_broadcast(&d->done));
	if (!l)
		return;
	if (d->text_snaps)
		snaps_put(d->text_snaps);
	d->text_snaps = l;
	d->text_version = version;
	d->text_refusals = refusals;
	buf_reset(&d->text);
	buf_add(&d->text, text->p, text->len);
}

enum err_code damage_text(const struct ctl *c, struct buf *out, struct err *e)
{
	const struct snap_list *l = snaps_get(c->fs->snaps);
	struct damages *d = c->fs->control->damages;
	enum err_code rc = ERR_OK;
	struct maker *m = NULL;
	uint64_t version, refusals = refusals_version(c->fs->control->refusals), unlisted;

	must(pthread_mutex_lock(&d->mutex));
	while (d->making)
		must(pthread_cond_wait(&d->done, &d->mutex));
	if (d->text_snaps == l && d->text_version == d->version &&
	    d->text_refusals == refusals && !d->text.bad) {
		buf_add(out, d->text.p, d->text.len);
		goto out;
	}
	version = d->version;
	unlisted = d->unlisted;
	m = begin_locked(d);
	if (!m) {
		rc = err_set(e, ERR_NOMEM, "list of damage");
		goto out;
	}
	must(pthread_mutex_unlock(&d->mutex));
	rc = make(c, m, unlisted, out, e);
	must(pthread_mutex_lock(&d->mutex));
	end_locked(d, version, refusals, rc ? NULL : l, out);
	if (!rc)
		l = NULL;	/* kept with the text */
out:
	must(pthread_mutex_unlock(&d->mutex));
	if (l)
		snaps_put(l);
	maker_free(m);
	return rc;
}
