/* SPDX-License-Identifier: MIT */
/*
 * Neo4j (community): what the files of this type share.
 *
 *   neo4j.c          keys, operations                     neo4j_place.c    homes: folders, is a server there, scratch homes
 *   neo4j_archive.c  what a dump looks like               neo4j_server.c   neo4j-admin, scratch servers
 *   neo4j_dump.c     dump, inspect                        neo4j_pause.c    the server stopped, and started again
 *   neo4j_ask.c      Cypher over HTTP, facts, query       neo4j_swap.c     data folders exchanged by renames, and back
 *   neo4j_load.c     a dump read back, loaded, checked    neo4j_restore.c  loaded beside what is there, exchanged with it
 *   neo4j_back.c     ways back                            neo4j_label*.c   one label with its relationships
 *   neo4j_check.c    what a dump would meet               neo4j_password.c a scratch server's own
 */
#ifndef VOUCH_COMPONENTS_NEO4J_H
#define VOUCH_COMPONENTS_NEO4J_H

#include <dirent.h>

#include "tools/components/component.h"
#include "tools/http.h"

#define NEO4J_DUMP	"neo4j.dump"
#define NEO4J_SYSTEM	"system.dump"
#define NEO4J_USER	"neo4j"
#define NEO4J_PASSWORD_LEN ID_HEX_LEN	/* of a scratch server: 256 random bits */
#define NEO4J_BEFORE	".vouch-before-"	/* and a time: folders put aside by a restore, the way back */

/** A home: where its data lies.  Folders are absolute. */
struct neo4j_place {
	char *home, *conf;		/* conf: the folder of neo4j.conf */
	char *data, *transactions;	/* DATA/databases/NAME, TRANSACTIONS/NAME */
	char *listen;			/* "http://127.0.0.1:7474", as its configuration says */
	DIR *held;			/* of a scratch home: its folder, locked while it is in use, removed with it */
};

/** A server of a scratch home. */
struct neo4j_served {
	struct neo4j_place place;
	struct spawn *server;
	char url[64];
	char password[NEO4J_PASSWORD_LEN + 1];	/* of the user neo4j */
	char *into;			/* what it serves: as operations name it, "" for the component's own */
};

enum neo4j_system {
	NEO4J_SYSTEM_MISSING,		/* restored where there is none */
	NEO4J_SYSTEM_ALWAYS,
	NEO4J_SYSTEM_NEVER
};

struct neo4j {
	struct neo4j_place live;
	char *tools;			/* an installation: bin/neo4j, bin/neo4j-admin, lib */
	char *admin, *admin_inside, *server;	/* programs: TOOLS/bin/neo4j-admin, HOME/bin/neo4j-admin, TOOLS/bin/neo4j */
	const char *database;		/* strings without a free of their own are the section's */
	const char *url, *user, *java, *scratch, *heap;
	char *password;			/* NULL: none */
	char **stop, **start;		/* NULL: none */
	uint64_t stop_wait, start_wait, online_wait;	/* seconds */
	enum neo4j_system system;
	struct neo4j_served *served;	/* the scratch server that was asked last: kept for the next question */
};
static inline struct neo4j *neo4j_of(const struct component *c)
{
	return c->priv;
}

/** Whether it can be the name of a database: a small letter, then small letters, digits, '.' and '-'. */
bool neo4j_is_name(const char *name);

/* neo4j_place.c */

/** The folders of home; conf NULL: HOME/conf; data NULL: as neo4j.conf says, where it can be read. */
MUST_CHECK enum err_code neo4j_place_read(const char *home, const char *conf, const char *data, struct neo4j_place *out,
					  struct err *e);
void neo4j_place_release(struct neo4j_place *p);
/** An empty scratch home, with a configuration of its own, in folder, which is there. transactions NULL: in its data. */
MUST_CHECK enum err_code neo4j_place_make(struct component *c, const char *folder, const char *transactions,
					  struct neo4j_place *out, struct err *e);
/** neo4j.conf of a scratch home: what it needs to be loaded, checked, and served read-only on loopback. */
MUST_CHECK enum err_code neo4j_place_conf(const struct component *c, const struct neo4j_place *p, unsigned http,
					  unsigned bolt, struct err *e);
/** A private folder below the scratch folder, with such a home in it.  Those of a vouch that was killed are removed. */
MUST_CHECK enum err_code neo4j_scratch(struct component *c, struct neo4j_place *out, struct err *e);
/** Released; and a scratch home's folder removed, where that can be done. */
void neo4j_place_remove(struct neo4j_place *p);
/** Whether a server (or tool) holds the store in the folder data: Neo4j's own lock is asked, whoever started it. */
bool neo4j_busy(const char *data);
/** Bytes in DATA/databases/DATABASE and its transaction logs; *there false: there is no such database. */
MUST_CHECK enum err_code neo4j_place_size(const struct neo4j_place *p, const char *database, bool *there, uint64_t *bytes,
					  struct err *e);
