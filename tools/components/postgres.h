/* SPDX-License-Identifier: MIT */
/* What the files of the postgres type share. */
#ifndef VOUCH_COMPONENTS_POSTGRES_H
#define VOUCH_COMPONENTS_POSTGRES_H

#include "tools/components/component.h"
#include "tools/components/pgdsn.h"
#include "tools/components/talk.h"

#define PG_DUMP "database.dump"
#define PG_GLOBALS "globals.sql"

/* Where --table keeps the rows that it replaces; dumps leave it out. */
#define PG_BEFORE "vouch_before"

#define PG_GLOBALS_MAX (64u << 20)	/* bytes */
#define PG_SERVER_MIN 130000	/* DROP DATABASE ... WITH (FORCE) */

/** Which server, as whom. */
enum pg_where {
	PG_OWN,			/* dsn: dumps, inspects */
	PG_RESTORE,		/* restore-dsn: recovers */
	PG_VALIDATE,		/* validate-dsn: restores to be looked at */
	PG_WHERE_NR
};

enum pg_program {
	PG_PSQL,
	PG_PG_DUMP,
	PG_PG_DUMPALL,
	PG_PG_RESTORE,
	PG_PROGRAM_NR
};

struct pg {
	char *programs[PG_PROGRAM_NR];	/* with their folder, where one is named */
	struct pgdsn dsn[PG_WHERE_NR];
	char *password[PG_WHERE_NR];	/* NULL: none */
	const char *maintenance;	/* a database to be in while others are made and renamed */
	char **keep_users;		/* NULL: none */
	bool globals, create_roles;
	uint64_t lock_wait;		/* seconds */
	char *temporary;		/* the database that a validate restored into: it is where PG_VALIDATE is */
};

static inline struct pg *pg_of(struct component *c)
{
	return c->priv;
}
/** The server that has the database into (NULL: the component's own), and its name. */
enum pg_where pg_place(struct component *c, const char *into, const char **database);

/* Programs. */

struct pg_tool {
	char *argv[24];			/* the first is the component's: it outlives the program */
	size_t nr;
	char *env[4];
	bool bad;			/* out of memory, or too many words */
};
/** Such a program with -w and -d of the database there (database NULL: neither, it connects nowhere). */
void pg_tool_init(struct pg_tool *t, struct component *c, enum pg_where where, const char *database,
		  enum pg_program program);
