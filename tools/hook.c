/* SPDX-License-Identifier: MIT */
#include "tools/hook.h"

#include <errno.h>
#include <unistd.h>

#include "tools/spawn.h"

/* What it writes is for whoever looks on, and no result: it must not get between those on standard output. */
static enum err_code hand_on(struct spawn *p, const atomic_bool *cancel, struct err *e)
{
	char piece[4096];
	size_t n, at;
	enum err_code rc;

	while (!(rc = spawn_read(p, cancel, piece, sizeof(piece), &n, e)) && n > 0) {
		for (at = 0; at < n;) {
			ssize_t w = write(STDERR_FILENO, piece + at, n - at);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				break;		/* nobody looks on: the hook's work counts, not its words */
			at += (size_t)w;
		}
	}
	return rc;
}

static enum err_code run_one(struct config_section *s, const char *key, const char *value, char *const *env,
			     const atomic_bool *cancel, struct err *e)
{
	struct spawn_options o = { .env = env, .in = SPAWN_STDIN_NONE, .keep_err = true };
	struct spawn *p = NULL;
	char **words = NULL;
	enum err_code rc = config_split(value, &words, e);

	if (!rc && !words[0])
		rc = err_set(e, ERR_USAGE, "it has no words");
	o.argv = words;
	if (!rc)
		rc = spawn_start(&o, &p, e);
	if (!rc)
		rc = hand_on(p, cancel, e);
	if (!rc)
		rc = spawn_end(p, cancel, e);
	spawn_close(p);
	config_words_free(words);
	if (rc)
		err_prefix(e, "[%s%s%s] %s", s->kind, *s->name ? " " : "", s->name, key);
	return rc;
}

enum err_code hook_run(struct config_section *s, const char *key, char *const *env, const atomic_bool *cancel, struct err *e)
{
	static const atomic_bool never;
	const char *value;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && (value = config_nth(s, key, i)); i++)
		rc = run_one(s, key, value, env, cancel ? cancel : &never, e);
	return rc;
}