/** ERR_FAILED where folder has less room than need: says what. */
MUST_CHECK enum err_code neo4j_room(const char *folder, uint64_t need, const char *what, struct err *e);
/** A path of parts put one after the other with '/' between; malloc'ed, NULL: out of memory. */
char *neo4j_path(const char *a, const char *b, const char *c);
MUST_CHECK enum err_code neo4j_remove_tree(const char *path, struct err *e);	/* none there: ERR_OK */
void neo4j_drop_tree(const char *path);		/* where it can be done */
/** A whole tree to the owner of like, where this is root. */
MUST_CHECK enum err_code neo4j_give(const char *path, const char *like, struct err *e);

/* neo4j_server.c */

/** neo4j-admin with up to ten words (NULL after the last). inside: the component's via, for its own home. */
MUST_CHECK enum err_code neo4j_admin(struct component *c, const struct neo4j_place *p, bool inside, enum spawn_stdin in,
				     const char *const *words, struct spawn **out, struct err *e);
/** The same to its end, without input.  *out: its output, malloc'ed.  status as in spawn_run. */
MUST_CHECK enum err_code neo4j_admin_run(struct component *c, const struct neo4j_place *p, bool inside,
					 const char *const *words, char **out, int *status, struct err *e);
/**
 * Serve a scratch home on free loopback ports, with a password of its own (neo4j_set_password()); p becomes the served's,
 * also after an error.
 */
MUST_CHECK enum err_code neo4j_serve(struct component *c, struct neo4j_place *p, struct neo4j_served **out, struct err *e);
/** Stop it, and remove its home where it is scratch.  NULL is allowed. */
void neo4j_unserve(struct neo4j_served *s);

/* neo4j_password.c */

/** A new one for a scratch home that no server runs in; a system database that is there goes. */
MUST_CHECK enum err_code neo4j_set_password(const struct neo4j_place *p, char password[NEO4J_PASSWORD_LEN + 1],
					    struct err *e);

/* neo4j_pause.c */

struct neo4j_pause;
/** ERR_FAILED where it runs, and there are no words to stop it: for saying so before anything is begun. */
MUST_CHECK enum err_code neo4j_pause_possible(const struct component *c, struct err *e);
/**
 * Stop the component's server if it runs; *out NULL where it did not.  Until neo4j_pause_end() it is started again even if
 * this process is killed (a process of its own waits for that), and a note in DATA says so to the next vouch.
 */
MUST_CHECK enum err_code neo4j_pause_begin(struct component *c, struct neo4j_pause **out, struct err *e);
/**
 * Start it again, and wait until it answers; not interrupted.  Call it whatever happened between: rc is that, in e where it
 * is none of ERR_OK, and comes back, with a failed start's words before it.  *seconds (may be NULL): how long it was down.
 * p NULL: rc.
 */
MUST_CHECK enum err_code neo4j_pause_end(struct component *c, struct neo4j_pause *p, double *seconds, enum err_code rc,
					 struct err *e);
/** Folders in data that a vouch that was killed had half exchanged are put back.  ERR_BUSY: a server runs on them. */
MUST_CHECK enum err_code neo4j_finish_left(struct component *c, const char *data, struct err *e);
/** The same in the component's own data, and a server that was stopped is started again. */
MUST_CHECK enum err_code neo4j_resume(struct component *c, struct err *e);
/** Start, wait, stop cleanly: the cure for a store whose server was killed. */
MUST_CHECK enum err_code neo4j_cure(struct component *c, struct err *e);
/** Wait until HTTP answers; ERR_ABSENT: it does not. */
MUST_CHECK enum err_code neo4j_wait_up(const char *url, uint64_t seconds, struct spawn *server, const atomic_bool *cancel,
				       struct err *e);
const char *neo4j_url(const struct component *c);	/* the component's own server */

/* neo4j_ask.c */

/**
 * A Cypher statement; parameters (may be NULL) are taken.  typed: values as {"$type", "_value"}, which keep what JSON would
 * lose; else plain JSON.  *values: a list of lists, the caller's.  ERR_FAILED: the server's message.
 */
MUST_CHECK enum err_code neo4j_ask(struct http *h, const char *database, bool typed, const char *statement,
				   json_t *parameters, json_t **values, struct err *e);
/** served NULL: the component's own server, which is waited for (wait). */
MUST_CHECK enum err_code neo4j_http(struct component *c, const struct neo4j_served *served, struct http **out,
				    struct err *e);
