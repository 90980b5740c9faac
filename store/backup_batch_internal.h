/* SPDX-License-Identifier: MIT */
/*
 * From the walker to the repository, in order and in bounded memory:
 *
 *   walker ──► batch ──► pool: SHA-256 of each chunk ─────────────┐
 *                   ├──► strand: SHA-256 of whole files, in order ┤
 *                   └──► committer, in order, when both are done ─┴──► writer, directory nodes
 *
 * A batch is some megabytes of file data and the steps that say what they are.  There is a fixed
 * number of them; the walker waits for a free one.  What the committer sees does not depend on
 * how the threads happened to run, so the same tree gives the same nodes and blocks.
 */
#ifndef VOUCH_STORE_BACKUP_BATCH_H
#define VOUCH_STORE_BACKUP_BATCH_H

#include <stdatomic.h>

#include "store/engine/writer.h"
#include "store/entry.h"
#include "store/store.h"

struct hardlink;

enum step_kind {
	STEP_DIR_BEGIN, /* what follows, up to its DIR_END, lies in a directory */
	STEP_DIR_END,	/* ent: the directory itself; the outermost is the root */
	STEP_ENTRY,	/* ent: complete as it is (link, device, inline, empty or unchanged file) */
	STEP_VALUE,	/* a chunk that belongs to no file's content (a long xattr) */
	STEP_CHUNK,	/* the next bytes of the file being read */
	STEP_HOLE,	/* hole_len zeros of it that are stored nowhere */
	STEP_RESTART,	/* forget the file's steps so far: it is read again, or given up */
	STEP_FILE,	/* ent: the file those bytes were; its content fields are still empty */
	STEP_LINK	/* ent: another name of link's file; its content fields are still empty */
};

struct step {
	enum step_kind kind;
	bool whole;	   /* CHUNK, HOLE: counts to the whole file's digest; FILE: wants it */
	uint32_t off, len; /* CHUNK, VALUE: where in the batch's data */
	uint64_t hole_len;
	struct object_id id; /* CHUNK, VALUE: set by the pool */
	struct entry *ent;   /* in the batch's memory; its sha256 is set by the strand */
	struct hardlink
	    *link; /* ENTRY, FILE: remember the content there; LINK: take it from there */
	bool last; /* LINK: nobody will ask for link again */
};

struct batch {
	uint8_t *data;
	size_t data_len;
	struct step *steps;
	size_t nr_steps, cap_steps;
	struct arena_block *arena; /* what entries point to */
	size_t arena_len;
	bool for_strand;
	struct pipeline *pipe;
	struct batch *next; /* pipe's mutex: among those that no thread has begun to hash */
	unsigned pending;   /* pipe's mutex: pool and strand still to come */
};

/* backup_arena.c */

/** A copy of ent; user and group stay as they are: the owner cache keeps them for the whole run.
 * NULL: no memory. */
struct entry *batch_entry_copy(struct batch *b, const struct entry *ent);
/** Empty, but for one block of memory to begin with. */
void batch_arena_reset(struct batch *b);
void batch_arena_free(struct batch *b);

struct pipeline;

struct pipeline_config {
	struct store *s;
	struct writer *writer; /* the committer thread puts; nobody else until pipeline_end */
	struct pool *pool;
	uint32_t chunk_max;
	const atomic_bool *cancel; /* may be NULL */
};

MUST_CHECK enum err_code pipeline_open(const struct pipeline_config *cfg, struct pipeline **out,
				       struct err *e);
void pipeline_close(struct pipeline *p); /* NULL is allowed; ends what runs */

/* The walker's side: one thread.  An error of any thread comes back from each of these. */

/** Room for at least min bytes (at most 1 MiB) of data at *at; *room says how many. */
MUST_CHECK enum err_code pipeline_room(struct pipeline *p, size_t min, uint8_t **at, size_t *room,
				       struct err *e);
/** Whether that would move the uncut bytes to another batch: better that there are few. */
bool pipeline_is_full(const struct pipeline *p, size_t min);
/** n bytes were put there. */
void pipeline_filled(struct pipeline *p, size_t n);
/** The bytes filled in that are not yet part of a step. */
const uint8_t *pipeline_uncut(const struct pipeline *p, size_t *len);
/** Make the first len of them a STEP_CHUNK (or STEP_VALUE). */
MUST_CHECK enum err_code pipeline_cut(struct pipeline *p, enum step_kind kind, size_t len,
				      bool whole, struct err *e);
/** Any other step; ent (NULL where the step has none) is copied with all it points to. */
MUST_CHECK enum err_code pipeline_step(struct pipeline *p, const struct step *t,
				       const struct entry *ent, struct err *e);
/** STEP_RESTART; uncut bytes are dropped. */
MUST_CHECK enum err_code pipeline_restart(struct pipeline *p, struct err *e);

/** Everything given is committed to the writer, the threads have ended; the first error of any. */
MUST_CHECK enum err_code pipeline_end(struct pipeline *p, struct err *e);
/** After pipeline_end: the root node's id and what lies below it; false where no root came. */
bool pipeline_root(const struct pipeline *p, struct object_id *id, struct totals *below);

/* The committer: steps in, nodes and chunks out to the writer.  One thread. */

struct committer;
MUST_CHECK enum err_code committer_open(struct writer *w, struct committer **out, struct err *e);
void committer_close(struct committer *c);
MUST_CHECK enum err_code committer_take(struct committer *c, struct batch *b, struct err *e);
bool committer_root(const struct committer *c, struct object_id *id, struct totals *below);

/* Files with several names. */

struct links;
MUST_CHECK enum err_code links_open(struct links **out, struct err *e);
void links_close(struct links *l); /* after pipeline_close */

/** Walker: a file read already under another name, or NULL.  *last: no more names are expected. */
struct hardlink *links_find(struct links *l, uint64_t dev, uint64_t ino, bool *last);
/** Walker: room to remember a file of nlink names, found from now on. */
MUST_CHECK enum err_code links_add(struct links *l, uint64_t dev, uint64_t ino, uint64_t nlink,
				   struct hardlink **out, struct err *e);
/** Committer: keep what ent holds, with its times; give it to another name's entry; forget it. */
MUST_CHECK enum err_code hardlink_keep(struct hardlink *h, const struct entry *ent, struct err *e);
void hardlink_give(const struct hardlink *h, struct entry *ent);
void hardlink_forget(struct hardlink *h);

#endif
