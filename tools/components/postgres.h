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

#define PG_ROLE_MAX 64u	/* bytes of a role's name, with its NUL */
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
	bool bad;		/* out of memory, or too many words */
};
/** Such a program with -w and -d of the database there (database NULL: neither, it connects nowhere). */
void pg_tool_init(struct pg_tool *t, struct component *c, enum pg_where where, const char *database,
		  enum pg_program program);
void pg_tool_add(struct pg_tool *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pg_tool_release(struct pg_tool *t);
/** t outlives the spawn. */
MUST_CHECK enum err_code pg_tool_start(struct component *c, struct pg_tool *t, enum spawn_stdin in, bool out_none,
				       struct spawn **out, struct err *e);

/** A session.  wait: try until the component's wait is over while nobody answers there. */
MUST_CHECK enum err_code pg_connect(struct component *c, enum pg_where where, const char *database, bool wait,
				    struct talk **out, struct err *e);
/** A session in the maintenance database, or in another that is not avoid. */
MUST_CHECK enum err_code pg_connect_admin(struct component *c, enum pg_where where, const char *avoid, struct talk **out,
					  struct err *e);

/* A statement that is put together; it is asked with its names quoted. */
void pg_name(struct buf *sql, const char *name);		/* "name" */
void pg_text(struct buf *sql, const char *text);		/* 'text' */
MUST_CHECK enum err_code pg_ask(struct talk *t, struct buf *sql, struct talk_rows *out,
				struct err *e); /* and releases sql */
MUST_CHECK enum err_code pg_do(struct talk *t, struct buf *sql, struct err *e);
/** One number or truth ("t") of one row; ERR_FAILED where there is none. */
MUST_CHECK enum err_code pg_count(struct talk *t, struct buf *sql, uint64_t *out, struct err *e);
MUST_CHECK enum err_code pg_true(struct talk *t, struct buf *sql, bool *out, struct err *e);

/** Begin the transaction whose snapshot a dump reads in.  *snapshot malloc'ed; *size of the database, about. */
MUST_CHECK enum err_code pg_instant(struct talk *t, char **snapshot, uint64_t *size, struct err *e);
/**
 * ERR_FAILED, "since the snapshot": a table was truncated or rewritten before pg_dump had it locked.  Its rows then
 * are gone without an error, as the new ones are younger than the snapshot.  To be asked once pg_dump writes: it has
 * all its locks then.
 */
MUST_CHECK enum err_code pg_none_changed(struct talk *t, struct err *e);
/** The instant, version and WAL position, in that transaction. */
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
/** Whether the role may do all that a restore needs; the message says what it lacks. */
MUST_CHECK enum err_code pg_may_restore(struct component *c, struct restore_job *j, struct talk *admin, struct err *e);
/** Put name in target's place; what was there stays beside it: the way back, written down before it happens. */
MUST_CHECK enum err_code pg_swap(struct component *c, struct restore_job *j, struct talk *admin, const char *name,
				 const char *target, struct err *e);
/** End the sessions in database, but those of keep-users.  ERR_BUSY: one of these is there; it says who. */
MUST_CHECK enum err_code pg_end_sessions(struct component *c, struct talk *admin, const char *database, struct err *e);
/** "_before_20261121T020000Z" */
#define PG_SUFFIX_LEN 40
void pg_suffix(const char *what, char out[PG_SUFFIX_LEN]);

/* One table: postgres_table.c, with postgres_rows.c for its statements. */
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
 * Foreign keys: the table, the one it refers to, the name, and the query that counts rows that refer to none.  With
 * more conditions on k behind it; search_path = pg_catalog.
 */
#define PG_ORPHANS											\
	"SELECT k.conrelid::regclass::text, k.confrelid::regclass::text, k.conname, "			\
	"format('SELECT count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', "	\
	"k.conrelid::regclass, (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ') "	\
	"FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)), "		\
	"k.confrelid::regclass, (SELECT string_agg(format('p.%I = c.%I', r.attname, a.attname), "	\
	"' AND ') FROM unnest(k.conkey, k.confkey) u(ck, rk) JOIN pg_attribute a "			\
	"ON a.attrelid = k.conrelid AND a.attnum = u.ck JOIN pg_attribute r "				\
	"ON r.attrelid = k.confrelid AND r.attnum = u.rk)) FROM pg_constraint k "			\
	"WHERE k.contype = 'f' AND k.conparentid = 0 AND k.convalidated"

#endif
