/* SPDX-License-Identifier: MIT */
/* Snapshots: list them, find the one a person means. */
#ifndef VOUCH_STORE_SNAPSHOT_H
#define VOUCH_STORE_SNAPSHOT_H

#include "store/entry.h"
#include "store/err.h"
#include "store/id.h"

struct store;

struct component_outcome {
	char *name, *type, *status;	/* status "ok" or "failed" */
	char *detail;
};

/** All strings are owned, never NULL; times are UTC. */
struct snapshot {
	struct object_id id;		/* SHA-256 of the file's exact bytes */
	struct object_id root;		/* a root node */
	char *name;			/* "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e": the file's name without .json */
	char *host, *user, *version;
	char **sources, **tags;
	size_t nr_sources, nr_tags;
	char *base;			/* -C directory, "" where paths are kept whole */
	struct component_outcome *components;
	size_t nr_components;
	struct vtime time, end;		/* when it began and ended */
	struct totals totals;
	uint64_t new_bytes;		/* plain bytes of chunks not known before */
	uint64_t stored_bytes;		/* bytes added to packs for it */
	uint64_t errors;		/* source files that could not be read, or would not hold still */
	uint8_t writer[16];
	uint64_t seq;			/* 1, 2, ... of this writer */
	bool has_previous;
	struct object_id previous;	/* id of this writer's snapshot seq - 1 */
};

void snapshot_release(struct snapshot *s);	/* frees what it owns */

/**
 * Tags that only vouch gives.  A snapshot with one is no backup to be found by date, whatever other tags it has: never
 * "latest", never counted by a rule, and in a mount below .vouch/safety or .vouch/partial.
 */
#define TAG_SAFETY  "vouch:safety"	/* made before a recover overwrote something: the way back */
#define TAG_PARTIAL "vouch:partial"	/* what there is of dumps that failed, kept because that was asked for */
#define TAG_RESERVED "vouch:"		/* how they begin: a user's tag may not */

bool snapshot_has_tag(const struct snapshot *s, const char *tag);
/** It has one of the two. */
bool snapshot_is_reserved(const struct snapshot *s);

/** "2026-11-21T02-00-00Z" of a name: its first 20 characters, the date a mount shows. */
#define SNAPSHOT_DATE_LEN 20

/** Sorted by time, then id. bad lists names whose file and copy are both damaged. */
struct snapshot_list {
	struct snapshot *all;
	size_t nr;
	char **bad;
	size_t nr_bad;
};

void snapshot_list_release(struct snapshot_list *l);

/**
 * Read every snapshot file, each checked against its name (and against its copy
 * in copies/ where it is damaged).  A damaged one is put in bad and is no error here.
 */
MUST_CHECK enum err_code snapshot_list_read(struct store *s, struct snapshot_list *out,
					    struct err *e);

/** A number that changes when the names of the snapshots that are there do: a cheap look before a listing. */
MUST_CHECK enum err_code snapshot_list_stamp(struct store *s, uint64_t *stamp, struct err *e);

struct snapshot_filter {
	const char *host, *tag, *path;	/* NULL: any */
};

/** Whether s is of that host, tag and path (a source, or below one); a NULL f lets all through. */
bool snapshot_passes(const struct snapshot *s, const struct snapshot_filter *f);

/**
 * Find what spec means: a name, a date with hyphens ("2026-11-21", newest of that
 * day; "2026-11-21T02-00-00Z"), an id prefix of six digits or more, "latest",
 * "latest~N".  *out points into l.  ERR_NOT_FOUND: none.  ERR_USAGE: ambiguous,
 * the candidates are in the message.
 */
MUST_CHECK enum err_code snapshot_find(const struct snapshot_list *l, const char *spec,
				       const struct snapshot_filter *f,
				       const struct snapshot **out, struct err *e);

#endif
