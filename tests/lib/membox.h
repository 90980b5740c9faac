/* SPDX-License-Identifier: MIT */
/* A backend in memory, whose bytes a test damages. For one thread. */
#ifndef VOUCH_TESTS_MEMBOX_H
#define VOUCH_TESTS_MEMBOX_H

#include "store/backend/backend.h"

struct backend *membox_open(void);
void membox_close(struct backend *b);

/** The object's bytes, to read and to change; NULL where there is none. */
struct buf *membox_object(struct backend *b, const char *name);

/** From now on reads that touch these bytes of name fail with EIO (len 0: none does). One range at a time. */
void membox_unreadable(struct backend *b, const char *name, uint64_t off, uint64_t len);

/** What space() says. */
void membox_set_free(struct backend *b, uint64_t free_bytes);

/** Commits and put_get from now on change a byte of what they were given, as a dying drive does. */
void membox_lie(struct backend *b, bool lie);

unsigned membox_commits(const struct backend *b);
unsigned membox_reads(const struct backend *b);

#endif
