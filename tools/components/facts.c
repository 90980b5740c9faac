/* SPDX-License-Identifier: MIT */
#include "tools/components/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/checked.h"
#include "tools/components/rowsum.h"
#include "tools/text.h"

#define SEPARATOR 0x1f		/* between kind and name in the index; no kind holds it, and a file's kind is "" */

/* The root's members in the order that people read them; the rest follow, then files and items. */
static const char *const order[] = {
	"type", "component", "instant", "seconds", "bytes", "server", "tool", "position", "settings",
};

/* As a JSON string, what is not UTF-8 escaped; NULL: out of memory. */
static json_t *string_of(const char *s)
{
	struct buf b = BUF_INIT;
	json_t *j = NULL;

	if (text_is_utf8(s, strlen(s)))
		return json_string_nocheck(s);
	text_escape_str(&b, s);
	if (!b.bad)
		j = json_stringn_nocheck((const char *)b.p, b.len);
	buf_release(&b);
	return j;
}

static json_t *number_of(uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	return json_string_nocheck(text);
}

/* Takes v. */
static void put(struct facts *f, json_t *object, const char *key, json_t *v)
{
	if (!object || !v || json_object_set_new_nocheck(object, key, v))
		f->bad = true;
}

void facts_begin(struct facts *f, const char *type, const char *component)
{
	char instant[TEXT_LEN] = "";
	struct timespec now;
	struct tm tm;
	size_t n;

	*f = (struct facts){ .root = json_object(), .index = json_object() };
	put(f, f->root, "type", string_of(type));
	put(f, f->root, "component", string_of(component));
	(void)clock_gettime(CLOCK_REALTIME, &now);
	n = gmtime_r(&now.tv_sec, &tm) ? strftime(instant, sizeof(instant), "%Y-%m-%dT%H:%M:%S", &tm) : 0;
	(void)snprintf(instant + n, sizeof(instant) - n, ".%03ldZ", now.tv_nsec / 1000000);
	put(f, f->root, "instant", json_string_nocheck(instant));
	put(f, f->root, "files", json_array());
	put(f, f->root, "items", json_array());
}

void facts_release(struct facts *f)
{
	json_decref(f->index);
	json_decref(f->root);
	*f = (struct facts){ 0 };
}

enum err_code facts_check(const struct facts *f, struct err *e)
{
	if (f->bad || !f->root || !f->index)
		return err_set(e, ERR_NOMEM, "no memory for what a dump holds");
	return ERR_OK;
}

void facts_set(struct facts *f, const char *key, const char *value)
{
	put(f, f->root, key, string_of(value));
}

void facts_set_u64(struct facts *f, const char *key, uint64_t v)
{
	put(f, f->root, key, number_of(v));
}

void facts_set_real(struct facts *f, const char *key, double v)
{
	put(f, f->root, key, json_real(v));
}

void facts_set_in(struct facts *f, const char *group, const char *key, const char *value)
{
	if (!json_object_get(f->root, group))
		put(f, f->root, group, json_object());
	put(f, json_object_get(f->root, group), key, string_of(value));
}

const char *facts_get(const struct facts *f, const char *key)
{
	return json_string_value(json_object_get(f->root, key));
}

const char *facts_get_in(const struct facts *f, const char *group, const char *key)
{
	return json_string_value(json_object_get(json_object_get(f->root, group), key));
}

/* In key the name in the index; false: out of memory. */
static bool index_key(struct buf *key, const char *kind, const char *name)
{
	buf_add_str(key, kind);
	buf_add_u8(key, SEPARATOR);
	if (text_is_utf8(name, strlen(name)))
		buf_add_str(key, name);
	else
		text_escape_str(key, name);
	buf_add_u8(key, '\0');
	return !key->bad;
}

static json_t *look_up(const struct facts *f, const char *kind, const char *name)
{
	struct buf key = BUF_INIT;
	json_t *found = NULL;

	if (index_key(&key, kind, name))
		found = json_object_get(f->index, (const char *)key.p);
	buf_release(&key);
	return found;
}

/* Takes o: into the array of the root, and into the index.  False: out of memory, or already there. */
static bool enter(struct facts *f, const char *array, const char *kind, const char *name, json_t *o)
{
	struct buf key = BUF_INIT;
	bool ok;

	ok = o && index_key(&key, kind, name) && !json_object_get(f->index, (const char *)key.p) &&
	     json_object_set_nocheck(f->index, (const char *)key.p, o) == 0 &&
	     json_array_append(json_object_get(f->root, array), o) == 0;
	json_decref(o);
	buf_release(&key);
	return ok;
}

/* The item, new where there was none; NULL: out of memory. */
static json_t *item_of(struct facts *f, const char *kind, const char *name)
{
	json_t *o = look_up(f, kind, name);

	if (o || f->bad)
		return o;
	o = json_object();
	put(f, o, "kind", string_of(kind));
	put(f, o, "name", string_of(name));
	if (!enter(f, "items", kind, name, o))
		f->bad = true;
	return look_up(f, kind, name);
}

