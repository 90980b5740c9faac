/* SPDX-License-Identifier: MIT */
#include "tools/components/pgname.h"

#include <string.h>

static bool starts_plain(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_plain(char c)
{
	return starts_plain(c) || (c >= '0' && c <= '9');
}

void pgname_add(struct buf *out, const char *name)
{
	const char *p = name;

	if (starts_plain(*p))
		while (is_plain(*p))
			p++;
	if (p != name && !*p) {
		buf_add_str(out, name);
		return;
	}
	buf_add_u8(out, '"');
	for (p = name; *p; p++) {
		if (*p == '"')
			buf_add_u8(out, '"');
		buf_add(out, p, 1);
	}
	buf_add_u8(out, '"');
}

/* What may stand in a name without quotes, as pg_dump writes it; letters beyond ASCII are let through for what a user
 * types. */
static bool is_bare(char c)
{
	return is_plain(c) || (c >= 'A' && c <= 'Z') || c == '$' || (unsigned char)c >= 0x80;
}

bool pgname_read(const char **at, struct buf *out)
{
	const char *p = *at;

	if (*p != '"') {
		while (is_bare(*p))
			p++;
		if (p == *at)
			return false;
		buf_add(out, *at, (size_t)(p - *at));
		*at = p;
		return true;
	}
	for (p++; *p; p++) {
		if (*p == '"' && *++p != '"') {
			*at = p;
			return true;
		}
		buf_add(out, p, 1);
	}
	return false;
}

bool pgname_split(const char *text, struct buf *schema, struct buf *name)
{
	const char *p = text;

	buf_reset(schema);
	buf_reset(name);
	if (!pgname_read(&p, name))
		return false;
	if (*p == '.') {
		buf_add(schema, name->p, name->len);
		buf_reset(name);
		p++;
		if (!pgname_read(&p, name))
			return false;
	}
	buf_add_u8(schema, '\0');
	buf_add_u8(name, '\0');
	return !*p && !schema->bad && !name->bad;
}

bool pgname_suffixed(const char *base, const char *suffix, char out[PGNAME_MAX + 1])
{
	size_t tail = strlen(suffix), keep = strlen(base);

	if (tail >= PGNAME_MAX)
		return false;
	if (keep > PGNAME_MAX - tail) {
		keep = PGNAME_MAX - tail;
		while (keep > 0 && ((unsigned char)base[keep] & 0xc0) == 0x80)
			keep--;
	}
	memcpy(out, base, keep);
	memcpy(out + keep, suffix, tail + 1);
	return true;
}
