/* SPDX-License-Identifier: MIT */
/* A dump of what a recover is about to overwrite: the way back where a service has no better one. */
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/recover.h"

static enum err_code dump_all(struct recovery *r, struct component *c, struct assembly *a, struct err *e)
{
	struct facts facts = { 0 };
	struct dump d = { .to = a, .folder = r->folder, .facts = &facts, .store = r->s };
	struct buf text = BUF_INIT;
	char *path = NULL;
	enum err_code rc;

	facts_begin(&facts, c->ops->type, c->name);
	rc = c->ops->dump(c, &d, e);
	if (!rc)
		rc = facts_check(&facts, e);
	if (!rc)
		rc = facts_text(&facts, &text, e);
	if (!rc && asprintf(&path, "%s/facts.json", r->folder) < 0) {
		path = NULL;
		rc = err_set(e, ERR_NOMEM, "%s", r->folder);
	}
	if (!rc)
		rc = assembly_put(a, path, text.p, text.len, e);
	free(path);
	buf_release(&text);
	facts_release(&facts);
	return rc;
}

enum err_code recovery_safety_dump(void *ctx, struct component *c, char **snapshot, struct err *e)
{
	static const char *const tags[] = { TAG_SAFETY };
	struct recovery *r = ctx;
	const char *const sources[] = { c->name };
	const struct assembly_options o = {
		.tags = tags, .nr_tags = ARRAY_LEN(tags), .sources = sources, .nr_sources = ARRAY_LEN(sources),
		.jobs = r->a->jobs, .limit_rate = r->a->limit_rate, .cancel = r->o->cancel,
	};
	char status[] = "ok", detail[] = "before a recover", *name = strdup(c->name), *type = strdup(c->ops->type);
	const struct component_outcome outcome = { .name = name, .type = type, .status = status, .detail = detail };
	struct snapshot made = { 0 };
	struct assembly *a = NULL;
	enum err_code rc = name && type ? ERR_OK : err_set(e, ERR_NOMEM, "%s", c->name);

	if (!rc && r->o->no_notes)
		rc = err_set(e, ERR_FAILED, "the repository is on a medium that is read-only; mount it for writing");
	if (!rc)
		rc = assembly_open(r->s, &o, &a, e);
	if (!rc)
		rc = dump_all(r, c, a, e);
	if (!rc)
		rc = assembly_publish(a, &outcome, 1, &made, e);
	if (!rc) {
		*snapshot = strdup(made.name);
		rc = *snapshot ? ERR_OK : err_set(e, ERR_NOMEM, "%s", c->name);
		component_note(c, "%s: what is there now is kept in snapshot %.*s", c->name, SNAPSHOT_DATE_LEN, made.name);
	}
	if (rc)
		err_prefix(e, "no dump of %s as it is now could be made, and nothing was overwritten", c->name);
	snapshot_release(&made);
	assembly_close(a);
	free(name);
	free(type);
	return rc;
}
