/* SPDX-License-Identifier: MIT */
#include "tools/run.h"

#include <stdio.h>
#include <stdlib.h>

/* What hooks find in their environment. */
struct hook_env {
	char *v[5];		/* NULL at the end */
};

static void env_release(struct hook_env *env)
{
	for (size_t i = 0; i < 4; i++)
		free(env->v[i]);
	*env = (struct hook_env){ { NULL } };
}

static enum err_code make_env(struct run *r, const struct config_section *s, const char *components, const char *outcome,
			      struct hook_env *out, struct err *e)
{
	*out = (struct hook_env){ { NULL } };
	if (asprintf(&out->v[0], "VOUCH_COMPONENTS=%s", components) < 0)
		out->v[0] = NULL;
	if (asprintf(&out->v[1], "VOUCH_REPO=%s", store_path(r->s)) < 0)
		out->v[1] = NULL;
	if (asprintf(&out->v[2], "VOUCH_OUTCOME=%s", outcome) < 0)
		out->v[2] = NULL;
	/* As recover's hooks have it. */
	if (asprintf(&out->v[3], "VOUCH_COMPONENT=%s", s->name) < 0)
		out->v[3] = NULL;
	if (out->v[0] && out->v[1] && out->v[2] && out->v[3])
		return ERR_OK;
	env_release(out);
	return err_set(e, ERR_NOMEM, "a hook's environment");
}

enum err_code run_hooks_before(struct run *r, struct config_section *s, const char *before, const char *after,
			       const char *components, struct hook_guard **guard, struct err *e)
{
	struct hook_env env, killed = { { NULL } };
	enum err_code rc = make_env(r, s, components, "", &env, e);

	*guard = NULL;
	if (!rc)
		rc = make_env(r, s, components, "killed", &killed, e);
	if (!rc)
		rc = hook_guard_open(s, after, killed.v, guard, e);
	if (!rc)
		rc = hook_run(s, before, env.v, r->cancel, e);
	env_release(&env);
	env_release(&killed);
	return rc;
}

void run_hooks_after(struct run *r, struct config_section *s, const char *after, const char *components,
		     const char *outcome, struct hook_guard *guard)
{
	struct err e = ERR_INIT;
	struct hook_env env;
	enum err_code rc = make_env(r, s, components, outcome, &env, &e);

	/* Always, and to its end: it has what was stopped before started again. */
	if (!rc)
		rc = hook_run(s, after, env.v, NULL, &e);
	if (rc) {
		app_say(r->a, NULL, "%s; look after what it should have done", e.msg);
		r->hook_failed = true;
	}
	hook_guard_close(guard);
	env_release(&env);
}
