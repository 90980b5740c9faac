/* SPDX-License-Identifier: MIT */
#include "tests/lib/hostile_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/format/checkline.h"

#define REF "@@REF"
#define REF_LEN 5u

struct player {
	struct hostile h;
	struct object_id ids[SCRIPT_RECORDS_MAX], pack;
	size_t nr;
	bool super;
};

size_t script_read(const uint8_t *data, size_t len, struct script_record out[SCRIPT_RECORDS_MAX])
{
	struct rd r = rd_init(data, len);
	size_t n = 0;

	while (n < SCRIPT_RECORDS_MAX && rd_left(&r) >= 3) {
		out[n].type = rd_u8(&r);
		out[n].len = rd_le16(&r);
		if (out[n].len > rd_left(&r))
			out[n].len = rd_left(&r);
		out[n].p = rd_take(&r, out[n].len);
		n++;
	}
	return n;
}

void script_add(struct buf *out, uint8_t type, const void *p, size_t len)
{
	if (len > UINT16_MAX)
		abort();
	buf_add_u8(out, type);
	buf_add_le16(out, (uint16_t)len);
	buf_add(out, p, len);
}

/* In place: ids where they are stood for. */
static void resolve(const struct player *s, uint8_t *p, size_t len, bool hex)
{
	size_t want = hex ? ID_HEX_LEN : ID_LEN;
	char text[ID_HEX_LEN + 1];

	for (size_t at = 0; at + want <= len; at++) {
		if (memcmp(p + at, REF, REF_LEN) != 0)
			continue;
		if (s->nr == 0)
			return;
		const struct object_id *id = &s->ids[p[at + REF_LEN] % s->nr];

		if (hex)
			memcpy(p + at, id_hex(id, text), want);
		else
			memcpy(p + at, id->b, want);
		at += want - 1;
	}
}

static void chunk(struct player *s, enum pack_kind kind, uint8_t *p, size_t len)
{
	if (len == 0)
		return;
	resolve(s, p, len, false);
	hostile_chunk(&s->h, kind, p, len, &s->ids[s->nr]);
	s->nr++;
}

static void closed(struct player *s, const char *name, const uint8_t *p, size_t len)
{
	struct buf b = BUF_INIT;

	buf_add(&b, p, len);
	checkline_add(&b);
	hostile_file(&s->h, name, b.p, b.len);
	buf_release(&b);
}

static void named(struct player *s, const char *head, int digits, const uint8_t *p, size_t len)
{
	char name[160], hex[ID_HEX_LEN + 1];
	struct object_id id;

	digest_sha256(p, len, &id);
	(void)snprintf(name, sizeof(name), "%s%.*s.json", head, digits, id_hex(&id, hex));
	closed(s, name, p, len);
}

static void log_lines(struct player *s, const uint8_t *p, size_t len)
{
	struct buf b = BUF_INIT;
	char hex[ID_HEX_LEN + 1];
	struct object_id id;

	while (len > 0) {
		const uint8_t *end = memchr(p, '\n', len);
		size_t n = end ? (size_t)(end - p) : len;

		buf_add(&b, p, n);
		digest_sha256(p, n, &id);
		buf_printf(&b, ",\"check\":\"%.16s\"}\n", id_hex(&id, hex));
		p += n + (end ? 1 : 0);
		len -= n + (end ? 1 : 0);
	}
	hostile_file(&s->h, "log/686f7374-2026-11.ndjson", b.p, b.len);
	buf_release(&b);
}

static void pack(struct player *s, uint8_t *p, size_t len, bool mend)
{
	if (mend)
		hostile_pack_mend(p, len);
	digest_sha256(p, len, &s->pack);
	hostile_pack_file(&s->h, p, len);
}

static void parity(struct player *s, const uint8_t *p, size_t len)
{
	char name[128], hex[ID_HEX_LEN + 1];

	(void)id_hex(&s->pack, hex);
	(void)snprintf(name, sizeof(name), "packs/%.2s/%s.par", hex, hex);
	hostile_file(&s->h, name, p, len);
}

static void play(struct player *s, uint8_t type, uint8_t *p, size_t len)
{
	switch (type) {
	case 'd':
		chunk(s, PACK_DATA, p, len);
		break;
	case 't':
		chunk(s, PACK_TREE, p, len);
		break;
	case 's':
		resolve(s, p, len, true);
		hostile_snapshot_json(&s->h, p, len);
		break;
	case 'p':
	case 'q':
		pack(s, p, len, type == 'p');
		break;
	case 'r':
		parity(s, p, len);
		break;
	case 'v':
		closed(s, "vouch.json", p, len);
		break;
	case 'f':
		named(s, "forgotten/", 64, p, len);
		break;
	case 'c':
		named(s, "condemned/2026-11-21T02-00-00Z-", 16, p, len);
		break;
	case 'w':
		named(s, "writers/686f7374-", 16, p, len);
		break;
	case 'l':
		log_lines(s, p, len);
		break;
	case 'x':
		hostile_file(&s->h, "index.db", p, len);
		break;
	case 'y':
		hostile_file(&s->h, "SHA256SUMS", p, len);
		break;
	case 'z':
		hostile_file(&s->h, "copies/vouch.json", p, len);
		break;
	default:
		break;
	}
}

void script_play(const uint8_t *data, size_t len, const char *path)
{
	struct script_record r[SCRIPT_RECORDS_MAX];
	struct player *s = calloc(1, sizeof(*s));
	size_t n = script_read(data, len, r);

	if (!s)
		abort();
	hostile_begin(&s->h, path);
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = malloc(r[i].len + 1);

		if (!p)
			abort();
		if (r[i].len)
			memcpy(p, r[i].p, r[i].len);
		play(s, r[i].type, p, r[i].len);
		free(p);
	}
	hostile_end(&s->h);
	free(s);
}
