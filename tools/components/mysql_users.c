/* SPDX-License-Identifier: MIT */
/* Users, roles and their rights as statements: beside the dump, to be looked at before anybody takes them. */
#include <string.h>

#include "tools/components/mysql.h"

#define USERS_MAX (64u << 20)

static enum err_code dump_users(struct component *c, struct dump *d, struct err *e)
{
	struct mysql *m = mysql_of(c);
	struct mysql_words w;
	struct spawn_options o;
	struct buf text = BUF_INIT;
	struct assembly_file *f = NULL;
	enum err_code rc;

	if (!m->mariadb)
		return err_set(e, ERR_UNSUPPORTED, "only MariaDB's program can write the users down");
	mysql_words_init(&w, c, MYSQL_OWN, m->dumper);
	mysql_words_add(&w, "--system=users");
	mysql_words_add(&w, "--comments");
	mysql_words_add(&w, "--skip-dump-date");
	o = component_spawn(c, w.v);
	o.in = SPAWN_STDIN_NONE;
	rc = w.bad ? err_set(e, ERR_NOMEM, "users") : spawn_run(&o, c->cancel, &text, USERS_MAX, NULL, e);
	mysql_words_release(&w);
	if (!rc && !memmem(text.p, text.len, "\n-- Dump completed", strlen("\n-- Dump completed")))
		rc = err_set(e, ERR_FAILED, "%s --system=users was cut short", m->dumper);
	if (!rc)
		rc = dump_file_open(d, MYSQL_USERS, &f, e);
	if (!rc) {
		rc = dump_write(f, text.p, text.len, e);
		if (!rc)
			rc = dump_file_close(d, MYSQL_USERS, f, e);
		else
			assembly_file_drop(f);
	}
	buf_release(&text);
	return rc;
}

enum err_code mysql_users(struct component *c, struct dump *d, struct err *e)
{
	struct mysql *m = mysql_of(c);
	struct err why = ERR_INIT;
	enum err_code rc;

	if (!d->to || m->users == MYSQL_USERS_NO || m->into || m->nr_tables > 0)
		return ERR_OK;
	rc = dump_users(c, d, &why);
	if (rc && m->users == MYSQL_USERS_MAY && (rc == ERR_FAILED || rc == ERR_UNSUPPORTED)) {
		component_note(c, "%s: users and their rights are not saved: %s", c->name, why.msg);
		return ERR_OK;
	}
	if (rc && e)
		*e = why;
	if (rc)
		err_prefix(e, "users = yes");
	return rc;
}
