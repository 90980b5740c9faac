/* SPDX-License-Identifier: MIT */
/*
 * A dump: one session exports its snapshot, pg_dump reads in that, and what it writes goes into the repository and,
 * at the same time, through a pg_restore, which proves that the archive can be read to its end and whose rows are
 * counted and summed:
 *
 *   psql (snapshot) ──► pg_dump -Fc -Z0 ──┬──► database.dump
 *                                         └──► pg_restore -a -f - ──► rows and sums a table (another thread)
 *
 * Nothing counts but that both ended with status 0 and the rows were read to their end.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/must.h"
#include "tools/components/pgcopy.h"
#include "tools/components/postgres.h"

#define PIECE (256u << 10)

/* What the stream told; facts only once the dump is known to be good. */
struct found {
	struct counted {
		char *name;
		bool sequence, called;
		int64_t value;
		struct rowsum rows;
	} *v;
	size_t nr, cap;
	struct rowsum objects;
};

static void found_release(struct found *f)
{
	for (size_t i = 0; i < f->nr; i++)
		free(f->v[i].name);
	free(f->v);
	*f = (struct found){ 0 };
}

static enum err_code add(struct found *f, const char *name, const struct counted *what, struct err *e)
{
	if (f->nr == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct counted *v = reallocarray(f->v, cap, sizeof(*v));

		if (!v)
			return err_set(e, ERR_NOMEM, "list of tables");
		f->v = v;
		f->cap = cap;
	}
	f->v[f->nr] = *what;
	f->v[f->nr].name = strdup(name);
	if (!f->v[f->nr].name)
		return err_set(e, ERR_NOMEM, "list of tables");
	f->nr++;
	return ERR_OK;
}

static enum err_code on_table(void *ctx, const char *name, const struct rowsum *rows, struct err *e)
{
	return add(ctx, name, &(struct counted){ .rows = *rows }, e);
}

static enum err_code on_sequence(void *ctx, const char *name, int64_t value, bool called, struct err *e)
{
	return add(ctx, name, &(struct counted){ .sequence = true, .called = called, .value = value }, e);
}

/* The thread that reads what pg_restore makes of the archive. */
struct proof {
	struct component *c;
	struct spawn *restore;
	struct found *found;
	enum err_code rc;
	struct err err;
};

static void *read_proof(void *arg)
{
	struct proof *p = arg;
	struct pgcopy_sink sink = { on_table, on_sequence, p->found };
	struct pgcopy *copy = NULL;
	char *piece = malloc(PIECE);
	size_t n = 1;

	p->rc = piece ? pgcopy_open(&sink, &copy, &p->err) : err_set(&p->err, ERR_NOMEM, "reading a dump");
	while (piece && n > 0) {
		struct err e = ERR_INIT;
		enum err_code rc = spawn_read(p->restore, p->c->cancel, piece, PIECE, &n, &e);

		if (rc) {
			if (!p->rc) {
				p->rc = rc;
				p->err = e;
			}
			break;
		}
		/* after an error the rest is still read: a full pipe would hold up the writer */
		if (!p->rc && n > 0)
			p->rc = pgcopy_feed(copy, piece, n, &p->err);
	}
	if (!p->rc)
		p->rc = pgcopy_finish(copy, &p->found->objects, &p->err);
	pgcopy_close(copy);
	free(piece);
	return NULL;
}

/* From pg_dump into the repository and into pg_restore.  With its first bytes it has its locks: nothing changes any more. */
static enum err_code pump(struct component *c, struct talk *t, struct spawn *from, struct spawn *to, struct assembly_file *f,
			  uint64_t total, struct err *e)
{
	char *piece = malloc(PIECE);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "dumping");
	uint64_t done = 0;
	size_t n = 0;

	while (!rc) {
		rc = spawn_read(from, c->cancel, piece, PIECE, &n, e);
		if (rc || n == 0)
			break;
		if (done == 0)
			rc = pg_none_changed(t, e);
		if (!rc)
			rc = dump_write(f, piece, n, e);
		if (!rc)
			rc = spawn_write(to, c->cancel, piece, n, e);
		done += n;
		component_progress(c, "dump", done, total);
	}
	free(piece);
	return rc;
}