void facts_file(struct facts *f, const char *name, uint64_t bytes, const struct object_id *sha256)
{
	char hex[ID_HEX_LEN + 1];
	json_t *o = look_up(f, "", name);

	if (!o) {
		o = json_object();
		put(f, o, "name", string_of(name));
		if (!enter(f, "files", "", name, o))
			f->bad = true;
		o = look_up(f, "", name);
	}
	put(f, o, "bytes", number_of(bytes));
	put(f, o, "sha256", json_string_nocheck(id_hex(sha256, hex)));
}

void facts_rows(struct facts *f, const char *kind, const char *name, uint64_t rows, const char *sum)
{
	json_t *o = item_of(f, kind, name);

	put(f, o, "rows", number_of(rows));
	if (sum)
		put(f, o, "sum", json_string(sum));
}

void facts_value(struct facts *f, const char *kind, const char *name, uint64_t value, bool at_least)
{
	json_t *o = item_of(f, kind, name);

	put(f, o, "value", number_of(value));
	if (at_least)
		put(f, o, "at_least", json_true());
}

void facts_is(struct facts *f, const char *kind, const char *name, const char *definition)
{
	put(f, item_of(f, kind, name), "is", string_of(definition));
}

void facts_moving(struct facts *f, const char *kind, const char *name)
{
	put(f, item_of(f, kind, name), "moving", json_true());
}

json_t *facts_item(const struct facts *f, const char *kind, const char *name)
{
	return look_up(f, kind, name);
}

static bool parse_u64(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (!s || !*s || (s[0] == '0' && s[1]))
		return false;
	for (; *s; s++)
		if (*s < '0' || *s > '9' || mul_u64(v, 10, &v) || add_u64(v, (uint64_t)(*s - '0'), &v))
			return false;
	*out = v;
	return true;
}

bool facts_rows_of(const struct facts *f, const char *kind, const char *name, uint64_t *rows)
{
	return parse_u64(json_string_value(json_object_get(look_up(f, kind, name), "rows")), rows);
}

/* As text. */

static void add_json(struct buf *out, const json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text)
		buf_add_str(out, text);
	else
		out->bad = true;
	free(text);
}

static void add_member(struct buf *out, const char *key, const json_t *v, bool *first)
{
	json_t *name = json_string_nocheck(key);

	buf_add_str(out, *first ? "{" : ",\n ");
	*first = false;
	add_json(out, name);
	buf_add_u8(out, ':');
	add_json(out, v);
	json_decref(name);
}

static void add_list(struct buf *out, const char *key, const json_t *list, bool *first)
{
	const json_t *v;
	size_t i;

	buf_printf(out, "%s\"%s\":[", *first ? "{" : ",\n ", key);
	*first = false;
	json_array_foreach(list, i, v) {
		buf_add_str(out, i ? ",\n  " : "\n  ");
		add_json(out, v);
	}
	buf_add_u8(out, ']');
}

static bool is_ordered(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (strcmp(order[i], key) == 0)
			return true;
	return strcmp(key, "files") == 0 || strcmp(key, "items") == 0;
}

enum err_code facts_text(const struct facts *f, struct buf *out, struct err *e)
{
	enum err_code rc = facts_check(f, e);
	size_t from = out->len;
	bool first = true;
	const char *key;
	json_t *v;

	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if ((v = json_object_get(f->root, order[i])))
			add_member(out, order[i], v, &first);
	json_object_foreach(f->root, key, v)
		if (!is_ordered(key))
			add_member(out, key, v, &first);
	add_list(out, "files", json_object_get(f->root, "files"), &first);
	add_list(out, "items", json_object_get(f->root, "items"), &first);
	buf_add_str(out, "}\n");
	if (out->bad)
		return err_set(e, ERR_NOMEM, "no memory for what a dump holds");
	if (out->len - from > FACTS_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "what the dump holds takes %zu bytes as text, more than %u", out->len - from,
			       FACTS_TEXT_MAX);
	return ERR_OK;
}

/* From text. */

static enum err_code corrupt(struct err *e, const char *where, const char *what)
{
	return err_set(e, ERR_CORRUPT, "facts.json: %s: %s", where, what);
}

static bool is_number(const json_t *v)
{
	uint64_t n;

	return parse_u64(json_string_value(v), &n);
}

static bool is_hex(const json_t *v, size_t len)
{
	const char *s = json_string_value(v);

	return s && strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}

/* A relative path that stays where it is. */
static bool is_file_name(const json_t *v)
{
	const char *s = json_string_value(v);

	if (!s || !*s || *s == '/')
		return false;
	for (size_t n; *s; s += n + (s[n] == '/')) {
		n = strcspn(s, "/");
		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		if (s[n] == '/' && !s[n + 1])
			return false;
	}
	return true;
}

