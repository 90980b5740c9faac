/* SPDX-License-Identifier: MIT */
#include "tools/components/postgres_toc.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/pgname.h"

void pgtoc_release(struct pgtoc *t)
{
	free(t->ids);
	*t = (struct pgtoc){ 0 };
}

static enum err_code add(struct pgtoc *t, uint32_t id, struct err *e)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->ids[i] == id)
			return ERR_OK;
	if (t->nr == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 32;
		uint32_t *ids = reallocarray(t->ids, cap, sizeof(*ids));

		if (!ids)
			return err_set(e, ERR_NOMEM, "table of contents");
		t->ids = ids;
		t->cap = cap;
	}
	t->ids[t->nr++] = id;
	return ERR_OK;
}

/* "schema.name" or "schema.name.sub" as what it means, as the list has names: a line's end in one is a space there. */
struct parts {
	struct buf v[3];
	size_t nr;
};

static void parts_release(struct parts *p)
{
	for (size_t i = 0; i < ARRAY_LEN(p->v); i++)
		buf_release(&p->v[i]);
}

static bool split(const char *name, struct parts *p)
{
	*p = (struct parts){ 0 };
	for (;;) {
		struct buf *b = &p->v[p->nr];

		if (!pgname_read(&name, b))
			return false;
		for (size_t i = 0; i < b->len; i++)
			if (b->p[i] == '\n' || b->p[i] == '\r')
				b->p[i] = ' ';
		buf_add_u8(b, '\0');
		if (b->bad)
			return false;
		p->nr++;
		if (!*name)
			return true;
		if (*name++ != '.' || p->nr == ARRAY_LEN(p->v))
			return false;
	}
}

static const char *part(const struct parts *p, size_t i)
{
	return (const char *)p->v[i].p;
}

/*
 * Every line "ID; OID OID WHAT OWNER" whose WHAT is text; prefix: begins with it.  The names in a line are told apart
 * by nothing but spaces, so the owner behind them must be one word, or the table's own owner.
 */
static enum err_code take(const char *list, const struct buf *text, bool prefix, const char *owner, struct pgtoc *out,
			  struct err *e)
{
	enum err_code rc = ERR_OK;

	if (text->bad)
		return err_set(e, ERR_NOMEM, "table of contents");
	for (const char *line = list; !rc && *line; line += *line == '\n') {
		const char *next = line + strcspn(line, "\n"), *p;
		char *end;
		unsigned long id = strtoul(line, &end, 10);

		p = end;
		line = next;
		if (id == 0 || id > UINT32_MAX || *p++ != ';' || *p++ != ' ')
			continue;
		for (int i = 0; i < 2; i++) {	/* two numbers of the catalog */
			p += strspn(p, "0123456789");
			p += *p == ' ';
		}
		if (p > next || (size_t)(next - p) < text->len || memcmp(p, text->p, text->len) != 0)
			continue;
		p += text->len;
		if (prefix || p == next) {
			rc = add(out, (uint32_t)id, e);
			continue;
		}
		if (*p++ != ' ')
			continue;
		if (!memchr(p, ' ', (size_t)(next - p)) ||
		    (owner && strlen(owner) == (size_t)(next - p) && memcmp(p, owner, strlen(owner)) == 0))
			rc = add(out, (uint32_t)id, e);
	}
	return rc;
}

struct asked {
	const char *list, *owner;
	struct pgtoc *out;
};

/* "WHAT SCHEMA A B", B may be NULL. */
static enum err_code want(const struct asked *a, const char *what, const char *schema, const char *infix, const char *name,
			  const char *rest, bool prefix, struct err *e)
{
	struct buf text = BUF_INIT;
	enum err_code rc;

	buf_printf(&text, "%s %s %s%s%s", what, schema, infix, name, rest);
	rc = take(a->list, &text, prefix, a->owner, a->out, e);
	buf_release(&text);
	return rc;
}

static const struct form {
	const char *what, *infix, *rest;
	bool prefix;
} table_forms[] = {
	{ "TABLE", "", "", false },
	{ "TABLE DATA", "", "", false },
	{ "TABLE ATTACH", "", "", false },
	{ "FOREIGN TABLE", "", "", false },
	{ "DEFAULT", "", " ", true },
	{ "ROW SECURITY", "", "", false },
	{ "ACL", "TABLE ", "", false },
	{ "ACL", "COLUMN ", ".", true },
	{ "COMMENT", "TABLE ", "", false },
	{ "COMMENT", "COLUMN ", ".", true },
}, sequence_forms[] = {
	{ "SEQUENCE", "", "", false },
	{ "SEQUENCE OWNED BY", "", "", false },
	{ "SEQUENCE SET", "", "", false },
	{ "ACL", "SEQUENCE ", "", false },
	{ "COMMENT", "SEQUENCE ", "", false },
}, index_forms[] = {
	{ "INDEX", "", "", false },
	{ "INDEX ATTACH", "", "", false },
	{ "COMMENT", "INDEX ", "", false },
};

