/* SPDX-License-Identifier: MIT */
/*
 * What writers and collectors leave for one another: condemned/TIME-ID.json (packs that may go) and
 * writers/WRITER-RUN.json (a writer at work).  Members: see vouch-format(5).
 */
#ifndef VOUCH_FORMAT_COLLECTREC_H
#define VOUCH_FORMAT_COLLECTREC_H

#include "store/base/buf.h"
#include "store/entry.h"
#include "store/err.h"
#include "store/id.h"

#define CONDEMNED_PACKS_MAX	10000u	/* in one record */

struct condemned_rec {
	struct vtime time;
	struct object_id *packs;	/* owned */
	size_t nr;
};

void condemned_rec_release(struct condemned_rec *r);
void condemned_rec_encode(const struct condemned_rec *r, struct buf *out);
MUST_CHECK enum err_code condemned_rec_decode(const uint8_t *buf, size_t len,
					      struct condemned_rec *out, struct err *e);

/** A writer at work.  boot, pid and ticks tell on its own host whether the process still lives. */
struct writer_rec {
	uint8_t writer[16];
	struct vtime began, beat;
	char boot[40];		/* /proc/sys/kernel/random/boot_id */
	uint64_t pid, ticks;	/* ticks: when the process began, since boot */
	char **known;		/* owned: the names of the records in condemned/ that it minds */
	size_t nr_known;
};

#define WRITER_KNOWN_MAX	4096u

void writer_rec_release(struct writer_rec *r);

void writer_rec_encode(const struct writer_rec *r, struct buf *out);
MUST_CHECK enum err_code writer_rec_decode(const uint8_t *buf, size_t len, struct writer_rec *out,
					   struct err *e);

#endif