static enum err_code start_dump(struct component *c, enum pg_where where, const char *database,
				const struct pg_snapshot *snapshot, struct pg_tool *t, struct spawn **out, struct err *e)
{
	pg_tool_init(t, c, where, database, PG_PG_DUMP);
	pg_tool_add(t, "-Fc");
	pg_tool_add(t, "-Z0");		/* what is compressed shares no chunks with yesterday's */
	pg_tool_add(t, "-E%s", snapshot->encoding);
	pg_tool_add(t, "--snapshot=%s", snapshot->id);
	pg_tool_add(t, "--lock-wait-timeout=%llu", (unsigned long long)pg_of(c)->lock_wait * 1000);
	pg_tool_add(t, "-N%s", PG_BEFORE);
	return pg_tool_start(c, t, SPAWN_STDIN_NONE, false, out, e);
}

/*
 * Both programs, the two copies, and how it ended.  pg_dump's own words come first: where it fails, the rest fails
 * too, and knows less.
 */
static enum err_code stream(struct component *c, struct talk *t, enum pg_where where, const char *database,
			    const struct pg_snapshot *snapshot, struct assembly_file *f, struct found *found, struct err *e)
{
	struct proof proof = { .c = c, .found = found, .err = ERR_INIT };
	struct pg_tool dump_tool = { .nr = 0 }, restore_tool = { .nr = 0 };
	struct spawn *dump = NULL;
	struct err piped = ERR_INIT;
	pthread_t thread;
	enum err_code rc, ended;

	pg_tool_init(&restore_tool, c, where, NULL, PG_PG_RESTORE);
	pg_tool_add(&restore_tool, "-a");
	pg_tool_add(&restore_tool, "-f-");
	rc = pg_tool_start(c, &restore_tool, SPAWN_STDIN_PIPE, false, &proof.restore, e);
	if (!rc)
		rc = start_dump(c, where, database, snapshot, &dump_tool, &dump, e);
	if (rc)
		goto out;
	must(pthread_create(&thread, NULL, read_proof, &proof));
	rc = pump(c, t, dump, proof.restore, f, snapshot->bytes, &piped);
	spawn_close_stdin(proof.restore);
	must(pthread_join(thread, NULL));
	/* a pg_dump that cannot go on writing because its reader failed would wait for ever */
	ended = rc ? ERR_OK : spawn_end(dump, c->cancel, e);
	if (ended) {
		rc = ended;
		if (e && strstr(e->msg, "statement timeout"))	/* none is set but by this */
			err_prefix(e, PG_LOCKED);
	} else if (rc) {
		if (e)
			*e = piped;
	} else {
		rc = spawn_end(proof.restore, c->cancel, e);
		if (!rc && proof.rc) {
			rc = proof.rc;
			if (e)
				*e = proof.err;
		}
		if (rc)
			err_prefix(e, "the dump cannot be read back");
	}
out:
	spawn_close(dump);
	spawn_close(proof.restore);
	pg_tool_release(&dump_tool);
	pg_tool_release(&restore_tool);
	return rc;
}

/* Sequences that count up can be compared with what is there later; others only where nothing ran since. */
static void tell_sequence(struct facts *f, const struct counted *s)
{
	const char *step = pg_member(facts_item(f, "sequence", s->name), "step");
	char value[32];

	(void)snprintf(value, sizeof(value), "%lld%s", (long long)s->value, s->called ? "" : " (not taken yet)");
	if (s->value >= 0 && step && step[0] != '-') {
		facts_value(f, "sequence", s->name, (uint64_t)s->value, true);
		return;
	}
	facts_moving(f, "sequence", s->name);
	if (facts_item(f, "sequence", s->name) &&
	    json_object_set_new(facts_item(f, "sequence", s->name), "info", json_string(value)))
		f->bad = true;
}

static void tell(struct facts *f, const struct found *found)
{
	char sum[ROWSUM_TEXT_LEN + 1];

	for (size_t i = 0; i < found->nr; i++) {
		if (found->v[i].sequence) {
			tell_sequence(f, &found->v[i]);
			continue;
		}
		rowsum_text(&found->v[i].rows, sum);
		facts_rows(f, "table", found->v[i].name, found->v[i].rows.rows, sum);
	}
	if (found->objects.rows > 0) {
		rowsum_text(&found->objects, sum);
		facts_rows(f, "large objects", "all", found->objects.rows, sum);
	}
}

