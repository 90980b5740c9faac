/* SPDX-License-Identifier: MIT */
#include "store/heartbeat_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/base/process.h"
#include "store/format/collectrec.h"
#include "store/format/limits.h"

#define DIR_WRITERS	"writers/"
#define BEAT_SEC	600

struct heartbeat {
	struct store *s;
	struct writer_rec rec;
	int64_t beat_ok;	/* monotonic seconds of the last one that was written */
	char name[64];
};

static int64_t monotonic(void)
{
	struct timespec t = { 0 };

	if (clock_gettime(CLOCK_BOOTTIME, &t) != 0)
		abort();
	return t.tv_sec;
}

/* "" where /proc does not say: then nobody of this host is taken for dead. */
static void boot_id(char out[40])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	out[0] = '\0';
	if (!f)
		return;
	if (!fgets(out, 40, f))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	(void)fclose(f);
}

static enum err_code put(struct heartbeat *h, struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc;

	h->rec.beat = store_vtime();
	writer_rec_encode(&h->rec, &b);
	if (b.bad)
		rc = err_set(e, ERR_NOMEM, "a heartbeat");
	else
		rc = h->s->backend->ops->put(h->s->backend, h->name, b.p, b.len, e);
	buf_release(&b);
	if (!rc)
		h->beat_ok = monotonic();
	return rc;
}

static void heartbeat_free(struct heartbeat *h)
{
	writer_rec_release(&h->rec);
	free(h);
}

/* Say which records we mind: nobody then waits for us because of them. */
static enum err_code learn(struct heartbeat *h, struct condemned *c, struct err *e)
{
	enum err_code rc = condemned_read(h->s, c, e);
	const char *name = (const char *)c->names.p;

	if (rc || c->nr_names == 0)
		return rc;
	h->rec.known = calloc(c->nr_names, sizeof(h->rec.known[0]));
	if (!h->rec.known)
		return err_set(e, ERR_NOMEM, "%zu records", c->nr_names);
	for (size_t i = 0; i < c->nr_names && i < WRITER_KNOWN_MAX; i++, name += strlen(name) + 1) {
		h->rec.known[i] = strdup(name);
		if (!h->rec.known[i])
			return err_set(e, ERR_NOMEM, "%zu records", c->nr_names);
		h->rec.nr_known++;
	}
	return put(h, e);
}

enum err_code heartbeat_begin(struct store *s, struct heartbeat **out, struct condemned *c,
			      struct err *e)
{
	struct heartbeat *h = calloc(1, sizeof(*h));
	char writer[9], run[17];
	uint8_t noise[8];
	enum err_code rc;

	if (!h)
		return err_set(e, ERR_NOMEM, "a heartbeat");
	h->s = s;
	h->rec.began = store_vtime();
	h->rec.pid = (uint64_t)getpid();
	h->rec.ticks = process_ticks(h->rec.pid);
	boot_id(h->rec.boot);
	rc = writer_identity(s, h->rec.writer, NULL, e);
	if (!rc)
		rc = digest_random(noise, sizeof(noise), e);
	if (!rc) {
		hex_encode(h->rec.writer, 4, writer);
		hex_encode(noise, sizeof(noise), run);
		(void)snprintf(h->name, sizeof(h->name), DIR_WRITERS "%s-%s.json", writer, run);
		rc = put(h, e);
	}
	/* Ours first, then theirs: a collector does it the other way round, so that one sees the other. */
	if (!rc) {
		rc = learn(h, c, e);
		if (rc)
			(void)s->backend->ops->remove(s->backend, h->name, NULL);
	}
	if (rc) {
		condemned_release(c);
		heartbeat_free(h);
		err_prefix(e, "heartbeat");
		return rc;
	}
	*out = h;
	return ERR_OK;
}

void heartbeat_beat(struct heartbeat *h)
{
	if (monotonic() - h->beat_ok >= BEAT_SEC)
		(void)put(h, NULL);	/* the next one may do; heartbeat_check() minds */
}

