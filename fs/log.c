/* SPDX-License-Identifier: MIT */
#include "fs/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "store/base/must.h"

#define SEEN_SLOTS	256u	/* damaged files told apart within a minute; more only means more lines */
#define QUIET_SEC	60

struct log {
	struct store_events to;
	atomic_bool background, serving;
	pthread_mutex_t mutex;
	void (*damage_fn)(void *ctx, const struct event *ev);	/* mutex */
	void *damage_ctx;					/* mutex */
	struct {
		uint64_t key;
		time_t at;	/* monotonic; 0: empty */
	} seen[SEEN_SLOTS];	/* mutex */
};

enum err_code log_open(const struct store_events *ev, struct log **out, struct err *e)
{
	struct log *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, ERR_NOMEM, "log");
	if (ev)
		l->to = *ev;
	must(pthread_mutex_init(&l->mutex, NULL));
	*out = l;
	return ERR_OK;
}

void log_close(struct log *l)
{
	if (!l)
		return;
	must(pthread_mutex_destroy(&l->mutex));
	free(l);
}

void log_to_syslog(struct log *l)
{
	openlog("vouch", LOG_PID, LOG_DAEMON);
	atomic_store(&l->background, true);
}

void log_serving(struct log *l)
{
	atomic_store(&l->serving, true);
}

/* Control bytes and backslashes as \xHH: a name must not be able to forge a line. */
static void escape(const char *s, char *out, size_t size)
{
	size_t n = 0;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = c >= 0x20 && c != 0x7f && c != '\\';

		if (n + (plain ? 1 : 4) + 4 > size) {	/* room for "..." */
			(void)snprintf(out + n, size - n, "...");
			return;
		}
		if (plain)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
	}
	out[n] = '\0';
}

static void emit(struct log *l, const struct event *ev)
{
	static const int priority[] = {
		[EVENT_NOTE] = LOG_INFO,
		[EVENT_WARNING] = LOG_WARNING,
		[EVENT_DAMAGE] = LOG_ERR,
	};
	char path[2048] = "";

	if (!atomic_load(&l->background)) {
		if (l->to.fn)
			l->to.fn(l->to.ctx, ev);
		return;
	}
	if (ev->kind == EVENT_PROGRESS)
		return;
	if (ev->path)
		escape(ev->path, path, sizeof(path));
	syslog(priority[ev->kind], "%s%s%s%s%s", ev->text, ev->path ? ": " : "", path,
	       ev->err ? ": " : "", ev->err ? ev->err->msg : "");
}

void log_on_damage(struct log *l, void (*fn)(void *ctx, const struct event *ev), void *ctx)
{
	must(pthread_mutex_lock(&l->mutex));
	l->damage_fn = fn;
	l->damage_ctx = ctx;
	must(pthread_mutex_unlock(&l->mutex));
}

static void tell_damage(struct log *l, const struct event *ev)
{
	void (*fn)(void *ctx, const struct event *ev);
	void *ctx;

	must(pthread_mutex_lock(&l->mutex));
	fn = l->damage_fn;
	ctx = l->damage_ctx;
	must(pthread_mutex_unlock(&l->mutex));
	if (fn)
		fn(ctx, ev);
}

static void on_store_event(void *ctx, const struct event *ev)
{
	struct log *l = ctx;

	if (ev->damage)
		tell_damage(l, ev);
	if (atomic_load(&l->serving) &&
	    (ev->kind == EVENT_DAMAGE || ev->kind == EVENT_PROGRESS))
		return;
	emit(l, ev);
}

struct store_events log_store_events(struct log *l)
{
	return (struct store_events){ .fn = on_store_event, .ctx = l };
}

void log_say(struct log *l, enum event_kind kind, const char *fmt, ...)
{
	char raw[1024], text[1024];
	struct event ev = { .kind = kind, .text = text };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	escape(raw, text, sizeof(text));
	emit(l, &ev);
}

void log_damage(struct log *l, const char *what, const char *path, const struct err *cause)
{
	struct event ev = { .kind = EVENT_DAMAGE, .text = what, .path = path, .err = cause };

	emit(l, &ev);
}

bool log_seen_lately(struct log *l, uint64_t key)
{
	size_t i = key % SEEN_SLOTS;
	struct timespec now;
	bool lately;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return false;
	must(pthread_mutex_lock(&l->mutex));
	lately = l->seen[i].key == key && l->seen[i].at != 0 &&
		 now.tv_sec - l->seen[i].at < QUIET_SEC;
	if (!lately) {
		l->seen[i].key = key;
		l->seen[i].at = now.tv_sec ? now.tv_sec : 1;
	}
	must(pthread_mutex_unlock(&l->mutex));
	return lately;
}
