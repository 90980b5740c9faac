/* SPDX-License-Identifier: MIT */
/* Healing on read: the engine does it; here is what it may reach, and what is told and written down of it. */
#include <errno.h>
#include <stdio.h>

#include "store/damage_internal.h"
#include "store/internal.h"
#include "store/replicas_internal.h"

static enum err_code known(void *ctx, char ***names, size_t *nr, struct err *e)
{
	return replicas_known(ctx, names, nr, e);
}

static enum err_code open_one(void *ctx, const char *name, struct backend **out, struct err *e)
{
	return replica_open(ctx, name, out, e);
}

static void tell_mended(struct store *s, const struct heal_news *n, const char *pack)
{
	struct event_damage d = { .pack = n->pack, .mended = true };
	struct event ev = { .kind = EVENT_NOTE, .damage = &d };
	char text[256];

	if (n->kind == HEAL_WAS_WHOLE)
		(void)snprintf(text, sizeof(text), "pack %s reads right now: nothing had to be written",
			       pack);
	else if (n->from_replica)
		(void)snprintf(text, sizeof(text), "pack %s mended from a copy of the repository%s",
			       pack, n->parity_damaged ? "; its parity is not whole: vouch parity "
							 "add makes it anew" : "");
	else
		(void)snprintf(text, sizeof(text), "pack %s mended from parity, %u sector%s", pack,
			       n->sectors, n->sectors == 1 ? "" : "s");
	ev.text = text;
	if (s->events.fn)
		s->events.fn(s->events.ctx, &ev);
	/* At once: a mount may stay for months. */
	mended_note_pack(s, &n->pack);
	damage_flush(s);
}

static void tell_stopped(struct store *s, const struct err *err)
{
	if (!err)
		store_event(s, EVENT_WARNING, NULL, NULL,
			    "%u packs had to be mended: no more are, in this session; replace the "
			    "drive, and run vouch repair", HEAL_PACKS_MAX);
	else if (err->sys == EROFS || err->sys == EACCES || err->sys == EPERM)
		store_event(s, EVENT_WARNING, NULL, err,
			    "no pack is mended any more: the repository cannot be written");
	else
		store_event(s, EVENT_WARNING, NULL, err,
			    "no pack is mended any more: the drive fails; replace it");
}

static void on_news(void *ctx, const struct heal_news *n)
{
	char pack[ID_HEX_LEN + 1];
	struct store *s = ctx;

	id_hex(&n->pack, pack);
	switch (n->kind) {
	case HEAL_MENDED:
	case HEAL_WAS_WHOLE:
		tell_mended(s, n, pack);
		break;
	case HEAL_NOT_MENDED:
		store_event(s, EVENT_WARNING, NULL, n->err,
			    "pack %s cannot be made whole by healing; run vouch repair", pack);
		break;
	case HEAL_STOPPED:
		tell_stopped(s, n->err);
		break;
	}
}

void healing_config(struct store *s, struct chunks_config *cfg)
{
	cfg->replicas = (struct heal_replicas){
		.ctx = s, .known = known, .release = replicas_free, .open = open_one,
	};
	cfg->events.mended = on_news;
}

void store_set_heal(struct store *s, bool on)
{
	atomic_store(&s->heal, on);
	chunks_set_heal(s->chunks, on, on && !store_is_read_only(s));
}
