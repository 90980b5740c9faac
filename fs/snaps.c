/* SPDX-License-Identifier: MIT */
#include "fs/snaps.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/nodes.h"
#include "store/base/checked.h"
#include "store/base/must.h"

#define ID8_LEN		(1 + 8)	/* "-1c9e0d2a" */
#define LOCAL_DATE_LEN	24u	/* "2026-11-21T03-00-00+0100" */

struct snaps {
	struct store *store;
	struct log *log;
	bool local_time;
	pthread_mutex_t mutex;
	struct snap_list *now;		/* mutex: the pointer; what it points to is immutable */
	uint64_t stamp;			/* the refreshing thread's: of the names now was made from */
	uint64_t bad_hash;		/* the same: damaged names last told of */
};

static void list_free(struct snap_list *l)
{
	if (!l)
		return;
	for (size_t i = 0; l->all && i < l->nr; i++)
		view_parts_put(l->all[i].parts);
	views_free(l->views);
	free(l->all);
	free(l->slots);
	free(l->by_name);
	free(l);
}

static struct snap_list *list_alloc(size_t cap)
{
	struct snap_list *l = calloc(1, sizeof(*l));
	size_t nr_slots = 16;

	while (nr_slots < cap * 2)
		nr_slots *= 2;
	if (l) {
		atomic_init(&l->refs, 1);
		l->all = calloc(cap ? cap : 1, sizeof(l->all[0]));
		l->by_name = calloc(cap ? cap : 1, sizeof(l->by_name[0]));
		l->slots = calloc(nr_slots, sizeof(l->slots[0]));
		l->slots_mask = nr_slots - 1;
	}
	if (l && (!l->all || !l->by_name || !l->slots)) {
		list_free(l);
		l = NULL;
	}
	return l;
}

/* Where slot is in the table, or the empty place where it would be. */
static size_t slot_place(const struct snap_list *l, uint32_t slot)
{
	size_t i = (slot * 2654435761u >> 4) & l->slots_mask;

	while (l->slots[i] && l->all[l->slots[i] - 1].slot != slot)
		i = (i + 1) & l->slots_mask;
	return i;
}

const struct snap *snap_list_slot(const struct snap_list *l, uint32_t slot)
{
	uint32_t i = l->slots[slot_place(l, slot)];

	return i ? &l->all[i - 1] : NULL;
}

/* Newcomers take the first free slot from where their id hashes to: nearly always the same in every mount. */
static struct snap *find_id(const struct snap_list *l, const struct object_id *id, uint32_t *slot)
{
	uint32_t s = 1 + (uint32_t)(id_key(id) % SLOT_MAX);
	uint32_t i;

	while ((i = l->slots[slot_place(l, s)]) != 0 && !id_eq(&l->all[i - 1].id, id))
		s = s == SLOT_MAX ? 1 : s + 1;
	*slot = s;
	return i ? &l->all[i - 1] : NULL;
}

/* s's parts become the list's. */
static void append(struct snap_list *l, const struct snap *s)
{
	l->all[l->nr] = *s;
	l->slots[slot_place(l, s->slot)] = (uint32_t)++l->nr;
}

static int name_order(const void *a, const void *b, void *list)
{
	const struct snap_list *l = list;

	return strcmp(l->all[*(const size_t *)a].full, l->all[*(const size_t *)b].full);
}

static bool same_prefix(const struct snap_list *l, size_t i, size_t j, size_t len)
{
	return i < l->nr_live && j < l->nr_live &&
	       strncmp(l->all[l->by_name[i]].full, l->all[l->by_name[j]].full, len) == 0;
}

/* i - 1 wraps at 0 and is then no index: same_prefix says false. */
static bool alone(const struct snap_list *l, size_t i, size_t len)
{
	return !same_prefix(l, i, i - 1, len) && !same_prefix(l, i, i + 1, len);
}

static void finish(struct snap_list *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		if (l->all[i].gone)
			continue;
		if (l->all[i].kind != SNAP_DATED) {
			memcpy(l->all[i].shown, l->all[i].full, sizeof(l->all[i].shown));
			continue;
		}
		l->by_name[l->nr_live++] = i;
		if (!l->newest || snap_order(&l->all[i], l->newest) > 0)
			l->newest = &l->all[i];
	}
	qsort_r(l->by_name, l->nr_live, sizeof(l->by_name[0]), name_order, l);
	for (size_t i = 0; i < l->nr_live; i++) {
		struct snap *s = &l->all[l->by_name[i]];

		memcpy(s->shown, s->full, sizeof(s->shown));
		if (alone(l, i, s->date_len))
			s->shown[s->date_len] = '\0';
		else if (alone(l, i, s->date_len + ID8_LEN))
			s->shown[s->date_len + ID8_LEN] = '\0';
	}
	(void)clock_gettime(CLOCK_REALTIME, &l->changed);	/* zero is a time too */
}

