/* SPDX-License-Identifier: MIT */
/*
 * Putting chunks: known ones are not stored again, new ones are gathered into blocks, compressed on all processors,
 * appended to packs in the order they were put, sealed, and indexed.
 *
 *   put ──► block of one kind ──► pool (compress, XXH3) ──► packer thread (pack SHA-256, write)
 *       ──► sealer thread (sync, name, index)
 *
 * One thread puts; the rest is inside.  An error in any thread is returned by the next call and by finish.
 */
#ifndef VOUCH_ENGINE_WRITER_H
#define VOUCH_ENGINE_WRITER_H

#include "store/base/pool.h"
#include "store/engine/chunks.h"
#include "store/format/superblock.h"

struct writer;

struct writer_config {
	struct chunks *chunks;
	struct backend *backend;
	struct store_params params;
	struct pool *pool;		/* compresses; may be shared, not closed */
};

MUST_CHECK enum err_code writer_open(const struct writer_config *cfg, struct writer **out,
				     struct err *e);

/** The chunk is stored or will be after finish.  data is copied.  *is_new may be NULL. */
MUST_CHECK enum err_code writer_put(struct writer *w, enum pack_kind kind,
				    const struct object_id *id, const uint8_t *data, uint32_t len,
				    bool *is_new, struct err *e);

/** Seal all: data packs, then tree packs; everything put is durable and indexed on ERR_OK. Callable again after more puts. */
MUST_CHECK enum err_code writer_finish(struct writer *w, struct err *e);

/** ERR_OK, or with what it failed, and every call from now on fails.  Any thread. */
MUST_CHECK enum err_code writer_failure(struct writer *w, struct err *e);

/** Ends the threads, frees.  What was not finished is dropped, sealed packs stay. NULL is allowed. */
void writer_close(struct writer *w);

struct writer_stats {
	uint64_t new_chunks, new_bytes;	/* plain */
	uint64_t known_chunks, known_bytes;
	uint64_t stored_bytes;		/* bytes of sealed packs ... */
	uint64_t tree_bytes;		/* ... of these: frames of nodes ... */
	uint64_t table_bytes;		/* ... and all that is no frame: what describes the chunks */
	uint64_t packs;
};
void writer_stats(const struct writer *w, struct writer_stats *out);

#endif
