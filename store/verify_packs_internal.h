/* SPDX-License-Identifier: MIT */
/*
 * Packs going by.  Workers take turns with all that are open: a turn is the next extent of a pack,
 * read in one go, whose blocks are decoded; after a turn of each pack it has in hand a worker
 * hashes all of it, chunks and the packs' own bytes, together: sixteen digests at once take a third
 * of the time of one after the other, but a pack is one stream and holds few chunks a block.
 */
#ifndef VOUCH_STORE_VERIFY_PACKS_INTERNAL_H
#define VOUCH_STORE_VERIFY_PACKS_INTERNAL_H

#include "store/base/buf.h"
#include "store/base/digest.h"
#include "store/engine/codec.h"
#include "store/engine/pack.h"
#include "store/format/limits.h"
#include "store/verify_internal.h"

#define PACKS_AT_ONCE 8u		 /* of one worker */
#define PACKS_IN_TIME 2u		 /* the same where the time is limited */
#define BATCH_BYTES   ((size_t)6 << 20)	 /* decoded for one call, unless a block is larger */
#define EXTENT_LEN    ((size_t)1 << 20)	 /* read for one turn, unless a block is longer */
#define EXTENT_MAX    (EXTENT_LEN + BLOCK_STORED_MAX + (512u << 10)) /* a gap, a block, its header */

/* What was found out about a pack. */
struct finding {
	uint64_t blocks, chunks, plain;
	uint64_t bad_blocks, bad_chunks;
	struct err first; /* the first thing that is wrong */
	bool incomplete;
};

/* A pack going by; none of its bytes is kept from one turn to the next. */
struct passing {
	struct verify *v;
	struct object_id id;
	char name[PACK_NAME_LEN + 1];
	uint64_t size, off; /* bytes; read so far */
	struct digest_stream *digest;
	struct packtable t;
	uint32_t next; /* block */
	bool unread;   /* some of it could not be read: nothing is known of its name */
	struct finding f;
};

/* A chunk of a batch. */
struct batch_chunk {
	struct passing *p;
	const struct chunk_desc *d;
	uint32_t block_off;
};

/* What a worker hashes in one call. */
struct batch {
	struct codec *codec;
	uint8_t *stored, *plain; /* EXTENT_MAX and BLOCK_PLAIN_MAX more than BATCH_BYTES */
	size_t stored_len, plain_len;
	struct digest_job *jobs; /* the packs' own come first */
	struct object_id *got;	 /* of chunk i */
	struct batch_chunk *chunks;
	struct chunk_desc *header; /* BLOCK_CHUNKS_MAX: of the block being looked at */
	size_t nr_streams, nr_chunks;
	struct digest_job streams[PACKS_AT_ONCE];
	struct buf good; /* chunk_key()s */
};

/* A pack of the listing. */
struct listed {
	struct object_id id;
	uint64_t size;
	int64_t when;	/* found good, where that matters: seconds since 1970, 0: never */
	uint64_t order; /* of a sample */
};

/* verify_choose.c */

/** Put those that are to be read first, in the order to read them in: *nr_chosen of nr. */
MUST_CHECK enum err_code verify_choose(struct verify *v, struct listed *l, size_t nr,
				       size_t *nr_chosen, struct err *e);
/** The tables of those that were not read: what they name counts as there. */
MUST_CHECK enum err_code verify_tables(struct verify *v, const struct listed *l, size_t nr,
				       struct err *e);
/** chunk_key()s for v->good; empties it. */
MUST_CHECK enum err_code verify_keep_good(struct verify *v, struct buf *good, struct err *e);

/* verify_pack.c */

/** ERR_NOMEM; batch_release is right either way. */
MUST_CHECK enum err_code batch_init(struct batch *b, struct err *e);
void batch_release(struct batch *b);
/** Everything in it is hashed, and told to its packs; then it is empty. */
MUST_CHECK enum err_code batch_hash(struct batch *b, struct verify *v, struct err *e);

/** What is wrong goes to p->f; an error ends the check, and p stays the caller's to release. */
MUST_CHECK enum err_code passing_begin(struct passing *p, struct err *e);
/** The next extent, of which share bytes are to be decoded; may hash what is in b before. */
MUST_CHECK enum err_code passing_turn(struct passing *p, struct batch *b, size_t share,
				      struct err *e);
bool passing_done(const struct passing *p);
/** All is read and hashed: the name. */
void passing_end(struct passing *p);
void passing_release(struct passing *p);
void passing_found(struct passing *p, const struct err *err);

#endif
