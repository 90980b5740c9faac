/* SPDX-License-Identifier: MIT */
/* The tables that --table names: what of them is in the dump, what of them is there. */
#ifndef VOUCH_COMPONENTS_POSTGRES_CHOICE_H
#define VOUCH_COMPONENTS_POSTGRES_CHOICE_H

#include "tools/components/pgname.h"
#include "tools/components/postgres.h"
#include "tools/components/postgres_toc.h"

struct pg_one {
	const char *name;		/* canonical, in the recorded facts */
	bool there;
	char saved[PGNAME_MAX + 1];	/* its table in vouch_before */
};

struct pg_tables {
	struct component *c;
	struct restore_job *j;
	struct pg_one *v;
	size_t nr, nr_there;
	struct talk *t;			/* a session in the database */
	char *database;
	struct pgtoc ids, later;	/* later: foreign keys of other tables that went with a missing one */
};

/** Resolve, connect, look; pg_tables_release() after an error, too. */
MUST_CHECK enum err_code pg_tables_open(struct pg_tables *s, struct component *c, struct restore_job *j, struct err *e);
void pg_tables_release(struct pg_tables *s);
/** From the dump's table of contents the entries to restore: ids, later. */
MUST_CHECK enum err_code pg_tables_choose(struct pg_tables *s, struct err *e);

#endif
