/* SPDX-License-Identifier: MIT */
#include "tools/components/component.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/checked.h"
#include "tools/text.h"

#define WAIT_DEFAULT 30u	/* seconds */
#define RPO_DEFAULT 86400u	/* seconds: a backup a night */
#define RETRY_MS 250		/* between two attempts to reach a server that starts */
#define CANCEL_MS 50		/* how late a request to stop may be noticed */

/* Keys of any component that only commands read: recover's and run's hooks, check --restart, what validate looks at. */
static const char *const command_keys[] = {
	"before-dump", "after-dump", "before-recover", "after-recover", "restart", "expect", "not-null", "orphans",
};

/* Saying things. */

void component_found(struct component *c, enum finding kind, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (!c->events.found)
		return;
	va_start(ap, fmt);
	text = text_vline(fmt, ap);
	va_end(ap);
	c->events.found(c->events.ctx, kind, text ? text : "out of memory");
	free(text);
}

void component_note(struct component *c, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (!c->events.note)
		return;
	va_start(ap, fmt);
	text = text_vline(fmt, ap);
	va_end(ap);
	c->events.note(c->events.ctx, text ? text : "out of memory");
	free(text);
}

void component_progress(struct component *c, const char *stage, uint64_t bytes, uint64_t total)
{
	if (c->events.progress)
		c->events.progress(c->events.ctx, stage, bytes, total);
}

void component_need(struct component *c, uint64_t bytes)
{
	if (c->events.need)
		c->events.need(c->events.ctx, bytes);
}

/* Open and close. */

static enum err_code find_type(struct config_section *s, const struct component_ops **out, struct err *e)
{
	const char *type = config_get(s, "type");
	char known[200] = "";
	size_t n = 0;

	if (!type)
		return config_wrong(s, NULL, e, "it needs 'type = ...'");
	for (size_t i = 0; component_types[i]; i++) {
		if (strcmp(component_types[i]->type, type) == 0) {
			*out = component_types[i];
			return ERR_OK;
		}
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", component_types[i]->type);
		if (n >= sizeof(known))
			n = sizeof(known) - 1;
	}
	return config_wrong(s, "type", e, "there is no type '%s'; there are %s", type, known);
}

static enum err_code take_common(struct component *c, struct err *e)
{
	struct config_section *s = c->section;
	enum err_code rc = config_words(s, "via", &c->via, e);

	if (!rc)
		rc = config_seconds(s, "wait", WAIT_DEFAULT, &c->wait, e);
	if (!rc)
		rc = config_seconds(s, "rto", c->ops->rto, &c->rto, e);
	if (!rc)
		rc = config_seconds(s, "rpo", RPO_DEFAULT, &c->rpo, e);
	for (size_t k = 0; k < ARRAY_LEN(command_keys); k++)
		for (size_t i = 0; config_nth(s, command_keys[k], i);)
			i++;
	return rc;
}

enum err_code component_open(struct config_section *s, const struct component_events *events, const atomic_bool *cancel,
			     struct component **out, struct err *e)
{
	struct component *c = calloc(1, sizeof(*c));
	enum err_code rc;

	if (!c)
		return err_set(e, ERR_NOMEM, "no memory for component %s", s->name);
	c->name = s->name;
	c->section = s;
	c->cancel = cancel;
	if (events)
		c->events = *events;
	rc = find_type(s, &c->ops, e);
	if (!rc)
		rc = take_common(c, e);
	if (!rc)
		rc = c->ops->open(c, e);
	if (!rc)
		rc = config_unused(s, e);
	if (rc)
		goto out;
	*out = c;
	c = NULL;
out:
	component_close(c);
	return rc;
}

void component_close(struct component *c)
{
	if (!c)
		return;
	if (c->ops && c->ops->close)
		c->ops->close(c);
	config_words_free(c->via);
	free(c);
}

struct spawn_options component_spawn(const struct component *c, char *const *argv)
{
	return (struct spawn_options){ .argv = argv, .via = c->via, .in = SPAWN_STDIN_NONE };
}

/* Waiting. */

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool component_pause(const struct component *c, unsigned ms)
{
	const struct timespec step = { .tv_nsec = CANCEL_MS * 1000000L };

	for (unsigned passed = 0; passed < ms; passed += CANCEL_MS) {
		if (c->cancel && atomic_load(c->cancel))
			return false;
		(void)nanosleep(&step, NULL);
	}
	return true;
}

enum err_code component_wait(struct component *c, enum err_code (*reach)(void *ctx, struct err *e), void *ctx, struct err *e)
{
	uint64_t until = now_ms() + c->wait * 1000;
	struct err why = ERR_INIT;
	enum err_code rc;

	while ((rc = reach(ctx, &why)) == ERR_ABSENT && now_ms() < until) {
		component_progress(c, "wait", 0, 0);
		if (!component_pause(c, RETRY_MS))
			return err_set(e, ERR_CANCELED, "interrupted while waiting for %s", c->name);
	}
	if (rc == ERR_ABSENT && c->wait > 0)
		return err_set(e, ERR_ABSENT, "not reached within %llu s: %s", (unsigned long long)c->wait, why.msg);
	if (rc && e)
		*e = why;
	return rc;
}
