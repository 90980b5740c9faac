/* SPDX-License-Identifier: MIT */
/* A dump in a snapshot: read to its end, loaded, checked where it was loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/tree.h"
#include "tools/components/neo4j.h"
#include "tools/components/neo4j_archive.h"

#define PIECE_LEN (1u << 20)

/* Every byte is looked at, and then goes to what loads it (NULL: nobody); the last of it only where all is whole. */
static enum err_code read_through(struct component *c, struct restore_job *j, const char *file, struct spawn *load,
				  const char *stage, struct err *e)
{
	uint8_t *piece = malloc(PIECE_LEN);
	struct neo4j_archive *a = NULL;
	struct blob *b = NULL;
	uint64_t off = 0;
	size_t n;
	enum err_code rc = piece ? restore_file(j, file, &b, e) : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = neo4j_archive_open(NULL, NULL, &a, e);
	while (!rc) {
		rc = blob_pread(b, off, piece, PIECE_LEN, &n, e);
		if (!rc)
			rc = neo4j_archive_push(a, piece, n, e);
		off += rc ? 0 : n;
		if (!rc && off == blob_size(b))
			rc = neo4j_archive_end(a, e);
		if (rc)
			err_prefix(e, "%s/%s", j->folder, file);
		else if (load)
			rc = spawn_write(load, c->cancel, piece, n, e);
		component_progress(c, stage, off, blob_size(b));
		if (off == blob_size(b))
			break;
		if (!rc && c->cancel && atomic_load(c->cancel))
			rc = err_set(e, ERR_CANCELED, "interrupted");
	}
	neo4j_archive_close(a);
	blob_close(b);
	free(piece);
	return rc;
}

enum err_code neo4j_has_system(struct restore_job *j, bool *has, struct err *e)
{
	struct blob *b = NULL;
	enum err_code rc = restore_file(j, NEO4J_SYSTEM, &b, e);

	*has = !rc;
	blob_close(b);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

enum err_code neo4j_read_back(struct component *c, struct restore_job *j, struct err *e)
{
	bool system = false;
	enum err_code rc = read_through(c, j, NEO4J_DUMP, NULL, "read back", e);

	if (!rc)
		rc = neo4j_has_system(j, &system, e);
	return rc || !system ? rc : read_through(c, j, NEO4J_SYSTEM, NULL, "read back", e);
}

enum err_code neo4j_load(struct component *c, struct restore_job *j, const char *file, const char *database,
			 const struct neo4j_place *p, struct err *e)
{
	const char *const words[] = { "database", "load", database, "--from-stdin", NULL };
	struct spawn *load = NULL;
	enum err_code rc = neo4j_admin(c, p, false, SPAWN_STDIN_PIPE, words, &load, e);

	if (!rc)
		rc = read_through(c, j, file, load, "load", e);
	if (!rc) {
		spawn_close_stdin(load);
		rc = spawn_end(load, c->cancel, e);
	}
	spawn_close(load);	/* after an error it is ended before its input is */
	if (rc)
		err_prefix(e, "load %s/%s into %s", j->folder, file, p->home);
	return rc;
}

enum err_code neo4j_check_loaded(struct component *c, const struct neo4j_place *p, const char *database, struct err *e)
{
	char *report = NULL, *out = NULL;
	int status = 0;
	enum err_code rc;

	if (asprintf(&report, "--report-path=%s/logs", p->home) < 0)
		return err_set(e, ERR_NOMEM, "out of memory");
	rc = neo4j_admin_run(c, p, false, (const char *const[]){"database", "check", database, report, NULL}, &out, &status,
			     e);
	if (!rc && status != 0) {
		char *last = out ? strrchr(out, '\n') : NULL;

		while (last && last > out && last[1] == 0) {
			*last = 0;
			last = strrchr(out, '\n');
		}
		rc = err_set(e, ERR_CORRUPT,
			     "the dump was loaded, but neo4j-admin database check does not find it consistent (status %d): "
			     "%.300s",
			     status,
			     last  ? last + 1
			     : out ? out
				   : "");
	}
	free(report);
	free(out);
	return rc;
}

enum err_code neo4j_restore_temporary(struct component *c, struct restore_job *j, struct err *e)
{
	struct neo4j_place p = { 0 };
	char *folder = neo4j_path(neo4j_of(c)->scratch, j->into, NULL);
	struct blob *b = NULL;
	enum err_code rc = folder ? restore_file(j, NEO4J_DUMP, &b, e) : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = neo4j_room(neo4j_of(c)->scratch, blob_size(b), "a scratch home for the dump", e);
	blob_close(b);
	if (!rc && mkdir(folder, 0700) < 0)
		rc = err_sys(e, "make the folder %s", folder);
	if (!rc)
		rc = neo4j_place_make(c, folder, NULL, &p, e);
	if (!rc)
		rc = neo4j_load(c, j, NEO4J_DUMP, neo4j_of(c)->database, &p, e);
	if (!rc)
		rc = neo4j_check_loaded(c, &p, neo4j_of(c)->database, e);
	neo4j_place_release(&p);
	free(folder);
	return rc;
}