void pg_tool_add(struct pg_tool *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pg_tool_release(struct pg_tool *t);
/** t outlives the spawn. */
MUST_CHECK enum err_code pg_tool_start(struct component *c, struct pg_tool *t, enum spawn_stdin in, bool out_none,
				       struct spawn **out, struct err *e);

/** Run it: its output (NUL-terminated after its end), of at most max bytes. */
MUST_CHECK enum err_code pg_tool_output(struct component *c, struct pg_tool *t, struct buf *out, size_t max, struct err *e);
/** "pg_dump (PostgreSQL) 15.18 (Debian ...)", NUL-terminated. */
MUST_CHECK enum err_code pg_tool_version(struct component *c, enum pg_program program, struct buf *out, struct err *e);

/*
 * What the connection's options cannot say, as older servers do not know it: no time-out ends a session that waits for a
 * program, and what a client asked that was killed does not go on (a server looks for that on Linux only).
 */
#define PG_NO_TIMEOUTS											\
	"SELECT pg_catalog.set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '2s' ELSE '0' END, "	\
	"false) FROM pg_catalog.pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout') "	\
	"OR (name = 'client_connection_check_interval' AND pg_catalog.version() ~ 'linux')"
#define PG_LOCKED "a table stays locked by others for longer than lock-wait"

/** A session, with search_path = pg_catalog.  wait: try until the component's wait is over while nobody answers there. */
MUST_CHECK enum err_code pg_connect(struct component *c, enum pg_where where, const char *database, bool wait,
				    struct talk **out, struct err *e);
/** The same with wait, but ERR_ABSENT where nobody answers: check may start it again. */
MUST_CHECK enum err_code pg_reach(struct component *c, enum pg_where where, const char *database, struct talk **out,
				  struct err *e);
/** A session in the maintenance database, or in another that is not avoid. */
MUST_CHECK enum err_code pg_connect_admin(struct component *c, enum pg_where where, const char *avoid, struct talk **out,
					  struct err *e);

/* A statement that is put together: postgres_sql.c. */

/** Append form: @ is a name and ? a text, each quoted as SQL has it, $ goes in as it is; each takes a const char *. */
void pg_form(struct buf *sql, const char *form, ...);
/* Each asks sql, and releases it. */
/** The first field, malloc'ed; as it was where there is none or it is NULL. */
MUST_CHECK enum err_code pg_value(struct talk *t, struct buf *sql, char **out, struct err *e);
/** One number or truth ("t"); ERR_FAILED where there is none. */
MUST_CHECK enum err_code pg_count(struct talk *t, struct buf *sql, uint64_t *out, struct err *e);
MUST_CHECK enum err_code pg_true(struct talk *t, struct buf *sql, bool *out, struct err *e);
/** Whether there is a table, view or sequence of that name ("schema.name", canonical). */
MUST_CHECK enum err_code pg_is_relation(struct talk *t, const char *name, bool *is, struct err *e);

struct pg_snapshot {
	char *id;
	uint64_t bytes;		/* of the database, about */
	/* Of the dump: UTF8, but the bytes of a database that says nothing of theirs (SQL_ASCII) stay as they are. */
	char *encoding;
};
/** Begin the transaction whose snapshot a dump reads in.  After an error, too, pg_snapshot_release() is the caller's. */
MUST_CHECK enum err_code pg_instant(struct talk *t, struct pg_snapshot *out, struct err *e);
void pg_snapshot_release(struct pg_snapshot *s);
/**
 * ERR_FAILED, "since the snapshot": a table was truncated or rewritten before pg_dump had it locked.  Its rows then
 * are gone without an error, as the new ones are younger than the snapshot.  To be asked once pg_dump writes: it has
 * all its locks then.
 */
MUST_CHECK enum err_code pg_none_changed(struct talk *t, struct err *e);
/** Right after pg_instant(): the instant, version and WAL position; that moves on, whatever the snapshot. */
MUST_CHECK enum err_code pg_tell_server(struct talk *t, struct facts *f, struct err *e);
/** globals.sql. */
MUST_CHECK enum err_code pg_add_globals(struct component *c, struct dump *d, struct err *e);
/** Name and definition of all that a dump holds, into facts: postgres_facts.c.  In the session's transaction. */
MUST_CHECK enum err_code pg_catalog(struct talk *t, struct facts *f, struct err *e);

const char *pg_member(const json_t *item, const char *key);	/* NULL: none */
/** What a canonical name of one part means, NUL-terminated; false: it is no such name. */
bool pg_plain_name(const char *name, struct buf *out);
/** "schema.name" in canonical form as SQL has it, every part in quotes (a keyword is no name without), NUL-terminated. */
MUST_CHECK enum err_code pg_quoted(const char *name, struct buf *out, struct err *e);

/* The operations. */
enum err_code pg_check(struct component *c, struct err *e);
enum err_code pg_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e);
enum err_code pg_dump(struct component *c, struct dump *d, struct err *e);
enum err_code pg_inspect(struct component *c, const char *into, struct facts *out, struct err *e);
enum err_code pg_read_back(struct component *c, struct restore_job *j, struct err *e);
enum err_code pg_plan(struct component *c, struct restore_job *j, struct err *e);
enum err_code pg_restore(struct component *c, struct restore_job *j, struct err *e);
enum err_code pg_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
enum err_code pg_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
enum err_code pg_query(struct component *c, const char *into, const char *query, char **out, struct err *e);

/* Restoring beside: postgres_beside.c, postgres_swap.c; one table: postgres_table.c, postgres_toc.c. */

/** What a database of vouch's own is marked with, as its comment: "vouch: KIND of COMPONENT on HOST". */
enum pg_mark {
	PG_MARK_HALF,		/* a restore that has not ended */
	PG_MARK_TEMPORARY,	/* a validate's */
	PG_MARK_BEFORE		/* what was there before: a way back */
};
MUST_CHECK enum err_code pg_mark(struct component *c, struct talk *admin, const char *database, enum pg_mark kind,
				 struct err *e);
