/* SPDX-License-Identifier: MIT */
/* vouch check: could a dump be made now, and what would it not hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/checked.h"
#include "tools/components/mysql.h"
#include "tools/text.h"

static void check_files(struct component *c)
{
	const struct mysql *m = mysql_of(c);
	struct stat st;

	if (c->via) /* they lie inside */
		return;
	for (int i = 0; i < MYSQL_ROLE_NR; i++) {
		const char *file = m->defaults[i];

		if (!file || (i > 0 && file == m->defaults[i - 1]))
			continue;
		if (stat(file, &st) < 0)
			component_found(c, FINDING_FAILED, "options file %s cannot be read", file);
		else if (st.st_mode & (S_IRGRP | S_IROTH))
			component_found(c, FINDING_WARNING, "options file %s can be read by others: chmod 600 %s", file,
					file);
	}
}

/* "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, ...", "mysqldump  Ver 8.0.36 for Linux": the last of two numbers. */
static const char *tool_number(const char *version)
{
	const char *at = strstr(version, "Distrib "), *from = strstr(version, " from ");

	if (at)
		return at + strlen("Distrib ");
	if (from)
		return from + strlen(" from ");
	at = strstr(version, "Ver ");
	return at ? at + strlen("Ver ") : "";
}

static void check_versions(struct component *c, const char *server)
{
	const struct mysql *m = mysql_of(c);
	unsigned tool[2] = {0}, there[2] = {0};
	bool maria = strstr(server, "MariaDB") != NULL;

	component_found(c, FINDING_OK, "server %s, %s", server, m->version);
	if (sscanf(tool_number(m->version), "%u.%u", &tool[0], &tool[1]) != 2 ||
	    sscanf(server, "%u.%u", &there[0], &there[1]) != 2)
		return;
	if (maria != m->mariadb)
		component_found(c, FINDING_WARNING,
				"the server is %s, the programs are %s: use those that came with it (bin = DIR)",
				maria ? "MariaDB" : "MySQL", m->mariadb ? "MariaDB's" : "MySQL's");
	else if (tool[0] < there[0] || (tool[0] == there[0] && tool[1] < there[1]))
		component_found(c, FINDING_WARNING,
				"the programs (%u.%u) are older than the server (%u.%u): what they do not know is left out",
				tool[0], tool[1], there[0], there[1]);
}

static enum err_code check_binlog(struct component *c, struct talk *t, struct err *e)
{
	struct talk_rows rows = {0};
	struct err why = ERR_INIT;
	char *on = NULL;
	enum err_code rc = talk_value(t, &on, e, "SELECT @@log_bin");

	if (!rc && mysql_u64(on) != 1) {
		component_found(
		    c, FINDING_WARNING,
			"no binary log: changes between two dumps cannot be brought back, and no position is recorded");
	} else if (!rc) {
		rc = talk_ask(t, "SHOW MASTER STATUS", &rows, &why);
		if (rc == ERR_FAILED) {
			component_found(c, FINDING_WARNING, "binary log on, but its position will not be recorded: %s",
					why.msg);
			rc = ERR_OK;
		} else if (rc) {
			*e = why;
		} else {
			component_found(c, FINDING_OK, "binary log on, at %s:%s",
					talk_field(&rows, 0, 0) ? talk_field(&rows, 0, 0) : "",
					talk_field(&rows, 0, 1) ? talk_field(&rows, 0, 1) : "");
		}
	}
	talk_rows_release(&rows);
	free(on);
	return rc;
}

static enum err_code check_rights(struct component *c, struct talk *t, const char *database, struct err *e)
{
	static const struct {
		unsigned right;
		enum finding kind;
		const char *name, *why;
	} wanted[] = {
		{ MYSQL_TRIGGERS, FINDING_FAILED, "TRIGGER", "mysqldump would leave triggers out without a word" },
		{ MYSQL_SEE_ROUTINES, FINDING_FAILED, "SELECT on mysql.proc",
		  "mysqldump would leave routines out without a word" },
		{ MYSQL_SHOW_VIEW, FINDING_WARNING, "SHOW VIEW", "a dump fails at the first view" },
		{ MYSQL_EVENT, FINDING_FAILED, "EVENT", "events cannot be read" },
		{ MYSQL_EXECUTE, FINDING_WARNING, "EXECUTE", "a dump fails at the first view that calls a function" },
		{ MYSQL_RELOAD, FINDING_WARNING, "RELOAD",
		  "no lock for the moment of the dump's beginning: rows are counted in the dump alone" },
		{ MYSQL_PROCESS, FINDING_WARNING, "PROCESS", "sessions cannot be listed before a recover" },
	};
	unsigned rights = 0;
	enum err_code rc = mysql_rights(t, database, &rights, e);
	bool all = true;

