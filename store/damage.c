/* SPDX-License-Identifier: MIT */
/* The ledger of damage: notes in memory, lines in log/. */
#include "store/damage_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/base/buf.h"
#include "store/base/digest.h"
#include "store/base/keyset.h"
#include "store/base/must.h"

#define ITEMS_A_LINE	256u	/* of 150 bytes at most: RUNLOG_LINE_MAX is far */

struct note {
	struct damage d;
	bool mended;		/* and d.chunk or d.pack says what */
};

struct damage_ledger {
	pthread_mutex_t mutex;	/* the innermost of all locks */
	struct keyset seen;	/* mutex; of damage, since the last writing */
	struct keyset packs;	/* mutex; that were noted, by id_key(): here, or by anybody where learned */
	bool learned;		/* mutex */
	bool muted;		/* mutex */
	struct buf notes;	/* mutex; struct note each, in the order they came */
	struct buf doubted;	/* struct object_id each: given to chunks_doubt, by the one writer */
};

/* What the log says. */
struct known {
	struct damage d;
	char time[TIME_TEXT_LEN + 1];
};

struct healed {
	struct object_id id;
	bool is_pack;
	char time[TIME_TEXT_LEN + 1];
};

struct ledger_view {
	struct buf known, healed;
};

enum err_code damage_open(struct damage_ledger **out, struct err *e)
{
	struct damage_ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, ERR_NOMEM, "the ledger of damage");
	must(pthread_mutex_init(&l->mutex, NULL));
	*out = l;
	return ERR_OK;
}

void damage_close(struct damage_ledger *l)
{
	if (!l)
		return;
	keyset_release(&l->seen);
	keyset_release(&l->packs);
	buf_release(&l->notes);
	buf_release(&l->doubted);
	must(pthread_mutex_destroy(&l->mutex));
	free(l);
}

struct buf *damage_doubted(struct store *s)
{
	return &s->damage->doubted;
}

/* Noting. */

static uint64_t damage_key(const struct damage *d)
{
	uint8_t b[2 * ID_LEN + 8];

	memcpy(b, d->chunk.b, ID_LEN);
	memcpy(b + ID_LEN, d->pack.b, ID_LEN);
	for (unsigned i = 0; i < 8; i++)
		b[2 * ID_LEN + i] = (uint8_t)(d->off >> (8 * i));
	return digest_xxh3(b, sizeof(b));
}

/* Where there is no memory for a note, it is as if the damage had not been met yet: it will be again. */
static void add_note(struct damage_ledger *l, const struct note *n)
{
	if (l->notes.len / sizeof(*n) >= DAMAGE_NOTED_MAX || !buf_room(&l->notes, sizeof(*n))) {
		l->notes.bad = false;
		return;
	}
	buf_add(&l->notes, n, sizeof(*n));
}

void damage_note(struct store *s, const struct damage *d)
{
	struct damage_ledger *l = s->damage;
	const struct note n = { .d = *d };
	bool is_new = false;

	must(pthread_mutex_lock(&l->mutex));
	if (l->seen.nr < DAMAGE_NOTED_MAX && !keyset_add(&l->packs, id_key(&d->pack), NULL, NULL) &&
	    !keyset_add(&l->seen, damage_key(d), &is_new, NULL) && is_new)
		add_note(l, &n);
	must(pthread_mutex_unlock(&l->mutex));
}

void mended_note_pack(struct store *s, const struct object_id *pack)
{
	const struct note n = { .d.pack = *pack, .mended = true };
	struct damage_ledger *l = s->damage;

	must(pthread_mutex_lock(&l->mutex));
	if (!l->learned || keyset_has(&l->packs, id_key(pack)))
		add_note(l, &n);
	must(pthread_mutex_unlock(&l->mutex));
}

void mended_note_chunk(struct store *s, const struct object_id *chunk)
{
	const struct note n = { .d.chunk = *chunk, .mended = true };

	must(pthread_mutex_lock(&s->damage->mutex));
	add_note(s->damage, &n);
	must(pthread_mutex_unlock(&s->damage->mutex));
}

