/* SPDX-License-Identifier: MIT */
/*
 * A folder's totals are of paths relative to it.  Below the prefix P = "a/b/" each of its lines is longer by the
 * length of P, escaped; and where P itself has something to escape, the lines that had nothing get the backslash that
 * begins an escaped line.
 */
#include "fs/sums.h"

#include <string.h>

#include "fs/filewalk.h"
#include "store/base/checked.h"

#define SUMS_FIXED	67u	/* 64 digits, two spaces, a newline */

/* As long as a digest; sha256sum -c passes over lines that begin so. */
static const char no_digest[] =
	"# no digest was recorded of this file: over a GiB of it is holes";

struct reader {
	uint8_t *to;
	size_t len, done;
	uint64_t skip;		/* bytes of what comes next that lie before the part asked for */
	struct buf line;
};

/* The length of the lines that t counts, t being of the folder l. */
static enum err_code lines_len(const struct filewalk_level *l, const struct totals *t,
			       uint64_t *out, struct err *e)
{
	uint64_t more;

	if (t->sums_escaped > t->files ||
	    mul_u64(t->files, l->path_len + l->nr_escaped, &more) ||
	    (l->nr_escaped && add_u64(more, t->files - t->sums_escaped, &more)) ||
	    add_u64(more, t->sums_len, out))
		return err_set(e, ERR_CORRUPT, "totals overflow");
	return ERR_OK;
}

/* The last entry of l whose lines begin at or before off: the one that off lies in. */
static enum err_code find_at(struct store *s, const struct filewalk_level *l, uint64_t off,
			     struct entry_ref *out, uint64_t *start, struct err *e)
{
	uint64_t lo = 0, hi = l->nr, at = 0, mid = 0;
	enum err_code rc = ERR_OK;

	*out = (struct entry_ref){ 0 };
	while (!rc && lo < hi) {
		struct entry_ref r = { 0 };

		mid = lo + (hi - lo) / 2;
		rc = tree_at(s, &l->dir, mid, &r, e);
		if (!rc)
			rc = lines_len(l, &r.before, &at, e);
		if (!rc && at <= off) {
			lo = mid + 1;
			*start = at;
			entry_ref_release(s, out);
			*out = r;
		} else {
			hi = mid;
			entry_ref_release(s, &r);
		}
	}
	if (rc == ERR_NOT_FOUND || (!rc && lo == 0))
		rc = err_set(e, ERR_CORRUPT, "a folder with fewer entries than were counted");
	return rc;
}

/* Go down to the file whose line off lies in. */
static enum err_code seek(struct filewalk *w, const struct entry *root, uint64_t off,
			  uint64_t *skip, struct err *e)
{
	enum err_code rc = filewalk_enter(w, root, e);
	bool found = false;

	while (!rc && !found) {
		struct filewalk_level *l = filewalk_top(w);
		struct entry_ref r;
		uint64_t start = 0;

		rc = find_at(w->s, l, off, &r, &start, e);
		if (!rc) {
			off -= start;
			l->next = r.position + (r.e.type == ENTRY_DIR);
			found = r.e.type != ENTRY_DIR;
			if (!found)
				rc = filewalk_enter(w, &r.e, e);
		}
		entry_ref_release(w->s, &r);
	}
	*skip = off;
	return rc;
}

static void add_path(struct buf *line, const struct buf *path)
{
	for (size_t i = 0; i < path->len; i++) {
		switch (path->p[i]) {
		case '\\':
			buf_add(line, "\\\\", 2);
			break;
		case '\n':
			buf_add(line, "\\n", 2);
			break;
		case '\r':
			buf_add(line, "\\r", 2);
			break;
		default:
			buf_add_u8(line, path->p[i]);
			break;
		}
	}
}

static void make_line(struct buf *line, const struct filewalk *w, const struct entry *ent)
{
	bool escaped = filewalk_escapes((const char *)w->path.p, w->path.len) > 0;
	char hex[ID_HEX_LEN + 1];
	struct object_id id;
	bool known = entry_sha256(ent, &id);

	_Static_assert(sizeof(no_digest) == sizeof(hex), "a line of the same length");
	buf_reset(line);
	if (escaped)
		buf_add_u8(line, known ? '\\' : '#');
	buf_add(line, known ? id_hex(&id, hex) : no_digest, ID_HEX_LEN);
	buf_add(line, "  ", 2);
	add_path(line, &w->path);
	buf_add_u8(line, '\n');
}

static enum err_code add_file(void *ctx, const struct filewalk *w, const struct entry *ent,
			     struct err *e)
{
	struct reader *r = ctx;
	size_t from, n;

	make_line(&r->line, w, ent);
	if (r->line.bad)
		return err_set(e, ERR_NOMEM, "a line of %zu bytes", w->path.len + SUMS_FIXED);
	if (r->skip >= r->line.len)
		return err_set(e, ERR_CORRUPT, "a folder whose names are shorter than was counted");
	from = (size_t)r->skip;
	r->skip = 0;
	n = r->line.len - from;
	if (n > r->len - r->done)
		n = r->len - r->done;
	memcpy(r->to + r->done, r->line.p + from, n);
	r->done += n;
	return r->done < r->len ? ERR_OK : ERR_CANCELED;
}

enum err_code sums_read(struct store *s, const struct entry *root, uint64_t off, void *buf,
			size_t len, size_t *n, struct err *e)
{
	struct filewalk w = FILEWALK_INIT(s);
	struct reader r = { .to = buf, .len = len };
	uint64_t size = sums_size(root);
	enum err_code rc;

	if (off >= size || len == 0) {
		*n = 0;
		return ERR_OK;
	}
	if (r.len > size - off)
		r.len = (size_t)(size - off);
	rc = seek(&w, root, off, &r.skip, e);
	if (!rc)
		rc = filewalk_run(&w, add_file, &r, e);
	if (!rc && r.done < r.len)
		rc = err_set(e, ERR_CORRUPT, "fewer lines than were counted");
	if (!rc)
		*n = r.done;
	filewalk_release(&w);
	buf_release(&r.line);
	return rc;
}