static bool is_bad(const struct snapshot_list *sl, const char *name)
{
	for (size_t i = 0; i < sl->nr_bad; i++)
		if (strcmp(sl->bad[i], name) == 0)
			return true;
	return false;
}

/* full and date_len. A time that the local clock has no four-digit year for stays as it is. */
static void name_in_full(struct snap *s, bool local_time)
{
	time_t t = (time_t)s->time.sec;
	char date[64];
	struct tm tm;

	memcpy(s->full, s->name, sizeof(s->full));
	s->date_len = SNAPSHOT_DATE_LEN;
	if (!local_time || !localtime_r(&t, &tm) ||
	    strftime(date, sizeof(date), "%Y-%m-%dT%H-%M-%S%z", &tm) != LOCAL_DATE_LEN)
		return;
	memcpy(s->full, date, LOCAL_DATE_LEN);
	memcpy(s->full + LOCAL_DATE_LEN, s->name + SNAPSHOT_DATE_LEN,
	       sizeof(s->full) - LOCAL_DATE_LEN);	/* add_found saw that the end is in there */
	s->date_len = LOCAL_DATE_LEN;
}

static enum err_code add_found(struct snap_list *l, const struct snapshot *from, bool local_time,
			       bool *changed, struct err *e)
{
	struct snap s = { .id = from->id, .root = from->root, .time = from->time };
	size_t len = strlen(from->name);
	struct snap *known = find_id(l, &from->id, &s.slot);

	if (known) {
		known->gone = false;
		return ERR_OK;
	}
	/* Slots are never reused, so that many could come and go in one mount. */
	if (l->nr >= SLOT_MAX / 2)
		return err_set(e, ERR_LIMIT, "%zu snapshots seen: mount again", l->nr);
	if (len < SNAPSHOT_DATE_LEN ||
	    len >= sizeof(s.name) - (LOCAL_DATE_LEN - SNAPSHOT_DATE_LEN) || memchr(from->name, '/', len))
		return err_set(e, ERR_CORRUPT, "snapshot of a strange name: %s", from->name);
	memcpy(s.name, from->name, len + 1);
	name_in_full(&s, local_time);
	s.kind = snapshot_has_tag(from, TAG_SAFETY)    ? SNAP_SAFETY :
		 snapshot_has_tag(from, TAG_PARTIAL) ? SNAP_PARTIAL : SNAP_DATED;
	if (view_parts_new(from, &s.parts, e))
		return ERR_NOMEM;
	append(l, &s);
	*changed = true;
	return ERR_OK;
}

/* The list after old (NULL at first), given what the repository has now; NULL in *out where nothing changed. */
static enum err_code next_list(const struct snap_list *old, const struct snapshot_list *sl,
			       bool local_time, struct snap_list **out, struct err *e)
{
	struct snap_list *l = list_alloc((old ? old->nr : 0) + sl->nr);
	enum err_code rc = ERR_OK;
	bool changed = !old;

	if (!l)
		return err_set(e, ERR_NOMEM, "list of %zu snapshots", sl->nr);
	for (size_t i = 0; old && i < old->nr; i++) {
		struct snap s = old->all[i];

		/* One whose file rotted while we look on was whole when we read it: it stays. */
		s.gone = s.gone || !is_bad(sl, s.name);
		s.parts = view_parts_get(s.parts);
		append(l, &s);
	}
	for (size_t i = 0; i < sl->nr && !rc; i++)
		rc = add_found(l, &sl->all[i], local_time, &changed, e);
	for (size_t i = 0; old && i < old->nr; i++)
		changed = changed || l->all[i].gone != old->all[i].gone;
	if (!rc && changed) {
		finish(l);
		rc = views_build(l, local_time, &l->views, e);
	}
	if (!rc && changed) {
		*out = l;
		l = NULL;
	}
	list_free(l);
	return rc;
}

/* Told once, and again when others join them, not at every look. */
static void tell_bad(struct snaps *s, const struct snapshot_list *sl)
{
	uint64_t h = 0;

	for (size_t i = 0; i < sl->nr_bad; i++)
		for (const char *p = sl->bad[i]; *p; p++)
			h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3) + 1;
	if (h == s->bad_hash)
		return;
	s->bad_hash = h;
	for (size_t i = 0; i < sl->nr_bad; i++)
		log_say(s->log, EVENT_DAMAGE, "snapshot %s: its file and its copy are damaged: "
			"not shown", sl->bad[i]);
}

static void tell_names(const struct snap *s, snaps_changed_fn *changed, void *ctx)
{
	const size_t lens[] = { s->date_len, s->date_len + ID8_LEN, SNAP_NAME_MAX };
	char name[SNAP_NAME_MAX];

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		memcpy(name, s->full, sizeof(name));
		if (lens[i] < sizeof(name))
			name[lens[i]] = '\0';
		changed(ctx, name);
	}
}

