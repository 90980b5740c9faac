/* SPDX-License-Identifier: MIT */
/*
 * A dump goes three ways at once: its bytes are looked at and stored, and neo4j-admin database load has them in a scratch
 * home, whose server is then asked for the counts: those are the dump's own, and it is known to load.  The component's
 * server is up again before that.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/components/neo4j.h"
#include "tools/components/neo4j_archive.h"
#include "tools/text.h"

#define PIECE_LEN (256u << 10)

/* One dump under way. */
struct take {
	struct component *c;
	struct dump *d;			/* NULL: nothing is stored */
	const struct neo4j_place *from;
	const char *database;
	bool own; /* from is the component's home: its server is stopped and started, its system database dumped, too */
	struct neo4j_place scratch;
	struct spawn *load;
	struct neo4j_pause *pause;
	uint64_t bytes;			/* in the database's files */
	bool recover;			/* it failed because the server had been killed */
};

/* The way of one archive's bytes. */
struct stream {
	struct take *t;
	struct neo4j_archive *a;
	struct assembly_file *f;
	uint64_t bytes;
};

static enum err_code to_store(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct stream *s = ctx;

	s->bytes += len;
	component_progress(s->t->c, "dump", s->bytes, 0);
	return dump_write(s->f, buf, len, e);
}

static enum err_code pump(struct stream *s, struct spawn *from, struct spawn *load, struct err *e)
{
	const atomic_bool *cancel = s->t->c->cancel;
	uint8_t *piece = malloc(PIECE_LEN);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
	size_t n = 1;

	while (!rc && n > 0) {
		rc = spawn_read(from, cancel, piece, PIECE_LEN, &n, e);
		if (!rc && n > 0)
			rc = neo4j_archive_push(s->a, piece, n, e);
		if (!rc && n > 0 && load) {
			rc = spawn_write(load, cancel, piece, n, e);
			if (rc)
				err_prefix(e, "loading it into a scratch home");
		}
	}
	free(piece);
	return rc;
}

/* from: neo4j-admin database dump --to-stdout, running.  Ended here in any case. */
static enum err_code take_stream(struct take *t, struct spawn *from, const char *file, struct spawn *load, uint64_t *bytes,
				 struct err *e)
{
	struct stream s = { .t = t };
	struct dump none = { 0 }, *d = t->d ? t->d : &none;
	enum err_code rc = dump_file_open(d, file, &s.f, e);

	if (!rc)
		rc = neo4j_archive_open(to_store, &s, &s.a, e);
	if (!rc)
		rc = pump(&s, from, load, e);
	if (!rc) {
		rc = spawn_end(from, t->c->cancel, e);
		t->recover = rc == ERR_FAILED && strstr(spawn_err(from), "recover");
	}
	if (!rc) {
		rc = neo4j_archive_end(s.a, e);
		if (rc)
			err_prefix(e, "neo4j-admin said that all was well, but");
	}
	if (!rc) {
		*bytes = neo4j_archive_bytes(s.a);
		rc = dump_file_close(d, file, s.f, e);
		s.f = NULL;
	}
	if (s.f)
		assembly_file_drop(s.f);
	neo4j_archive_close(s.a);
	spawn_close(from);
	return rc;
}

static enum err_code start_dump(struct take *t, const char *database, struct spawn **out, struct err *e)
{
	const char *const words[] = { "database", "dump", database, "--to-stdout", NULL };

	return neo4j_admin(t->c, t->from, t->from == &neo4j_of(t->c)->live, SPAWN_STDIN_NONE, words, out, e);
}

/* Both at once: most of a small dump's time is two JVMs' start.  The second waits in its pipe. */
static enum err_code take_both(struct take *t, struct err *e)
{
	struct spawn *first = NULL, *second = NULL;
	uint64_t ignored;
	enum err_code rc = start_dump(t, t->database, &first, e);