/* Reading. */

static bool parse_id(const char *p, size_t len, struct object_id *out)
{
	*out = (struct object_id){ 0 };
	return (len == 1 && *p == '-') || (len == ID_HEX_LEN && id_parse(p, out));
}

/* "CHUNK PACK OFFSET" */
static bool parse_place(const char *text, struct damage *d)
{
	size_t chunk = strcspn(text, " "), pack = 0;
	const char *p = text + chunk;
	char *end = NULL;

	if (*p++ != ' ')
		return false;
	pack = strcspn(p, " ");
	if (!parse_id(text, chunk, &d->chunk) || !parse_id(p, pack, &d->pack) || p[pack] != ' ')
		return false;
	p += pack + 1;
	if (*p < '0' || *p > '9')
		return false;
	d->off = strtoull(p, &end, 10);
	return *end == '\0' && !(id_is_zero(&d->chunk) && id_is_zero(&d->pack));
}

static void set_time(char to[TIME_TEXT_LEN + 1], const char *from)
{
	(void)snprintf(to, TIME_TEXT_LEN + 1, "%s", from);
}

static enum err_code on_damage_line(void *ctx, const struct runlog_line *l, struct err *e)
{
	struct ledger_view *v = ctx;

	for (size_t i = 0; i < runlog_nr(l, "places"); i++) {
		const char *text = runlog_item(l, "places", i);
		struct known k = { 0 };

		if (!text || !parse_place(text, &k.d))
			continue;
		set_time(k.time, l->time);
		buf_add(&v->known, &k, sizeof(k));
	}
	return v->known.bad ? err_set(e, ERR_NOMEM, "the ledger of damage") : ERR_OK;
}

static enum err_code on_mended_line(void *ctx, const struct runlog_line *l, struct err *e)
{
	static const char *const keys[] = { "packs", "chunks" };
	struct ledger_view *v = ctx;

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < runlog_nr(l, keys[k]); i++) {
			const char *text = runlog_item(l, keys[k], i);
			struct healed h = { .is_pack = k == 0 };

			if (!text || strlen(text) != ID_HEX_LEN || !id_parse(text, &h.id))
				continue;
			set_time(h.time, l->time);
			buf_add(&v->healed, &h, sizeof(h));
		}
	return v->healed.bad ? err_set(e, ERR_NOMEM, "the ledger of damage") : ERR_OK;
}

static int cmp_damage(const struct damage *a, const struct damage *b)
{
	int c = id_cmp(&a->pack, &b->pack);

	if (!c)
		c = (a->off > b->off) - (a->off < b->off);
	return c ? c : id_cmp(&a->chunk, &b->chunk);
}

/* The same place together, what was noted last in front. */
static int cmp_known(const void *a, const void *b)
{
	const struct known *x = a, *y = b;
	int c = cmp_damage(&x->d, &y->d);

	return c ? c : strcmp(y->time, x->time);
}

static int cmp_healed_id(const struct healed *x, const struct healed *y)
{
	return x->is_pack != y->is_pack ? (int)x->is_pack - (int)y->is_pack : id_cmp(&x->id, &y->id);
}

static int cmp_healed(const void *a, const void *b)
{
	const struct healed *x = a, *y = b;
	int c = cmp_healed_id(x, y);

	return c ? c : strcmp(y->time, x->time);
}

static int cmp_by_id(const void *a, const void *b)
{
	return cmp_healed_id(a, b);
}

/* The first of those that are equal to key by cmp is kept. */
static void keep_first(struct buf *b, size_t size, int (*same)(const void *, const void *))
{
	size_t nr = b->len / size, kept = 0;

	for (size_t i = 0; i < nr; i++)
		if (kept == 0 || same(b->p + (kept - 1) * size, b->p + i * size) != 0)
			memmove(b->p + kept++ * size, b->p + i * size, size);
	b->len = kept * size;
}

