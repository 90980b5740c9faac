/* SPDX-License-Identifier: MIT */
/*
 * What a database has beside rows: definitions, owners, grants, settings.  Each kind is one statement with the columns
 *
 *   schema, name, sub, suffix, definition, schema of, name of, owner, grants, more (as "key=value" lines)
 *
 * and the item's name is schema.name.sub with the suffix, in pgname.h's form.  Objects of an extension are that extension's.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/components/pgname.h"
#include "tools/components/postgres.h"
#include "tools/text.h"

/* Grants in one order, the default spelled out: an ACL that was never changed is NULL before and text after a restore. */
#define ACL(acl, kind, owner)										\
	"(SELECT string_agg(a.w, '; ' ORDER BY a.w) FROM (SELECT "					\
	"CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END || '=' || "		\
	"string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ',' "		\
	"ORDER BY x.privilege_type) AS w FROM aclexplode(coalesce(" acl ", acldefault('" kind "', "	\
	owner "))) x GROUP BY x.grantee) a)"

/*
 * An expression that was dumped and restored may come back with other parentheses and casts between text types
 * (ARRAY['a'::varchar]::text[] as ARRAY['a'::varchar::text]), and means the same: both are taken out.
 */
#define PLAIN(def) "btrim(regexp_replace(regexp_replace(regexp_replace(" def ", "				\
	"'::(text|bpchar|character varying(\\(\\d+\\))?|character(\\(\\d+\\))?)(\\[\\])?', '', 'g'), "	\
	"'[()\\s]+', ' ', 'g'), '\\s*([][,])\\s*', '\\1', 'g'))"

#define OWN_SCHEMA "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '" PG_BEFORE "')"
/* Not a part of an extension. */
#define OWN(class, oid) "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" class "'::regclass "	\
	"AND e.objid = " oid " AND e.deptype = 'e')"
/* A name as pgname_add() has it. */
#define CANONICAL(name) "CASE WHEN " name " ~ '^[a-z_][a-z0-9_]*$' THEN " name "::text "			\
	"ELSE '\"' || replace(" name ", '\"', '\"\"') || '\"' END"
#define ROLE(oid) "pg_get_userbyid(" oid ")"

