/* SPDX-License-Identifier: MIT */
/* forgotten/ID.json: that a snapshot was let go, and by whom. Members: see vouch-format(5). */
#ifndef VOUCH_FORMAT_FORGETREC_H
#define VOUCH_FORMAT_FORGETREC_H

#include "store/base/buf.h"
#include "store/forget.h"

/** Append the file's bytes. */
void forgetrec_encode(const struct forgotten *f, struct buf *out);

/** On success the caller owns *out (forgotten_release).  ERR_CORRUPT: its closing line is wrong, or a member. */
MUST_CHECK enum err_code forgetrec_decode(const uint8_t *buf, size_t len, struct forgotten *out,
					  struct err *e);

#endif
