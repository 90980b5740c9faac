/* SPDX-License-Identifier: MIT */
/*
 * The packs this process knows of.  A pack keeps its ordinal while the process lives, gone or not,
 * so that it may name blocks in the cache; its number in the catalog may change.  The owner's mutex
 * covers all calls.
 */
#ifndef VOUCH_ENGINE_PACKSET_H
#define VOUCH_ENGINE_PACKSET_H

#include <stdbool.h>
#include <stdint.h>

#include "store/err.h"
#include "store/id.h"

enum pack_state {
	PACK_GONE,	 /* not in the last listing */
	PACK_HERE,	 /* listed; whole, as far as is known */
	PACK_INCOMPLETE, /* shorter than it should be, or its end is not there */
	PACK_BAD,	 /* no table, and no block found in it */
	PACK_ELSEWHERE	 /* not in the last listing, but its parity is, or a copy of the repository has it: only to heal */
};

struct pack_info {
	struct object_id id;
	uint32_t no; /* in the catalog; 0: not in it */
	enum pack_state state;
	bool settled;	    /* its name survives a power cut, as that of one in the catalog does */
	bool condemned;	    /* may go: what it has is not counted on */
	bool keys_known;    /* its table's keys are in the filter of all tables' keys */
	bool scanned;	    /* its end is damaged: its table is of what blocks were found */
	bool hopeless;	    /* not to be read again before it changes or retry_ns has passed */
	uint64_t size_seen; /* when it was found wanting */
	int64_t retry_ns;   /* monotonic */
};

static inline bool pack_is_here(const struct pack_info *p)
{
	return p->state != PACK_GONE && p->state != PACK_ELSEWHERE;
}

struct packset;

#define PACK_ORD_NONE UINT32_MAX

MUST_CHECK enum err_code packset_open(struct packset **out, struct err *e);
void packset_close(struct packset *s); /* NULL is allowed */

uint32_t packset_nr(const struct packset *s);
/** Good until the next packset_add. */
struct pack_info *packset_at(struct packset *s, uint32_t ord);
/** PACK_ORD_NONE where there is none. */
uint32_t packset_find(const struct packset *s, const struct object_id *id);
/** The pack of that id, made (PACK_GONE) where it was not known; PACK_ORD_NONE where there is no
 * memory. */
uint32_t packset_add(struct packset *s, const struct object_id *id);

/** The catalog's numbers. A number names one pack: the last that was given it. */
uint32_t packset_by_no(const struct packset *s, uint32_t no);
MUST_CHECK enum err_code packset_set_no(struct packset *s, uint32_t ord, uint32_t no,
					struct err *e);
void packset_forget_nos(struct packset *s);

#endif
