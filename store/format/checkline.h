/* SPDX-License-Identifier: MIT */
/* The line that closes a small JSON record: "sha256":"HEX of all bytes before this line"} */
#ifndef VOUCH_FORMAT_CHECKLINE_H
#define VOUCH_FORMAT_CHECKLINE_H

#include <stdbool.h>

#include "store/base/buf.h"

/** b holds a JSON object up to and including the comma and newline after its last member; adds the closing line. */
void checkline_add(struct buf *b);

/** True where buf ends in a right closing line. */
bool checkline_ok(const uint8_t *buf, size_t len);

#endif