static const struct what {
	const char *kind, *sql;
} whats[] = {
	{ "schema",
	  "SELECT NULL, n.nspname, NULL, NULL, NULL, NULL, NULL, " ROLE("n.nspowner") ", "
	  ACL("n.nspacl", "n", "n.nspowner") ", NULL FROM pg_namespace n WHERE " OWN_SCHEMA " AND "
	  OWN("pg_namespace", "n.oid") " ORDER BY 2" },

	{ "extension",
	  "SELECT NULL, extname, NULL, NULL, extversion, NULL, NULL, NULL, NULL, NULL FROM pg_extension ORDER BY 2" },

	{ "type",
	  "SELECT n.nspname, t.typname, NULL, NULL, CASE t.typtype WHEN 'e' THEN 'enum ' || "
	  "(SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) "
	  "WHEN 'd' THEN 'domain ' || format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' not null' "
	  "ELSE '' END || coalesce(' default ' || t.typdefault, '') || coalesce((SELECT ' ' || "
	  "string_agg(conname || ' ' || " PLAIN("pg_get_constraintdef(oid)") ", ' ' ORDER BY conname) FROM pg_constraint "
	  "WHERE contypid = t.oid AND contype = 'c'), '') WHEN 'c' THEN 'composite ' || coalesce((SELECT string_agg("
	  "attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute "
	  "WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped), '') ELSE 'range' END, "
	  "NULL, NULL, " ROLE("t.typowner") ", " ACL("t.typacl", "T", "t.typowner") ", NULL "
	  "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class r ON r.oid = t.typrelid "
	  "WHERE " OWN_SCHEMA " AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND r.relkind = 'c')) AND "
	  OWN("pg_type", "t.oid") " ORDER BY 1, 2" },

	{ "table",
	  "SELECT n.nspname, c.relname, NULL, NULL, "
	  "CASE c.relpersistence WHEN 'u' THEN 'unlogged ' ELSE '' END || CASE c.relkind WHEN 'f' THEN 'foreign ' ELSE '' END "
	  "|| coalesce((SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) "
	  "|| CASE WHEN a.attcollation <> t.typcollation THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END "
	  "|| CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || CASE a.attidentity WHEN '' THEN '' ELSE ' identity ' "
	  "|| a.attidentity::text END || coalesce(CASE a.attgenerated WHEN '' THEN ' default ' ELSE ' generated ' END || "
	  PLAIN("pg_get_expr(d.adbin, d.adrelid)") ", '') || CASE WHEN a.attacl IS NULL THEN '' ELSE ' grants ' || "
	  "(SELECT string_agg(w::text, ' ' ORDER BY w::text) FROM unnest(a.attacl) w) END, ', ' ORDER BY a.attnum) "
	  "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid "
	  "AND d.adnum = a.attnum WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), 'no columns') "
	  "|| coalesce(' partition by ' || pg_get_partkeydef(c.oid), '') "
	  "|| coalesce(' partition ' || " PLAIN("pg_get_expr(c.relpartbound, c.oid)") ", '') "
	  "|| coalesce(' with ' || array_to_string(c.reloptions, ', '), '') "
	  "|| CASE WHEN c.relrowsecurity THEN ' row security' ELSE '' END "
	  "|| CASE WHEN c.relforcerowsecurity THEN ' forced' ELSE '' END, "
	  "pn.nspname, p.relname, " ROLE("c.relowner") ", " ACL("c.relacl", "r", "c.relowner") ", "
	  "CASE WHEN c.relkind = 'r' THEN 'storage=' || CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'heap' END END "
	  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
	  "AND c.relispartition LEFT JOIN pg_class p ON p.oid = i.inhparent LEFT JOIN pg_namespace pn "
	  "ON pn.oid = p.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND " OWN_SCHEMA " AND "
	  OWN("pg_class", "c.oid") " ORDER BY 1, 2" },

	{ "view",
	  "SELECT n.nspname, c.relname, NULL, NULL, CASE c.relkind WHEN 'm' THEN 'materialized ' ELSE '' END || "
	  PLAIN("pg_get_viewdef(c.oid)") ", NULL, NULL, " ROLE("c.relowner") ", " ACL("c.relacl", "r", "c.relowner")
	  ", NULL FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND "
	  OWN_SCHEMA " AND " OWN("pg_class", "c.oid") " ORDER BY 1, 2" },

	{ "sequence",
	  "SELECT n.nspname, c.relname, NULL, NULL, format_type(s.seqtypid, NULL) || ' from ' || s.seqmin || ' to ' || "
	  "s.seqmax || CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END || ' cache ' || s.seqcache, tn.nspname, t.relname, "
	  ROLE("c.relowner") ", " ACL("c.relacl", "s", "c.relowner") ", 'step=' || s.seqincrement || coalesce(E'\\ncolumn=' "
	  "|| quote_ident(a.attname), '') "
	  "FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
	  "LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 "
	  "AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') "
	  "LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace "
	  "LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
	  "WHERE " OWN_SCHEMA " AND " OWN("pg_class", "c.oid") " ORDER BY 1, 2" },

	{ "index",
	  "SELECT n.nspname, c.relname, NULL, NULL, " PLAIN("pg_get_indexdef(c.oid)") ", tn.nspname, t.relname, NULL, NULL, "
	  "CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')) "
	  "THEN 'by=constraint' END FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
	  "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = i.indrelid "
	  "JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE i.indisvalid AND " OWN_SCHEMA " AND "
	  OWN("pg_class", "t.oid") " ORDER BY 1, 2" },

	/* those of partitions follow from their parent's (conparentid), under names that may differ */
	{ "constraint",
	  "SELECT n.nspname, c.relname, k.conname, NULL, " PLAIN("pg_get_constraintdef(k.oid)") ", n.nspname, c.relname, "
	  "NULL, NULL, 'type=' || CASE k.contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END "
	  "|| coalesce(E'\\nto=' || " CANONICAL("rn.nspname") " || '.' || " CANONICAL("r.relname") ", '') "
	  "FROM pg_constraint k LEFT JOIN pg_class r ON r.oid = k.confrelid LEFT JOIN pg_namespace rn "
	  "ON rn.oid = r.relnamespace JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
	  "WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND " OWN_SCHEMA " AND "
	  OWN("pg_class", "c.oid") " ORDER BY 1, 2, 3" },

	{ "trigger",
	  "SELECT n.nspname, c.relname, g.tgname, NULL, CASE g.tgenabled WHEN 'O' THEN '' ELSE g.tgenabled::text || ' ' END || "
	  PLAIN("pg_get_triggerdef(g.oid)") ", n.nspname, c.relname, NULL, NULL, NULL FROM pg_trigger g JOIN pg_class c "
	  "ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND g.tgparentid = 0 "
	  "AND " OWN_SCHEMA " AND " OWN("pg_trigger", "g.oid") " ORDER BY 1, 2, 3" },

	{ "rule",
	  "SELECT n.nspname, c.relname, r.rulename, NULL, " PLAIN("pg_get_ruledef(r.oid)") ", n.nspname, c.relname, NULL, "
	  "NULL, NULL FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace "
	  "WHERE r.rulename <> '_RETURN' AND " OWN_SCHEMA " AND " OWN("pg_rewrite", "r.oid") " ORDER BY 1, 2, 3" },

	{ "policy",
	  "SELECT n.nspname, c.relname, p.polname, NULL, CASE WHEN p.polpermissive THEN '' ELSE 'restrictive ' END || "
	  "p.polcmd::text || ' to ' || (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', ' "
	  "ORDER BY r::regrole::text) FROM unnest(p.polroles) r) || coalesce(' using ' || "
	  PLAIN("pg_get_expr(p.polqual, p.polrelid)") ", '') || coalesce(' check ' || "
	  PLAIN("pg_get_expr(p.polwithcheck, p.polrelid)") ", ''), n.nspname, c.relname, NULL, NULL, NULL "
	  "FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
	  "WHERE " OWN_SCHEMA " ORDER BY 1, 2, 3" },

	{ "function",
	  "SELECT n.nspname, p.proname, NULL, '(' || pg_get_function_identity_arguments(p.oid) || ')', "
	  "CASE p.prokind WHEN 'a' THEN 'aggregate' ELSE pg_get_functiondef(p.oid) END, NULL, NULL, "
	  ROLE("p.proowner") ", " ACL("p.proacl", "f", "p.proowner") ", NULL FROM pg_proc p JOIN pg_namespace n "
	  "ON n.oid = p.pronamespace WHERE " OWN_SCHEMA " AND " OWN("pg_proc", "p.oid") " ORDER BY 1, 2, 4" },

	{ "event trigger",
	  "SELECT NULL, evtname, NULL, NULL, evtevent || ' ' || evtfoid::regproc::text, NULL, NULL, NULL, NULL, NULL "
	  "FROM pg_event_trigger ev WHERE " OWN("pg_event_trigger", "ev.oid") " ORDER BY 2" },

	{ "publication",
	  "SELECT NULL, pubname, NULL, NULL, CASE WHEN puballtables THEN 'all tables' ELSE (SELECT string_agg("
	  "prrelid::regclass::text, ', ' ORDER BY prrelid::regclass::text) FROM pg_publication_rel WHERE prpubid = p.oid) END, "
	  "NULL, NULL, NULL, NULL, NULL FROM pg_publication p ORDER BY 2" },

	/* who must be there before a restore; what they may do is in globals.sql */
	{ "role",
	  "SELECT NULL, r.rolname, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM pg_roles r WHERE r.oid IN ("
	  "SELECT refobjid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND dbid = "
	  "(SELECT oid FROM pg_database WHERE datname = current_database()) "
	  "UNION SELECT relowner FROM pg_class WHERE oid >= 16384 AND relnamespace NOT IN (SELECT oid FROM pg_namespace "
	  "WHERE nspname = '" PG_BEFORE "' OR nspname ~ '^pg_') "
	  "UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384 AND nspname <> '" PG_BEFORE "' AND nspname !~ '^pg_' "
	  "UNION SELECT proowner FROM pg_proc WHERE oid >= 16384 "
	  "UNION SELECT setrole FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
	  "WHERE d.datname = current_database() "
	  "UNION SELECT x.grantee FROM pg_database d, aclexplode(d.datacl) x WHERE d.datname = current_database() "
	  "UNION SELECT datdba FROM pg_database WHERE datname = current_database()) AND r.rolname !~ '^pg_' ORDER BY 2" },

	{ "setting",
	  "SELECT r.rolname, split_part(w, '=', 1), NULL, NULL, substr(w, strpos(w, '=') + 1), NULL, NULL, NULL, NULL, "
	  "'parameter=' || split_part(w, '=', 1) || coalesce(E'\\nrole=' || r.rolname, '') "
	  "FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, "
	  "unnest(s.setconfig) w WHERE d.datname = current_database() ORDER BY 1, 2" },

	{ "grant",
	  "SELECT NULL, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE " ROLE("x.grantee") " END, NULL, ' on the database', "
	  "string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ',' ORDER BY x.privilege_type), "
	  "NULL, NULL, NULL, NULL, CASE WHEN x.grantee <> 0 THEN 'role=' || " ROLE("x.grantee") " END "
	  "FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x "
	  "WHERE d.datname = current_database() GROUP BY x.grantee ORDER BY 2" },
};