static int cmp_by_damage(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return cmp_damage(&x->d, &y->d);
}

static void sort(struct buf *b, size_t size, int (*cmp)(const void *, const void *))
{
	if (b->len > 0)
		qsort(b->p, b->len / size, size, cmp);
}

static bool is_healed_as(const struct ledger_view *v, const struct known *k, bool is_pack)
{
	const struct healed want = { .id = is_pack ? k->d.pack : k->d.chunk, .is_pack = is_pack };
	const struct healed *h = NULL;

	if (v->healed.len > 0 && !id_is_zero(&want.id))
		h = bsearch(&want, v->healed.p, v->healed.len / sizeof(*h), sizeof(*h), cmp_by_id);
	return h && strcmp(h->time, k->time) >= 0;
}

static void view_release(struct ledger_view *v)
{
	buf_release(&v->known);
	buf_release(&v->healed);
}

/* known: what is damaged, sorted, each once. */
static enum err_code view_read(struct store *s, struct ledger_view *v, struct err *e)
{
	enum err_code rc = runlog_each(s, "damage", on_damage_line, v, e);
	struct known *k;
	size_t nr, kept = 0;

	if (!rc && v->known.len > 0)
		rc = runlog_each(s, "mended", on_mended_line, v, e);
	if (rc)
		return rc;
	sort(&v->known, sizeof(*k), cmp_known);
	keep_first(&v->known, sizeof(*k), cmp_by_damage);
	sort(&v->healed, sizeof(struct healed), cmp_healed);
	keep_first(&v->healed, sizeof(struct healed), cmp_by_id);
	k = (struct known *)(void *)v->known.p;
	nr = v->known.len / sizeof(*k);
	for (size_t i = 0; i < nr && kept < DAMAGE_KNOWN_MAX; i++)
		if (!is_healed_as(v, &k[i], true) && !is_healed_as(v, &k[i], false))
			k[kept++] = k[i];
	v->known.len = kept * sizeof(*k);
	return ERR_OK;
}

enum err_code damage_each(struct store *s, damage_fn *fn, void *ctx, struct err *e)
{
	struct ledger_view v = { BUF_INIT, BUF_INIT };
	enum err_code rc;

	damage_flush(s);
	rc = view_read(s, &v, e);
	for (size_t i = 0; !rc && i < v.known.len / sizeof(struct known); i++) {
		struct known k;

		memcpy(&k, v.known.p + i * sizeof(k), sizeof(k));
		rc = fn(ctx, &k.d, e);
	}
	view_release(&v);
	return rc;
}

static enum err_code learn_one(void *ctx, const struct damage *d, struct err *e)
{
	struct damage_ledger *l = ctx;
	enum err_code rc;

	must(pthread_mutex_lock(&l->mutex));
	rc = keyset_add(&l->packs, id_key(&d->pack), NULL, e);
	must(pthread_mutex_unlock(&l->mutex));
	return rc;
}

enum err_code damage_learn(struct store *s, struct err *e)
{
	enum err_code rc = damage_each(s, learn_one, s->damage, e);

	must(pthread_mutex_lock(&s->damage->mutex));
	s->damage->learned = rc == ERR_OK;
	must(pthread_mutex_unlock(&s->damage->mutex));
	return rc;
}

/* Writing. */

struct lines {
	struct store *s;
	const char *event;
	struct buf items[2];	/* "places"; or "packs", "chunks" */
	unsigned nr;
};

static enum err_code write_line(struct lines *l, struct err *e)
{
	static const char *const keys[2][2] = { { "places", NULL }, { "packs", "chunks" } };
	bool mended = strcmp(l->event, "mended") == 0;
	struct buf line = BUF_INIT;
	enum err_code rc;

