/* SPDX-License-Identifier: MIT */
/* What a session's user may, from SHOW GRANTS: mysqldump leaves out, without a word and with status 0, triggers and routines
 * that it may not see. */
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/mysql.h"

static const struct {
	const char *words;
	unsigned rights;
} privileges[] = {
	{ "ALL PRIVILEGES", ~0u },
	{ "SELECT", MYSQL_SELECT },
	{ "SHOW VIEW", MYSQL_SHOW_VIEW },
	{ "TRIGGER", MYSQL_TRIGGERS },
	{ "EVENT", MYSQL_EVENT },
	{ "EXECUTE", MYSQL_EXECUTE },
	{ "RELOAD", MYSQL_RELOAD },
	{ "PROCESS", MYSQL_PROCESS },
	{ "SUPER", MYSQL_SUPER },
	{ "SET USER", MYSQL_SET_USER },
	{ "SET_USER_ID", MYSQL_SET_USER },
	{ "SET_ANY_DEFINER", MYSQL_SET_USER },
	{ "CREATE", MYSQL_CREATE },
	{ "DROP", MYSQL_DROP },
	{ "INSERT", MYSQL_INSERT },
	{ "ALTER", MYSQL_ALTER },
	{ "CREATE VIEW", MYSQL_CREATE_VIEW },
	{ "CREATE ROUTINE", MYSQL_CREATE_ROUTINE },
	{ "ALTER ROUTINE", MYSQL_ALTER_ROUTINE },
	{ "SHOW CREATE ROUTINE", MYSQL_SEE_ROUTINES },
	{ "SHOW_ROUTINE", MYSQL_SEE_ROUTINES },
};
#define GLOBAL_ONLY ((unsigned)(MYSQL_RELOAD | MYSQL_PROCESS | MYSQL_SUPER | MYSQL_SET_USER))

/* A name in a GRANT: % and _ stand for others, but after a backslash. */
static bool matches(const char *pattern, const char *name)
{
	for (; *pattern; pattern++, name++) {
		if (*pattern == '%') {
			for (;; name++) {
				if (matches(pattern + 1, name))
					return true;
				if (!*name)
					return false;
			}
		}
		if (*pattern == '\\' && pattern[1])
			pattern++;
		else if (*pattern == '_' && *name)
			continue;
		if (*pattern != *name)
			return false;
	}
	return *name == '\0';
}

static void add_privilege(const struct buf *words, unsigned *rights)
{
	for (size_t i = 0; i < ARRAY_LEN(privileges); i++)
		if (words->len == strlen(privileges[i].words) && memcmp(words->p, privileges[i].words, words->len) == 0)
			*rights |= privileges[i].rights;
}

/* GRANT SELECT, SHOW VIEW ON `shop`.* TO ... */
static unsigned read_grant(const char *text, const char *database)
{
	struct mysql_tokens t = { .p = text, .len = strlen(text) };
	struct mysql_token k;
	struct buf words = BUF_INIT;
	char name[MYSQL_NAME_MAX + 1] = "";
	unsigned rights = 0, depth = 0;
	bool all;

	if (!mysql_token(&t, &k) || !mysql_token_is(&k, "GRANT"))
		return 0;
	while (mysql_token(&t, &k) && !mysql_token_is(&k, "ON")) {
		depth += mysql_token_is(&k, "("); /* SELECT (column) is not SELECT */
		if (depth > 0 && mysql_token_is(&k, "("))
			buf_add_u8(&words, '(');
		if (mysql_token_is(&k, ")") && depth > 0)
			depth--;
		if (depth > 0 || mysql_token_is(&k, ")"))
			continue;
		if (mysql_token_is(&k, ",")) {
			add_privilege(&words, &rights);
			buf_reset(&words);
			continue;
		}
		if (words.len > 0)
			buf_add_u8(&words, ' ');
		buf_add(&words, k.p, k.len);
	}
	if (!words.bad)
		add_privilege(&words, &rights);
	buf_release(&words);
	if (!mysql_token(&t, &k))
		return 0;
	all = mysql_token_is(&k, "*");
	if (!all && (!mysql_token_name(&k, name) || !matches(name, database)))
		return 0;
	if (!mysql_token(&t, &k) || !mysql_token_is(&k, ".") || !mysql_token(&t, &k))
		return 0;
	if (!mysql_token_is(&k, "*"))
		return rights & MYSQL_SELECT ? MYSQL_SELECT_SOME : 0;
	if (!all)
		return rights & ~GLOBAL_ONLY;
	return rights & MYSQL_SELECT ? rights | MYSQL_SEE_ROUTINES : rights;
}

