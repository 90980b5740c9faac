/* SPDX-License-Identifier: MIT */
/* Which entries of an archive's table of contents (`pg_restore -l`) belong to one table. */
#ifndef VOUCH_COMPONENTS_POSTGRES_TOC_H
#define VOUCH_COMPONENTS_POSTGRES_TOC_H

#include "tools/components/facts.h"

struct pgtoc {
	uint32_t *ids;
	size_t nr, cap;
};
void pgtoc_release(struct pgtoc *t);

/**
 * Add the numbers of all entries of the table (canonical name) that the list names: itself, rows, keys, indexes,
 * defaults, its sequences and their values, triggers, rules, policies, grants, comments.  only_rows: just its rows.
 */
MUST_CHECK enum err_code pgtoc_of_table(const char *list, const struct facts *recorded, const char *table, bool only_rows,
					struct pgtoc *out, struct err *e);
/** The entry of one constraint ("schema.table.name"). */
MUST_CHECK enum err_code pgtoc_of_constraint(const char *list, const char *constraint, struct pgtoc *out, struct err *e);
/** In the list's own order: pg_restore writes in the order of the numbers that it is given, and cannot go back in a
 * stream. */
void pgtoc_sort(const char *list, struct pgtoc *t);

#endif
