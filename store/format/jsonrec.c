/* SPDX-License-Identifier: MIT */
#include "store/format/jsonrec.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/base64.h"
#include "store/base/checked.h"
#include "store/base/hex.h"
#include "store/format/checkline.h"
#include "store/format/isotime.h"
#include "store/format/limits.h"

#define DEPTH_MAX	32u
#define VALUES_MAX	(128u << 10)	/* a full snapshot has some 40,000; jansson takes 100 bytes for each */
#define EXACT_MAX	(UINT64_C(1) << 53)	/* beyond, readers that use doubles would round */
#define HEX_LEN_MAX	64u		/* bytes */
#define TAIL		"\n}\n"		/* of an object as jsonrec_dump() writes it */

/*
 * Four MiB of brackets would cost jansson a hundred MiB, so values are counted
 * before it sees them: each begins the input or follows one of "[{,:".
 */
static bool shape_ok(const uint8_t *buf, size_t len)
{
	size_t depth = 0, values = 1;
	bool text = false;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = buf[i];

		if (text) {
			if (c == '\\')
				i++;
			else if (c == '"')
				text = false;
		} else if (c == '"') {
			text = true;
		} else if (c == '[' || c == '{') {
			depth++;
			values++;
		} else if (c == ']' || c == '}') {
			depth -= depth > 0;
		} else if (c == ',' || c == ':') {
			values++;
		}
		if (depth > DEPTH_MAX || values > VALUES_MAX)
			return false;
	}
	return true;
}

/*
 * Where memory runs out jansson speaks of syntax, or returns an object that is not what was read; neither may pass for
 * damage.  Set before there are threads.
 */
static _Thread_local bool no_memory;

static void *json_malloc_noted(size_t n)
{
	void *p = malloc(n);

	no_memory |= !p;
	return p;
}

static void __attribute__((constructor)) note_memory(void)
{
	json_set_alloc_funcs(json_malloc_noted, free);
}

enum err_code jsonrec_load(const uint8_t *buf, size_t len, size_t max, json_t **out,
			   struct err *e)
{
	json_error_t je;
	json_t *o;

	if (len > max)
		return err_set(e, ERR_CORRUPT, "record of %zu bytes, more than %zu", len, max);
	if (!shape_ok(buf, len))
		return err_set(e, ERR_CORRUPT, "more values, or deeper, than a record can be");
	no_memory = false;
	o = json_loadb((const char *)buf, len, JSON_REJECT_DUPLICATES, &je);
	if (no_memory) {
		json_decref(o);
		return err_set(e, ERR_NOMEM, "record of %zu bytes", len);
	}
	if (!o)
		return err_set(e, ERR_CORRUPT, "line %d: %s", je.line, je.text);
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(e, ERR_CORRUPT, "no JSON object");
	}
	*out = o;
	return ERR_OK;
}

enum err_code jsonrec_load_checked(const uint8_t *buf, size_t len, const char *kind,
				   unsigned version, json_t **out, struct err *e)
{
	enum err_code rc;

	if (!checkline_ok(buf, len))
		return err_set(e, ERR_CORRUPT, "its last line is not the digest of the others");
	rc = jsonrec_load(buf, len, RECORD_JSON_MAX, out, e);
	if (!rc)
		rc = jsonrec_head(*out, kind, version, e);
	return rc;
}

enum err_code jsonrec_head(const json_t *o, const char *kind, unsigned version, struct err *e)
{
	uint64_t format = 0;
	enum err_code rc;
	const char *is = NULL;

	rc = jsonrec_str(o, "vouch", &is, e);
	if (rc)
		return rc;
	if (strcmp(is, kind) != 0)
		return err_set(e, ERR_CORRUPT, "a record of vouch, but no %s", kind);
	rc = jsonrec_u64(o, "format", UINT64_MAX, &format, e);
	if (rc)
		return rc;
	if (format == 0)
		return err_set(e, ERR_CORRUPT, "format 0");
	if (format > version)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s of format %llu; this vouch knows format %u: use a newer one", kind,
			       (unsigned long long)format, version);
	return ERR_OK;
}

