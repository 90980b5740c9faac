/* SPDX-License-Identifier: MIT */
#include "store/lastgood_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/hex.h"
#include "store/format/jsonrec.h"

#define KEY_DIGITS	16u	/* of a pack's name: its key */
#define FUTURE_MS	86400000	/* a line dated later than that is of a clock that was wrong */

enum err_code lastgood_add(struct lastgood *l, const struct object_id *id, uint64_t size,
			   struct err *e)
{
	if (l->nr == l->cap) {
		size_t cap = l->cap + l->cap / 2 + 256;
		struct lastgood_pack *more = reallocarray(l->packs, cap, sizeof(*more));

		if (!more)
			return err_set(e, ERR_NOMEM, "%zu packs", cap);
		l->packs = more;
		l->cap = cap;
	}
	l->packs[l->nr++] = (struct lastgood_pack){ .key = id_key(id), .size = size };
	return ERR_OK;
}

void lastgood_release(struct lastgood *l)
{
	free(l->packs);
	*l = (struct lastgood){ 0 };
}

static int cmp_key(const void *a, const void *b)
{
	const struct lastgood_pack *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static struct lastgood_pack *find(const struct lastgood *l, uint64_t key)
{
	struct lastgood_pack want = { .key = key };

	return l->nr == 0 ? NULL : bsearch(&want, l->packs, l->nr, sizeof(want), cmp_key);
}

int64_t lastgood_when(const struct lastgood_pack *p)
{
	return p->good_ms > p->bad_ms ? p->good_ms / 1000 : 0;
}

int64_t lastgood_of(const struct lastgood *l, const struct object_id *id)
{
	const struct lastgood_pack *p = find(l, id_key(id));

	return p ? lastgood_when(p) : 0;
}

/* Lines. */

struct reading {
	struct lastgood *l;
	int64_t latest_ms;
};

static bool parse_key(const char *s, uint64_t *key)
{
	uint8_t b[KEY_DIGITS / 2];

	if (!s || strlen(s) != KEY_DIGITS || !hex_decode(s, KEY_DIGITS, b))
		return false;
	*key = 0;
	for (size_t i = 0; i < sizeof(b); i++)
		*key = *key << 8 | b[i];
	return true;
}

static void take_keys(struct lastgood *l, const struct runlog_line *line, const char *member,
		      bool good, int64_t ms)
{
	size_t nr = runlog_nr(line, member);

	for (size_t i = 0; i < nr; i++) {
		struct lastgood_pack *p;
		uint64_t key;

		if (!parse_key(runlog_item(line, member, i), &key))
			continue;
		p = find(l, key);
		if (p && good && p->good_ms < ms)
			p->good_ms = ms;
		else if (p && !good && p->bad_ms < ms)
			p->bad_ms = ms;
	}
}

static bool found_damage(const struct runlog_line *line)
{
	static const char *const counts[] = {
		"damaged_packs", "incomplete_packs", "damaged_chunks", "missing_chunks",
		"damaged_nodes", "damaged_snapshots", "damaged_records",
	};
	uint64_t n;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (runlog_u64(line, counts[i], &n) && n > 0)
			return true;
	return false;
}

static void take_run(struct lastgood *l, const struct runlog_line *line, const struct vtime *t)
{
	const char *mode = runlog_str(line, "mode");

	if (vtime_cmp(*t, l->last) < 0)
		return;
	l->last = *t;
	l->last_damaged = found_damage(line);
	(void)snprintf(l->last_mode, sizeof(l->last_mode), "%s", mode ? mode : "all");
}

static enum err_code take_line(void *ctx, const struct runlog_line *line, struct err *e)
{
	struct reading *r = ctx;
	struct vtime t;
	int64_t ms;

	(void)e;
	if (jsonrec_time((const struct json_t *)line->members, "time", &t, NULL))
		return ERR_OK;
	if (t.sec < 0 || t.sec > r->latest_ms / 1000)
		return ERR_OK;
	ms = t.sec * 1000 + t.nsec / 1000000;
	if (strcmp(line->event, "verify") == 0) {
		take_run(r->l, line, &t);
	} else if (strcmp(line->event, "checked") == 0) {
		take_keys(r->l, line, "good", true, ms);
		take_keys(r->l, line, "bad", false, ms);
	}
	return ERR_OK;
}

/* Logs grow by a megabyte for each time that a terabyte is verified: years of them take seconds. */
static const char *month_before(const struct vtime *now, unsigned days, char out[16])
{
	time_t t = (time_t)(now->sec - (int64_t)days * 86400);
	struct tm tm;

	if (!days || !gmtime_r(&t, &tm) || strftime(out, 16, "%Y-%m", &tm) != 7)
		return NULL;
	return out;
}

enum err_code lastgood_read(struct store *s, struct lastgood *l, unsigned days, struct err *e)
{
	struct vtime now = store_vtime();
	char month[16];
	struct reading r = { .l = l, .latest_ms = now.sec * 1000 + FUTURE_MS };

	if (l->nr > 0)
		qsort(l->packs, l->nr, sizeof(l->packs[0]), cmp_key);
	return runlog_each_since(s, month_before(&now, days, month), NULL, take_line, &r, e);
}

/* Writing. */

#define LINE_KEYS	512u	/* of a line: some ten KiB */
#define WAIT_SEC	2	/* what a kill may lose */

struct lastgood_log {
	struct store *s;
	pthread_mutex_t mutex;
	struct buf good, bad;		/* mutex: "…","…" */
	unsigned nr;			/* mutex: in both */
	int64_t since;			/* mutex: monotonic seconds of the last line */
	bool failed;			/* mutex */
};

static int64_t seconds(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

static void lock(struct lastgood_log *l)
{
	if (pthread_mutex_lock(&l->mutex) != 0)
		abort();
}

static void unlock(struct lastgood_log *l)
{
	if (pthread_mutex_unlock(&l->mutex) != 0)
		abort();
}

enum err_code lastgood_log_open(struct store *s, struct lastgood_log **out, struct err *e)
{
	struct lastgood_log *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, ERR_NOMEM, "a list of packs");
	if (pthread_mutex_init(&l->mutex, NULL) != 0)
		abort();
	l->s = s;
	l->since = seconds();
	*out = l;
	return ERR_OK;
}

static void append(struct lastgood_log *l, const struct buf *good, const struct buf *bad)
{
	const char *kind = l->s->backend->kind;
	struct err err = ERR_INIT;
	struct buf b = BUF_INIT;
	bool tell = false;

	buf_printf(&b, "\"medium\":\"%s\"", kind ? kind : "unknown");
	if (good->len > 0)
		buf_printf(&b, ",\"good\":[%.*s]", (int)good->len, (const char *)good->p);
	if (bad->len > 0)
		buf_printf(&b, ",\"bad\":[%.*s]", (int)bad->len, (const char *)bad->p);
	buf_add_u8(&b, 0);
	if (b.bad || good->bad || bad->bad)
		(void)err_set(&err, ERR_NOMEM, "a line of the log");
	else if (!runlog_append(l->s, "checked", (const char *)b.p, &err))
		err_clear(&err);
	buf_release(&b);
	if (!err.code)
		return;
	lock(l);
	/* That the repository has gone is said by whoever reads it. */
	tell = !l->failed && err.code != ERR_ABSENT;
	l->failed = true;
	unlock(l);
	if (tell)
		store_event(l->s, EVENT_WARNING, NULL, &err,
			    "which packs were found good is not recorded");
}

/* A line of all that waits, where due says so; written while nobody waits for the mutex. */
static void write_out(struct lastgood_log *l, int64_t wait)
{
	struct buf good = BUF_INIT, bad = BUF_INIT;
	int64_t now = seconds();

	lock(l);
	if (l->nr > 0 && (l->nr >= LINE_KEYS || now - l->since >= wait)) {
		good = l->good;
		bad = l->bad;
		l->good = l->bad = (struct buf)BUF_INIT;
		l->nr = 0;
		l->since = now;
	}
	unlock(l);
	if (good.len > 0 || bad.len > 0)
		append(l, &good, &bad);
	buf_release(&good);
	buf_release(&bad);
}

void lastgood_note(struct lastgood_log *l, const struct object_id *id, bool good)
{
	char hex[ID_HEX_LEN + 1];
	struct buf *b;

	if (!l)
		return;
	(void)id_hex(id, hex);
	lock(l);
	b = good ? &l->good : &l->bad;
	buf_printf(b, "%s\"%.*s\"", b->len > 0 ? "," : "", (int)KEY_DIGITS, hex);
	l->nr++;
	unlock(l);
	write_out(l, WAIT_SEC);
}

void lastgood_tick(struct lastgood_log *l)
{
	if (l)
		write_out(l, WAIT_SEC);
}

void lastgood_log_close(struct lastgood_log *l)
{
	if (!l)
		return;
	write_out(l, 0);
	buf_release(&l->good);
	buf_release(&l->bad);
	if (pthread_mutex_destroy(&l->mutex) != 0)
		abort();
	free(l);
}
