/* SPDX-License-Identifier: MIT */
#include "tools/hook.h"

#include "tools/spawn.h"

static enum err_code run_one(struct config_section *s, const char *key, const char *value, char *const *env,
			     const atomic_bool *cancel, struct err *e)
{
	/* No pipe: what a start hook leaves running would hold it open. */
	struct spawn_options o = { .env = env, .in = SPAWN_STDIN_NONE, .out_err = true, .keep_err = true };
	struct spawn *p = NULL;
	char **words = NULL;
	enum err_code rc = config_split(value, &words, e);

	o.argv = words;
	if (!rc)
		rc = spawn_start(&o, &p, e);
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