/** Labels, relationship types, constraints, indexes, version. */
MUST_CHECK enum err_code neo4j_count(struct http *h, const char *database, struct facts *out, struct err *e);
/** Wait until no index populates.  strict: ERR_FAILED where one has failed, or it took longer; else its state is for the
 * facts. */
MUST_CHECK enum err_code neo4j_wait_online(struct http *h, const char *database, uint64_t seconds, bool strict,
					   const atomic_bool *cancel, struct err *e);
/** A node of each label, with its properties and relationships, is read; how many labels. */
MUST_CHECK enum err_code neo4j_sample(struct http *h, const char *database, size_t *labels, struct err *e);
/** Append a label's, type's or property's name as Cypher has it: `a``b`. */
void neo4j_name(struct buf *b, const char *name);
/** Rows as ops->query answers. */
MUST_CHECK enum err_code neo4j_lines(const json_t *values, char **out, struct err *e);

/* neo4j_dump.c */

MUST_CHECK enum err_code neo4j_dump(struct component *c, struct dump *d, struct err *e);
MUST_CHECK enum err_code neo4j_inspect(struct component *c, const char *into, struct facts *out, struct err *e);
/**
 * To ask into (as restore was told; NULL: the component's own): a running server itself, else a scratch server, which is
 * kept for the next question.
 */
MUST_CHECK enum err_code neo4j_reach(struct component *c, const char *into, struct http **out, struct err *e);
/** The scratch home that a validate had made: SCRATCH/into. malloc'ed; NULL: none, or out of memory. */
char *neo4j_temporary(const struct component *c, const char *into);

/* neo4j_restore.c */

MUST_CHECK enum err_code neo4j_plan(struct component *c, struct restore_job *j, struct err *e);
MUST_CHECK enum err_code neo4j_restore(struct component *c, struct restore_job *j, struct err *e);

/* neo4j_load.c */

MUST_CHECK enum err_code neo4j_read_back(struct component *c, struct restore_job *j, struct err *e);
/** The dump of database in the job's snapshot into p, by neo4j-admin database load. */
MUST_CHECK enum err_code neo4j_load(struct component *c, struct restore_job *j, const char *file, const char *database,
				    const struct neo4j_place *p, struct err *e);
/** neo4j-admin database check: the whole graph, its indexes and counts.  ERR_CORRUPT. */
MUST_CHECK enum err_code neo4j_check_loaded(struct component *c, const struct neo4j_place *p, const char *database,
					    struct err *e);
MUST_CHECK enum err_code neo4j_has_system(struct restore_job *j, bool *has, struct err *e);
/** Into SCRATCH/into, which is made. */
MUST_CHECK enum err_code neo4j_restore_temporary(struct component *c, struct restore_job *j, struct err *e);

/* neo4j_back.c */

MUST_CHECK enum err_code neo4j_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e);
MUST_CHECK enum err_code neo4j_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e);

/* neo4j_swap.c */

/** One folder that is exchanged: "databases/neo4j". */
struct neo4j_move {
	char *live, *fresh, *old;	/* fresh goes to live, what was live to old */
	bool had;			/* there was something live */
};
struct neo4j_moves {
	struct neo4j_move *all;
	size_t nr;
};
/** A copy; had is looked at now. */
MUST_CHECK enum err_code neo4j_moves_add(struct neo4j_moves *m, const char *live, const char *fresh, const char *old,
					 struct err *e);
void neo4j_moves_release(struct neo4j_moves *m);
json_t *neo4j_moves_json(const struct neo4j_moves *m);	/* a new reference; NULL: out of memory */
MUST_CHECK enum err_code neo4j_moves_parse(const json_t *list, struct neo4j_moves *out, struct err *e);

/* Each is ERR_BUSY where a server has folders open that would be moved or removed. */

#define NEO4J_SWAP	".vouch-swap"
/** Written to DATA/NEO4J_SWAP before the first rename, gone after the last, so that neo4j_unswap_left() puts all back. */
MUST_CHECK enum err_code neo4j_swap(const char *data, const struct neo4j_moves *m, struct err *e);
/** After a failure of it, or a kill within; *any: there was something to be done. */
MUST_CHECK enum err_code neo4j_unswap_left(const char *data, bool *any, struct err *e);
/** What is in old goes back to live, and what is live away, with the same note: the way back. */
MUST_CHECK enum err_code neo4j_swap_back(const char *data, const struct neo4j_moves *m, struct err *e);
/** The folders that old folders were to be put in, where nothing is in them. */
void neo4j_moves_tidy(const struct neo4j_moves *m);

/* neo4j_label.c */

MUST_CHECK enum err_code neo4j_restore_labels(struct component *c, struct restore_job *j, struct err *e);

/* neo4j_check.c */

MUST_CHECK enum err_code neo4j_check(struct component *c, struct err *e);

#endif