static void tell_changes(const struct snap_list *old, const struct snap_list *now,
			 snaps_changed_fn *changed, void *ctx)
{
	for (size_t i = 0; i < now->nr; i++) {
		const struct snap *a = i < old->nr ? &old->all[i] : NULL;
		const struct snap *b = &now->all[i];

		if (b->kind != SNAP_DATED)
			continue;
		if (!a || a->gone != b->gone || strcmp(a->shown, b->shown) != 0)
			tell_names(b, changed, ctx);
	}
	changed(ctx, "latest");
}

enum err_code snaps_refresh(struct snaps *s, snaps_changed_fn *changed, void *ctx, struct err *e)
{
	struct snapshot_list sl = { 0 };
	struct snap_list *next = NULL, *old = s->now;	/* only this thread replaces it */
	enum err_code rc;
	uint64_t stamp;

	/* Before the list, so that what comes in between is seen next time. */
	rc = snapshot_list_stamp(s->store, &stamp, e);
	if (rc || (old && stamp == s->stamp))
		return rc;
	/* Packs first: whoever sees a new snapshot finds them known, and waits for nothing. */
	if (old)
		rc = store_refresh(s->store, e);
	if (!rc)
		rc = snapshot_list_read(s->store, &sl, e);
	if (rc)
		return rc;
	tell_bad(s, &sl);
	rc = next_list(old, &sl, s->local_time, &next, e);
	snapshot_list_release(&sl);
	if (rc)
		return rc;
	s->stamp = stamp;
	if (!next)
		return ERR_OK;
	must(pthread_mutex_lock(&s->mutex));
	s->now = next;
	must(pthread_mutex_unlock(&s->mutex));
	if (old && changed)
		tell_changes(old, next, changed, ctx);
	if (old)
		snaps_put(old);
	return ERR_OK;
}

enum err_code snaps_open(struct store *st, struct log *log, bool local_time, struct snaps **out,
			 struct err *e)
{
	struct snaps *s = calloc(1, sizeof(*s));
	enum err_code rc;

	if (!s)
		return err_set(e, ERR_NOMEM, "snapshots");
	s->store = st;
	s->log = log;
	s->local_time = local_time;
	tzset();
	must(pthread_mutex_init(&s->mutex, NULL));
	rc = snaps_refresh(s, NULL, NULL, e);
	if (rc) {
		snaps_close(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

void snaps_close(struct snaps *s)
{
	if (!s)
		return;
	if (s->now)
		snaps_put(s->now);
	must(pthread_mutex_destroy(&s->mutex));
	free(s);
}

const struct snap_list *snaps_get(struct snaps *s)
{
	struct snap_list *l;

	must(pthread_mutex_lock(&s->mutex));
	l = s->now;
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	must(pthread_mutex_unlock(&s->mutex));
	return l;
}

void snaps_put(const struct snap_list *cl)
{
	struct snap_list *l = (struct snap_list *)(uintptr_t)cl;	/* const for its readers */

	if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
		list_free(l);
}

/* Where snapshots show by the local clock, the repository's names are good, too: DATE and DATE-ID8 of one only. */
static const struct snap *by_own_name(const struct snap_list *l, const char *name, size_t len)
{
	const struct snap *found = NULL;

	if (len < SNAPSHOT_DATE_LEN || name[SNAPSHOT_DATE_LEN - 1] != 'Z')
		return NULL;
	for (size_t i = 0; i < l->nr_live; i++) {
		const struct snap *s = &l->all[l->by_name[i]];

		if (strncmp(s->name, name, len) != 0)
			continue;
		if (strlen(s->name) == len)
			return s;
		if (found || (len != SNAPSHOT_DATE_LEN && len != SNAPSHOT_DATE_LEN + ID8_LEN))
			return NULL;
		found = s;
	}
	return found;
}

const struct snap *snap_list_name(const struct snap_list *l, const char *name, size_t len,
				  bool *alias)
{
	const struct snap *s;
	size_t lo = 0, hi = l->nr_live;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strncmp(l->all[l->by_name[mid]].full, name, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	s = lo < l->nr_live ? &l->all[l->by_name[lo]] : NULL;
	if (!s || strncmp(s->full, name, len) != 0) {
		*alias = true;
		return by_own_name(l, name, len);
	}
	/* By its shown name, by DATE-ID8 where that is one snapshot's only, or in full; nothing between. */
	if (strlen(s->shown) == len) {
		*alias = false;
		return s;
	}
	if (strlen(s->full) != len && (len != s->date_len + ID8_LEN || !alone(l, lo, len)))
		return NULL;
	*alias = true;
	return s;
}
