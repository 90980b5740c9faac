/* SPDX-License-Identifier: MIT */
#include "tools/components/pgcopy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/digest.h"
#include "tools/components/pgname.h"

#define STATEMENT_MAX (4u << 20)	/* COPY with 1600 columns of 63 bytes, quoted: 0.2 MB; lowrite of 16 KiB: 33 KB */

enum state {
	SQL,			/* between and in statements, outside quotes */
	DASH,			/* one '-' seen */
	COMMENT,		/* "--" up to the line's end; psql's \restrict too */
	TEXT,			/* '...': a quote inside is doubled, a backslash is never before one */
	NAME,			/* "..." */
	COPY_HEAD,		/* after "FROM stdin;" up to the line's end */
	ROWS			/* lines up to "\." */
};

struct pgcopy {
	const struct pgcopy_sink *sink;
	enum state state;
	struct buf statement;		/* so far, without what stands before it and comments */
	struct buf line;		/* the piece of a row that a cut left */
	struct digest *long_row;	/* of a row that is not held */
	bool in_long_row;
	struct buf table;		/* whose rows are read: canonical name, NUL-terminated */
	struct rowsum rows;
	struct digest *object;		/* the large object that is open */
	bool in_object;
	struct rowsum objects;
	struct buf scratch, name;
};

enum err_code pgcopy_open(const struct pgcopy_sink *sink, struct pgcopy **out, struct err *e)
{
	struct pgcopy *p = calloc(1, sizeof(*p));
	enum err_code rc;

