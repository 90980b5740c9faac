/* SPDX-License-Identifier: MIT */
/* A file of a dump into the server, and what has to be out of its way. */
#include <stdlib.h>
#include <string.h>

#include "store/tree.h"
#include "tools/components/mysql.h"

#define PIECE	  (1u << 20)
#define NAMED_MAX 5u

enum err_code mysql_each_piece(struct component *c, struct restore_job *j, const char *file, mysql_bytes_fn *fn, void *ctx,
			       struct err *e)
{
	uint8_t *piece = malloc(PIECE);
	struct blob *b = NULL;
	enum err_code rc = piece ? restore_file(j, file, &b, e) : err_set(e, ERR_NOMEM, "read %s", file);
	uint64_t off = 0;
	size_t n;

	while (!rc && off < blob_size(b)) {
		if (c->cancel && atomic_load(c->cancel)) {
			rc = err_set(e, ERR_CANCELED, "interrupted");
			break;
		}
		rc = blob_pread(b, off, piece, PIECE, &n, e);
		if (!rc)
			rc = fn(ctx, piece, n, e);
		off += rc ? 0 : n;
		component_progress(c, file, off, blob_size(b));
	}
	blob_close(b);
	free(piece);
	return rc;
}

struct loading {
	struct component *c;
	struct spawn *to;
	struct mysql_stream *stream; /* NULL: nothing is called otherwise */
	struct mysql_rename *names;
	struct mysql_renames renames;
	struct buf text;
	size_t mentions; /* statements whose bodies name the old database */
};

static enum err_code send(struct loading *l, const void *p, size_t len, struct err *e)
{
	return spawn_write(l->to, l->c->cancel, p, len, e);
}

static enum err_code on_part(void *ctx, enum mysql_part part, const char *name, struct err *e)
{
	(void)ctx;
	(void)part;
	(void)name;
	(void)e;
	return ERR_OK;
}

static enum err_code on_rows(void *ctx, const char *table, struct rowsum **out, struct err *e)
{
	(void)ctx;
	(void)table;
	(void)e;
	*out = NULL;
	return ERR_OK;
}

static enum err_code on_piece(void *ctx, enum mysql_piece kind, const char *p, size_t len, struct err *e)
{
	struct loading *l = ctx;
	struct mysql_statement st;

	if (kind != MYSQL_STATEMENT)
		return send(l, p, len, e);
	buf_reset(&l->text);
	mysql_sql_rename(&l->renames, p, len, &l->text);
	if (l->text.bad)
		return err_set(e, ERR_NOMEM, "a statement of %zu bytes", len);
	if (mysql_sql_mentions(&l->renames, (const char *)l->text.p, l->text.len) && mysql_sql_read(p, len, &st) &&
	    l->mentions++ < NAMED_MAX)
		component_note(l->c, "%s: the body of %s names a database by its old name, and still works there",
			       l->c->name, st.name);
	return send(l, l->text.p, l->text.len, e);
}

static enum err_code on_bytes(void *ctx, const void *buf, size_t len, struct err *e)
{
	struct loading *l = ctx;

	return l->stream ? mysql_stream_feed(l->stream, buf, len, e) : send(l, buf, len, e);
}

static enum err_code start(struct loading *l, const struct mysql_load *o, struct err *e)
{
	struct mysql *m = mysql_of(l->c);
	struct mysql_words w;
	struct buf init = BUF_INIT;
	enum err_code rc;

	mysql_words_init(&w, l->c, o->role, m->client);
	mysql_words_add(&w, "--batch");
	mysql_words_add(&w, "--binary-mode"); /* and no command of the client is taken from the file */
	mysql_words_add(&w, "--default-character-set=utf8mb4");
	mysql_words_add(&w, "--max-allowed-packet=1G");
	mysql_words_add(&w, "--skip-reconnect");
	buf_printf(&init, "--init-command=SET SESSION lock_wait_timeout = %u, wait_timeout = 86400%s%s",
		   MYSQL_RESTORE_LOCK_WAIT_S, m->mariadb ? ", max_statement_time = 0" : "",
		   o->no_binlog ? ", sql_log_bin = 0" : "");
	buf_add_u8(&init, '\0');
	w.bad = w.bad || init.bad;
	if (!init.bad)
		mysql_words_add(&w, (const char *)init.p);
	if (o->database) {
		mysql_words_add(&w, "--database");
		mysql_words_add(&w, o->database);
	}
	rc = mysql_words_start(l->c, &w, SPAWN_STDIN_PIPE, &l->to, e);
	mysql_words_release(&w);
	buf_release(&init);
	return rc;
}

