/* SPDX-License-Identifier: MIT */
#include "tools/configured.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"

enum err_code app_configure(struct app *a, const char *file, struct config **out, struct err *e)
{
	struct config_section *s;
	struct config *c = NULL;
	const char *path;
	enum err_code rc;
	uint64_t rto;

	rc = config_open(file ? file : CONFIG_DEFAULT, &c, e);
	if (rc == ERR_NOT_FOUND)
		rc = err_set(e, ERR_USAGE, "no configuration %s; write one (vouch.conf(5)), or give --config FILE",
			     file ? file : CONFIG_DEFAULT);
	if (rc)
		return rc;
	s = config_find(c, "repository", NULL);
	if (s) {
		path = config_get(s, "path");
		if (path && *path != '/')
			rc = config_wrong(s, "path", e, "\"%s\" is no absolute path", path);
		if (!rc)
			rc = configured_rto(c, &rto, e);
		if (!rc)
			rc = config_unused(s, e);
		if (!rc && !(a->repo && *a->repo))
			a->repo = path;
	}
	if (rc) {
		config_close(c);
		return rc;
	}
	a->configuration = c->file;
	*out = c;
	return ERR_OK;
}

enum err_code configured_rto(struct config *c, uint64_t *out, struct err *e)
{
	struct config_section *s = config_find(c, "repository", NULL);

	*out = CONFIGURED_RTO;
	return s ? config_seconds(s, "rto", CONFIGURED_RTO, out, e) : ERR_OK;
}

enum err_code configured_run(struct config *c, struct config_section **out, struct err *e)
{
	static const char *const keys[] = { "before", "after" };
	struct config_section *s = config_find(c, "run", NULL);

	*out = s;
	for (size_t k = 0; s && k < 2; k++)
		for (size_t i = 0; config_nth(s, keys[k], i);)
			i++;
	return s ? config_unused(s, e) : ERR_OK;
}

static bool is_component(const struct config_section *s)
{
	return strcmp(s->kind, "component") == 0;
}

static enum err_code unknown(const struct config *c, const char *name, struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc;

	for (size_t i = 0; i < c->nr; i++)
		if (is_component(&c->sections[i]))
			buf_printf(&b, "%s%s", b.len ? ", " : "", c->sections[i].name);
	buf_add_u8(&b, '\0');
	rc = err_set(e, ERR_USAGE, "%s has no component %s; it has %s", c->file, name,
		     b.bad ? "others" : b.len > 1 ? (const char *)b.p : "none");
	buf_release(&b);
	return rc;
}

static bool is_named(const char *name, char *const *names, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return nr == 0;
}

enum err_code configured_components(struct config *c, char *const *names, size_t nr, struct config_section ***out,
				    size_t *nr_out, struct err *e)
{
	struct config_section **v;
	size_t n = 0;

	for (size_t i = 0; i < nr; i++)
		if (!config_find(c, "component", names[i]))
			return unknown(c, names[i], e);
	v = calloc(c->nr + 1, sizeof(struct config_section *));
	if (!v)
		return err_set(e, ERR_NOMEM, "%zu components", c->nr);
	for (size_t i = 0; i < c->nr; i++)
		if (is_component(&c->sections[i]) && is_named(c->sections[i].name, names, nr))
			v[n++] = &c->sections[i];
	if (n == 0) {
		free(v);
		return err_set(e, ERR_USAGE, "%s has no component: give it a section like [component crm]", c->file);
	}
	*out = v;
	*nr_out = n;
	return ERR_OK;
}