	if (!p)
		return err_set(e, ERR_NOMEM, "reading a dump");
	p->sink = sink;
	rc = digest_open(&p->long_row, e);
	if (!rc)
		rc = digest_open(&p->object, e);
	if (rc) {
		pgcopy_close(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

void pgcopy_close(struct pgcopy *p)
{
	if (!p)
		return;
	buf_release(&p->statement);
	buf_release(&p->line);
	buf_release(&p->table);
	buf_release(&p->scratch);
	buf_release(&p->name);
	digest_close(p->long_row);
	digest_close(p->object);
	free(p);
}

static enum err_code strange(struct pgcopy *p, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "not what pg_restore writes: \"%.80s\"", (const char *)p->statement.p);
}

static bool starts(const char *text, const char *with, const char **rest)
{
	size_t len = strlen(with);

	if (strncmp(text, with, len) != 0)
		return false;
	*rest = text + len;
	return true;
}

/* '...' or E'...' at *at, its meaning into scratch, NUL-terminated. */
static bool read_text(struct pgcopy *p, const char **at)
{
	const char *s = *at;
	bool escapes = *s == 'E';

	buf_reset(&p->scratch);
	if (escapes)
		s++;
	if (*s++ != '\'')
		return false;
	for (; *s; s++) {
		if (*s == '\'' && *++s != '\'') {
			buf_add_u8(&p->scratch, '\0');
			*at = s;
			return true;
		}
		if (escapes && *s == '\\' && s[1])
			s++;
		buf_add(&p->scratch, s, 1);
	}
	return false;
}

/* "schema.name" at *at into out, canonical and NUL-terminated. */
static bool read_qualified(struct pgcopy *p, const char **at, struct buf *out)
{
	buf_reset(out);
	for (;;) {
		buf_reset(&p->name);
		if (!pgname_read(at, &p->name))
			return false;
		buf_add_u8(&p->name, '\0');
		if (p->name.bad)
			return false;
		pgname_add(out, (const char *)p->name.p);
		if (**at != '.')
			break;
		(*at)++;
		buf_add_u8(out, '.');
	}
	buf_add_u8(out, '\0');
	return !out->bad;
}

static enum err_code read_setval(struct pgcopy *p, const char *at, struct err *e)
{
	struct buf text = BUF_INIT, name = BUF_INIT;
	enum err_code rc = ERR_OK;
	const char *q;
	long long value;
	char *end;

	if (!read_text(p, &at) || strncmp(at, ", ", 2) != 0) {
		rc = strange(p, e);
		goto out;
	}
	/* the text is itself a quoted name; scratch is used again below */
	buf_add(&text, p->scratch.p, p->scratch.len);
	q = (const char *)text.p;
	if (text.bad || !read_qualified(p, &q, &name) || *q) {
		rc = strange(p, e);
		goto out;
	}
	errno = 0;
	value = strtoll(at + 2, &end, 10);
	if (errno || (strcmp(end, ", true)") != 0 && strcmp(end, ", false)") != 0)) {
		rc = strange(p, e);
		goto out;
	}
	rc = p->sink->sequence(p->sink->ctx, (const char *)name.p, value, end[2] == 't', e);
out:
	buf_release(&text);
	buf_release(&name);
	return rc;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* '\x0123...' (the backslash doubled where strings are not standard): into the open object's digest. */
static enum err_code read_lowrite(struct pgcopy *p, const char *at, struct err *e)
{
	const char *s;
	uint8_t *to;
	size_t n = 0;

	if (!p->in_object || !read_text(p, &at) || strcmp(at, ")") != 0)
		return strange(p, e);
	s = (const char *)p->scratch.p;
	while (*s == '\\')
		s++;
	if (*s++ != 'x')
		return strange(p, e);
	/* decoded in its place: two digits give one byte */
	for (to = p->scratch.p; *s; s += 2) {
		int high = hex_digit(s[0]), low = high < 0 ? -1 : hex_digit(s[1]);

		if (low < 0)
			return strange(p, e);
		to[n++] = (uint8_t)(high << 4 | low);
	}
	digest_add(p->object, p->scratch.p, n);
	return ERR_OK;
}

static enum err_code read_lo_open(struct pgcopy *p, const char *at, struct err *e)
{
	if (p->in_object || !read_text(p, &at))
		return strange(p, e);
	/* the object's number and its NUL before its content: two objects that swap their content are not equal to what was */
	digest_add(p->object, p->scratch.p, p->scratch.len);
	p->in_object = true;
	return ERR_OK;
}

static enum err_code read_lo_close(struct pgcopy *p, struct err *e)
{
	struct object_id id;

	if (!p->in_object)
		return strange(p, e);
	digest_finish(p->object, &id);
	rowsum_add(&p->objects, &id, sizeof(id));
	p->in_object = false;
	return ERR_OK;
}

/* Of all that a data-only restore says, these tell what there is. */
static enum err_code end_statement(struct pgcopy *p, struct err *e)
{
	const char *text, *at;
	size_t len;

	buf_add_u8(&p->statement, '\0');
	if (p->statement.bad)
		return err_set(e, ERR_NOMEM, "reading a dump");
	text = (const char *)p->statement.p;
	len = p->statement.len - 1;
	if (starts(text, "SELECT pg_catalog.setval(", &at))
		return read_setval(p, at, e);
	if (starts(text, "SELECT pg_catalog.lowrite(0, ", &at))
		return read_lowrite(p, at, e);
	if (starts(text, "SELECT pg_catalog.lo_open(", &at))
		return read_lo_open(p, at, e);
	if (starts(text, "SELECT pg_catalog.lo_close(", &at))
		return read_lo_close(p, e);
	if (!starts(text, "COPY ", &at))
		return ERR_OK;
	if (len < 11 || strcmp(text + len - 11, " FROM stdin") != 0 || !read_qualified(p, &at, &p->table) || *at != ' ')
		return strange(p, e);
	p->rows = (struct rowsum){ 0 };
	p->state = COPY_HEAD;
	return ERR_OK;
}

/* One byte outside rows. */
static enum err_code sql_byte(struct pgcopy *p, char c, struct err *e)
{
	enum err_code rc = ERR_OK;

	switch (p->state) {
	case DASH:
		p->state = SQL;
		if (c == '-') {
			p->state = COMMENT;
			return ERR_OK;
		}
		buf_add_u8(&p->statement, '-');
		return sql_byte(p, c, e);
	case COMMENT:
		if (c == '\n')
			p->state = SQL;
		return ERR_OK;
	case COPY_HEAD:
		if (c == '\n')
			p->state = ROWS;
		return ERR_OK;
	case NAME:
		if (c == '"')
			p->state = SQL;
		break;
	case SQL:
		if (c == '-') {
			p->state = DASH;
			return ERR_OK;
		}
		if (p->statement.len == 0 && (c == '\n' || c == ' '))
			return ERR_OK;
		if (p->statement.len == 0 && c == '\\') {
			p->state = COMMENT;
			return ERR_OK;
		}
		if (c == ';') {
			rc = end_statement(p, e);
			buf_reset(&p->statement);
			return rc;
		}
		if (c == '\'')
			p->state = TEXT;
		else if (c == '"')
			p->state = NAME;
		break;
	case TEXT:
	case ROWS:
		break;
	}
	if (p->statement.len >= STATEMENT_MAX)
		return err_set(e, ERR_LIMIT, "a statement of more than %u bytes", STATEMENT_MAX);
	buf_add(&p->statement, &c, 1);
	return ERR_OK;
}

/* Inside quotes, up to the one that ends them: large objects are that. */
static enum err_code text_bytes(struct pgcopy *p, const char **at, const char *end, struct err *e)
{
	const char *quote = memchr(*at, '\'', (size_t)(end - *at));
	size_t n = (size_t)((quote ? quote + 1 : end) - *at);

	if (p->statement.len + n > STATEMENT_MAX)
		return err_set(e, ERR_LIMIT, "a statement of more than %u bytes", STATEMENT_MAX);
	buf_add(&p->statement, *at, n);
	*at += n;
	if (quote)
		p->state = SQL;
	return ERR_OK;
}

static enum err_code end_row(struct pgcopy *p, const char *row, size_t len, struct err *e)
{
	if (len == 2 && row[0] == '\\' && row[1] == '.') {
		p->state = SQL;
		return p->sink->table(p->sink->ctx, (const char *)p->table.p, &p->rows, e);
	}
	if (len > PGCOPY_ROW_HELD) {
		struct object_id id;

		digest_sha256(row, len, &id);
		rowsum_add(&p->rows, &id, sizeof(id));
	} else {
		rowsum_add(&p->rows, row, len);
	}
	return ERR_OK;
}

/* The start or middle of a row whose end is not here yet. */
static enum err_code keep_piece(struct pgcopy *p, const char *piece, size_t len, struct err *e)
{
	if (!p->in_long_row && p->line.len + len <= PGCOPY_ROW_HELD) {
		buf_add(&p->line, piece, len);
		return p->line.bad ? err_set(e, ERR_NOMEM, "reading a row") : ERR_OK;
	}
	if (!p->in_long_row) {
		digest_add(p->long_row, p->line.p, p->line.len);
		buf_reset(&p->line);
		p->in_long_row = true;
	}
	digest_add(p->long_row, piece, len);
	return ERR_OK;
}

/* The last piece of a row that began earlier. */
static enum err_code end_pieces(struct pgcopy *p, const char *piece, size_t len, struct err *e)
{
	enum err_code rc = keep_piece(p, piece, len, e);
	struct object_id id;

	if (rc)
		return rc;
	if (!p->in_long_row) {
		rc = end_row(p, (const char *)p->line.p, p->line.len, e);
	} else {
		digest_finish(p->long_row, &id);
		rowsum_add(&p->rows, &id, sizeof(id));
		p->in_long_row = false;
	}
	buf_reset(&p->line);
	return rc;
}

enum err_code pgcopy_feed(struct pgcopy *p, const void *buf, size_t len, struct err *e)
{
	const char *at = buf, *end = at + len;
	enum err_code rc = ERR_OK;

	while (!rc && at < end) {
		const char *nl;
		size_t n;

		if (p->state == TEXT) {
			rc = text_bytes(p, &at, end, e);
			continue;
		}
		if (p->state != ROWS) {
			rc = sql_byte(p, *at++, e);
			continue;
		}
		nl = memchr(at, '\n', (size_t)(end - at));
		n = (size_t)((nl ? nl : end) - at);
		if (!nl)
			rc = keep_piece(p, at, n, e);
		else if (p->line.len > 0 || p->in_long_row)
			rc = end_pieces(p, at, n, e);
		else
			rc = end_row(p, at, n, e);
		at += nl ? n + 1 : n;
	}
	return rc;
}

enum err_code pgcopy_finish(struct pgcopy *p, struct rowsum *large_objects, struct err *e)
{
	if (p->state == ROWS || p->state == COPY_HEAD)
		return err_set(e, ERR_CORRUPT, "pg_restore's output ends inside the rows of %s", (const char *)p->table.p);
	if (p->state != SQL || p->statement.len > 0 || p->in_object)
		return err_set(e, ERR_CORRUPT, "pg_restore's output ends inside a statement");
	*large_objects = p->objects;
	return ERR_OK;
}