/* Who may read mysql.proc sees all routines. */
static unsigned read_proc(const char *text)
{
	static const char proc[] = " ON `mysql`.`proc` TO ";
	unsigned rights = read_grant(text, "mysql");

	if (rights & MYSQL_SELECT)
		return MYSQL_SEE_ROUTINES;
	return (rights & MYSQL_SELECT_SOME) && strstr(text, proc) ? MYSQL_SEE_ROUTINES : 0;
}

enum err_code mysql_rights(struct talk *t, const char *database, unsigned *out, struct err *e)
{
	struct talk_rows rows = {0};
	enum err_code rc = talk_ask(t, "SHOW GRANTS", &rows, e);

	*out = 0;
	for (size_t i = 0; i < rows.nr_rows && !rc; i++)
		if (talk_field(&rows, i, 0))
			*out |= read_grant(talk_field(&rows, i, 0), database) | read_proc(talk_field(&rows, i, 0));
	talk_rows_release(&rows);
	return rc;
}

/* What loading a dump takes; kind: only where it has one of those. */
static const struct {
	const char *kind;
	unsigned right;
	const char *name;
} needed[] = {
	{ NULL, MYSQL_CREATE, "CREATE" },
	{ NULL, MYSQL_DROP, "DROP" },
	{ "table", MYSQL_INSERT, "INSERT" },
	{ "table", MYSQL_ALTER, "ALTER" },
	{ NULL, MYSQL_SELECT, "SELECT" },
	{ "view", MYSQL_CREATE_VIEW, "CREATE VIEW" },
	{ "trigger", MYSQL_TRIGGERS, "TRIGGER" },
	{ "event", MYSQL_EVENT, "EVENT" },
	{ "procedure", MYSQL_CREATE_ROUTINE, "CREATE ROUTINE" },
	{ "procedure", MYSQL_ALTER_ROUTINE, "ALTER ROUTINE" },
	{ "function", MYSQL_CREATE_ROUTINE, "CREATE ROUTINE" },
	{ "function", MYSQL_ALTER_ROUTINE, "ALTER ROUTINE" },
};

/* The first that is missing; NULL: none.  self: whose objects need no right to name another. */
static const char *missing_right(const struct restore_job *j, unsigned rights, const char *self, bool code_is_super)
{
	const json_t *items = json_object_get(j->recorded->root, "items"), *v;
	size_t i;

	for (i = 0; i < ARRAY_LEN(needed); i++)
		if (!needed[i].kind && !(rights & needed[i].right))
			return needed[i].name;
	json_array_foreach(items, i, v) {
		const char *kind = json_string_value(json_object_get(v, "kind"));
		const char *definer = json_string_value(json_object_get(v, "definer"));

		if (!kind || !mysql_is_loaded(j, v))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(needed); k++)
			if (needed[k].kind && strcmp(needed[k].kind, kind) == 0 && !(rights & needed[k].right))
				return needed[k].name;
		if (definer && strcmp(definer, self) != 0 && !(rights & MYSQL_SET_USER))
			return "SET USER (views, triggers or routines have other definers)";
		if (code_is_super && !(rights & MYSQL_SUPER) &&
		    (strcmp(kind, "trigger") == 0 || strcmp(kind, "function") == 0))
			return "SUPER (there are triggers or functions, the binary log is on, and "
			       "log_bin_trust_function_creators is off)";
	}
	return NULL;
}

enum err_code mysql_may_restore(struct component *c, struct restore_job *j, struct talk *t, const char *database,
				bool no_binlog, struct err *e)
{
	struct talk_rows rows = { 0 };
	unsigned rights = 0;
	enum err_code rc = talk_ask(t, "SELECT CURRENT_USER(), VERSION(), @@log_bin, @@log_bin_trust_function_creators",
				    &rows, e);
	const char *self = talk_field(&rows, 0, 0), *version = talk_field(&rows, 0, 1), *what;

	if (!rc)
		rc = mysql_rights(t, database, &rights, e);
	if (rc)
		goto out;
	/* MariaDB told SET USER from SUPER in 10.5. */
	if (version && (!strstr(version, "MariaDB") || mysql_u64(version) < 10) && (rights & MYSQL_SUPER))
		rights |= MYSQL_SET_USER;
	what = missing_right(j, rights, self ? self : "",
			     !no_binlog && mysql_u64(talk_field(&rows, 0, 2)) && !mysql_u64(talk_field(&rows, 0, 3)));
	if (what)
		rc = err_set(e, ERR_FAILED, "%s has no right %s for database %s; nothing was touched; restore-defaults-file "
			     "can name another user", self ? self : c->name, what, database);
out:
	talk_rows_release(&rows);
	return rc;
}
