/* SPDX-License-Identifier: MIT */
/* Writing a pack again under its own name: what every way of doing so has to ask. */
#ifndef VOUCH_ENGINE_MEND_H
#define VOUCH_ENGINE_MEND_H

#include "store/engine/parity.h"
#include "store/id.h"

/**
 * Whether the medium has twice the room: a drive that is full while it is mended is no better off, and a rename keeps
 * both for a moment.  ERR_LIMIT: it has not.
 */
MUST_CHECK enum err_code mend_check_room(struct backend *b, uint64_t len, struct err *e);

/**
 * All of the pack to fn (NULL: to nobody).  ERR_CORRUPT: its SHA-256 is not its name, after fn has got all of it; an
 * error of fn ends it and is returned.
 */
MUST_CHECK enum err_code mend_read_pack(struct backend *b, const struct object_id *pack,
					parity_sink *fn, void *ctx, struct err *e);

/** What the medium now says it has: ERR_IO where its SHA-256 is not the pack's name. */
MUST_CHECK enum err_code mend_read_back(struct backend *b, const struct object_id *pack,
					struct err *e);

/**
 * The pack, as from has it, or (by_parity) as parity there says it was, under its name in to: twice the room, SHA-256
 * compared before it has the name, and read back.  ERR_CORRUPT, ERR_NOT_FOUND, ...: from has no such bytes, and to is as it was; *writing tells
 * where it was to that failed.
 */
MUST_CHECK enum err_code mend_copy(struct backend *from, bool by_parity, struct backend *to,
				   const struct object_id *pack, bool *writing, struct err *e);

#endif
