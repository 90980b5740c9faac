/* SPDX-License-Identifier: MIT */
#include "tools/components/mysql_rows.h"

#include <stdlib.h>

#include "store/base/buf.h"
#include "store/base/digest.h"

#define ROW_MAX (64u << 10) /* longer rows are hashed as they come */

struct mysql_rows {
	struct rowsum *sum;
	unsigned depth; /* of parentheses: 0 between two rows */
	char quote;	/* of the string that it stands in; 0: in none */
	bool escaped;	/* there, after a backslash */
	struct buf row; /* the part of a row that came before */
	struct digest *digest;
	bool in_digest; /* that part is a long one, and in digest */
};

enum err_code mysql_rows_open(struct mysql_rows **out, struct err *e)
{
	struct mysql_rows *r = calloc(1, sizeof(*r));
	enum err_code rc = r ? digest_open(&r->digest, e) : err_set(e, ERR_NOMEM, "read a dump");

	if (rc)
		free(r);
	else
		*out = r;
	return rc;
}

void mysql_rows_close(struct mysql_rows *r)
{
	if (!r)
		return;
	buf_release(&r->row);
	digest_close(r->digest);
	free(r);
}

void mysql_rows_begin(struct mysql_rows *r, struct rowsum *sum)
{
	r->sum = sum;
	r->depth = 0;
	r->quote = '\0';
}

static enum err_code row_part(struct mysql_rows *r, const char *p, size_t len, bool ends, struct err *e)
{
	struct object_id id;

	if (!r->sum)
		return ERR_OK;
	if (ends && r->row.len == 0 && !r->in_digest) {
		rowsum_add(r->sum, p, len);
		return ERR_OK;
	}
	if (!r->in_digest && r->row.len + len > ROW_MAX) {
		digest_add(r->digest, r->row.p, r->row.len);
		buf_reset(&r->row);
		r->in_digest = true;
	}
	if (r->in_digest)
		digest_add(r->digest, p, len);
	else
		buf_add(&r->row, p, len);
	if (r->row.bad)
		return err_set(e, ERR_NOMEM, "read a dump");
	if (!ends)
		return ERR_OK;
	if (r->in_digest) {
		digest_finish(r->digest, &id);
		rowsum_add_digest(r->sum, &id);
	} else {
		rowsum_add(r->sum, r->row.p, r->row.len);
	}
	r->in_digest = false;
	buf_reset(&r->row);
	return ERR_OK;
}

/* To the end of a string, or of what there is. */
static size_t skip_string(struct mysql_rows *r, const char *p, size_t i, size_t len, uint64_t *lines)
{
	for (; i < len; i++) {
		*lines += p[i] == '\n';
		if (r->escaped) {
			r->escaped = false;
		} else if (p[i] == '\\') {
			r->escaped = true;
		} else if (p[i] == r->quote) {
			r->quote = '\0';
			return i + 1;
		}
	}
	return i;
}

enum err_code mysql_rows_feed(struct mysql_rows *r, const char *p, size_t len, size_t *used, uint64_t *lines, bool *ends,
			      struct err *e)
{
	size_t row = 0, i = 0; /* row: where the one that is being read begins in p */
	enum err_code rc = ERR_OK;

	*ends = false;
	while (i < len && !*ends && !rc) {
		if (r->quote) {
			i = skip_string(r, p, i, len, lines);
			continue;
		}
		switch (p[i++]) {
		case '\'':
		case '"':
			r->quote = p[i - 1];
			break;
		case '(':
			if (r->depth++ == 0)
				row = i - 1;
			break;
		case ')':
			if (r->depth == 0)
				return err_set(e, ERR_CORRUPT, "a row that ends before it begins");
			if (--r->depth == 0)
				rc = row_part(r, p + row, i - row, true, e);
			break;
		case ';':
			*ends = r->depth == 0;
			break;
		case '\n':
			++*lines;
			break;
		default:
			break;
		}
	}
	if (!rc && r->depth > 0)
		rc = row_part(r, p + row, i - row, false, e);
	*used = i;
	return rc;
}
