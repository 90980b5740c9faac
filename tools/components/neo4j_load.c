/* SPDX-License-Identifier: MIT */
/* A dump in a snapshot: read to its end, wrapped again for neo4j-admin database load, checked where it was loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/tree.h"
#include "tools/components/neo4j.h"
#include "tools/components/neo4j_archive.h"

#define PIECE_LEN (1u << 20)

typedef enum err_code piece_fn(void *ctx, const void *buf, size_t len, struct err *e);

static enum err_code each_piece(struct component *c, struct restore_job *j, const char *file, piece_fn *fn, void *ctx,
				const char *stage, struct err *e)
{
	uint8_t *piece = malloc(PIECE_LEN);
	struct blob *b = NULL;
	uint64_t off = 0;
	size_t n;
	enum err_code rc = piece ? restore_file(j, file, &b, e) : err_set(e, ERR_NOMEM, "out of memory");

	while (!rc && off < blob_size(b)) {
		rc = blob_pread(b, off, piece, PIECE_LEN, &n, e);
		if (rc)
			err_prefix(e, "%s/%s", j->folder, file);
		else
			rc = fn(ctx, piece, n, e);
		off += rc ? 0 : n;
		component_progress(c, stage, off, blob_size(b));
		if (!rc && c->cancel && atomic_load(c->cancel))
			rc = err_set(e, ERR_CANCELED, "interrupted");
	}
	blob_close(b);
	free(piece);
	return rc;
}

static enum err_code look_at(void *ctx, const void *buf, size_t len, struct err *e)
{
	return neo4j_archive_push(ctx, buf, len, e);
}

static enum err_code read_one(struct component *c, struct restore_job *j, const char *file, struct err *e)
{
	struct neo4j_archive a = { 0 };
	enum err_code rc = each_piece(c, j, file, look_at, &a, "read back", e);

	if (!rc) {
		rc = neo4j_archive_end(&a, e);
		if (rc)
			err_prefix(e, "%s/%s", j->folder, file);
	}
	neo4j_archive_release(&a);
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
	enum err_code rc = read_one(c, j, NEO4J_ARCHIVE, e);

	if (!rc)
		rc = neo4j_has_system(j, &system, e);
	return rc || !system ? rc : read_one(c, j, NEO4J_SYSTEM, e);
}

struct feed {
	struct component *c;
	struct spawn *to;
};

static enum err_code to_load(void *ctx, const void *buf, size_t len, struct err *e)
{
	const struct feed *f = ctx;

	return spawn_write(f->to, f->c->cancel, buf, len, e);
}

static enum err_code to_wrap(void *ctx, const void *buf, size_t len, struct err *e)
{
	return neo4j_wrap_push(ctx, buf, len, e);
}

enum err_code neo4j_load(struct component *c, struct restore_job *j, const char *file, const char *database,
			 const struct neo4j_place *p, struct err *e)
{
	const char *const words[] = { "database", "load", database, "--from-stdin", NULL };
	struct feed f = { .c = c };
	struct neo4j_wrap *w = NULL;
	enum err_code rc = neo4j_admin(c, p, false, SPAWN_STDIN_PIPE, words, &f.to, e);

	if (!rc)
		rc = neo4j_wrap_open(to_load, &f, &w, e);
	if (!rc)
		rc = each_piece(c, j, file, to_wrap, w, "load", e);
	if (!rc)
		rc = neo4j_wrap_end(w, e);
	if (!rc) {
		spawn_close_stdin(f.to);
		rc = spawn_end(f.to, c->cancel, e);
	}
	neo4j_wrap_close(w);
	spawn_close(f.to);	/* after an error it is ended before its input is */
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
	enum err_code rc = folder ? restore_file(j, NEO4J_ARCHIVE, &b, e) : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = neo4j_room(neo4j_of(c)->scratch, blob_size(b), "a scratch home for the dump", e);
	blob_close(b);
	if (!rc && mkdir(folder, 0700) < 0)
		rc = err_sys(e, "make the folder %s", folder);
	if (!rc)
		rc = neo4j_place_make(c, folder, NULL, &p, e);
	if (!rc)
		rc = neo4j_load(c, j, NEO4J_ARCHIVE, neo4j_of(c)->database, &p, e);
	if (!rc)
		rc = neo4j_check_loaded(c, &p, neo4j_of(c)->database, e);
	neo4j_place_release(&p);
	free(folder);
	return rc;
}