enum column { SCHEMA, NAME, SUB, SUFFIX, DEFINITION, OF_SCHEMA, OF_NAME, OWNER, GRANTS, MORE, COLUMNS };

static void name_of(struct buf *out, const char *schema, const char *name, const char *sub, const char *suffix)
{
	buf_reset(out);
	if (schema) {
		pgname_add(out, schema);
		buf_add_u8(out, '.');
	}
	pgname_add(out, name);
	if (sub) {
		buf_add_u8(out, '.');
		pgname_add(out, sub);
	}
	if (suffix)
		buf_add_str(out, suffix);
	buf_add_u8(out, '\0');
}

/* What is not UTF-8 (a database in LATIN1) is escaped, as facts.c does with names. */
static void put(struct facts *f, json_t *item, const char *key, const char *value, size_t len)
{
	struct buf b = BUF_INIT;

	if (text_is_utf8(value, len))
		buf_add(&b, value, len);
	else
		text_escape(&b, value, len);
	if (!item || b.bad || json_object_set_new(item, key, json_stringn((const char *)b.p, b.len)))
		f->bad = true;
	buf_release(&b);
}

/* "key=value" lines. */
static void put_more(struct facts *f, json_t *item, const char *more)
{
	while (more && *more) {
		size_t line = strcspn(more, "\n"), key = strcspn(more, "=");
		char name[16];

		if (key >= line || key >= sizeof(name))
			return;
		memcpy(name, more, key);
		name[key] = '\0';
		put(f, item, name, more + key + 1, line - key - 1);
		more += line + (more[line] == '\n');
	}
}

