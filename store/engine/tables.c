/* SPDX-License-Identifier: MIT */
#include "store/engine/tables.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define BUCKETS 1024u

struct table {
	struct packtable t;	     /* immutable */
	size_t bytes;		     /* immutable */
	uint32_t ord;		     /* immutable */
	unsigned refs;		     /* mutex */
	bool listed;		     /* mutex; in a bucket and in the LRU list */
	struct table *next;	     /* mutex; bucket */
	struct table *newer, *older; /* mutex; LRU */
};

struct tables {
	pthread_mutex_t mutex;
	size_t bytes, max_bytes;
	struct table *newest, *oldest;
	struct table *bucket[BUCKETS];
};

static void lock(struct tables *ts)
{
	if (pthread_mutex_lock(&ts->mutex) != 0)
		abort();
}

static void unlock(struct tables *ts)
{
	if (pthread_mutex_unlock(&ts->mutex) != 0)
		abort();
}

enum err_code tables_open(size_t max_bytes, struct tables **out, struct err *e)
{
	struct tables *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return err_set(e, ERR_NOMEM, "tables");
	if (pthread_mutex_init(&ts->mutex, NULL) != 0)
		abort();
	ts->max_bytes = max_bytes;
	*out = ts;
	return ERR_OK;
}

static void free_table(struct table *t)
{
	packtable_release(&t->t);
	free(t);
}

static void detach_lru(struct tables *ts, struct table *t)
{
	*(t->newer ? &t->newer->older : &ts->newest) = t->older;
	*(t->older ? &t->older->newer : &ts->oldest) = t->newer;
	t->newer = t->older = NULL;
}

static void attach_newest(struct tables *ts, struct table *t)
{
	t->older = ts->newest;
	*(ts->newest ? &ts->newest->newer : &ts->oldest) = t;
	ts->newest = t;
}

/* Freed now, or by whoever lets the last reference go. */
static void unlist_locked(struct tables *ts, struct table *t)
{
	struct table **at = &ts->bucket[t->ord % BUCKETS];

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	detach_lru(ts, t);
	ts->bytes -= t->bytes;
	t->listed = false;
	if (t->refs == 0)
		free_table(t);
}

void tables_close(struct tables *ts)
{
	if (!ts)
		return;
	while (ts->oldest) {
		assert(ts->oldest->refs == 0);
		unlist_locked(ts, ts->oldest);
	}
	if (pthread_mutex_destroy(&ts->mutex) != 0)
		abort();
	free(ts);
}

static struct table *find_locked(struct tables *ts, uint32_t ord)
{
	struct table *t = ts->bucket[ord % BUCKETS];

	while (t && t->ord != ord)
		t = t->next;
	if (t) {
		t->refs++;
		detach_lru(ts, t);
		attach_newest(ts, t);
	}
	return t;
}

struct table *tables_get(struct tables *ts, uint32_t ord)
{
	struct table *t;

	lock(ts);
	t = find_locked(ts, ord);
	unlock(ts);
	return t;
}

struct table *tables_put(struct tables *ts, uint32_t ord, struct packtable *pt)
{
	struct table *t = calloc(1, sizeof(*t)), *first;

	if (!t) {
		packtable_release(pt);
		return NULL;
	}
	t->t = *pt;
	*pt = (struct packtable){0};
	t->ord = ord;
	t->bytes = sizeof(*t) + t->t.nr_blocks * sizeof(t->t.blocks[0]) +
		   t->t.nr_chunks * sizeof(t->t.chunks[0]);
	lock(ts);
	first = find_locked(ts, ord);
	if (first) {
		free_table(t);
		t = first;
	} else {
		t->refs = 1;
		t->listed = true;
		t->next = ts->bucket[ord % BUCKETS];
		ts->bucket[ord % BUCKETS] = t;
		attach_newest(ts, t);
		ts->bytes += t->bytes;
		while (ts->bytes > ts->max_bytes && ts->oldest != t)
			unlist_locked(ts, ts->oldest);
	}
	unlock(ts);
	return t;
}

void tables_release(struct tables *ts, struct table *t)
{
	if (!t)
		return;
	lock(ts);
	assert(t->refs > 0);
	if (--t->refs == 0 && !t->listed)
		free_table(t);
	unlock(ts);
}

void tables_drop(struct tables *ts, uint32_t ord)
{
	struct table *t;

	lock(ts);
	t = ts->bucket[ord % BUCKETS];
	while (t && t->ord != ord)
		t = t->next;
	if (t)
		unlist_locked(ts, t);
	unlock(ts);
}

const struct packtable *table_get(const struct table *t)
{
	return &t->t;
}

static bool find_in_block(const struct packtable *t, uint32_t block, const struct object_id *id,
			  struct table_place *out)
{
	const struct chunk_desc *c = &t->chunks[t->blocks[block].first_chunk];
	uint32_t off = 0;

	for (uint32_t i = 0; i < t->blocks[block].nr_chunks; off += c[i].len, i++) {
		if (!id_eq(&c[i].id, id))
			continue;
		*out =
		    (struct table_place){.block = block, .index = i, .off = off, .len = c[i].len};
		return true;
	}
	return false;
}

bool table_find(const struct packtable *t, const struct object_id *id, uint32_t hint,
		struct table_place *out)
{
	if (hint < t->nr_blocks && find_in_block(t, hint, id, out))
		return true;
	for (uint32_t i = 0; i < t->nr_blocks; i++)
		if (i != hint && find_in_block(t, i, id, out))
			return true;
	return false;
}
