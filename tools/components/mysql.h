/* SPDX-License-Identifier: MIT */
/*
 * What the files of the mysql type share.
 *
 *   mysql.c          keys, programs, sessions          mysql_names.c   databases and tables: own name, there, as files
 *   mysql_dump.c     lock, snapshot, mysqldump, retry  mysql_users.c   users beside it
 *   mysql_intake.c   the stream into files and facts   mysql_facts.c   definitions into facts
 *   mysql_stream.c   the dump's text, cut into parts   mysql_rows.c    the rows of an INSERT
 *   mysql_sql.c      single statements                 mysql_rename.c  the same for a database of another name
 *   mysql_restore.c  whole databases back              mysql_table.c   single tables back
 *   mysql_load.c     a file into the server            mysql_replica.c replication around a restore
 *   mysql_check.c    check                             mysql_rights.c  what a user may
 *   mysql_look.c     examine, query, references
 */
#ifndef VOUCH_COMPONENTS_MYSQL_H
#define VOUCH_COMPONENTS_MYSQL_H

#include "tools/components/component.h"
#include "tools/components/mysql_sql.h"
#include "tools/components/mysql_stream.h"
#include "tools/components/talk.h"

#define MYSQL_DUMP		  "dump.sql"
#define MYSQL_USERS		  "users.sql"
#define MYSQL_LOCK_WAIT_S	  5u  /* how long writers may wait behind our wait for the lock */
#define MYSQL_LOCK_HOLD_S	  20u /* the server ends the session that holds it then, whatever became of vouch */
#define MYSQL_RESTORE_LOCK_WAIT_S 60u

/** As whom. */
enum mysql_role {
	MYSQL_OWN,	/* defaults-file: dumps, inspects */
	MYSQL_RESTORE,	/* restore-defaults-file: recovers, and looks at what is not the component's own */
	MYSQL_VALIDATE, /* validate-defaults-file: restores to be looked at */
	MYSQL_ROLE_NR
};

enum mysql_users { MYSQL_USERS_MAY, MYSQL_USERS_YES, MYSQL_USERS_NO };
enum mysql_replica_key { MYSQL_REPLICA_RESTART, MYSQL_REPLICA_REPOINT, MYSQL_REPLICA_LEAVE };

struct mysql {
	const char *defaults[MYSQL_ROLE_NR]; /* NULL: what the programs find themselves */
	const char *bin;		     /* NULL: PATH */
	char **databases;		     /* NULL: all but the server's own */
	char **keep_users;		     /* NULL: none */
	enum mysql_users users;
	enum mysql_replica_key replica;
	bool binlog; /* a restore is written to the binary log */
	bool count;  /* count rows in a second session, and compare */

	/* Found when first needed: */
	char *client, *dumper; /* programs */
	char *version;	       /* of the dumper, a line */
	bool mariadb;	       /* it is MariaDB's */
	bool temporary;	       /* into was made by a validate: it is where MYSQL_VALIDATE is */
	/* For a safety dump: */
	const char *into;
	bool some; /* databases that are not there are left out, and only these tables: */
	const char *const *tables;
	size_t nr_tables;
};

static inline struct mysql *mysql_of(struct component *c)
{
	return c->priv;
}

/* Programs: words of a command line, the options file first. */

struct mysql_words {
	char **v;
	size_t nr, cap;
	bool bad;
};
/** program: m->client or m->dumper, known after mysql_connect(); it outlives what is started. */
void mysql_words_init(struct mysql_words *w, struct component *c, enum mysql_role role, char *program);
void mysql_words_add(struct mysql_words *w, const char *word);
MUST_CHECK enum err_code mysql_words_start(struct component *c, struct mysql_words *w, enum spawn_stdin in,
					   struct spawn **out, struct err *e);
void mysql_words_release(struct mysql_words *w);

/** A session in database (NULL: none); component_wait().  ERR_FAILED, also where nobody answers. */
MUST_CHECK enum err_code mysql_connect(struct component *c, enum mysql_role role, const char *database, struct talk **out,
				       struct err *e);
/** The same, but ERR_ABSENT where nobody answers: check may start it again. */
MUST_CHECK enum err_code mysql_reach(struct component *c, enum mysql_role role, const char *database, struct talk **out,
				     struct err *e);
/**
 * One that drops and makes: it waits for no lock for long, and what others refer to can be dropped.  One at a time for a
 * component; ERR_BUSY.
 */
MUST_CHECK enum err_code mysql_connect_restore(struct component *c, enum mysql_role role, struct talk **out, struct err *e);

/* Statements put together: in form a @ stands for a `name`, a ? for a 'text', a $ for a number in decimal digits or other
 * words as they are; each is the next argument, a const char *. */