	if (!rc && t->own && t->d)
		rc = start_dump(t, "system", &second, e);
	if (rc)
		spawn_close(first);
	else
		rc = take_stream(t, first, NEO4J_DUMP, t->load, &t->bytes, e);
	if (!rc && second) {
		rc = take_stream(t, second, NEO4J_SYSTEM, NULL, &ignored, e);
		second = NULL;
		if (rc)
			err_prefix(e, "system database");
	}
	spawn_close(second);
	return rc;
}

/* The server is down: nothing changes from now on. */
static void set_instant(struct facts *f)
{
	struct facts now = { 0 };

	facts_begin(&now, "", "");
	if (facts_get(&now, "instant"))
		facts_set(f, "instant", facts_get(&now, "instant"));
	facts_release(&now);
}

/* What can be said before a server is stopped for it. */
static enum err_code look_before(struct take *t, struct err *e)
{
	const struct neo4j *n = neo4j_of(t->c);
	uint64_t bytes = 0;
	bool there = false;
	enum err_code rc = neo4j_place_size(t->from, t->database, &there, &bytes, e);

	if (!rc && !there)
		rc = err_set(e, ERR_FAILED, "there is no database %s in %s/databases (keys database, home, data)",
			     t->database, t->from->data);
	if (!rc)
		rc = neo4j_room(n->scratch, bytes + bytes / 8, "a scratch home for the dump", e);
	return rc;
}

/* The server is down between here and there; nothing else is done meanwhile. */
static enum err_code while_paused(struct take *t, double *downtime, struct err *e)
{
	struct err first = ERR_INIT;
	enum err_code rc = t->own ? neo4j_pause_begin(t->c, &t->pause, e) : ERR_OK;

	if (rc)
		return rc;
	if (t->d)
		set_instant(t->d->facts);
	rc = take_both(t, &first);
	if (rc && t->recover && t->own && !t->pause) {
		struct neo4j *n = neo4j_of(t->c);

		if (!n->stop) {
			rc = err_set(&first, ERR_FAILED,
				     "the Neo4j server of %s was killed, and its store needs recovery: start it once, "
				     "and stop it; with start and stop configured vouch does",
				     n->live.home);
		} else {
			component_note(
			    t->c,
			    "the server had been killed, its store needs recovery: it is started, and stopped cleanly");
			rc = neo4j_cure(t->c, &first);
			if (!rc && t->d)
				set_instant(t->d->facts);
			if (!rc)
				rc = take_both(t, &first);
		}
	}
	if (rc)
		*e = first;
	rc = neo4j_pause_end(t->c, t->pause, downtime, rc, e);
	t->pause = NULL;
	return rc;
}

static enum err_code take_open(struct take *t, struct err *e)
{
	const char *const words[] = { "database", "load", neo4j_of(t->c)->database, "--from-stdin", NULL };
	enum err_code rc = neo4j_scratch(t->c, &t->scratch, e);

	return rc ? rc : neo4j_admin(t->c, &t->scratch, false, SPAWN_STDIN_PIPE, words, &t->load, e);
}

/* Dump, load, serve; the server is the component's own again before anything of the last two is waited for. */
static enum err_code take(struct take *t, struct neo4j_served **out, double *downtime, struct err *e)
{
	enum err_code rc = look_before(t, e);

	if (!rc)
		rc = take_open(t, e);
	if (!rc)
		rc = while_paused(t, downtime, e);
	if (!rc) {
		spawn_close_stdin(t->load);
		rc = spawn_end(t->load, t->c->cancel, e);
		if (rc)
			err_prefix(e, "the dump does not load");
	}
	spawn_close(t->load);
	if (!rc)
		rc = neo4j_serve(t->c, &t->scratch, out, e);
	else
		neo4j_place_remove(&t->scratch);
	return rc;
}