/* A write that fails is mostly the client that gave up: its own words say why. */
static enum err_code end(struct loading *l, enum err_code rc, struct err *e)
{
	struct err why = ERR_INIT;

	if (rc == ERR_FAILED) {
		spawn_close_stdin(l->to);
		if (spawn_end(l->to, l->c->cancel, &why) && e)
			*e = why;
		return rc;
	}
	if (rc)
		return rc;
	spawn_close_stdin(l->to);
	return spawn_end(l->to, l->c->cancel, e);
}

static enum err_code read_renamed(struct loading *l, const struct mysql_names *n, struct err *e)
{
	l->names = calloc(n->nr, sizeof(*l->names));
	if (!l->names)
		return err_set(e, ERR_NOMEM, "names of databases");
	for (size_t i = 0; i < n->nr; i++)
		l->names[i] = (struct mysql_rename){ .from = n->of[i].text, .to = n->of[i].to };
	l->renames = (struct mysql_renames){ .of = l->names, .nr = n->nr, .events_off = true };
	return ERR_OK;
}

enum err_code mysql_load_file(struct component *c, struct restore_job *j, const char *file, const struct mysql_load *o,
			      struct err *e)
{
	struct loading l = { .c = c };
	struct mysql_stream_events ev = { .part = on_part, .piece = on_piece, .rows = on_rows, .ctx = &l };
	enum err_code rc = ERR_OK;

	if (mysql_names_differ(o->names)) {
		rc = read_renamed(&l, o->names, e);
		if (!rc)
			rc = mysql_stream_open(&ev, &l.stream, e);
	}
	if (!rc)
		rc = start(&l, o, e);
	if (!rc) {
		rc = mysql_each_piece(c, j, file, on_bytes, &l, e);
		if (!rc && l.stream)
			rc = mysql_stream_finish(l.stream, e);
		rc = end(&l, rc, e);
	}
	if (rc)
		err_prefix(e, "load %s", file);
	spawn_close(l.to);
	mysql_stream_close(l.stream);
	free(l.names);
	buf_release(&l.text);
	return rc;
}

/* A row with much in it can have been read, and not be written again: as text it is twice as long. */

#define PACKET_MAX (1u << 30)
#define PACKET_MORE 4096u /* what a statement takes beside its text */

enum err_code mysql_packets(struct talk *t, const struct facts *recorded, uint64_t *before, struct err *e)
{
	uint64_t want = mysql_u64(facts_get(recorded, "longest_statement")) + PACKET_MORE, has;
	struct err why = ERR_INIT;
	char *text = NULL;
	enum err_code rc = talk_value(t, &text, e, "SELECT @@global.max_allowed_packet");

	*before = 0;
	has = mysql_u64(text);
	free(text);
	if (rc || want <= has)
		return rc;
	if (want > PACKET_MAX)
		return err_set(e, ERR_FAILED, "the dump has a statement of %llu bytes, and no server takes more than 1 GiB; "
			       "nothing was touched", (unsigned long long)want);
	rc = talk_do(t, &why, "SET GLOBAL max_allowed_packet = %llu", (unsigned long long)((want / 1024 + 1) * 1024));
	if (!rc)
		*before = has;
	else if (rc == ERR_FAILED)
		rc = err_set(e, rc, "the dump has a statement of %llu bytes, and the server takes %llu: set its "
			     "max_allowed_packet to more; nothing was touched", (unsigned long long)want,
			     (unsigned long long)has);
	else if (e)
		*e = why;
	return rc;
}

void mysql_packets_back(struct component *c, struct talk *t, uint64_t before)
{
	struct err why = ERR_INIT;

	if (before > 0 && talk_do(t, &why, "SET GLOBAL max_allowed_packet = %llu", (unsigned long long)before))
		component_note(c, "%s: max_allowed_packet could not be set back to %llu: %s", c->name,
			       (unsigned long long)before, why.msg);
}

/* Sessions */

static bool is_kept(const struct mysql *m, const char *user)
{
	for (char **w = m->keep_users; w && *w; w++)
		if (strcmp(*w, user) == 0)
			return true;
	return false;
}