void mysql_form(struct buf *b, const char *form, ...);
MUST_CHECK enum err_code mysql_number(struct talk *t, struct buf *b, uint64_t *out, struct err *e);
/** "('a','b')": databases by what they are called on the server. */
struct mysql_names;
void mysql_form_names(struct buf *b, const struct mysql_names *n);
/** What is not an answer's number is 0. */
uint64_t mysql_u64(const char *text);

/* Databases. */

struct mysql_name {
	char *own;  /* the component's: in facts, names of files */
	char *to;   /* on the server: what into makes of it, else the same */
	char *text; /* in the dump's text: what it was called on the server then */
};
struct mysql_names {
	struct mysql_name *of;
	size_t nr;
	bool several; /* tables are named with their database, and files lie in its folder */
};
/** Of the configuration, or what the server has. ERR_NOT_FOUND: one is not there (where m->some: left out). */
MUST_CHECK enum err_code mysql_names_there(struct component *c, struct talk *t, const char *into, struct mysql_names *out,
					   struct err *e);
/** Of a dump.  ERR_USAGE: into is no name, or too long. */
MUST_CHECK enum err_code mysql_names_recorded(struct component *c, const struct facts *recorded, const char *into,
					      struct mysql_names *out, struct err *e);
void mysql_names_release(struct mysql_names *n);
/** Some to differs from its text. */
bool mysql_names_differ(const struct mysql_names *n);
/** Is to there? */
MUST_CHECK enum err_code mysql_database_exists(struct talk *t, const char *name, bool *there, struct err *e);

/** "orders", or "shop.orders" where there are several databases. */
void mysql_key(struct buf *out, const struct mysql_names *n, const char *database, const char *table); /* NUL-terminated */
/** The file of a table: "tables/orders.sql", "tables/shop/orders.sql"; what no file may be called as %XX. */
void mysql_table_file(struct buf *out, const struct mysql_names *n, const char *database,
		      const char *table); /* NUL-terminated */

/* A dump's stream into files and facts. */

struct mysql_intake;
struct mysql_intake_options {
	struct component *c;
	struct dump *d;			 /* d->to NULL: no files */
	const struct mysql_names *names; /* what it says (text) is recorded by the component's names (own) */
	/** The first part after the header: the dump's snapshot is made, the lock may go. */
	enum err_code (*begun)(void *ctx, struct err *e);
	void *ctx;
};
MUST_CHECK enum err_code mysql_intake_open(const struct mysql_intake_options *o, struct mysql_intake **out, struct err *e);
MUST_CHECK enum err_code mysql_intake_feed(struct mysql_intake *in, const void *buf, size_t len, struct err *e);
/** ERR_CORRUPT: cut short. */
MUST_CHECK enum err_code mysql_intake_finish(struct mysql_intake *in, struct err *e);
uint64_t mysql_intake_lines(const struct mysql_intake *in);
uint64_t mysql_intake_longest(const struct mysql_intake *in);
void mysql_intake_close(struct mysql_intake *in); /* NULL is allowed; files not closed are dropped */
/** A file of a recorded dump, read to its trailer; what is in it as found, which the caller releases.  ERR_CORRUPT. */
MUST_CHECK enum err_code mysql_intake_file(struct component *c, struct restore_job *j, const char *file,
					   const struct mysql_names *names, struct facts *found, struct err *e);

/** The definition that a statement makes, into facts.  of: the table (its key) that a trigger is of. */
void mysql_facts_statement(struct facts *f, const struct mysql_names *n, const char *database, const char *of,
			   const char *text, size_t len, const struct mysql_statement *st);

/** users.sql, as the key users has it; nothing in an inspect. */
MUST_CHECK enum err_code mysql_users(struct component *c, struct dump *d, struct err *e);

/* Restoring. */

/** The position of the dump, for a replica; replication stopped before and started after. */
struct mysql_replica;
MUST_CHECK enum err_code mysql_replica_stop(struct component *c, struct talk *t, struct mysql_replica **out, struct err *e);
/** Point it to the dump's position where that is wanted, and start it where it ran. */
MUST_CHECK enum err_code mysql_replica_point(struct component *c, struct talk *t, struct mysql_replica *r,
					     const struct facts *recorded, struct err *e);
void mysql_replica_start(struct component *c, struct talk *t, struct mysql_replica *r); /* and frees it; NULL is allowed */
/** What there is to say of it before: by component_note(). */
MUST_CHECK enum err_code mysql_replica_plan(struct component *c, struct talk *t, const struct facts *recorded,
					    struct err *e);
/** Where the server reads from another: its position there, into facts. */
MUST_CHECK enum err_code mysql_replica_facts(struct talk *t, struct facts *f, struct err *e);

