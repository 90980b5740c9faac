/* SPDX-License-Identifier: MIT */
/* Where the mount's news goes: the caller's callback while it is in the foreground, syslog after. */
#ifndef VOUCH_FS_LOG_H
#define VOUCH_FS_LOG_H

#include "store/store.h"

struct log;

/** ev is copied; NULL: nobody hears. */
MUST_CHECK enum err_code log_open(const struct store_events *ev, struct log **out, struct err *e);
void log_close(struct log *l);			/* NULL is allowed */

/** From now on everything goes to syslog (facility daemon). */
void log_to_syslog(struct log *l);

/**
 * From now on the mount itself reports damage, with the path it touches: the store's own damage events, which know
 * no path, and its progress are dropped.
 */
void log_serving(struct log *l);

/** From now on fn hears of each damaged chunk and block, and of mended packs (ev->damage is set), from any thread, log_serving() or not. */
void log_on_damage(struct log *l, void (*fn)(void *ctx, const struct event *ev), void *ctx);

/** What store_open is given. */
struct store_events log_store_events(struct log *l);

/** One line. Any thread. */
void log_say(struct log *l, enum event_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/**
 * One line about path (raw bytes, "SNAPSHOT/etc/hosts") and why it cannot be read, unless log_seen_lately() of the
 * same key.
 */
void log_damage(struct log *l, const char *what, const char *path, const struct err *cause);

/** Whether key was asked about within the last minute; notes that it was now. Any thread. */
bool log_seen_lately(struct log *l, uint64_t key);

#endif