	if (rc)
		return rc;
	if (!(rights & MYSQL_SELECT)) {
		all = false;
		component_found(c, rights & MYSQL_SELECT_SOME ? FINDING_WARNING : FINDING_FAILED,
				"no right SELECT on all of database %s", database);
	}
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		if (rights & wanted[i].right)
			continue;
		all = false;
		component_found(c, wanted[i].kind, "no right %s for database %s: %s", wanted[i].name, database,
				wanted[i].why);
	}
	if (all)
		component_found(c, FINDING_OK, "database %s: all rights that a dump needs", database);
	return ERR_OK;
}

static enum err_code check_tables(struct component *c, struct talk *t, const struct mysql_names *n, struct err *e)
{
	struct talk_rows rows = {0};
	struct buf b = BUF_INIT;
	char size[TEXT_LEN];
	uint64_t bytes = 0, nr = 0;
	enum err_code rc;

	mysql_form(
	    &b,
		"SELECT t.table_schema, t.table_name, t.engine, COALESCE(e.transactions, 'NO'), "
		"COALESCE(t.data_length, 0) + COALESCE(t.index_length, 0) FROM information_schema.tables t "
		"LEFT JOIN information_schema.engines e ON e.engine = t.engine "
		"WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND t.table_schema IN ");
	mysql_form_names(&b, n);
	buf_add_str(&b, " ORDER BY 1, 2");
	rc = talk_ask_buf(t, &b, &rows, e);
	for (size_t i = 0; i < rows.nr_rows && !rc; i++) {
		const char *engine = talk_field(&rows, i, 2), *yes = talk_field(&rows, i, 3);

		nr++;
		bytes += mysql_u64(talk_field(&rows, i, 4));
		if (!engine)
			component_found(c, FINDING_FAILED, "table %s.%s cannot be opened", talk_field(&rows, i, 0),
					talk_field(&rows, i, 1));
		else if (!yes || strcmp(yes, "YES") != 0)
			component_found(c, FINDING_WARNING,
					"table %s.%s is %s: no snapshot holds it still; ALTER TABLE ... ENGINE = InnoDB, or "
					"hold writers by "
					"a hook",
					talk_field(&rows, i, 0), talk_field(&rows, i, 1), engine);
	}
	talk_rows_release(&rows);
	if (!rc)
		component_need(c, bytes);
	if (!rc)
		component_found(c, FINDING_OK,
				"%llu tables, about %s with their indexes: a dump goes to the repository as it is read, and "
				"needs no space here",
				(unsigned long long)nr, text_size(bytes, size));
	return rc;
}

enum err_code mysql_check(struct component *c, struct err *e)
{
	struct mysql_names n = {0};
	struct talk *t = NULL;
	char *version = NULL;
	enum err_code rc;

	check_files(c);
	rc = mysql_reach(c, MYSQL_OWN, NULL, &t, e);
	if (!rc)
		rc = talk_value(t, &version, e, "SELECT VERSION()");
	if (!rc)
		check_versions(c, version ? version : "of no version");
	if (!rc)
		rc = mysql_names_there(c, t, NULL, &n, e);
	if (!rc && n.nr == 0)
		component_found(c, FINDING_WARNING, "no database there is to be dumped");
	if (!rc)
		rc = check_binlog(c, t, e);
	for (size_t i = 0; i < n.nr && !rc; i++)
		rc = check_rights(c, t, n.of[i].to, e);
	if (!rc)
		rc = check_tables(c, t, &n, e);
	talk_close(t);
	mysql_names_release(&n);
	free(version);
	return rc;
}
