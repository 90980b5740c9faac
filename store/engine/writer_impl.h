/* SPDX-License-Identifier: MIT */
/* Inside the writer: what writer.c (putting) and writer_pack.c (compressing and packing) share. */
#ifndef VOUCH_ENGINE_WRITER_IMPL_H
#define VOUCH_ENGINE_WRITER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/engine/codec.h"
#include "store/engine/idset.h"
#include "store/engine/pack.h"
#include "store/engine/writer.h"

#define WRITER_KINDS  2
#define SEALED_MAX    8u     /* packs, and ... */
#define SEALED_CHUNKS 32768u /* ... chunks that wait to be indexed in one transaction */

/* A block on its way.  Gathered by the putting thread, compressed by one of the pool, written by
 * the packer. */
struct slot {
	struct writer *w;
	enum pack_kind kind;
	uint8_t *plain, *frame;	   /* owned; kept from block to block */
	struct chunk_desc *chunks; /* owned */
	size_t plain_cap, frame_cap;
	uint32_t plain_len, nr_chunks, cap_chunks;
	struct block_header header; /* filled by compressing */
	enum err_code rc;	    /* of compressing */
	struct err err;
	bool done;	   /* writer.mutex; compressed, or failed */
	struct slot *next; /* writer.mutex; in the free list */
};

struct open_pack {
	struct pack_writer *writer;
	uint32_t nr_blocks, nr_chunks;
};

struct writer {
	struct writer_config cfg;
	pthread_t packer, sealer;
	bool have_packer, have_sealer;
	struct queue *to_seal; /* of struct pack_writer */

	/* The putting thread's. */
	struct slot *open[WRITER_KINDS];

	/* The packer's. */
	struct open_pack packs[WRITER_KINDS];

	/* The sealer's. */
	struct object_id sealed_ids[SEALED_MAX]; /* sealed, and not yet indexed */
	struct packtable sealed[SEALED_MAX];
	uint32_t nr_sealed, nr_sealed_chunks;

	pthread_mutex_t mutex; /* over what follows */
	pthread_cond_t work;   /* the packer waits: the oldest block done, seal, stop, a pack sealed */
	pthread_cond_t room;   /* others wait: a slot free, sealed, failed */
	struct slot *slots;    /* all of them */
	unsigned nr_slots;
	struct slot *free;
	struct slot **ring; /* submitted, in order; nr_slots places */
	unsigned head, nr_ring;
	struct codec **codecs; /* idle ones; room for nr_slots */
	unsigned nr_codecs;
	struct idset pending; /* put, and not yet found through chunks */
	unsigned nr_sealing;  /* packs that are the sealer's */
	bool seal, stop, failed;
	struct err err; /* the first failure */

	atomic_uint_fast64_t new_chunks, new_bytes, known_chunks, known_bytes, stored_bytes,
	    tree_bytes, table_bytes, nr_packs;
};

void writer_lock(struct writer *w);
void writer_unlock(struct writer *w);
void writer_wait_locked(struct writer *w, pthread_cond_t *cond);
void writer_wake(pthread_cond_t *cond);
/** The first failure is what every later call answers. */
void writer_fail(struct writer *w, const struct err *why);
MUST_CHECK enum err_code writer_failure_locked(struct writer *w, struct err *e);

/** A pool's job; arg is a slot in the ring. */
void writer_compress(void *arg);
/** The packer's thread; arg is the writer. Ends at stop, when the ring is empty. */
void *writer_packer(void *arg);

/** The sealer's thread; arg is the writer.  Ends when to_seal does. */
void *writer_sealer(void *arg);
/** Packer: pw becomes the sealer's; waits where that has two already. */
MUST_CHECK enum err_code writer_seal(struct writer *w, struct pack_writer *pw, struct err *e);
/** Packer: all of them are sealed and indexed. */
MUST_CHECK enum err_code writer_seal_wait(struct writer *w, struct err *e);

#endif