static enum err_code add_rows(const struct what *w, const struct talk_rows *rows, struct facts *f, struct err *e)
{
	struct buf name = BUF_INIT, of = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < rows->nr_rows; i++) {
		const char *v[COLUMNS];
		json_t *item;

		for (size_t k = 0; k < COLUMNS; k++)
			v[k] = talk_field(rows, i, k);
		if (!v[NAME])
			continue;
		name_of(&name, v[SCHEMA], v[NAME], v[SUB], v[SUFFIX]);
		if (v[OF_NAME])
			name_of(&of, v[OF_SCHEMA], v[OF_NAME], NULL, NULL);
		if (name.bad || of.bad) {
			rc = err_set(e, ERR_NOMEM, "list of what the database has");
			break;
		}
		facts_is(f, w->kind, (const char *)name.p, v[DEFINITION] ? v[DEFINITION] : "");
		item = facts_item(f, w->kind, (const char *)name.p);
		if (v[OF_NAME])
			put(f, item, "of", (const char *)of.p, of.len - 1);
		if (v[OWNER])
			put(f, item, "owner", v[OWNER], strlen(v[OWNER]));
		if (v[GRANTS])
			put(f, item, "grants", v[GRANTS], strlen(v[GRANTS]));
		put_more(f, item, v[MORE]);
	}
	buf_release(&name);
	buf_release(&of);
	return rc;
}

/* What CREATE DATABASE needs; not compared, as a database of another name has another size, owner or comment. */
static enum err_code add_database(struct talk *t, struct facts *f, struct err *e)
{
	static const char *const keys[] = { "encoding", "collate", "ctype", "provider", "icu locale", "owner",
					    "connection limit", "comment", "database", "database bytes",
					    "tablespaces" };
	struct talk_rows rows = { 0 };
	struct buf sql = BUF_INIT;
	char *icu = NULL;
	enum err_code rc;

	/* daticulocale until 16, datlocale from 17 on; none before 15 */
	rc = talk_value(t, &icu, e, "SELECT attname FROM pg_attribute WHERE attrelid = 'pg_database'::regclass AND attname IN "
			"('daticulocale', 'datlocale')");
	if (rc)
		return rc;
	pg_form(&sql, "SELECT pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, $, $, " ROLE("d.datdba") ", "
		"d.datconnlimit, shobj_description(d.oid, 'pg_database'), d.datname, pg_database_size(d.oid), "
		"(SELECT string_agg(spcname, ',' ORDER BY spcname) FROM pg_tablespace WHERE oid IN "
		"(SELECT reltablespace FROM pg_class) AND spcname !~ '^pg_') FROM pg_database d "
		"WHERE d.datname = current_database()", icu ? "d.datlocprovider" : "'c'", icu ? icu : "NULL");
	rc = talk_ask_buf(t, &sql, &rows, e);
	free(icu);
	if (rc)
		return rc;
	for (size_t k = 0; k < ARRAY_LEN(keys); k++)
		if (talk_field(&rows, 0, k))
			facts_set_in(f, "settings", keys[k], talk_field(&rows, 0, k));
	talk_rows_release(&rows);
	return ERR_OK;
}

enum err_code pg_catalog(struct talk *t, struct facts *f, struct err *e)
{
	enum err_code rc = add_database(t, f, e);

	for (size_t i = 0; !rc && i < ARRAY_LEN(whats); i++) {
		struct talk_rows rows = { 0 };

		rc = talk_ask(t, whats[i].sql, &rows, e);
		if (!rc)
			rc = add_rows(&whats[i], &rows, f, e);
		if (rc)
			err_prefix(e, "definitions (%s)", whats[i].kind);
		talk_rows_release(&rows);
	}
	return rc;
}
