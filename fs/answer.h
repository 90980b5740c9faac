/* SPDX-License-Identifier: MIT */
/* SIGUSR1: the mount says in its log what it has done so far. */
#ifndef VOUCH_FS_ANSWER_H
#define VOUCH_FS_ANSWER_H

#include "fs/fs.h"
#include "store/err.h"

/** Not before it is answered does SIGUSR1 do anything: call it before there are threads, which inherit that. */
void answer_block(void);

/** A thread of its own answers from now on, to the store and the log of fs. */
struct answerer;
MUST_CHECK enum err_code answer_open(struct fs *fs, struct answerer **out, struct err *e);
void answer_close(struct answerer *a);	/* NULL is allowed */

/** At the end: what damage was met, where there was some. */
void answer_damage(struct fs *fs);

#endif
