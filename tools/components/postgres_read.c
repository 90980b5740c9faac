/* SPDX-License-Identifier: MIT */
/* A dump read by pg_restore: to its end, or through it into memory or another program. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/must.h"
#include "tools/components/postgres.h"

#define PIECE (256u << 10)

enum err_code pg_read_back(struct component *c, struct restore_job *j, struct err *e)
{
	struct pg_tool t;
	struct spawn *s = NULL;
	enum err_code rc;

	pg_tool_init(&t, c, PG_OWN, NULL, PG_PG_RESTORE);
	pg_tool_add(&t, "-f-");
	rc = pg_tool_start(c, &t, SPAWN_STDIN_PIPE, true, &s, e);
	if (!rc)
		rc = restore_feed(c, j, PG_DUMP, s, e);
	if (!rc)
		rc = spawn_end(s, c->cancel, e);
	if (rc)
		err_prefix(e, PG_DUMP " cannot be read");
	spawn_close(s);
	pg_tool_release(&t);
	return rc;
}

/* Two directions at once, so a thread feeds. */
struct feeder {
	struct component *c;
	struct restore_job *j;
	struct spawn *to;
	enum err_code rc;
	struct err err;
};

static void *feed(void *arg)
{
	struct feeder *f = arg;

	f->rc = restore_feed(f->c, f->j, PG_DUMP, f->to, &f->err);
	if (f->rc)
		spawn_close_stdin(f->to);
	return NULL;
}

static enum err_code drain(struct component *c, struct spawn *s, pg_sink_fn *fn, void *ctx, struct err *e)
{
	char *piece = malloc(PIECE);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "reading a dump");
	size_t n = 0;

	while (piece) {
		enum err_code read = spawn_read(s, c->cancel, piece, PIECE, &n, rc ? NULL : e);

		if (read || n == 0) {
			rc = rc ? rc : read;
			break;
		}
		/* after an error the rest is read for nothing: the feeder must come to an end */
		if (!rc)
			rc = fn(ctx, piece, n, e);
	}
	free(piece);
	return rc;
}

enum err_code pg_through(struct component *c, struct restore_job *j, struct pg_tool *t, pg_sink_fn *fn, void *ctx,
			 struct err *e)
{
	struct feeder f = { .c = c, .j = j, .err = ERR_INIT };
	pthread_t thread;
	enum err_code rc = pg_tool_start(c, t, SPAWN_STDIN_PIPE, false, &f.to, e);

	if (rc)
		return rc;
	must(pthread_create(&thread, NULL, feed, &f));
	rc = drain(c, f.to, fn, ctx, e);
	must(pthread_join(thread, NULL));
	/* ERR_FAILED: it had read what it wanted, and closed; its status tells */
	if (!rc && f.rc && f.rc != ERR_FAILED) {
		rc = f.rc;
		if (e)
			*e = f.err;
	}
	if (!rc)
		rc = spawn_end(f.to, c->cancel, e);
	spawn_close(f.to);
	return rc;
}
