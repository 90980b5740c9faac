/* SPDX-License-Identifier: MIT */
/*
 * What a dump holds, recorded at its own instant, and what a database holds now: the same shape, so that they can be
 * compared. facts.json beside each dump:
 *
 *   {"type":"postgres","component":"crm","instant":"2026-11-21T02:00:00.123Z","seconds":1.5,"bytes":"51006108",
 *    "server":"15.18","tool":"pg_dump 15.18","position":{...},"settings":{...},
 *    "files":[{"name":"database.dump","bytes":"51006108","sha256":"..."}],
 *    "items":[{"kind":"table","name":"public.orders","rows":"50000","sum":"<32 hex>"},
 *             {"kind":"sequence","name":"public.orders_id_seq","value":"50450","at_least":true},
 *             {"kind":"index","name":"public.orders_pkey","is":"CREATE UNIQUE INDEX ..."}, ...]}
 *
 * of: the table (collection) that an index, sequence, trigger ... belongs to: it comes back, and is compared, with that.
 * rows: how many; sum: rowsum.h; value: a number that is set, not counted (at_least: what is found may be larger);
 * is: a definition as text; moving: writers went on, so that rows and value are not comparable.  Any other member that was
 * recorded of an item (a collection's dimension) is compared as it is, but "info" is not.  Kinds: table, view, index, constraint,
 * sequence, function, trigger, event, role, label, relationship, collection, alias, database ....  Numbers that can be
 * large are strings.
 */
#ifndef VOUCH_COMPONENTS_FACTS_H
#define VOUCH_COMPONENTS_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/base/buf.h"
#include "store/err.h"
#include "store/id.h"

#define FACTS_TEXT_MAX (64u << 20)	/* bytes of facts.json: some 400,000 items */

/** A zeroed one is empty, and may be released. */
struct facts {
	json_t *root;			/* the object above */
	json_t *index;			/* kind, 0x1f, name: the item of root; facts.c's own */
	bool bad;			/* out of memory once: facts_check() */
};

/* Texts that are not UTF-8 are taken with those bytes as \xHH. */

void facts_begin(struct facts *f, const char *type, const char *component);	/* instant: now */
void facts_release(struct facts *f);
MUST_CHECK enum err_code facts_check(const struct facts *f, struct err *e);
/** JSON, keys in the order above, one item a line, newline at the end; appended.  ERR_NOMEM, ERR_LIMIT (FACTS_TEXT_MAX). */
MUST_CHECK enum err_code facts_text(const struct facts *f, struct buf *out, struct err *e);
/** Text from outside: every member checked.  ERR_CORRUPT, ERR_LIMIT; then *out is as it was. */
MUST_CHECK enum err_code facts_parse(const char *text, size_t len, struct facts *out, struct err *e);

/* Members of the root. */
void facts_set(struct facts *f, const char *key, const char *value);
void facts_set_u64(struct facts *f, const char *key, uint64_t v);		/* as a string */
void facts_set_real(struct facts *f, const char *key, double v);
/** {"position":{"wal":...}} */
void facts_set_in(struct facts *f, const char *group, const char *key, const char *value);
const char *facts_get(const struct facts *f, const char *key);			/* NULL: none */
const char *facts_get_in(const struct facts *f, const char *group, const char *key);
/** One of that name takes the place of the one before. */
void facts_file(struct facts *f, const char *name, uint64_t bytes, const struct object_id *sha256);

/* Items: those with the same kind and name are one. */
#define FACTS_NO_SUM NULL
void facts_rows(struct facts *f, const char *kind, const char *name, uint64_t rows, const char *sum);
void facts_value(struct facts *f, const char *kind, const char *name, uint64_t value, bool at_least);
void facts_is(struct facts *f, const char *kind, const char *name, const char *definition);
void facts_moving(struct facts *f, const char *kind, const char *name);
/** Borrowed, for members of a service's own; NULL: none. */
json_t *facts_item(const struct facts *f, const char *kind, const char *name);
bool facts_rows_of(const struct facts *f, const char *kind, const char *name, uint64_t *rows);

/** What is compared: NULL for all, else those for which it is true. */
typedef bool facts_choose_fn(void *ctx, const char *kind, const char *name);

/** One row of a comparison; "" where there is none. */
struct facts_row {
	const char *kind, *name;
	char recorded[96], found[96];	/* rows, or value, or "yes"; UTF-8, not yet safe for a terminal */
	const char *verdict;		/* "equal", "differs", "missing", "extra", "not compared" */
	bool agrees;
};
typedef void facts_row_fn(void *ctx, const struct facts_row *r);

/**
 * Every item of recorded against found, in recorded's order; then what is only in found ("extra", agrees only where
 * extra_ok). Returns how many do not agree.  A moving item that is what it was is "not compared", and agrees; one whose sum
 * was recorded and is not known now is "not compared", and does not.  fn may be NULL.
 */
size_t facts_compare(const struct facts *recorded, const struct facts *found, facts_choose_fn *choose, void *choose_ctx,
		     bool extra_ok, facts_row_fn *fn, void *ctx);

#endif