struct mysql_load {
	enum mysql_role role;
	const char *database;		 /* to begin in; NULL: none */
	const struct mysql_names *names;
	bool no_binlog;
};
/** One file of the dump through the client program. */
MUST_CHECK enum err_code mysql_load_file(struct component *c, struct restore_job *j, const char *file,
					 const struct mysql_load *o, struct err *e);
/** A file of the job's dump, piece after piece. */
typedef enum err_code mysql_bytes_fn(void *ctx, const void *buf, size_t len, struct err *e);
MUST_CHECK enum err_code mysql_each_piece(struct component *c, struct restore_job *j, const char *file, mysql_bytes_fn *fn,
					  void *ctx, struct err *e);

MUST_CHECK enum err_code mysql_end_sessions(struct component *c, struct talk *t, const char *database, struct err *e);
/** Is the recorded item part of what comes back: of all, or of the chosen tables? */
bool mysql_is_loaded(const struct restore_job *j, const json_t *item);
/** Each definer of the dump's objects must be there: ERR_FAILED names those who are not, before anything is touched. */
MUST_CHECK enum err_code mysql_definers(struct component *c, struct restore_job *j, struct talk *t, struct err *e);

/**
 * Rows that refer to rows that are not there, and what cannot be looked at: a line for each foreign key by component_note().
 * where: a condition on information_schema.key_column_usage, which is released.
 */
MUST_CHECK enum err_code mysql_note_orphans(struct component *c, struct talk *t, struct buf *where, struct err *e);

/** Make it with the recorded character set; drop: in the place of what is there. */
MUST_CHECK enum err_code mysql_create_database(struct component *c, struct restore_job *j, struct talk *t,
					       const struct mysql_name *name, bool drop, struct err *e);
/** Whether the session, from now on, and what is loaded beside it go without the binary log; *rc where that could not be
 * had. */
bool mysql_without_binlog(struct component *c, struct restore_job *j, struct talk *t, enum err_code *rc, struct err *e);

/**
 * Let the server take the dump's longest statement: *before is what it took, 0 where that was enough.  ERR_FAILED: it does
 * not, and we may not change it; nothing was touched.
 */
MUST_CHECK enum err_code mysql_packets(struct talk *t, const struct facts *recorded, uint64_t *before, struct err *e);
void mysql_packets_back(struct component *c, struct talk *t, uint64_t before);

/* Rights of the session's user on one database. */
enum mysql_right {
	MYSQL_SELECT = 1 << 0,
	MYSQL_SELECT_SOME = 1 << 1, /* of single tables */
	MYSQL_SHOW_VIEW = 1 << 2,
	MYSQL_TRIGGERS = 1 << 3,
	MYSQL_EVENT = 1 << 4,
	MYSQL_EXECUTE = 1 << 5,
	MYSQL_SEE_ROUTINES = 1 << 6, /* all of them */
	MYSQL_RELOAD = 1 << 7,
	MYSQL_PROCESS = 1 << 8,
	MYSQL_CREATE = 1 << 9,
	MYSQL_DROP = 1 << 10,
	MYSQL_INSERT = 1 << 11,
	MYSQL_ALTER = 1 << 12,
	MYSQL_CREATE_VIEW = 1 << 13,
	MYSQL_CREATE_ROUTINE = 1 << 14,
	MYSQL_ALTER_ROUTINE = 1 << 15,
	MYSQL_SUPER = 1 << 16,
	MYSQL_SET_USER = 1 << 17 /* name others as definers */
};
MUST_CHECK enum err_code mysql_rights(struct talk *t, const char *database, unsigned *out, struct err *e);

/** ERR_FAILED names a right that the restore needs and the session's user does not have, before anything is touched. */
MUST_CHECK enum err_code mysql_may_restore(struct component *c, struct restore_job *j, struct talk *t, const char *database,
					   bool no_binlog, struct err *e);

/* The operations. */
enum err_code mysql_check(struct component *c, struct err *e);
enum err_code mysql_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e);
enum err_code mysql_query(struct component *c, const char *into, const char *query, char **out, struct err *e);
enum err_code mysql_dump(struct component *c, struct dump *d, struct err *e);
enum err_code mysql_inspect(struct component *c, const char *into, struct facts *out, struct err *e);
enum err_code mysql_read_back(struct component *c, struct restore_job *j, struct err *e);
enum err_code mysql_plan(struct component *c, struct restore_job *j, struct err *e);
enum err_code mysql_restore(struct component *c, struct restore_job *j, struct err *e);
enum err_code mysql_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
enum err_code mysql_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
enum err_code mysql_tables_restore(struct component *c, struct restore_job *j, struct err *e);
enum err_code mysql_tables_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e);

/** The role that has into. */
static inline enum mysql_role mysql_role_of(const struct mysql *m, const char *into)
{
	return !into ? MYSQL_OWN : m->temporary ? MYSQL_VALIDATE : MYSQL_RESTORE;
}

#endif