enum err_code heartbeat_check(const struct heartbeat *h, struct err *e)
{
	if (monotonic() - h->beat_ok < HEARTBEAT_SILENT_SEC - BEAT_SEC)
		return ERR_OK;
	return err_set(e, ERR_BUSY, "no sign of life could be given for a day, so that a prune may have "
		       "deleted what this run counts on; run it again");
}

void heartbeat_end(struct heartbeat *h)
{
	if (!h)
		return;
	/* One that stays is told from the living by its process. */
	(void)h->s->backend->ops->remove(h->s->backend, h->name, NULL);
	heartbeat_free(h);
}

struct names {
	struct buf text;
	size_t nr;
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct names *n = ctx;

	(void)size;
	buf_add(&n->text, name, strlen(name) + 1);
	n->nr++;
	return !n->text.bad;
}

/* Of this very host's id, and its process is no more. */
static bool is_dead(const struct writer_rec *r, const uint8_t me[16])
{
	char boot[40];

	if (memcmp(r->writer, me, sizeof(r->writer)) != 0 || !*r->boot)
		return false;
	boot_id(boot);
	if (!*boot)
		return false;
	if (strcmp(boot, r->boot) != 0)
		return true;
	return r->ticks != 0 && process_ticks(r->pid) != r->ticks;
}

static bool knows(const struct writer_rec *r, const struct condemned *c)
{
	const char *name = (const char *)c->names.p;
	bool all = true;

	for (size_t i = 0; i < c->nr_names && all; i++, name += strlen(name) + 1) {
		all = false;
		for (size_t k = 0; k < r->nr_known && !all; k++)
			all = strcmp(r->known[k], name) == 0;
	}
	return all;
}

/* *waits: it may be at work, and counts on what is condemned. */
static enum err_code look_at(struct store *s, const char *name, const struct condemned *c,
			     const uint8_t me[16], bool *waits, struct err *e)
{
	struct writer_rec r = { .pid = 0 };
	struct buf b = BUF_INIT;
	enum err_code rc = record_get(s->backend, name, RECORD_JSON_MAX, &b, e);

	if (!rc)
		rc = writer_rec_decode(b.p, b.len, &r, e);
	buf_release(&b);
	*waits = false;
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		return ERR_OK;
	}
	if (rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED) {
		/* Somebody, since some time: who looks after the repository must say. */
		store_event(s, EVENT_WARNING, name, e, "a writer's heartbeat cannot be read; if none "
			    "is at work, delete the file");
		err_clear(e);
		*waits = true;
		return ERR_OK;
	}
	if (rc)
		return rc;
	if (is_dead(&r, me) || store_vtime().sec - r.beat.sec > HEARTBEAT_SILENT_SEC)
		(void)s->backend->ops->remove(s->backend, name, NULL);
	else
		*waits = !c || !knows(&r, c);
	writer_rec_release(&r);
	return ERR_OK;
}

enum err_code heartbeats_unaware(struct store *s, const struct condemned *c,
				 const struct heartbeat *mine, uint64_t *nr, struct err *e)
{
	struct names n = { .nr = 0 };
	uint8_t me[16];
	const char *name;
	enum err_code rc = writer_identity(s, me, NULL, e);

	if (!rc)
		rc = s->backend->ops->list(s->backend, DIR_WRITERS, false, on_name, &n, e);
	if (!rc && n.text.bad)
		rc = err_set(e, ERR_NOMEM, "%zu heartbeats", n.nr);
	*nr = 0;
	name = (const char *)n.text.p;
	for (size_t i = 0; i < n.nr && !rc; i++, name += strlen(name) + 1) {
		bool waits = false;

		if (mine && strcmp(name, mine->name) == 0)
			continue;
		rc = look_at(s, name, c, me, &waits, e);
		*nr += waits;
	}
	buf_release(&n.text);
	return rc;
}