	if (l->nr == 0)
		return ERR_OK;
	for (unsigned i = 0; i < 2 && keys[mended][i]; i++) {
		buf_printf(&line, "%s\"%s\":[", i ? "," : "", keys[mended][i]);
		buf_add(&line, l->items[i].p, l->items[i].len);
		buf_add_u8(&line, ']');
	}
	buf_add_u8(&line, '\0');
	if (line.bad || l->items[0].bad || l->items[1].bad)
		rc = err_set(e, ERR_NOMEM, "a line of the log");
	else
		rc = runlog_append(l->s, l->event, (const char *)line.p, e);
	buf_release(&line);
	buf_reset(&l->items[0]);
	buf_reset(&l->items[1]);
	l->nr = 0;
	return rc;
}

static const char *id_or_dash(const struct object_id *id, char hex[ID_HEX_LEN + 1])
{
	return id_is_zero(id) ? "-" : id_hex(id, hex);
}

static enum err_code write_note(struct lines *l, const struct note *n, struct err *e)
{
	char chunk[ID_HEX_LEN + 1], pack[ID_HEX_LEN + 1];
	unsigned i = n->mended && id_is_zero(&n->d.pack);
	const char *comma = l->items[i].len > 0 ? "," : "";

	if (n->mended)
		buf_printf(&l->items[i], "%s\"%s\"", comma, id_hex(i ? &n->d.chunk : &n->d.pack, pack));
	else
		buf_printf(&l->items[i], "%s\"%s %s %" PRIu64 "\"", comma, id_or_dash(&n->d.chunk, chunk),
			   id_or_dash(&n->d.pack, pack), n->d.off);
	return ++l->nr < ITEMS_A_LINE ? ERR_OK : write_line(l, e);
}

static bool in_ledger(const struct ledger_view *v, const struct note *n)
{
	const struct known *k = (const struct known *)(const void *)v->known.p;
	const struct known want = { .d = n->d };
	size_t nr = v->known.len / sizeof(*k);

	if (nr == 0)
		return false;
	if (!n->mended)
		return bsearch(&want, k, nr, sizeof(*k), cmp_by_damage) != NULL;
	for (size_t i = 0; i < nr; i++)
		if (id_is_zero(&n->d.pack) ? id_eq(&k[i].d.chunk, &n->d.chunk)
					   : id_eq(&k[i].d.pack, &n->d.pack))
			return true;
	return false;
}

/* Damage that is in the ledger is not noted again; nor that something is mended that was never damaged. */
static enum err_code write_notes(struct store *s, const struct buf *notes, bool mended, struct err *e)
{
	struct lines l = { .s = s, .event = mended ? "mended" : "damage" };
	struct ledger_view v = { BUF_INIT, BUF_INIT };
	enum err_code rc = view_read(s, &v, e);

	for (size_t i = 0; !rc && i < notes->len / sizeof(struct note); i++) {
		struct note n;

		memcpy(&n, notes->p + i * sizeof(n), sizeof(n));
		if (n.mended == mended && in_ledger(&v, &n) == mended)
			rc = write_note(&l, &n, e);
	}
	if (!rc)
		rc = write_line(&l, e);
	buf_release(&l.items[0]);
	buf_release(&l.items[1]);
	view_release(&v);
	return rc;
}

void damage_mute(struct store *s)
{
	must(pthread_mutex_lock(&s->damage->mutex));
	s->damage->muted = true;
	must(pthread_mutex_unlock(&s->damage->mutex));
}

void damage_flush(struct store *s)
{
	struct damage_ledger *l = s->damage;
	struct err e = ERR_INIT;
	struct buf notes;
	bool muted;

	must(pthread_mutex_lock(&l->mutex));
	muted = l->muted;
	notes = l->notes;
	l->notes = (struct buf)BUF_INIT;
	keyset_release(&l->seen);
	must(pthread_mutex_unlock(&l->mutex));
	if (notes.len > 0 && !muted && !store_is_read_only(s) &&
	    (write_notes(s, &notes, false, &e) || write_notes(s, &notes, true, &e)))
		store_event(s, EVENT_WARNING, NULL, &e, "the damage is not in the log");
	buf_release(&notes);
}