/* Every table that has rows of its own must have come: pg_dump leaves unlogged ones of a standby out, and says nothing. */
static enum err_code all_there(struct component *c, const struct facts *f, struct err *e)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(f->root, "items"), i, item) {
		const char *storage = pg_member(item, "storage");

		if (!storage || json_object_get(item, "rows"))
			continue;
		if (strcmp(storage, "unlogged") == 0) {
			component_note(c, "table %s is unlogged: this standby has no rows of it", pg_member(item, "name"));
			continue;
		}
		return err_set(e, ERR_FAILED, "pg_dump left the rows of %s out", pg_member(item, "name"));
	}
	return ERR_OK;
}

/* One try.  *f is dropped by the caller where it failed.  *reached: there was a session. */
static enum err_code dump_once(struct component *c, enum pg_where where, const char *database, struct assembly_file *f,
			       struct facts *facts, bool *reached, struct err *e)
{
	struct found found = { 0 };
	struct pg_snapshot snapshot = { 0 };
	struct talk *t = NULL;
	enum err_code rc = pg_connect(c, where, database, true, &t, e);

	*reached = rc == ERR_OK;
	if (!rc)
		rc = pg_instant(t, &snapshot, e);
	if (!rc)
		rc = pg_tell_server(t, facts, e);
	if (!rc)
		rc = stream(c, t, where, database, &snapshot, f, &found, e);
	if (!rc)
		rc = pg_catalog(t, facts, e);
	if (!rc) {
		tell(facts, &found);
		rc = facts_check(facts, e);
	}
	if (!rc)
		rc = all_there(c, facts, e);
	talk_close(t);
	pg_snapshot_release(&snapshot);
	found_release(&found);
	return rc;
}

/* Something was dropped or altered between the snapshot and pg_dump's locks. */
static bool was_changed(const struct err *e)
{
	return strstr(e->msg, "does not exist") || strstr(e->msg, "cache lookup failed") ||
	       strstr(e->msg, "could not open relation") || strstr(e->msg, "concurrently") ||
	       strstr(e->msg, "appears to be empty") || strstr(e->msg, "since the snapshot");
}

static enum err_code tell_tool(struct component *c, struct facts *f, struct err *e)
{
	struct buf out = BUF_INIT;
	enum err_code rc = pg_tool_version(c, PG_PG_DUMP, &out, e);

	if (!rc)
		facts_set(f, "tool", (const char *)out.p);
	buf_release(&out);
	return rc;
}

enum err_code pg_dump(struct component *c, struct dump *d, struct err *e)
{
	const char *database = pgdsn_get(&pg_of(c)->dsn[PG_OWN], "dbname");
	struct assembly_file *f = NULL;
	struct err why = ERR_INIT;
	bool reached = false;
	enum err_code rc = tell_tool(c, d->facts, e);

	for (int attempt = 0; !rc; attempt++) {
		rc = dump_file_open(d, PG_DUMP, &f, &why);
		if (rc)
			break;
		rc = dump_once(c, PG_OWN, database, f, d->facts, &reached, &why);
		if (!rc) {
			rc = dump_file_close(d, PG_DUMP, f, &why);
			f = NULL;
			break;
		}
		assembly_file_drop(f);
		f = NULL;
		if (rc != ERR_FAILED || attempt > 0 || !reached || !was_changed(&why))
			break;
		component_note(c, "something was dropped or altered while it was dumped, so once more: %s", why.msg);
		/* nothing of what was recorded of the first try may stay */
		facts_release(d->facts);
		facts_begin(d->facts, c->ops->type, c->name);
		rc = tell_tool(c, d->facts, &why);
	}
	if (!rc && pg_of(c)->globals)
		rc = pg_add_globals(c, d, &why);
	if (rc && e && why.code)
		*e = why;
	return rc;
}

enum err_code pg_inspect(struct component *c, const char *into, struct facts *out, struct err *e)
{
	const char *database;
	enum pg_where where = pg_place(c, into, &database);
	bool reached;

	return dump_once(c, where, database, NULL, out, &reached, e);
}
