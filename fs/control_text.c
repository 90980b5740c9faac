/* SPDX-License-Identifier: MIT */
/*
 * Generated files.  A lookup makes the content; where it is another than the last, it is a new generation with a node
 * id of its own, so that size and bytes belong together for whoever has it open.  The last few are kept.
 */
#include "fs/control_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"

#define GENERATIONS	16u	/* of each file: who still reads an older one gets ESTALE */
#define WHICH_SHIFT	33
#define GENERATION_MASK	((UINT64_C(1) << WHICH_SHIFT) - 1)

struct generation {
	uint64_t nr;			/* 0: none */
	struct buf text;
	struct timespec made;
};

struct texts {
	pthread_mutex_t mutex;
	uint64_t last[TEXT_NR];		/* mutex, as all here */
	struct generation kept[TEXT_NR][GENERATIONS];
};

const char *const text_names[TEXT_NR] = {
	[TEXT_STATUS] = "status", [TEXT_METRICS] = "metrics", [TEXT_DAMAGE] = "damage",
};

enum err_code texts_open(struct texts **out, struct err *e)
{
	struct texts *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ERR_NOMEM, "generated files");
	must(pthread_mutex_init(&t->mutex, NULL));
	*out = t;
	return ERR_OK;
}

void texts_close(struct texts *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < TEXT_NR; i++)
		for (size_t k = 0; k < GENERATIONS; k++)
			buf_release(&t->kept[i][k].text);
	must(pthread_mutex_destroy(&t->mutex));
	free(t);
}

static struct generation *newest_locked(struct texts *t, enum text which)
{
	return &t->kept[which][t->last[which] % GENERATIONS];
}

/* Takes text over, or leaves it where the newest generation is the same. */
static uint64_t publish(struct texts *t, enum text which, struct buf *text)
{
	struct generation *g;
	struct buf old = BUF_INIT;
	uint64_t nr;

	must(pthread_mutex_lock(&t->mutex));
	g = newest_locked(t, which);
	if (g->nr == 0 || g->text.len != text->len ||
	    memcmp(g->text.p, text->p, text->len) != 0) {
		t->last[which]++;
		g = newest_locked(t, which);
		old = g->text;
		g->text = *text;
		*text = (struct buf)BUF_INIT;
		g->nr = t->last[which];
		if (clock_gettime(CLOCK_REALTIME, &g->made) < 0)
			g->made.tv_sec = 0;
	}
	nr = g->nr;
	must(pthread_mutex_unlock(&t->mutex));
	buf_release(&old);
	return nr;
}

static enum err_code make(const struct ctl *c, enum text which, struct buf *out, struct err *e)
{
	switch (which) {
	case TEXT_STATUS:
		status_text(c, out);
		return ERR_OK;
	case TEXT_METRICS:
		metrics_text(c, out);
		return ERR_OK;
	case TEXT_DAMAGE:
		return damage_text(c, out, e);
	default:
		return ctl_none(e, ENOENT);
	}
}

enum err_code texts_now(const struct ctl *c, enum text which, uint64_t *out, struct err *e)
{
	struct buf text = BUF_INIT;
	enum err_code rc = make(c, which, &text, e);
	uint64_t nr;

	if (!rc && (text.bad || !buf_room(&text, 1)))
		rc = err_set(e, ERR_NOMEM, "%s", text_names[which]);
	if (!rc) {
		nr = publish(c->fs->control->texts, which, &text);
		*out = ctl_id(CTL_TEXT, (uint64_t)which << WHICH_SHIFT | (nr & GENERATION_MASK));
	}
	buf_release(&text);
	return rc;
}

/* NULL: too old. */
static struct generation *find_locked(struct texts *t, uint64_t nodeid)
{
	uint64_t which = ctl_data(nodeid) >> WHICH_SHIFT, nr = ctl_data(nodeid) & GENERATION_MASK;
	struct generation *g;

	if (which >= TEXT_NR || nr == 0)
		return NULL;
	g = &t->kept[which][nr % GENERATIONS];
	return (g->nr & GENERATION_MASK) == nr ? g : NULL;
}

static enum err_code text_stat(const struct ctl *c, uint64_t nodeid, struct stat *st,
			       struct err *e)
{
	struct texts *t = c->fs->control->texts;
	const struct generation *g;

	must(pthread_mutex_lock(&t->mutex));
	g = find_locked(t, nodeid);
	if (g) {
		ctl_stat(c, S_IFREG | 0400, &g->made, st);
		st->st_size = (off_t)g->text.len;
	}
	must(pthread_mutex_unlock(&t->mutex));
	return g ? ERR_OK : ctl_none(e, ESTALE);
}

static enum err_code text_read(const struct ctl *c, uint64_t nodeid, uint64_t off, void *buf,
			       size_t len, size_t *n, struct err *e)
{
	struct texts *t = c->fs->control->texts;
	const struct generation *g;
	size_t nr = 0;

	must(pthread_mutex_lock(&t->mutex));
	g = find_locked(t, nodeid);
	if (g && off < g->text.len) {
		nr = g->text.len - (size_t)off;
		nr = nr < len ? nr : len;
		memcpy(buf, g->text.p + off, nr);
	}
	must(pthread_mutex_unlock(&t->mutex));
	if (!g)
		return ctl_none(e, ESTALE);
	*n = nr;
	return ERR_OK;
}

const struct ctl_ops ctl_text_ops = { .stat = text_stat, .read = text_read };
