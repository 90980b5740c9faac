/* SPDX-License-Identifier: MIT */
/*
 * The folders of a database (its store, its transaction logs) are exchanged while no server runs: each by two renames, which
 * a kill may fall between.  So what is to be done is written down first, and undone from there.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/components/neo4j.h"

#define SWAP_MAX (1u << 20)

void neo4j_moves_release(struct neo4j_moves *m)
{
	for (size_t i = 0; i < m->nr; i++) {
		free(m->all[i].live);
		free(m->all[i].fresh);
		free(m->all[i].old);
	}
	free(m->all);
	*m = (struct neo4j_moves){ 0 };
}

static enum err_code add(struct neo4j_moves *m, const char *live, const char *fresh, const char *old, bool had,
			 struct err *e)
{
	struct neo4j_move one = { .live = strdup(live), .fresh = strdup(fresh), .old = strdup(old), .had = had };
	struct neo4j_move *all = reallocarray(m->all, m->nr + 1, sizeof(*all));

	if (all)
		m->all = all;
	if (!all || !one.live || !one.fresh || !one.old) {
		free(one.live);
		free(one.fresh);
		free(one.old);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	m->all[m->nr++] = one;
	return ERR_OK;
}

enum err_code neo4j_moves_add(struct neo4j_moves *m, const char *live, const char *fresh, const char *old, struct err *e)
{
	return add(m, live, fresh, old, access(live, F_OK) == 0, e);
}

json_t *neo4j_moves_json(const struct neo4j_moves *m)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < m->nr; i++) {
		const struct neo4j_move *o = &m->all[i];

		if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "live", o->live, "fresh", o->fresh, "old",
							  o->old, "had", o->had)) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return list;
}

enum err_code neo4j_moves_parse(const json_t *list, struct neo4j_moves *out, struct err *e)
{
	struct neo4j_moves m = { 0 };
	enum err_code rc = json_is_array(list) ? ERR_OK : err_set(e, ERR_CORRUPT, "the list of folders is none");

	for (size_t i = 0; !rc && i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i), *had = json_object_get(o, "had");
		const char *live = json_string_value(json_object_get(o, "live")),
			   *old = json_string_value(json_object_get(o, "old"));
		const char *fresh = json_string_value(json_object_get(o, "fresh"));

		/* They are removed and renamed: what is no absolute path is not touched */
		if (!live || !old || !fresh || *live != '/' || *old != '/' || *fresh != '/' || !json_is_boolean(had))
			rc = err_set(e, ERR_CORRUPT, "the list of folders has a member that is none");
		else
			rc = add(&m, live, fresh, old, json_is_true(had), e);
	}
	if (rc)
		neo4j_moves_release(&m);
	else
		*out = m;
	return rc;
}

static enum err_code sync_parent(const char *path, struct err *e)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	enum err_code rc = ERR_OK;

	if (fd < 0 || fsync(fd) < 0)
		rc = err_sys(e, "sync the folder of %s", path);
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

static enum err_code move(const char *from, const char *to, struct err *e)
{
	enum err_code rc;

	if (rename(from, to) < 0)
		return err_sys(e, "rename %s to %s", from, to);
	rc = sync_parent(from, e);
	return rc ? rc : sync_parent(to, e);
}

static enum err_code write_down(const char *path, const struct neo4j_moves *m, struct err *e)
{
	json_t *list = neo4j_moves_json(m);
	char *text = list ? json_dumps(list, JSON_INDENT(1)) : NULL, *tmp = NULL;
	enum err_code rc = ERR_OK;
	int fd = -1;

	json_decref(list);
	if (!text || asprintf(&tmp, "%s.tmp", path) < 0) {
		free(text);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0)
		rc = err_sys(e, "write %s", tmp);
	if (fd >= 0)
		close(fd);
	if (!rc)
		rc = move(tmp, path, e);
	free(text);
	free(tmp);
	return rc;
}

