/* SPDX-License-Identifier: MIT */
/* Writing packs to a backend, and reading their tables and blocks. Knows the format of a pack, not what is in it. */
#ifndef VOUCH_ENGINE_PACK_H
#define VOUCH_ENGINE_PACK_H

#include "store/backend/backend.h"
#include "store/format/packtable.h"

/** "packs/3f/3f9a….pack" */
#define PACK_NAME_LEN (6 + 3 + 64 + 5)
void pack_name(const struct object_id *id, char out[PACK_NAME_LEN + 1]);
/** The id in such a name; false where it is not one. */
bool pack_name_parse(const char *name, struct object_id *id);

/* Writing: one thread at a time. */

struct pack_writer;
MUST_CHECK enum err_code pack_writer_open(struct backend *b, enum pack_kind kind,
					  struct pack_writer **out, struct err *e);
/** Append one block: frame is its stored bytes (h->stored_len), h->number is set here. */
MUST_CHECK enum err_code pack_writer_add(struct pack_writer *w, struct block_header *h,
					 const struct chunk_desc *chunks, const uint8_t *frame,
					 struct err *e);
/** Its parity, of so many thousandths, is to be made with it: right after opening. */
MUST_CHECK enum err_code pack_writer_parity(struct pack_writer *w, uint32_t permille,
					    struct err *e);
uint64_t pack_writer_len(const struct pack_writer *w);	/* bytes so far */
/**
 * Table, parity, sync, rename to its digest; the parity file has its name just before.  On success *id names the pack,
 * *table describes it (caller releases).  Frees w in every case.  ERR_CORRUPT: read back, it is not what was written.
 */
MUST_CHECK enum err_code pack_writer_seal(struct pack_writer *w, struct object_id *id,
					  struct packtable *table, struct err *e);
void pack_writer_abort(struct pack_writer *w);		/* NULL is allowed */

/* Reading: any thread. */

/**
 * The pack's table, read from its end; ERR_NOT_FOUND, ERR_INCOMPLETE (shorter than it should be, or no
 * footer), ERR_CORRUPT.  *table is the caller's to release.
 */
MUST_CHECK enum err_code pack_read_table(struct backend *b, const struct object_id *id,
					 struct packtable *table, struct err *e);

/**
 * The same without believing the end: walks the block headers from the start, skips what is damaged (looking for
 * the next header that checks out).  ERR_CORRUPT where no block was found.  Offsets are where headers really lie.
 */
MUST_CHECK enum err_code pack_rescan(struct backend *b, const struct object_id *id,
				     struct packtable *table, struct err *e);

/**
 * Read block i of t: header and frame, header compared with the table, XXH3 of the frame checked.
 * plain must have room for t->blocks[i].plain_len bytes; it is decompressed into it.
 * The chunks' SHA-256 are NOT checked here: whoever hands bytes out does.
 */
struct codec;
MUST_CHECK enum err_code pack_read_block(struct backend *b, const struct object_id *id,
					 const struct packtable *t, uint32_t i,
					 struct codec *codec, uint8_t *plain, struct err *e);

/**
 * The same, but damage is no error: plain gets what can still be decoded, with wrong bytes and zeros in it, so that
 * one damaged chunk does not take its block's other chunks along.  *damaged tells.  Every chunk must be checked.
 */
MUST_CHECK enum err_code pack_salvage_block(struct backend *b, const struct object_id *id,
					    const struct packtable *t, uint32_t i,
					    struct codec *codec, uint8_t *plain, bool *damaged,
					    struct err *e);

#endif