enum err_code jsonrec_str(const json_t *o, const char *key, const char **out, struct err *e)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (!s)
		return err_set(e, ERR_CORRUPT, "no text \"%s\"", key);
	*out = s;
	return ERR_OK;
}

static enum err_code copy_text(const char *s, size_t len, size_t max, char **out, struct err *e)
{
	char *p;

	if (len > max)
		return err_set(e, ERR_CORRUPT, "text of %zu bytes", len);
	p = malloc(len + 1);
	if (!p)
		return err_set(e, ERR_NOMEM, "text of %zu bytes", len);
	if (len > 0)
		memcpy(p, s, len);
	p[len] = '\0';
	*out = p;
	return ERR_OK;
}

static enum err_code copy_b64(const json_t *v, size_t max, char **out, struct err *e)
{
	struct buf b = BUF_INIT;
	enum err_code rc;

	if (!json_is_string(v)) {
		rc = err_set(e, ERR_CORRUPT, "base64 is no text");
		goto out;
	}
	if (!base64_decode(json_string_value(v), json_string_length(v), &b)) {
		rc = err_set(e, b.bad ? ERR_NOMEM : ERR_CORRUPT, "base64 text");
		goto out;
	}
	if (b.len > 0 && memchr(b.p, '\0', b.len)) {
		rc = err_set(e, ERR_CORRUPT, "NUL in base64 text");
		goto out;
	}
	rc = copy_text((const char *)b.p, b.len, max, out, e);
out:
	buf_release(&b);
	return rc;
}

static enum err_code copy_plain(const json_t *v, size_t max, char **out, struct err *e)
{
	/* jansson refuses NUL in text, so the length is the string's */
	return copy_text(json_string_value(v), json_string_length(v), max, out, e);
}

/* "key_b64". */
static const char *b64_key(const char *key, char out[64])
{
	int n = snprintf(out, 64, "%s_b64", key);

	assert(n > 0 && n < 64);
	return out;
}

enum err_code jsonrec_bytes(const json_t *o, const char *key, size_t max, char **out,
			    struct err *e)
{
	char name[64];
	const json_t *plain = json_object_get(o, key);
	const json_t *coded = json_object_get(o, b64_key(key, name));
	enum err_code rc;

	if (coded && !plain)
		rc = copy_b64(coded, max, out, e);
	else if (json_is_string(plain) && !coded)
		rc = copy_plain(plain, max, out, e);
	else
		rc = err_set(e, ERR_CORRUPT, "not one text");
	if (rc)
		err_prefix(e, "\"%s\"", key);
	return rc;
}

enum err_code jsonrec_bytes_of(const json_t *v, size_t max, char **out, struct err *e)
{
	if (json_is_string(v))
		return copy_plain(v, max, out, e);
	if (json_is_object(v))
		return copy_b64(json_object_get(v, "b64"), max, out, e);
	return err_set(e, ERR_CORRUPT, "neither text nor {\"b64\"}");
}

/* Decimal digits, nothing else, no needless zero in front. */
static bool parse_u64(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s || (s[0] == '0' && s[1]))
		return false;
	for (; *s; s++)
		if (*s < '0' || *s > '9' || mul_u64(v, 10, &v) ||
		    add_u64(v, (uint64_t)(*s - '0'), &v))
			return false;
	*out = v;
	return true;
}

enum err_code jsonrec_u64(const json_t *o, const char *key, uint64_t max, uint64_t *out,
			  struct err *e)
{
	const json_t *v = json_object_get(o, key);
	uint64_t n = 0;
	bool ok = false;

	if (json_is_integer(v)) {
		ok = json_integer_value(v) >= 0;
		n = (uint64_t)json_integer_value(v);
	} else if (json_is_string(v)) {
		ok = parse_u64(json_string_value(v), &n);
	}
	if (!ok || n > max)
		return err_set(e, ERR_CORRUPT, "\"%s\" is missing, no count, or too large", key);
	*out = n;
	return ERR_OK;
}

enum err_code jsonrec_hex(const json_t *o, const char *key, uint8_t *out, size_t len,
			  struct err *e)
{
	const json_t *v = json_object_get(o, key);
	uint8_t t[HEX_LEN_MAX];

