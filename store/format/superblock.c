/* SPDX-License-Identifier: MIT */
#include "store/format/superblock.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/hex.h"
#include "store/format/checkline.h"
#include "store/format/jsonrec.h"
#include "store/format/limits.h"
#include "store/format/parfile.h"

#define CHUNK_MIN_LEAST	64u			/* bytes; below, a chunk's id is longer than the chunk */
#define BLOCK_LEN_LEAST	1024u
#define BLOCK_LEN_MOST	(BLOCK_PLAIN_MAX - CHUNK_LEN_MAX)	/* a last chunk may go beyond it */
#define PACK_LEN_LEAST	4096u
#define PACK_LEN_MOST	(PACK_LEN_MAX / 2)	/* a last block and the table go beyond it */
#define LEVEL_MOST	19			/* above, zstd wants more memory to unpack than we promise */
#define FEATURES_MAX	256u

void store_params_default(struct store_params *p)
{
	*p = (struct store_params){
		.chunk_min = 64u << 10, .chunk_avg = 256u << 10, .chunk_max = 1u << 20,
		.block_len = 1u << 20, .pack_len = 32u << 20, .zstd_level = 3,
		.parity = 30,
	};
}

enum err_code store_params_check(const struct store_params *p, struct err *e)
{
	if (p->chunk_min < CHUNK_MIN_LEAST || p->chunk_min > p->chunk_avg ||
	    p->chunk_avg > p->chunk_max || p->chunk_max > CHUNK_LEN_MAX)
		return err_set(e, ERR_USAGE,
			       "chunks of %u to %u, %u on average: want %u <= min <= avg <= max <= %u",
			       p->chunk_min, p->chunk_max, p->chunk_avg, CHUNK_MIN_LEAST,
			       CHUNK_LEN_MAX);
	if ((p->chunk_avg & (p->chunk_avg - 1)) != 0)
		return err_set(e, ERR_USAGE, "average chunk of %u bytes is no power of two",
			       p->chunk_avg);
	if (p->block_len < BLOCK_LEN_LEAST || p->block_len > BLOCK_LEN_MOST)
		return err_set(e, ERR_USAGE, "block of %u bytes: want %u to %u", p->block_len,
			       BLOCK_LEN_LEAST, BLOCK_LEN_MOST);
	if (p->pack_len < PACK_LEN_LEAST || p->pack_len > PACK_LEN_MOST)
		return err_set(e, ERR_USAGE, "pack of %u bytes: want %u to %u", p->pack_len,
			       PACK_LEN_LEAST, PACK_LEN_MOST);
	if (p->zstd_level < 1 || p->zstd_level > LEVEL_MOST)
		return err_set(e, ERR_USAGE, "zstd level %d: want 1 to %d", p->zstd_level,
			       LEVEL_MOST);
	if (p->parity > PAR_PERMILLE_MAX)
		return err_set(e, ERR_USAGE, "parity of %u thousandths: want 0 to %u", p->parity,
			       PAR_PERMILLE_MAX);
	return ERR_OK;
}

/* What stands in "created" is printed and compared, so it is digits and their punctuation. */
static bool created_ok(const char *s)
{
	size_t n = strlen(s);

	return n < sizeof(((struct superblock *)0)->created) && strspn(s, "0123456789-:.TZ") == n;
}

void superblock_encode(const struct superblock *s, struct buf *out)
{
	const struct store_params *p = &s->params;
	char id[2 * REPO_ID_LEN + 1];

	assert(created_ok(s->created));
	hex_encode(s->id, REPO_ID_LEN, id);
	buf_add_str(out, "{\n  \"vouch\": \"repository\",\n");
	buf_printf(out, "  \"format\": %d,\n", FORMAT_VERSION);
	buf_printf(out, "  \"id\": \"%s\",\n", id);
	buf_printf(out, "  \"created\": \"%s\",\n", s->created);
	buf_add_str(out, "  \"features\": {\n");
	buf_add_str(out, "    \"compatible\": [],\n");
	buf_add_str(out, "    \"readable\": [],\n");
	buf_add_str(out, "    \"incompatible\": []\n  },\n");
	buf_add_str(out, "  \"parameters\": {\n");
	buf_printf(out, "    \"chunk_min\": %u,\n", p->chunk_min);
	buf_printf(out, "    \"chunk_avg\": %u,\n", p->chunk_avg);
	buf_printf(out, "    \"chunk_max\": %u,\n", p->chunk_max);
	buf_printf(out, "    \"block_len\": %u,\n", p->block_len);
	buf_printf(out, "    \"pack_len\": %u,\n", p->pack_len);
	buf_printf(out, "    \"zstd_level\": %d,\n", p->zstd_level);
	buf_printf(out, "    \"parity\": %u\n  },\n", p->parity);
	checkline_add(out);
}

/* The first name in the list, all being unknown to this version; NULL where the list is empty. */
static enum err_code feature_first(const json_t *features, const char *key, const char **out,
				   struct err *e)
{
	const json_t *list = NULL;
	enum err_code rc = jsonrec_array(features, key, FEATURES_MAX, &list, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_array_get(list, i)))
			return err_set(e, ERR_CORRUPT, "feature that is no text");
	*out = json_string_value(json_array_get(list, 0));
	return ERR_OK;
}

