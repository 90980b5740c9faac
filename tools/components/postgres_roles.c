/* SPDX-License-Identifier: MIT */
/* Whether a restore may begin: what the restoring role may do, and the roles that the dump speaks of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/tree.h"
#include "tools/components/postgres.h"

#define ROLE_MAX 64u	/* bytes of a role's name, with its NUL */

static enum err_code is_role(struct talk *admin, const char *role, bool *is, struct err *e)
{
	struct buf sql = BUF_INIT;

	pg_form(&sql, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = ?)", role);
	return pg_true(admin, &sql, is, e);
}

/* The dump's globals.sql, NUL-terminated. */
static enum err_code read_globals(struct restore_job *j, struct buf *out, struct err *e)
{
	struct blob *b = NULL;
	enum err_code rc = restore_file(j, PG_GLOBALS, &b, e);
	uint64_t size;
	size_t n = 0;

	if (rc)
		return rc;
	size = blob_size(b);
	if (size > PG_GLOBALS_MAX)
		rc = err_set(e, ERR_LIMIT, PG_GLOBALS " of %llu bytes", (unsigned long long)size);
	else if (!buf_room(out, (size_t)size + 1))
		rc = err_set(e, ERR_NOMEM, PG_GLOBALS);
	if (!rc)
		rc = blob_pread(b, 0, out->p, (size_t)size, &n, e);
	if (!rc)
		out->p[n] = '\0';
	blob_close(b);
	return rc;
}

/* The lines of globals.sql that make the role: its name follows as pg_dumpall quotes it, with or without quotes. */
static enum err_code create_role(struct component *c, struct talk *admin, const char *globals, const char *role,
				 struct err *e)
{
	enum err_code rc = ERR_OK;
	struct buf quoted = BUF_INIT;
	bool made = false;

	pg_form(&quoted, "@", role);
	buf_add_u8(&quoted, '\0');
	if (quoted.bad)
		rc = err_set(e, ERR_NOMEM, "role %s", role);
	for (const char *line = globals; !rc && *line;) {
		size_t len = strcspn(line, "\n");
		const char *rest = line + 12;
		struct buf sql = BUF_INIT;

		if (len > 12 && (strncmp(line, "CREATE ROLE ", 12) == 0 || strncmp(line, "ALTER ROLE ", 11) == 0)) {
			const char *name = line[0] == 'C' ? rest : rest - 1;
			size_t q = strlen((const char *)quoted.p), r = strlen(role);
			bool with_quotes = strncmp(name, (const char *)quoted.p, q) == 0;
			size_t n = with_quotes ? q : r;
			const char *after = name + n;

			if ((with_quotes || strncmp(name, role, r) == 0) && (*after == ';' || strncmp(after, " WITH ", 6) == 0)) {
				buf_add(&sql, line, len - (line[len - 1] == ';'));
				rc = talk_do_buf(admin, &sql, e);
				made = true;
			}
		}
		buf_release(&sql);
		line += len + (line[len] == '\n');
	}
	buf_release(&quoted);
	if (!rc && !made)
		rc = err_set(e, ERR_NOT_FOUND, PG_GLOBALS " of the snapshot has no role %s", role);
	if (!rc)
		component_note(c, "role %s is made as " PG_GLOBALS " has it", role);
	return rc;
}

/* make: those that are missing, where create-roles says so. */
static enum err_code need_roles(struct component *c, struct restore_job *j, struct talk *admin, bool make, struct err *e)
{
	struct buf globals = BUF_INIT, missing = BUF_INIT;
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(j->recorded->root, "items"), i, item) {
		const char *name = pg_member(item, "name");
		struct buf plain = BUF_INIT;
		const char *kind = pg_member(item, "kind");
		bool is = true;

		if (strcmp(kind, "role") != 0)
			continue;
		if (pg_plain_name(name, &plain))
			rc = is_role(admin, (const char *)plain.p, &is, e);
		if (!rc && !is && pg_of(c)->create_roles) {
			if (!globals.p)
				rc = read_globals(j, &globals, e);
			if (!rc && !make)
				component_note(c, "make role %s as " PG_GLOBALS " has it", name);
			else if (!rc)
				rc = create_role(c, admin, (const char *)globals.p, (const char *)plain.p, e);
		} else if (!rc && !is) {
			buf_printf(&missing, "%s%s", missing.len ? ", " : "", name);
		}
		buf_release(&plain);
		if (rc)
			goto out;
	}
	if (missing.len > 0) {
		buf_add_u8(&missing, '\0');
		rc = err_set(e, ERR_FAILED,
			     "roles that own things in the dump or have rights there are not on this server: %.300s; "
			     "make them (their definitions are in " PG_GLOBALS
			     " beside the dump), or set create-roles = yes",
			     (const char *)missing.p);
	}
out:
	buf_release(&globals);
	buf_release(&missing);
	return rc;
}

/* One who is no superuser must be able to give everything to its owner. */
static enum err_code need_owners(struct restore_job *j, struct talk *admin, struct err *e)
{
	const char *last = "";
	enum err_code rc = ERR_OK;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(j->recorded->root, "items"), i, item) {
		const char *owner = pg_member(item, "owner");
		struct buf sql = BUF_INIT;
		bool may = false;

		if (!owner || strcmp(owner, last) == 0 || strncmp(owner, "pg_", 3) == 0)
			continue;
		pg_form(&sql, "SELECT pg_has_role(current_user, ?, 'MEMBER')", owner);
		rc = pg_true(admin, &sql, &may, e);
		if (rc)
			return rc;
		if (!may)
			return err_set(
				e, ERR_FAILED,
				"the restoring role is no superuser and no member of %s, who owns %s in the dump: "
				"GRANT it that role, or name a superuser in restore-dsn",
				owner, pg_member(item, "name"));
		last = owner;
	}
	return rc;
}

enum err_code pg_may_restore(struct component *c, struct restore_job *j, struct talk *admin, bool make_roles, struct err *e)
{
	struct talk_rows rows = { 0 };
	bool super = false, createdb = false, standby = false;
	char who[ROLE_MAX] = "";
	long version = 0;
	enum err_code rc;

	rc = talk_ask(admin, "SELECT rolsuper, rolcreatedb, pg_is_in_recovery(), current_setting('server_version_num'), rolname "
			     "FROM pg_roles WHERE rolname = current_user", &rows, e);
	if (rc)
		return rc;
	if (rows.nr_rows == 1 && talk_field(&rows, 0, 4)) {
		super = talk_field(&rows, 0, 0)[0] == 't';
		createdb = talk_field(&rows, 0, 1)[0] == 't';
		standby = talk_field(&rows, 0, 2)[0] == 't';
		version = strtol(talk_field(&rows, 0, 3), NULL, 10);
		(void)snprintf(who, sizeof(who), "%s", talk_field(&rows, 0, 4));
	}
	talk_rows_release(&rows);
	if (version < PG_SERVER_MIN)
		return err_set(e, ERR_FAILED, "the server is of version %ld.%ld: 13 is the oldest that vouch restores into",
			       version / 10000, version % 10000);
	if (standby)
		return err_set(e, ERR_FAILED, "the server is a standby: restore on its primary (restore-dsn), it follows");
	if (!super && !createdb)
		return err_set(
			e, ERR_FAILED,
			"role %s may not make databases: ALTER ROLE %s CREATEDB, or name another in restore-dsn", who,
			who);
	rc = need_roles(c, j, admin, make_roles, e);
	if (!rc && !super && (make_roles || !pg_of(c)->create_roles))	/* pg_has_role() fails for a role that is still to be made */
		rc = need_owners(j, admin, e);
	return rc;
}
