/* SPDX-License-Identifier: MIT */
/*
 * Sums below directories.  They make the length of a generated SHA256SUMS, and the
 * place of a path in it, known at the cost of one path down the tree.
 */
#include "store/format/nodepart.h"

#include "store/base/checked.h"

/* "HEX  PATH\n" without the path: 64 digits, two spaces, a newline. */
#define SUMS_LINE_FIXED	67u

/*
 * GNU sha256sum writes backslash, newline and carriage return in a name as two
 * characters, and a backslash before such a line.
 */
static size_t nr_escaped(const char *name, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += name[i] == '\\' || name[i] == '\n' || name[i] == '\r';
	return n;
}

void totals_encode(const struct totals *t, struct buf *out)
{
	buf_add_le64(out, t->files);
	buf_add_le64(out, t->dirs);
	buf_add_le64(out, t->others);
	buf_add_le64(out, t->bytes);
	buf_add_le64(out, t->sums_len);
	buf_add_le64(out, t->sums_escaped);
}

void totals_decode(struct rd *r, struct totals *t)
{
	t->files = rd_le64(r);
	t->dirs = rd_le64(r);
	t->others = rd_le64(r);
	t->bytes = rd_le64(r);
	t->sums_len = rd_le64(r);
	t->sums_escaped = rd_le64(r);
}

static bool in_range(const struct totals *t)
{
	return t->files <= TOTALS_COUNT_MAX && t->dirs <= TOTALS_COUNT_MAX &&
	       t->others <= TOTALS_COUNT_MAX && t->sums_escaped <= t->files &&
	       t->sums_len <= FILE_SIZE_MAX;
}

enum err_code totals_check(const struct totals *t, uint64_t nr_entries, uint64_t nr_subdirs,
			   struct err *e)
{
	uint64_t least;

	if (!in_range(t))
		return err_set(e, ERR_CORRUPT, "totals out of range");
	if (nr_subdirs > nr_entries || nr_subdirs > t->dirs ||
	    nr_entries > t->files + t->dirs + t->others)
		return err_set(e, ERR_CORRUPT,
			       "%llu entries and %llu directories do not fit the totals",
			       (unsigned long long)nr_entries, (unsigned long long)nr_subdirs);
	/* A path has a character at least; so many lines make so many bytes. */
	if (mul_u64(t->files, SUMS_LINE_FIXED + 1, &least) ||
	    add_u64(least, t->sums_escaped, &least) || t->sums_len < least)
		return err_set(e, ERR_CORRUPT, "%llu files, but lines of %llu bytes",
			       (unsigned long long)t->files, (unsigned long long)t->sums_len);
	if (t->files == 0 && (t->bytes != 0 || t->sums_len != 0))
		return err_set(e, ERR_CORRUPT, "no files, but %llu bytes",
			       (unsigned long long)t->bytes);
	return ERR_OK;
}

enum err_code totals_add(struct totals *t, const struct totals *a, struct err *e)
{
	struct totals s;

	if (add_u64(t->files, a->files, &s.files) || add_u64(t->dirs, a->dirs, &s.dirs) ||
	    add_u64(t->others, a->others, &s.others) || add_u64(t->bytes, a->bytes, &s.bytes) ||
	    add_u64(t->sums_len, a->sums_len, &s.sums_len) ||
	    add_u64(t->sums_escaped, a->sums_escaped, &s.sums_escaped) || !in_range(&s))
		return err_set(e, ERR_CORRUPT, "totals overflow");
	*t = s;
	return ERR_OK;
}

/* What a directory called so adds: each line below it gets "NAME/" in front. */
static bool dir_totals(const struct entry *ent, size_t esc_len, bool escaped, struct totals *a)
{
	uint64_t more;

	*a = ent->below;
	if (!in_range(a) || mul_u64(a->files, esc_len + 1, &more))
		return false;
	a->dirs++;
	if (escaped) {		/* and a backslash, if it had none */
		if (add_u64(more, a->files - a->sums_escaped, &more))
			return false;
		a->sums_escaped = a->files;
	}
	return !add_u64(a->sums_len, more, &a->sums_len);
}

enum err_code totals_add_entry(struct totals *t, const struct entry *ent, struct err *e)
{
	size_t extra = nr_escaped(ent->name, ent->name_len);
	size_t esc_len = ent->name_len + extra;
	struct totals a = { 0 };

	switch (ent->type) {
	case ENTRY_FILE:
		a.files = 1;
		a.bytes = ent->size;
		a.sums_escaped = extra > 0;
		a.sums_len = SUMS_LINE_FIXED + esc_len + a.sums_escaped;
		break;
	case ENTRY_DIR:
		if (!dir_totals(ent, esc_len, extra > 0, &a))
			return err_set(e, ERR_CORRUPT, "totals overflow");
		break;
	default:
		a.others = 1;
		break;
	}
	return totals_add(t, &a, e);
}
