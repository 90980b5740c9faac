/* SPDX-License-Identifier: MIT */
#include "tools/jsonout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/base64.h"
#include "tools/text.h"

#define EXACT_MAX ((uint64_t)1 << 53)	/* what every JSON reader's numbers can hold */

struct jsonout jsonout_begin(const char *type)
{
	struct jsonout j = { json_object(), false };

	j.bad = !j.object;
	if (type)
		jsonout_str(&j, "type", type);
	return j;
}

void jsonout_put(struct jsonout *j, const char *key, json_t *value)
{
	if (j->bad || !value)
		json_decref(value);
	else if (json_object_set_new(j->object, key, value) == 0)
		return;
	j->bad = true;
}

void jsonout_str(struct jsonout *j, const char *key, const char *s)
{
	jsonout_bytes(j, key, s, strlen(s));
}

json_t *jsonout_text(const char *s)
{
	struct buf b = BUF_INIT;
	json_t *v;

	text_clean_str(&b, s);
	v = b.bad ? NULL : json_stringn(b.len ? (const char *)b.p : "", b.len);
	buf_release(&b);
	return v;
}

static json_t *bytes_value(const char *p, size_t len, bool *is_b64)
{
	struct buf b = BUF_INIT;
	json_t *v = NULL;

	*is_b64 = !text_is_utf8(p, len);
	if (!*is_b64)
		return json_stringn(p, len);
	base64_encode((const uint8_t *)p, len, &b);
	if (!b.bad)
		v = json_stringn((const char *)b.p, b.len);
	buf_release(&b);
	return v;
}

void jsonout_bytes(struct jsonout *j, const char *key, const char *p, size_t len)
{
	char longer[64];
	bool is_b64;
	json_t *v = bytes_value(p, len, &is_b64);

	if (is_b64) {
		(void)snprintf(longer, sizeof(longer), "%s_b64", key);
		key = longer;
	}
	jsonout_put(j, key, v);
}

void jsonout_bool(struct jsonout *j, const char *key, bool v)
{
	jsonout_put(j, key, json_boolean(v));
}

void jsonout_u64(struct jsonout *j, const char *key, uint64_t v)
{
	char digits[24];

	if (v <= EXACT_MAX) {
		jsonout_put(j, key, json_integer((json_int_t)v));
		return;
	}
	(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
	jsonout_str(j, key, digits);
}

void jsonout_real(struct jsonout *j, const char *key, double v)
{
	jsonout_put(j, key, json_real(v));
}

void jsonout_time(struct jsonout *j, const char *key, struct vtime t)
{
	char text[TEXT_LEN];

	jsonout_str(j, key, text_time_ns(t, text));
}

void jsonout_id(struct jsonout *j, const char *key, const struct object_id *id)
{
	char hex[ID_HEX_LEN + 1];

	jsonout_str(j, key, id_hex(id, hex));
}

/* One that is not UTF-8 makes the whole list "KEY_b64": readers need no look at each. */
void jsonout_strings(struct jsonout *j, const char *key, char *const *v, size_t nr)
{
	json_t *list = json_array();
	struct buf b = BUF_INIT;
	char longer[64];
	bool is_b64 = false;

	for (size_t i = 0; i < nr; i++)
		is_b64 = is_b64 || !text_is_utf8(v[i], strlen(v[i]));
	for (size_t i = 0; list && i < nr; i++) {
		json_t *one;

		buf_reset(&b);
		if (is_b64)
			base64_encode((const uint8_t *)v[i], strlen(v[i]), &b);
		else
			buf_add_str(&b, v[i]);
		one = b.bad ? NULL : json_stringn(b.len ? (const char *)b.p : "", b.len);
		if (json_array_append_new(list, one) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	buf_release(&b);
	(void)snprintf(longer, sizeof(longer), is_b64 ? "%s_b64" : "%s", key);
	jsonout_put(j, longer, list);
}

void jsonout_totals(struct jsonout *j, const struct totals *t)
{
	jsonout_u64(j, "files", t->files);
	jsonout_u64(j, "dirs", t->dirs);
	jsonout_u64(j, "others", t->others);
	jsonout_u64(j, "bytes", t->bytes);
}

void jsonout_err(struct jsonout *j, const char *key, const struct err *e)
{
	struct jsonout inner = jsonout_begin(NULL);

	jsonout_str(&inner, "code", err_name(e->code));
	if (e->sys)
		jsonout_u64(&inner, "errno", (uint64_t)e->sys);
	jsonout_str(&inner, "message", e->msg);
	if (inner.bad) {
		json_decref(inner.object);
		inner.object = NULL;
	}
	jsonout_put(j, key, inner.object);
}

bool jsonout_end(struct jsonout *j)
{
	char *line = j->bad ? NULL : json_dumps(j->object, JSON_COMPACT);
	bool done = false;

	if (line) {
		/* One call, under stdio's lock: lines of several threads do not mix. */
		done = printf("%s\n", line) >= 0 && !ferror(stdout);
		free(line);
	}
	json_decref(j->object);
	j->object = NULL;
	return done;
}
