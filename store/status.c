/* SPDX-License-Identifier: MIT */
#include "store/status.h"

#include <string.h>

#include "store/damage_internal.h"
#include "store/lastgood_internal.h"
#include "store/replicas_internal.h"

#define DAY_SEC	86400

static const unsigned spans[STATUS_SPANS] = { 7, 30, 90 };

static enum err_code add_pack(void *ctx, const struct object_id *id, uint64_t len, struct err *e)
{
	return lastgood_add(ctx, id, len, e);
}

enum err_code status_checked(struct store *s, struct status_checked *out, struct err *e)
{
	struct status_checked c = { 0 };
	struct lastgood l = { 0 };
	int64_t now = store_vtime().sec;
	enum err_code rc;

	rc = chunks_sizes(s->chunks, add_pack, &l, e);
	if (!rc)
		rc = lastgood_read(s, &l, spans[STATUS_SPANS - 1] + 1, e);
	if (rc)
		goto out;
	c.packs = l.nr;
	for (size_t k = 0; k < STATUS_SPANS; k++)
		c.good[k].days = spans[k];
	for (size_t i = 0; i < l.nr; i++) {
		int64_t when = lastgood_when(&l.packs[i]);

		c.bytes += l.packs[i].size;
		for (size_t k = 0; k < STATUS_SPANS && when; k++) {
			if (now - when > (int64_t)spans[k] * DAY_SEC)
				continue;
			c.good[k].packs++;
			c.good[k].bytes += l.packs[i].size;
		}
	}
	c.has_last = l.last_mode[0] != '\0';
	c.last = l.last;
	c.last_damaged = l.last_damaged;
	memcpy(c.last_mode, l.last_mode, sizeof(c.last_mode));
	*out = c;
out:
	lastgood_release(&l);
	return rc;
}

struct counting {
	struct status_damage *d;
	struct object_id last;		/* pack; they come in order */
};

static enum err_code count_damage(void *ctx, const struct damage *d, struct err *e)
{
	struct counting *c = ctx;

	(void)e;
	c->d->places++;
	c->d->packs += !id_is_zero(&d->pack) && !id_eq(&d->pack, &c->last);
	c->last = d->pack;
	return ERR_OK;
}

enum err_code status_damage(struct store *s, struct status_damage *out, struct err *e)
{
	struct status_damage d = { 0 };
	struct counting c = { .d = &d };
	enum err_code rc = damage_each(s, count_damage, &c, e);

	if (!rc)
		*out = d;
	return rc;
}

enum err_code status_replicas(struct store *s, char ***paths, size_t *nr, struct err *e)
{
	return replicas_known(s, paths, nr, e);
}

void status_replicas_free(char **paths, size_t nr)
{
	replicas_free(paths, nr);
}
