/* SPDX-License-Identifier: MIT */
/* Ways back: the folders that a restore put aside; after labels, a safety dump. */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/components/neo4j.h"

static enum err_code way_parse(const json_t *way, const char **data, struct neo4j_moves *m, struct err *e)
{
	*data = json_string_value(json_object_get(way, "data"));
	if (!*data || **data != '/')
		return err_set(e, ERR_CORRUPT, "the way back names no folder");
	return neo4j_moves_parse(json_object_get(way, "moves"), m, e);
}

static enum err_code discard_way(const json_t *way, struct err *e)
{
	struct neo4j_moves m = { 0 };
	const char *data;
	enum err_code rc = way_parse(way, &data, &m, e);

	for (size_t i = 0; !rc && i < m.nr; i++) {
		char *before = dirname(m.all[i].old), *name = strrchr(before, '/');

		if (name && strncmp(name + 1, NEO4J_BEFORE, sizeof(NEO4J_BEFORE) - 1) == 0)
			rc = neo4j_remove_tree(before, e);
	}
	neo4j_moves_release(&m);
	return rc;
}

/* After labels: the whole database as it was, from the safety dump. */
static enum err_code from_safety(struct component *c, const struct restore_job *j, struct err *e)
{
	struct restore_job back = *j;
	enum err_code rc;

	back.nr_items = 0;
	back.into = NULL;
	back.remember = NULL;
	back.way_back = NULL;
	rc = neo4j_restore(c, &back, e);
	if (!rc && back.way_back)
		rc = discard_way(back.way_back, e);
	json_decref(back.way_back);
	return rc;
}

enum err_code neo4j_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct neo4j_pause *p = NULL;
	struct neo4j_moves m = { 0 };
	const char *data = NULL, *kind = json_string_value(json_object_get(way, "kind"));
	bool own;
	enum err_code rc;

	if (kind && strcmp(kind, "safety") == 0)
		return from_safety(c, j, e);
	neo4j_unserve(n->served);
	n->served = NULL;
	rc = way_parse(way, &data, &m, e);
	own = !rc && strcmp(data, n->live.data) == 0;
	if (!rc)
		rc = own ? neo4j_resume(c, e) : neo4j_finish_left(c, data, e);
	for (size_t i = 0; !rc && i < m.nr; i++)
		if (access(m.all[i].had ? m.all[i].old : m.all[i].live, F_OK) < 0)
			rc = err_set(e, ERR_NOT_FOUND, "what was put aside in %s is not there any more", data);
	if (!rc && own)
		rc = neo4j_pause_begin(c, &p, e);
	if (!rc)
		rc = neo4j_pause_end(c, p, NULL, neo4j_swap_back(data, &m, e), e);
	if (!rc)
		neo4j_moves_tidy(&m);
	neo4j_moves_release(&m);
	return rc;
}

enum err_code neo4j_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	enum err_code rc = ERR_OK;

	if (j && j->temporary && j->into && *j->into && !strchr(j->into, '/')) {
		char *folder = neo4j_path(n->scratch, j->into, NULL);

		neo4j_unserve(n->served);
		n->served = NULL;
		rc = folder ? neo4j_remove_tree(folder, e) : err_set(e, ERR_NOMEM, "out of memory");
		free(folder);
	}
	return rc || !json_object_get(way, "moves") ? rc : discard_way(way, e);	/* a safety dump goes by itself */
}