	assert(len <= sizeof(t));
	if (!json_is_string(v) || json_string_length(v) != 2 * len ||
	    !hex_decode(json_string_value(v), 2 * len, t))
		return err_set(e, ERR_CORRUPT, "\"%s\" is not %zu hexadecimal digits", key, 2 * len);
	memcpy(out, t, len);
	return ERR_OK;
}

enum err_code jsonrec_time(const json_t *o, const char *key, struct vtime *out, struct err *e)
{
	const char *text = NULL;
	enum err_code rc = jsonrec_str(o, key, &text, e);

	if (!rc && !isotime_decode(text, out))
		rc = err_set(e, ERR_CORRUPT, "\"%s\" is no time", key);
	return rc;
}

enum err_code jsonrec_array(const json_t *o, const char *key, size_t max, const json_t **out,
			    struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_array(v))
		return err_set(e, ERR_CORRUPT, "no array \"%s\"", key);
	if (json_array_size(v) > max)
		return err_set(e, ERR_CORRUPT, "\"%s\" has %zu elements", key, json_array_size(v));
	*out = v;
	return ERR_OK;
}

bool jsonrec_set_str(json_t *o, const char *key, const char *s)
{
	return json_object_set_new(o, key, json_string(s ? s : "")) == 0;
}

/* s as base64; NULL where memory ran out. */
static json_t *b64_string(const char *s)
{
	struct buf b = BUF_INIT;
	json_t *v = NULL;

	base64_encode((const uint8_t *)s, strlen(s), &b);
	if (!b.bad)
		v = json_stringn((const char *)b.p, b.len);
	buf_release(&b);
	return v;
}

bool jsonrec_set_bytes(json_t *o, const char *key, const char *s)
{
	json_t *v = json_string(s ? s : "");
	char name[64];

	if (v)
		return json_object_set_new(o, key, v) == 0;
	/* not UTF-8 */
	return json_object_set_new(o, b64_key(key, name), b64_string(s)) == 0;
}

bool jsonrec_append_bytes(json_t *array, const char *s)
{
	json_t *v = json_string(s ? s : "");

	if (!v) {
		v = json_object();
		if (v && json_object_set_new(v, "b64", b64_string(s)) < 0) {
			json_decref(v);
			v = NULL;
		}
	}
	return json_array_append_new(array, v) == 0;
}

bool jsonrec_set_u64(json_t *o, const char *key, uint64_t v)
{
	char text[24];

	if (v <= EXACT_MAX)
		return json_object_set_new(o, key, json_integer((json_int_t)v)) == 0;
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return jsonrec_set_str(o, key, text);
}

bool jsonrec_set_hex(json_t *o, const char *key, const uint8_t *p, size_t len)
{
	char hex[2 * HEX_LEN_MAX + 1];

	assert(len <= HEX_LEN_MAX);
	return jsonrec_set_str(o, key, hex_encode(p, len, hex));
}

static int dump_to_buf(const char *p, size_t len, void *ctx)
{
	struct buf *b = ctx;

	buf_add(b, p, len);
	return b->bad ? -1 : 0;
}

bool jsonrec_set_time(json_t *o, const char *key, const struct vtime *t)
{
	char iso[ISOTIME_LEN + 1];

	return jsonrec_set_str(o, key, isotime_encode(t, iso));
}

void jsonrec_dump(const json_t *o, struct buf *out)
{
	if (json_dump_callback(o, dump_to_buf, out, JSON_INDENT(2)) < 0)
		out->bad = true;
	buf_add_u8(out, '\n');
}

void jsonrec_finish(json_t *o, bool ok, struct buf *out)
{
	if (ok)
		jsonrec_dump(o, out);
	json_decref(o);
	if (!ok || out->bad || out->len < strlen(TAIL) ||
	    memcmp(out->p + out->len - strlen(TAIL), TAIL, strlen(TAIL)) != 0) {
		out->bad = true;
		return;
	}
	out->len -= strlen(TAIL);
	buf_add_str(out, ",\n");
	checkline_add(out);
}