enum err_code mysql_end_sessions(struct component *c, struct talk *t, const char *database, struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	struct err why = ERR_INIT;
	enum err_code rc;
	size_t ended = 0;

	mysql_form(&b,
		   "SELECT id, user FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user NOT IN "
		   "('system user', 'event_scheduler') "
		   "AND db = ?",
		   database);
	rc = talk_ask_buf(t, &b, &rows, e);
	for (size_t i = 0; i < rows.nr_rows && !rc; i++) {
		const char *id = talk_field(&rows, i, 0), *user = talk_field(&rows, i, 1);

		if (!id || !user || is_kept(mysql_of(c), user))
			continue;
		rc = talk_do(t, &why, "KILL CONNECTION %llu", (unsigned long long)mysql_u64(id));
		ended += rc == ERR_OK;
		if (rc == ERR_FAILED && strstr(why.msg, "1094")) /* gone by itself */
			rc = ERR_OK;
		else if (rc && e)
			*e = why;
		if (rc)
			err_prefix(e, "end the session of %s in database %s", user, database);
	}
	if (ended > 0)
		component_note(c, "%s: %zu session%s in database %s ended", c->name, ended, ended > 1 ? "s" : "", database);
	talk_rows_release(&rows);
	return rc;
}

/* Definers */

/* True where there is such a user (or role: no host); *known false where we may not look. */
static enum err_code user_exists(struct talk *t, const char *definer, bool *there, bool *known, struct err *e)
{
	const char *at = strrchr(definer, '@');
	char user[2 * MYSQL_NAME_MAX + 2];
	struct buf b = BUF_INIT;
	struct err why = ERR_INIT;
	uint64_t nr = 0;
	size_t n = at ? (size_t)(at - definer) : 0;
	enum err_code rc;

	*known = false;
	*there = true;
	if (!at || n >= sizeof(user))
		return ERR_OK;
	memcpy(user, definer, n);
	user[n] = '\0';
	mysql_form(&b, "SELECT COUNT(*) FROM mysql.user WHERE user = ? AND host = ?", user, at + 1);
	rc = mysql_number(t, &b, &nr, &why);
	if (rc == ERR_FAILED)
		return ERR_OK;
	if (rc && e)
		*e = why;
	*known = rc == ERR_OK;
	*there = nr > 0;
	return rc;
}

bool mysql_is_loaded(const struct restore_job *j, const json_t *item)
{
	const char *of = json_string_value(json_object_get(item, "of"));

	for (size_t i = 0; i < j->nr_items; i++)
		if (of && strcmp(j->items[i], of) == 0)
			return true;
	return j->nr_items == 0;
}

enum err_code mysql_definers(struct component *c, struct restore_job *j, struct talk *t, struct err *e)
{
	const json_t *items = json_object_get(j->recorded->root, "items"), *v;
	json_t *seen = json_object();
	struct buf missing = BUF_INIT;
	enum err_code rc = seen ? ERR_OK : err_set(e, ERR_NOMEM, "definers");
	bool there, known = true;
	size_t i, nr = 0;

	json_array_foreach(items, i, v)
	{
		const char *definer = json_string_value(json_object_get(v, "definer"));

		if (rc || !known || !definer || !mysql_is_loaded(j, v) || json_object_get(seen, definer))
			continue;
		(void)json_object_set_new(seen, definer, json_true());
		rc = user_exists(t, definer, &there, &known, e);
		if (rc || !known || there)
			continue;
		if (nr++ < NAMED_MAX)
			buf_printf(&missing, "%s%s of %s %s", nr > 1 ? ", " : "", definer,
				   json_string_value(json_object_get(v, "kind")),
				   json_string_value(json_object_get(v, "name")));
	}
	buf_add_u8(&missing, '\0');
	if (!rc && nr > 0)
		rc = err_set(e, ERR_FAILED,
			     "not on this server: definer %s%s; nothing was touched: create %s there first (" MYSQL_USERS
			     " beside the dump has "
			     "the users where they could be saved)",
			     missing.bad ? "" : (const char *)missing.p, nr > NAMED_MAX ? ", ..." : "",
			     nr > 1 ? "them" : "that user");
	if (!rc && !known)
		component_note(
		    c, "%s: no right to read mysql.user: whether the definers of views and routines are there is not known",
		    c->name);
	json_decref(seen);
	buf_release(&missing);
	return rc;
}