static enum err_code want_forms(const struct asked *a, const struct form *forms, size_t nr, const struct parts *p,
				struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < nr; i++)
		rc = want(a, forms[i].what, part(p, 0), forms[i].infix, part(p, 1), forms[i].rest, forms[i].prefix, e);
	return rc;
}

/* What hangs on a table under a name of its own: "CONSTRAINT shop line line_pkey", "COMMENT shop CONSTRAINT line_pkey
 * ON line". */
static enum err_code want_sub(const struct asked *a, const char *what, const struct parts *p, struct err *e)
{
	struct buf text = BUF_INIT;
	enum err_code rc;

	buf_printf(&text, "%s %s %s %s", what, part(p, 0), part(p, 1), part(p, 2));
	rc = take(a->list, &text, false, a->owner, a->out, e);
	buf_reset(&text);
	buf_printf(&text, "COMMENT %s %s %s ON ", part(p, 0), strcmp(what, "FK CONSTRAINT") == 0 ? "CONSTRAINT" : what, part(p, 2));
	pgname_add(&text, part(p, 1));
	if (!rc)
		rc = take(a->list, &text, false, a->owner, a->out, e);
	buf_release(&text);
	return rc;
}

static enum err_code want_item(const struct asked *a, const char *kind, const struct parts *p, struct err *e)
{
	static const struct {
		const char *kind, *what;
	} subs[] = {
		{ "constraint", "CONSTRAINT" }, { "constraint", "FK CONSTRAINT" }, { "constraint", "CHECK CONSTRAINT" },
		{ "trigger", "TRIGGER" },	{ "rule", "RULE" },		   { "policy", "POLICY" },
	};
	enum err_code rc = ERR_OK;

	if (p->nr == 2 && strcmp(kind, "sequence") == 0)
		return want_forms(a, sequence_forms, ARRAY_LEN(sequence_forms), p, e);
	if (p->nr == 2 && strcmp(kind, "index") == 0)
		return want_forms(a, index_forms, ARRAY_LEN(index_forms), p, e);
	for (size_t i = 0; !rc && p->nr == 3 && i < ARRAY_LEN(subs); i++)
		if (strcmp(subs[i].kind, kind) == 0)
			rc = want_sub(a, subs[i].what, p, e);
	return rc;
}

static const char *member(const json_t *item, const char *key)
{
	return json_string_value(json_object_get(item, key));
}

enum err_code pgtoc_of_table(const char *list, const struct facts *recorded, const char *table, bool only_rows,
			     struct pgtoc *out, struct err *e)
{
	struct asked a = { list, member(facts_item(recorded, "table", table), "owner"), out };
	enum err_code rc = ERR_OK;
	struct parts p = { 0 };
	const json_t *item;
	size_t i;

	if (!split(table, &p) || p.nr != 2) {
		rc = err_set(e, ERR_USAGE, "table %s: not schema.name", table);
		goto out;
	}
	if (only_rows)
		rc = want(&a, "TABLE DATA", part(&p, 0), "", part(&p, 1), "", false, e);
	else
		rc = want_forms(&a, table_forms, ARRAY_LEN(table_forms), &p, e);
	json_array_foreach(json_object_get(recorded->root, "items"), i, item) {
		const char *of = member(item, "of"), *kind = member(item, "kind");
		struct parts sub = { 0 };

		if (rc || only_rows)
			break;
		if (!of || strcmp(of, table) != 0 || strcmp(kind, "table") == 0)
			continue;
		if (split(member(item, "name"), &sub))
			rc = want_item(&a, kind, &sub, e);
		parts_release(&sub);
	}
out:
	parts_release(&p);
	return rc;
}

enum err_code pgtoc_of_constraint(const char *list, const char *constraint, struct pgtoc *out, struct err *e)
{
	struct asked a = { list, NULL, out };
	enum err_code rc = ERR_OK;
	struct parts p = { 0 };

	if (split(constraint, &p) && p.nr == 3)
		rc = want_item(&a, "constraint", &p, e);
	else
		rc = err_set(e, ERR_USAGE, "constraint %s: not schema.table.name", constraint);
	parts_release(&p);
	return rc;
}

void pgtoc_sort(const char *list, struct pgtoc *t)
{
	size_t done = 0;

	for (const char *line = list; *line && done < t->nr; line += *line == '\n') {
		unsigned long id = strtoul(line, NULL, 10);

		for (size_t i = done; i < t->nr; i++)
			if (t->ids[i] == id) {
				uint32_t other = t->ids[done];

				t->ids[done++] = t->ids[i];
				t->ids[i] = other;
				break;
			}
		line += strcspn(line, "\n");
	}
}