enum err_code neo4j_dump(struct component *c, struct dump *d, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct take t = { .c = c, .d = d, .from = &n->live, .database = n->database, .own = true };
	struct neo4j_served *s = NULL;
	struct http *h = NULL;
	char text[TEXT_LEN];
	double downtime = -1;
	enum err_code rc = neo4j_resume(c, e);

	if (!rc)
		rc = neo4j_pause_possible(c, e);
	if (!rc)
		rc = take(&t, &s, &downtime, e);
	if (downtime >= 0) {
		facts_set_real(d->facts, "downtime", downtime);
		component_note(c, "the server was down for %s", text_duration(downtime, text));
	}
	if (!rc)
		rc = neo4j_http(c, s, &h, e);
	if (!rc)
		rc = neo4j_wait_online(h, n->database, n->online_wait, false, c->cancel, e);
	if (!rc)
		rc = neo4j_count(h, n->database, d->facts, e);
	if (!rc)
		facts_set_u64(d->facts, "store_bytes", t.bytes);
	http_close(h);
	neo4j_unserve(s);
	return rc;
}

char *neo4j_temporary(const struct component *c, const char *into)
{
	char *path = into && *into != '/' ? neo4j_path(neo4j_of(c)->scratch, into, NULL) : NULL;

	if (path && access(path, F_OK) < 0) {
		free(path);
		return NULL;
	}
	return path;
}

/* A server over what is in into: a temporary home is served as it is, anything else by way of a dump. */
static enum err_code serve_into(struct component *c, const char *into, const struct neo4j_place *other, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	char *temporary = neo4j_temporary(c, into), *name = strdup(into ? into : "");
	struct take t = { .c = c, .from = other ? other : &n->live, .database = n->database, .own = !into };
	struct neo4j_place p = { 0 };
	struct neo4j_served *s = NULL;
	double ignored;
	enum err_code rc = name ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

	if (into && !temporary && !other)
		t.database = into;
	if (!rc && temporary)
		rc = neo4j_place_read(temporary, NULL, NULL, &p, e);
	if (!rc)
		rc = temporary ? neo4j_serve(c, &p, &s, e) : take(&t, &s, &ignored, e);
	if (!rc) {
		s->into = name;
		name = NULL;
		neo4j_unserve(n->served);
		n->served = s;
	}
	free(name);
	free(temporary);
	return rc;
}

enum err_code neo4j_reach(struct component *c, const char *into, struct http **out, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct neo4j_place other = { 0 };
	bool home = into && *into == '/';
	enum err_code rc = home ? neo4j_place_read(into, NULL, NULL, &other, e) : ERR_OK;

	if (rc)
		return rc;
	if (home && neo4j_busy(other.data)) {
		const struct http_options o = {.base = other.listen,
					       .user = n->password ? n->user : NULL,
					       .password = n->password,
					       .cancel = c->cancel};

		rc = http_open(&o, out, e);
	} else if (!into && neo4j_busy(n->live.data)) {
		rc = neo4j_http(c, NULL, out, e);
	} else {
		if (!n->served || strcmp(n->served->into, into ? into : "") != 0)
			rc = serve_into(c, into, home ? &other : NULL, e);
		if (!rc)
			rc = neo4j_http(c, n->served, out, e);
	}
	neo4j_place_release(&other);
	return rc;
}

enum err_code neo4j_inspect(struct component *c, const char *into, struct facts *out, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct http *h = NULL;
	enum err_code rc = ERR_OK;

	if (!into)
		rc = neo4j_resume(c, e);
	if (!rc && !into && !neo4j_busy(n->live.data)) {	/* it may have been written to since the last look */
		neo4j_unserve(n->served);
		n->served = NULL;
	}
	if (!rc)
		rc = neo4j_reach(c, into, &h, e);
	if (!rc)
		rc = neo4j_wait_online(h, n->database, n->online_wait, false, c->cancel, e);
	if (!rc)
		rc = neo4j_count(h, n->database, out, e);
	http_close(h);
	return rc;
}