static enum err_code features_decode(const json_t *o, struct superblock *s, struct err *e)
{
	const json_t *f = json_object_get(o, "features");
	const char *compatible = NULL, *readable = NULL, *incompatible = NULL;
	enum err_code rc;

	if (!json_is_object(f))
		return err_set(e, ERR_CORRUPT, "no \"features\"");
	rc = feature_first(f, "compatible", &compatible, e);
	if (!rc)
		rc = feature_first(f, "readable", &readable, e);
	if (!rc)
		rc = feature_first(f, "incompatible", &incompatible, e);
	if (rc)
		return rc;
	if (incompatible)
		return err_set(e, ERR_UNSUPPORTED,
			       "feature \"%s\" is not known to this vouch: use a newer one",
			       incompatible);
	if (readable) {
		s->read_only = true;
		(void)snprintf(s->read_only_why, sizeof(s->read_only_why), "%s", readable);
	}
	return ERR_OK;
}

static enum err_code params_decode(const json_t *o, struct store_params *p, struct err *e)
{
	const json_t *v = json_object_get(o, "parameters");
	const struct {
		const char *key;
		uint32_t *to;
	} rows[] = {
		{ "chunk_min", &p->chunk_min }, { "chunk_avg", &p->chunk_avg },
		{ "chunk_max", &p->chunk_max }, { "block_len", &p->block_len },
		{ "pack_len", &p->pack_len },
	};
	enum err_code rc = ERR_OK;
	uint64_t n = 0;

	if (!json_is_object(v))
		return err_set(e, ERR_CORRUPT, "no \"parameters\"");
	for (size_t i = 0; !rc && i < sizeof(rows) / sizeof(rows[0]); i++) {
		rc = jsonrec_u64(v, rows[i].key, UINT32_MAX, &n, e);
		*rows[i].to = (uint32_t)n;
	}
	if (!rc)
		rc = jsonrec_u64(v, "zstd_level", LEVEL_MOST, &n, e);
	p->zstd_level = (int)n;
	/* The first repositories were made without. */
	if (!rc && json_object_get(v, "parity")) {
		rc = jsonrec_u64(v, "parity", PAR_PERMILLE_MAX, &n, e);
		p->parity = (uint32_t)n;
	}
	if (!rc && store_params_check(p, e)) {
		rc = ERR_CORRUPT;
		if (e)
			e->code = rc;
	}
	return rc;
}

static enum err_code members_decode(const json_t *o, struct superblock *s, struct err *e)
{
	const char *created = NULL;
	enum err_code rc;

	rc = jsonrec_head(o, "repository", FORMAT_VERSION, e);
	if (!rc)
		rc = features_decode(o, s, e);
	if (!rc)
		rc = jsonrec_hex(o, "id", s->id, REPO_ID_LEN, e);
	if (!rc)
		rc = jsonrec_str(o, "created", &created, e);
	if (rc)
		return rc;
	if (!created_ok(created))
		return err_set(e, ERR_CORRUPT, "\"created\" is no time");
	(void)snprintf(s->created, sizeof(s->created), "%s", created);
	return params_decode(o, &s->params, e);
}

enum err_code superblock_decode(const uint8_t *buf, size_t len, struct superblock *s,
				struct err *e)
{
	struct superblock t = { 0 };
	json_t *o = NULL;
	enum err_code rc;

	if (len > RECORD_JSON_MAX || !checkline_ok(buf, len))
		rc = err_set(e, ERR_CORRUPT, "its last line is not the digest of the lines before");
	else
		rc = jsonrec_load(buf, len, RECORD_JSON_MAX, &o, e);
	if (!rc)
		rc = members_decode(o, &t, e);
	if (!rc)
		*s = t;
	else
		err_prefix(e, "repository record");
	json_decref(o);
	return rc;
}

/* The object without its closing brace, a comma in its place, as checkline_add() wants it. */
static bool dump_open(const json_t *o, struct buf *out)
{
	char *text = json_dumps(o, JSON_INDENT(2));
	size_t n = text ? strlen(text) : 0;

	if (n > 2) {
		buf_add(out, text, n - strlen("\n}"));
		buf_add_str(out, ",\n");
	}
	free(text);
	return n > 2 && !out->bad;
}

enum err_code superblock_set_parity(const uint8_t *buf, size_t len, uint32_t permille,
				    struct buf *out, struct err *e)
{
	struct superblock s, again;
	json_t *o = NULL;
	enum err_code rc = superblock_decode(buf, len, &s, e);

	if (!rc)
		rc = jsonrec_load(buf, len, RECORD_JSON_MAX, &o, e);
	if (rc)
		return rc;
	if (json_object_set_new(json_object_get(o, "parameters"), "parity",
				json_integer(permille)) != 0 ||
	    json_object_del(o, "sha256") != 0 || !dump_open(o, out))
		rc = err_set(e, ERR_NOMEM, "vouch.json");
	json_decref(o);
	if (rc)
		return rc;
	checkline_add(out);
	if (out->bad)
		return err_set(e, ERR_NOMEM, "vouch.json");
	rc = superblock_decode(out->p, out->len, &again, e);
	assert(rc || (again.params.parity == permille && memcmp(again.id, s.id, REPO_ID_LEN) == 0));
	return rc;
}
