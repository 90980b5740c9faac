/* SPDX-License-Identifier: MIT */
/* Values in one component that another must have: the sections [reference NAME]. */
#include <stdlib.h>
#include <string.h>

#include "tools/validate.h"

#define EXAMPLES 5u

static enum err_code need(struct config_section *s, const char *key, const char **out, struct err *e)
{
	*out = config_get(s, key);
	return *out && **out ? ERR_OK : config_wrong(s, NULL, e, "it needs '%s = ...'", key);
}

static enum err_code read_one(struct config *config, struct config_section *s, struct reference *r, struct err *e)
{
	enum err_code rc = need(s, "from", &r->from, e);

	r->name = s->name;
	if (!rc)
		rc = need(s, "from-query", &r->from_query, e);
	if (!rc)
		rc = need(s, "to", &r->to, e);
	if (!rc)
		rc = need(s, "to-query", &r->to_query, e);
	if (!rc)
		rc = config_u64(s, "allow", 0, &r->allow, e);
	if (!rc && !config_find(config, "component", r->from))
		rc = config_wrong(s, "from", e, "there is no [component %s]", r->from);
	if (!rc && !config_find(config, "component", r->to))
		rc = config_wrong(s, "to", e, "there is no [component %s]", r->to);
	return rc ? rc : config_unused(s, e);
}

enum err_code references_read(struct config *config, struct references *out, struct err *e)
{
	struct references r = { .v = calloc(config->nr + 1, sizeof(*r.v)) };
	enum err_code rc = r.v ? ERR_OK : err_set(e, ERR_NOMEM, "references");

	for (size_t i = 0; !rc && i < config->nr; i++)
		if (strcmp(config->sections[i].kind, "reference") == 0)
			rc = read_one(config, &config->sections[i], &r.v[r.nr++], e);
	if (rc)
		references_release(&r);
	else
		*out = r;
	return rc;
}

void references_release(struct references *r)
{
	for (size_t i = 0; i < r->nr; i++) {
		free(r->v[i].from_answer);
		free(r->v[i].to_answer);
		free(r->v[i].failed);
	}
	free(r->v);
	*r = (struct references){ 0 };
}

/* Lines, each a string in a text of its own; empty ones and SQL's NULL refer to nothing. */
struct lines {
	char *text;
	char **v;
	size_t nr;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err_code sorted_lines(const char *answer, struct lines *out, struct err *e)
{
	size_t nr = 1;

	for (const char *p = answer; *p; p++)
		nr += *p == '\n';
	out->text = strdup(answer);
	out->v = reallocarray(NULL, nr, sizeof(*out->v));
	if (!out->text || !out->v)
		return err_set(e, ERR_NOMEM, "%zu values to compare", nr);
	for (char *p = out->text; *p; ) {
		size_t len = strcspn(p, "\n");
		bool last = p[len] == '\0';

		p[len] = '\0';
		if (len > 0 && strcmp(p, "\\N") != 0)
			out->v[out->nr++] = p;
		if (last)
			break;
		p += len + 1;
	}
	qsort(out->v, out->nr, sizeof(*out->v), by_text);
	return ERR_OK;
}

static void lines_release(struct lines *l)
{
	free(l->text);
	free(l->v);
}

enum err_code reference_missing(const char *from, const char *to, uint64_t *nr_from, uint64_t *missing,
				struct buf *examples, struct err *e)
{
	struct lines a = { 0 }, b = { 0 };
	enum err_code rc = sorted_lines(from, &a, e);
	const char *before = NULL;
	size_t k = 0, told = 0;

	*missing = 0;
	if (!rc)
		rc = sorted_lines(to, &b, e);
	for (size_t i = 0; !rc && i < a.nr; i++) {
		while (k < b.nr && strcmp(b.v[k], a.v[i]) < 0)
			k++;
		if (k < b.nr && strcmp(b.v[k], a.v[i]) == 0)
			continue;
		++*missing;
		if ((!before || strcmp(before, a.v[i]) != 0) && told < EXAMPLES)
			buf_printf(examples, "%s%.60s", told++ ? ", " : "", a.v[i]);
		before = a.v[i];
	}
	*nr_from = a.nr;
	lines_release(&a);
	lines_release(&b);
	return rc;
}