/** Whether the database is there; *marked (may be NULL): whether it has one of this component's and host's marks. */
MUST_CHECK enum err_code pg_exists(struct component *c, struct talk *admin, const char *database, bool *there, bool *marked,
				   struct err *e);
/** Drop what earlier restores of this component, killed half-way, left there. */
MUST_CHECK enum err_code pg_sweep(struct component *c, struct talk *admin, struct err *e);
/** Drop it where it is marked so; ERR_EXISTS: it is somebody else's.  Nothing where there is none. */
MUST_CHECK enum err_code pg_drop_marked(struct component *c, struct talk *admin, const char *database, struct err *e);
/** A new database, marked, filled and analyzed, with the recorded settings and grants; gone again after an error. */
MUST_CHECK enum err_code pg_fill_beside(struct component *c, struct restore_job *j, enum pg_where where, struct talk *admin,
					const char *name, enum pg_mark mark, struct err *e);
/**
 * Whether the role may do all that a restore needs; the message says what it lacks.  make_roles: with create-roles the
 * missing ones are made; else what would be made is told.
 */
MUST_CHECK enum err_code pg_may_restore(struct component *c, struct restore_job *j, struct talk *admin, bool make_roles,
					struct err *e);
/** Put name in target's place; what was there stays beside it: the way back, written down before it happens. */
MUST_CHECK enum err_code pg_swap(struct component *c, struct restore_job *j, struct talk *admin, const char *name,
				 const char *target, struct err *e);
/** End the sessions in database, but those of keep-users.  ERR_BUSY: one of these is there; it says who. */
MUST_CHECK enum err_code pg_end_sessions(struct component *c, struct talk *admin, const char *database, struct err *e);
/** "_before_20261121T020000Z" */
#define PG_SUFFIX_LEN 40
void pg_suffix(const char *what, char out[PG_SUFFIX_LEN]);

/* One table: postgres_table.c; its way back: postgres_undo.c. */
enum err_code pg_table_plan(struct component *c, struct restore_job *j, struct err *e);
enum err_code pg_table_restore(struct component *c, struct restore_job *j, struct err *e);
enum err_code pg_table_rollback(struct component *c, const json_t *way, struct err *e);
enum err_code pg_table_discard(struct component *c, const json_t *way, struct err *e);

/** Into a program's standard input, piece by piece. */
typedef enum err_code pg_sink_fn(void *ctx, const void *buf, size_t len, struct err *e);
/**
 * The job's dump through `pg_restore ARGS` (t, started nowhere): what it writes goes to fn.  It may end before it has
 * read all: with -l it reads the beginning.
 */
MUST_CHECK enum err_code pg_through(struct component *c, struct restore_job *j, struct pg_tool *t, pg_sink_fn *fn, void *ctx,
				    struct err *e);

/*
 * Foreign keys: the table, the one it refers to, the name, and the query that counts rows that refer to none, by the key's
 * own operator (citext's is no pg_catalog.=).  With more conditions on k behind it; search_path = pg_catalog.
 */
#define PG_ORPHANS											\
	"SELECT k.conrelid::regclass::text, k.confrelid::regclass::text, k.conname, "			\
	"format('SELECT count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', "	\
	"k.conrelid::regclass, (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ') "	\
	"FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)), "		\
	"k.confrelid::regclass, (SELECT string_agg(format('p.%I OPERATOR(%I.%s) c.%I', r.attname, "	\
	"n.nspname, o.oprname, a.attname), ' AND ') FROM unnest(k.conkey, k.confkey, k.conpfeqop) "	\
	"u(ck, rk, op) JOIN pg_operator o ON o.oid = u.op JOIN pg_namespace n ON n.oid = o.oprnamespace "	\
	"JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.ck JOIN pg_attribute r "	\
	"ON r.attrelid = k.confrelid AND r.attnum = u.rk)) FROM pg_constraint k "			\
	"WHERE k.contype = 'f' AND k.conparentid = 0 AND k.convalidated"

#endif
