/* SPDX-License-Identifier: MIT */
/*
 * A component: one service of vouch.conf(5) that is dumped into a snapshot, restored from one, and proven.  Each type is
 * one struct component_ops; the commands (run, check, recover, rollback, validate) know no type by name.
 *
 *   run*.c         lock, hooks ──► ops->dump ──► assembly (store/assemble.h), facts.json ──► one snapshot
 *   recover*.c     read back ──► countdown, hooks ──► ops->restore (makes the way back first) ──► ops->inspect
 *                  ──► facts_compare
 *   validate*.c    ops->restore into something temporary ──► ops->inspect, expectations ──► ops->discard
 */
#ifndef VOUCH_COMPONENTS_COMPONENT_H
#define VOUCH_COMPONENTS_COMPONENT_H

#include <stdatomic.h>

#include "store/assemble.h"
#include "store/store.h"
#include "tools/components/facts.h"
#include "tools/config.h"
#include "tools/spawn.h"

struct component;
struct dump;
struct restore_job;

/** What a check found; each is printed as a line, and counts. */
enum finding {
	FINDING_OK,		/* "server 15.18 reached at ..." */
	FINDING_WARNING,	/* works, but: MyISAM tables, tool older than the server */
	FINDING_FAILED		/* a dump would fail */
};
struct component_events {
	void (*found)(void *ctx, enum finding kind, const char *text);	/* check, validate */
	void (*note)(void *ctx, const char *text);			/* dump, restore: one line for the person, the log */
	void (*progress)(void *ctx, const char *stage, uint64_t bytes, uint64_t total);
	void (*need)(void *ctx, uint64_t bytes);			/* check: how large a dump will be, about */
	void *ctx;
};
/* Format and hand on; any member of c->events may be NULL. */
void component_found(struct component *c, enum finding kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
void component_note(struct component *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
void component_progress(struct component *c, const char *stage, uint64_t bytes, uint64_t total);
void component_need(struct component *c, uint64_t bytes);

struct component_ops {
	const char *type;		/* "postgres": also the folder in a snapshot */
	const char *main_file;		/* "database.dump": the one whose bytes and SHA-256 the history tells */
	const char *item_kind;		/* what --table, --label, --collection name: "table" */
	const char *selector;		/* the option: "table" */
	uint64_t rto;			/* seconds: 20 min */
	/*
	 * What recover's comparison may find beside what was recorded.  merges_items: chosen items are merged into what
	 * is there, newer rows stay, so that more than recorded agrees.  keeps_extra: items that are not in the dump
	 * stay as they are (a newer collection), and are listed.
	 */
	bool merges_items, keeps_extra;
	/*
	 * How query() is asked for not-null and orphans of vouch.conf(5): {table}, {column}, {parent}, {parent-column}
	 * are replaced, the answer is a number.  NULL: in SQL.  "": the type cannot be asked.
	 */
	const char *nulls_query, *orphans_query;

	/** Take the section's keys (config_get); c->priv.  Nothing is started or asked yet.  ERR_USAGE. */
	enum err_code (*open)(struct component *c, struct err *e);
	void (*close)(struct component *c);	/* after a failed open, too */

	/**
	 * Reachable (component_wait), with what rights, versions of tool and server, what no snapshot can hold still,
	 * whether the space suffices where the dump needs some here; component_need() where the size of a dump is
	 * known.  component_found() each; an error only where it could not go on.
	 */
	enum err_code (*check)(struct component *c, struct err *e);

	/** Everything into d->files and d->facts.  An error: it failed, and what it wrote is dropped. */
	enum err_code (*dump)(struct component *c, struct dump *d, struct err *e);

	/**
	 * What is there now, as dump would record it (without files), into out, which was begun.  into: the database
	 * (home, collection prefix) to look at; NULL: the component's own.  ERR_NOT_FOUND: there is no such database.
	 */
	enum err_code (*inspect)(struct component *c, const char *into, struct facts *out, struct err *e);

	/**
	 * Read the dump in the job's snapshot as its own format wants (pg_restore -f /dev/null, zstd frame, Qdrant's
	 * checksum).  Nothing is changed.
	 */
	enum err_code (*read_back)(struct component *c, struct restore_job *j, struct err *e);

	/** One line a step of what restore() would do, by component_note(): for --dry-run and before the countdown. */
	enum err_code (*plan)(struct component *c, struct restore_job *j, struct err *e);

	/**
	 * Bring it back.  Makes the way back first, with restore_way_back().  After an error the target is as it was, or
	 * the message says how to get there.
	 */
	enum err_code (*restore)(struct component *c, struct restore_job *j, struct err *e);

	/** Take the way back that restore() made (way: the object it set). */
	enum err_code (*rollback)(struct component *c, struct restore_job *j, const json_t *way, struct err *e);

	/** Drop what a validate restored (j->into), or a way back that nobody needs any more (way). Either may be NULL. */
	enum err_code (*discard)(struct component *c, struct restore_job *j, const json_t *way, struct err *e);

	/**
	 * The answer of a user's query in into (NULL: its own) as lines: rows, fields told apart by tabs, \N for NULL
	 * (talk_rows_lines()); for expect, not-null, orphans and references.  *out malloc'ed.
	 */
	enum err_code (*query)(struct component *c, const char *into, const char *query, char **out, struct err *e);
	/**
	 * What validate looks at beside the counts, by component_found(): foreign keys, NULLs in named columns, indexes
	 * online, a sample vector search, a sample graph query.  May be NULL.
	 */
	enum err_code (*examine)(struct component *c, const char *into, const struct facts *recorded, struct err *e);
};

/** One of them, open. */
struct component {
	const struct component_ops *ops;
	const char *name;		/* "crm" */
	struct config_section *section;
	char **via;			/* NULL: none */
	uint64_t wait;			/* seconds until it must be reachable: 30 */
	uint64_t rto, rpo;		/* seconds */
	struct component_events events;
	const atomic_bool *cancel;
	void *priv;			/* the type's */
};

/** All that vouch knows (types.c). */
extern const struct component_ops *const component_types[];	/* NULL at the end */
extern const struct component_ops component_postgres, component_mysql, component_neo4j, component_qdrant;

/**
 * Common keys (type, via, wait, rto, rpo; those that only commands ask for are taken as known), then ops->open, then
 * config_unused(). ERR_USAGE.  s lives until component_close(); events (NULL: none) may be set later, too.
 */
MUST_CHECK enum err_code component_open(struct config_section *s, const struct component_events *events,
					const atomic_bool *cancel, struct component **out, struct err *e);
void component_close(struct component *c);	/* NULL is allowed */

/** Spawn options with the component's via, nothing on standard input. */
struct spawn_options component_spawn(const struct component *c, char *const *argv);

/**
 * Services start slowly: reach (connect, ask for a version) is called until it returns something else than ERR_ABSENT,
 * for at most c->wait seconds; then ERR_ABSENT with its last message.  So a type's reach says ERR_ABSENT where nobody
 * answers, or the server says that it is starting; a wrong password is ERR_FAILED, and is not tried again.
 * ERR_CANCELED.
 */
MUST_CHECK enum err_code component_wait(struct component *c, enum err_code (*reach)(void *ctx, struct err *e), void *ctx,
					struct err *e);

/** Wait; false: told to stop meanwhile. */
bool component_pause(const struct component *c, unsigned ms);

/* Dumping. */

struct dump {
	struct assembly *to;		/* NULL: nothing is stored (inspect may share dump's code) */
	const char *folder;		/* "postgres/crm" */
	struct facts *facts;
	struct store *store;
};
#define DUMP_CHUNK_AVG 4096u		/* a row in a hundred changed leaves half of such chunks as they were */

/** "FOLDER/NAME"; *out NULL where nothing is stored, and dump_write() and dump_file_close() take that. */
MUST_CHECK enum err_code dump_file_open(struct dump *d, const char *name, struct assembly_file **out, struct err *e);
MUST_CHECK enum err_code dump_write(struct assembly_file *f, const void *buf, size_t len, struct err *e);
/** Also facts_file(). */
MUST_CHECK enum err_code dump_file_close(struct dump *d, const char *name, struct assembly_file *f, struct err *e);

/* Restoring. */

struct restore_job {
	struct store *store;
	const struct snapshot *snapshot;
	const char *folder;		/* "postgres/crm" */
	const struct facts *recorded;
	const char *into;		/* --into; NULL: the component's own.  validate: a name that is free */
	bool temporary;			/* validate: into is made for it, and discarded; nothing else may be touched */
	const char *const *items;	/* --table, --label, --collection */
	size_t nr_items;
	unsigned jobs;			/* 0: the type's choice */
	bool heal;
	const atomic_bool *cancel;	/* of what takes long and has no component at hand; may be NULL */
	json_t *way_back;		/* restore_way_back(): {"kind":"renamed","database":"crm_before_..."}; owned */
	/** A safety dump of the component as it is now, in a snapshot of its own (TAG_SAFETY); its name, malloc'ed. */
	enum err_code (*safety_dump)(void *ctx, struct component *c, char **snapshot, struct err *e);
	/** Write down for vouch rollback that way exists; NULL: nobody wants to know. */
	enum err_code (*remember)(void *ctx, struct component *c, const json_t *way, struct err *e);
	void *ctx;
};

/**
 * There is a way back, or there will be with the next step (a rename): from now on vouch rollback finds it, even where
 * this process is killed in the next moment.  So: the safety dump or the copy is made, then this, then the first thing
 * is overwritten.  rollback() of one that is not there after all returns ERR_NOT_FOUND.  Takes way ("kind" as one word,
 * and what rollback() needs; "snapshot" where it is a safety dump: recover lets that go with it).  May be called again
 * with more members: the newest counts.
 */
MUST_CHECK enum err_code restore_way_back(struct component *c, struct restore_job *j, json_t *way, struct err *e);

/** A file of the job's dump, each byte checked as it is read: blob_close().  ERR_NOT_FOUND. */
struct blob;
MUST_CHECK enum err_code restore_file(struct restore_job *j, const char *name, struct blob **out, struct err *e);
/** All of it into a spawn's standard input, which is closed after. */
MUST_CHECK enum err_code restore_feed(struct component *c, struct restore_job *j, const char *name, struct spawn *to,
				      struct err *e);
/**
 * A seekable path to it, for tools that need one: a private mount of the repository, else (no /dev/fuse) a copy without a
 * name in $TMPDIR or /var/tmp, for which the space was checked.  Only this user's processes on this host can read it.
 * Nothing of it outlives this process, but two empty folders where a mount's is killed.
 */
struct restore_path;
MUST_CHECK enum err_code restore_path_open(struct restore_job *j, const char *name, struct restore_path **out,
					   struct err *e);
const char *restore_path_text(const struct restore_path *p);
void restore_path_close(struct restore_path *p);	/* NULL is allowed; nothing of it is left */

#endif