static bool is_kind(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && *s >= 'a' && *s <= 'z' && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_- ")] == '\0';
}

static enum err_code take_file(struct facts *f, json_t *v, struct err *e)
{
	const char *name = json_string_value(json_object_get(v, "name"));

	if (!is_file_name(json_object_get(v, "name")))
		return corrupt(e, "files", "one whose name is none");
	if (!is_number(json_object_get(v, "bytes")) || !is_hex(json_object_get(v, "sha256"), ID_HEX_LEN))
		return corrupt(e, name, "without length and SHA-256");
	if (look_up(f, "", name))
		return corrupt(e, name, "there twice");
	if (!enter(f, "files", "", name, json_incref(v)))
		return err_set(e, ERR_NOMEM, "no memory for facts.json");
	return ERR_OK;
}

static enum err_code take_item(struct facts *f, json_t *v, struct err *e)
{
	const char *name = json_string_value(json_object_get(v, "name")), *key;
	const char *kind = json_string_value(json_object_get(v, "kind"));
	json_t *m;

	if (!is_kind(json_object_get(v, "kind")) || !name)
		return corrupt(e, "items", "one without a kind and a name");
	json_object_foreach(v, key, m) {
		if ((strcmp(key, "rows") == 0 || strcmp(key, "value") == 0) && !is_number(m))
			return corrupt(e, name, "a number that is none");
		if (strcmp(key, "sum") == 0 && !is_hex(m, ROWSUM_TEXT_LEN))
			return corrupt(e, name, "a sum that is none");
		if (strcmp(key, "is") == 0 && !json_is_string(m))
			return corrupt(e, name, "a definition that is no text");
		if ((strcmp(key, "moving") == 0 || strcmp(key, "at_least") == 0) && !json_is_boolean(m))
			return corrupt(e, name, "neither true nor false");
	}
	if (look_up(f, kind, name))
		return corrupt(e, name, "there twice");
	if (!enter(f, "items", kind, name, json_incref(v)))
		return err_set(e, ERR_NOMEM, "no memory for facts.json");
	return ERR_OK;
}

static enum err_code take_list(struct facts *f, const json_t *list, bool files, struct err *e)
{
	enum err_code rc = ERR_OK;
	json_t *v;
	size_t i;

	if (!json_is_array(list))
		return corrupt(e, files ? "files" : "items", "no list");
	json_array_foreach(list, i, v) {
		if (!json_is_object(v))
			return corrupt(e, files ? "files" : "items", "one that is no object");
		rc = files ? take_file(f, v, e) : take_item(f, v, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code take_members(struct facts *f, const json_t *root, struct err *e)
{
	static const char *const texts[] = { "type", "component", "instant", "server", "tool" };
	static const char *const groups[] = { "position", "settings" };
	const char *key;
	json_t *v;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		v = json_object_get(root, texts[i]);
		if (v ? !json_is_string(v) : i < 3)
			return corrupt(e, texts[i], "no text");
	}
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		v = json_object_get(root, groups[i]);
		if (v && !json_is_object(v))
			return corrupt(e, groups[i], "no object");
	}
	v = json_object_get(root, "seconds");
	if (v && !(json_is_number(v) && json_number_value(v) >= 0))
		return corrupt(e, "seconds", "no time");
	v = json_object_get(root, "bytes");
	if (v && !is_number(v))
		return corrupt(e, "bytes", "a number that is none");
	json_object_foreach((json_t *)(uintptr_t)root, key, v)
		if (strcmp(key, "files") != 0 && strcmp(key, "items") != 0)
			put(f, f->root, key, json_incref(v));
	put(f, f->root, "files", json_array());
	put(f, f->root, "items", json_array());
	return facts_check(f, e);
}

enum err_code facts_parse(const char *text, size_t len, struct facts *out, struct err *e)
{
	struct facts f = { .root = json_object(), .index = json_object() };
	json_t *root = NULL;
	json_error_t why;
	enum err_code rc;

	if (len > FACTS_TEXT_MAX) {
		rc = err_set(e, ERR_LIMIT, "facts.json of %zu bytes", len);
		goto out;
	}
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!root) {
		rc = json_error_code(&why) == json_error_out_of_memory ?
			err_set(e, ERR_NOMEM, "no memory for facts.json") :
			err_set(e, ERR_CORRUPT, "facts.json: line %d: %s", why.line, why.text);
		goto out;
	}
	if (!json_is_object(root)) {
		rc = err_set(e, ERR_CORRUPT, "facts.json: no object");
		goto out;
	}
	rc = take_members(&f, root, e);
	if (!rc)
		rc = take_list(&f, json_object_get(root, "files"), true, e);
	if (!rc)
		rc = take_list(&f, json_object_get(root, "items"), false, e);
	if (rc)
		goto out;
	*out = f;
	f = (struct facts){ 0 };
out:
	json_decref(root);
	facts_release(&f);
	return rc;
}