/* A server with these folders open would go on writing to what was moved, or removed. */
static enum err_code nobody_there(const char *data, struct err *e)
{
	return neo4j_busy(data) ? err_set(e, ERR_BUSY, "a Neo4j server runs on %s: stop it before", data) : ERR_OK;
}

static enum err_code begin(const char *data, const struct neo4j_moves *m, char **note, struct err *e)
{
	*note = neo4j_path(data, NEO4J_SWAP, NULL);
	return *note ? write_down(*note, m, e) : err_set(e, ERR_NOMEM, "out of memory");
}

enum err_code neo4j_swap(const char *data, const struct neo4j_moves *m, struct err *e)
{
	char *note = NULL;
	bool had = false;
	enum err_code rc;

	for (size_t i = 0; i < m->nr; i++)
		had = had || m->all[i].had;
	rc = had ? nobody_there(data, e) : ERR_OK;
	if (!rc)
		rc = begin(data, m, &note, e);
	for (size_t i = 0; !rc && i < m->nr; i++) {
		if (m->all[i].had)
			rc = move(m->all[i].live, m->all[i].old, e);
		if (!rc)
			rc = move(m->all[i].fresh, m->all[i].live, e);
	}
	if (!rc && unlink(note) < 0)
		rc = err_sys(e, "remove %s", note);
	else if (!rc && sync_parent(note, e))
		rc = err_set(e, ERR_IO,
			     "%s was exchanged, but whether for good is not known: take the way back, and try again", data);
	free(note);
	return rc;
}

/* What is in old goes back to live, and what is live away.  Interrupted, it can be done again. */
static enum err_code unswap(const struct neo4j_moves *m, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < m->nr; i++) {
		const struct neo4j_move *o = &m->all[i];
		bool old = access(o->old, F_OK) == 0;

		if (!o->had || old)	/* else what is live was never moved */
			rc = neo4j_remove_tree(o->live, e);
		if (!rc && o->had && old)
			rc = move(o->old, o->live, e);
	}
	return rc;
}

enum err_code neo4j_unswap_left(const char *data, bool *any, struct err *e)
{
	char *note = neo4j_path(data, NEO4J_SWAP, NULL);
	struct neo4j_moves m = { 0 };
	json_error_t je;
	json_t *list = NULL;
	struct stat st;
	enum err_code rc = ERR_OK;

	*any = false;
	if (!note)
		return err_set(e, ERR_NOMEM, "out of memory");
	if (stat(note, &st) < 0) {
		rc = errno == ENOENT ? ERR_OK : err_sys(e, "look at %s", note);
		goto out;
	}
	list = st.st_size <= (off_t)SWAP_MAX ? json_load_file(note, 0, &je) : NULL;
	rc = nobody_there(data, e);
	if (!rc)
		rc = list ? neo4j_moves_parse(list, &m, e) : err_set(e, ERR_CORRUPT, "it is no JSON");
	if (rc) {
		err_prefix(e, "%s, which says what an interrupted restore had begun", note);
		goto out;
	}
	rc = unswap(&m, e);
	if (!rc && unlink(note) < 0)
		rc = err_sys(e, "remove %s", note);
	*any = !rc;
out:
	json_decref(list);
	neo4j_moves_release(&m);
	free(note);
	return rc;
}

enum err_code neo4j_swap_back(const char *data, const struct neo4j_moves *m, struct err *e)
{
	char *note = NULL;
	bool any;
	enum err_code rc = nobody_there(data, e);

	if (!rc)
		rc = begin(data, m, &note, e);
	free(note);
	return rc ? rc : neo4j_unswap_left(data, &any, e);
}

void neo4j_moves_tidy(const struct neo4j_moves *m)
{
	for (size_t i = 0; i < m->nr; i++) {
		char *old = strdup(m->all[i].old);

		if (old)
			(void)rmdir(dirname(old));	/* with something in it, it stays */
		free(old);
	}
}
