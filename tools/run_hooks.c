/* SPDX-License-Identifier: MIT */
#include "tools/run.h"

#include <stdio.h>
#include <stdlib.h>

enum err_code run_env(struct run *r, const char *components, const char *outcome, struct run_env *out, struct err *e)
{
	*out = (struct run_env){ { NULL } };
	if (asprintf(&out->v[0], "VOUCH_COMPONENTS=%s", components) < 0)
		out->v[0] = NULL;
	if (asprintf(&out->v[1], "VOUCH_REPO=%s", store_path(r->s)) < 0)
		out->v[1] = NULL;
	if (asprintf(&out->v[2], "VOUCH_OUTCOME=%s", outcome) < 0)
		out->v[2] = NULL;
	if (out->v[0] && out->v[1] && out->v[2])
		return ERR_OK;
	run_env_release(out);
	return err_set(e, ERR_NOMEM, "a hook's environment");
}

void run_env_release(struct run_env *env)
{
	for (size_t i = 0; i < 3; i++)
		free(env->v[i]);
	*env = (struct run_env){ { NULL } };
}

enum err_code run_hooks_before(struct run *r, struct config_section *s, const char *before, const char *after,
			       const char *components, struct hook_guard **guard, struct err *e)
{
	struct run_env env, killed = { { NULL } };
	enum err_code rc = run_env(r, components, "", &env, e);

	*guard = NULL;
	if (!rc)
		rc = run_env(r, components, "killed", &killed, e);
	if (!rc)
		rc = hook_guard_open(s, after, killed.v, guard, e);
	if (!rc)
		rc = hook_run(s, before, env.v, r->cancel, e);
	run_env_release(&env);
	run_env_release(&killed);
	return rc;
}

void run_hooks_after(struct run *r, struct config_section *s, const char *after, const char *components,
		     const char *outcome, struct hook_guard *guard)
{
	struct err e = ERR_INIT;
	struct run_env env;
	enum err_code rc = run_env(r, components, outcome, &env, &e);

	/* Always, and to its end: it has what was stopped before started again. */
	if (!rc)
		rc = hook_run(s, after, env.v, NULL, &e);
	if (rc) {
		app_say(r->a, NULL, "%s; look after what it should have done", e.msg);
		r->hook_failed = true;
	}
	hook_guard_close(guard);
	run_env_release(&env);
}
