/* SPDX-License-Identifier: MIT */
/* Times in records: "2026-11-21T02:00:00.000000000Z", always UTC, always nine digits. */
#ifndef VOUCH_FORMAT_ISOTIME_H
#define VOUCH_FORMAT_ISOTIME_H

#include "store/entry.h"

#define ISOTIME_LEN 30

/** The text and a NUL; years outside 1 to 9999 become the nearest that can be written. Returns out. */
char *isotime_encode(const struct vtime *t, char out[ISOTIME_LEN + 1]);

/** False unless s is what isotime_encode writes of some time. */
bool isotime_decode(const char *s, struct vtime *out);

#endif
