/* SPDX-License-Identifier: MIT */
/* Which snapshot a person means. */
#include <stdio.h>
#include <stdlib.h>

#include "store/base/affix.h"
#include "store/base/buf.h"
#include "store/format/snaprec.h"
#include "store/snapshot.h"

#define ID_PREFIX_MIN	6	/* digits; fewer would soon be ambiguous */
#define DAY_LEN		10	/* "2026-11-21" */
#define CANDIDATES_MAX	8	/* named in a message */

/** a equals b or is a folder above it; slashes at a's end do not count. */
static bool is_parent(const char *a, const char *b)
{
	size_t len = strlen(a);

	while (len > 0 && a[len - 1] == '/')
		len--;
	return strncmp(a, b, len) == 0 && (b[len] == '\0' || b[len] == '/');
}

bool snapshot_has_tag(const struct snapshot *s, const char *tag)
{
	for (size_t i = 0; i < s->nr_tags; i++)
		if (strcmp(s->tags[i], tag) == 0)
			return true;
	return false;
}

bool snapshot_is_reserved(const struct snapshot *s)
{
	return snapshot_has_tag(s, TAG_SAFETY) || snapshot_has_tag(s, TAG_PARTIAL);
}

bool snapshot_passes(const struct snapshot *s, const struct snapshot_filter *f)
{
	bool ok = true;

	if (!f)
		return true;
	if (f->host && strcmp(s->host, f->host) != 0)
		return false;
	if (f->tag)
		ok = snapshot_has_tag(s, f->tag);
	if (ok && f->path) {
		ok = false;
		for (size_t i = 0; i < s->nr_sources; i++)
			ok = ok || is_parent(s->sources[i], f->path);
	}
	return ok;
}

/** What the words of a snapshot argument ask for. */
struct wanted {
	enum { LATEST, NAME, DATE, ID } by;
	uint64_t back;			/* LATEST: how many before it */
	const char *text;
	size_t len;
};

static bool all_in(const char *s, const char *set)
{
	return s[strspn(s, set)] == '\0';
}

/** "2026-11-21" and on: digits where a name has digits, hyphens where it has hyphens. */
static bool is_name_prefix(const char *s)
{
	static const char shape[] = "dddd-dd-ddTdd-dd-ddZ-xxxxxxxxxxxxxxxx";
	size_t len = strlen(s);

	if (len < DAY_LEN || len > SNAPSHOT_NAME_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool digit = s[i] >= '0' && s[i] <= '9';
		bool hex = digit || (s[i] >= 'a' && s[i] <= 'f');

		if (shape[i] == 'd' ? !digit : shape[i] == 'x' ? !hex : s[i] != shape[i])
			return false;
	}
	return true;
}

static enum err_code understand(const char *spec, struct wanted *w, struct err *e)
{
	size_t len = strlen(spec);

	*w = (struct wanted){ .text = spec, .len = len };
	if (strcmp(spec, "latest") == 0) {
		w->by = LATEST;
		return ERR_OK;
	}
	if (strncmp(spec, "latest~", 7) == 0 && len > 7 && len <= 16 &&
	    all_in(spec + 7, "0123456789")) {
		w->by = LATEST;
		w->back = strtoull(spec + 7, NULL, 10);
		return ERR_OK;
	}
	if (is_name_prefix(spec)) {
		w->by = len > SNAPSHOT_DATE_LEN ? NAME : DATE;
		return ERR_OK;
	}
	if (all_in(spec, "0123456789abcdef") && len >= ID_PREFIX_MIN && len <= ID_HEX_LEN) {
		w->by = ID;
		return ERR_OK;
	}
	if (all_in(spec, "0123456789abcdef") && len > 0 && len < ID_PREFIX_MIN)
		return err_set(e, ERR_USAGE, "\"%s\": an id needs at least %d of its digits", spec,
			       ID_PREFIX_MIN);
	return err_set(e, ERR_USAGE, "\"%s\" is no snapshot: give a name, a date (2026-11-21), an "
		       "id's first %d digits or more, latest, or latest~1", spec, ID_PREFIX_MIN);
}

/** By its date, or as the latest, it is not meant unless one of these tags is asked for: it may have a user's, too. */
static bool is_hidden(const struct snapshot *s, const struct snapshot_filter *f)
{
	return snapshot_is_reserved(s) && !(f && f->tag && begins(f->tag, TAG_RESERVED));
}

static bool matches(const struct snapshot *s, const struct wanted *w,
		    const struct snapshot_filter *f)
{
	char hex[ID_HEX_LEN + 1];

	switch (w->by) {
	case LATEST:
		return snapshot_passes(s, f) && !is_hidden(s, f);
	case DATE:
		return strncmp(s->name, w->text, w->len) == 0 && snapshot_passes(s, f) && !is_hidden(s, f);
	case NAME:	/* says all; a filter cannot say it better */
		return strncmp(s->name, w->text, w->len) == 0;
	case ID:
		return strncmp(id_hex(&s->id, hex), w->text, w->len) == 0;
	}
	return false;
}

/** The name; for an id that the name does not tell apart, the id too. */
static void add_candidate(struct buf *b, const struct snapshot *s, const struct wanted *w)
{
	char hex[ID_HEX_LEN + 1];

	buf_printf(b, "%s%s", b->len ? ", " : "", s->name);
	if (w->by == ID && w->len >= 16)
		buf_printf(b, " (%s)", id_hex(&s->id, hex));
}

static enum err_code ambiguous(const struct snapshot_list *l, const char *spec,
			       const struct wanted *w, const struct snapshot_filter *f, size_t nr,
			       struct err *e)
{
	struct buf b = BUF_INIT;
	size_t named = 0;

	for (size_t i = 0; i < l->nr && named < CANDIDATES_MAX; i++) {
		if (!matches(&l->all[i], w, f))
			continue;
		add_candidate(&b, &l->all[i], w);
		named++;
	}
	if (nr > named)
		buf_printf(&b, " and %zu more", nr - named);
	(void)err_set(e, ERR_USAGE, "\"%s\" may be any of %zu snapshots: %.*s", spec, nr,
		      b.bad ? 0 : (int)b.len, b.bad ? "" : (const char *)b.p);
	buf_release(&b);
	return ERR_USAGE;
}

static enum err_code none(const char *spec, const struct wanted *w, size_t nr,
			  const struct snapshot_filter *f, struct err *e)
{
	bool filtered = f && (f->host || f->tag || f->path) && (w->by == LATEST || w->by == DATE);
	const char *of = filtered ? " of that host, tag or path" : "";

	if (w->by == LATEST && nr > 0)
		return err_set(e, ERR_NOT_FOUND, "no snapshot \"%s\": there are only %zu%s", spec,
			       nr, of);
	if (w->by == LATEST)
		return err_set(e, ERR_NOT_FOUND, "no snapshot%s yet", of);
	return err_set(e, ERR_NOT_FOUND, "no snapshot \"%s\"%s", spec, of);
}

enum err_code snapshot_find(const struct snapshot_list *l, const char *spec,
			    const struct snapshot_filter *f, const struct snapshot **out,
			    struct err *e)
{
	const struct snapshot *hit = NULL;
	struct wanted w;
	enum err_code rc;
	size_t nr = 0;

	rc = understand(spec, &w, e);
	if (rc)
		return rc;
	for (size_t i = l->nr; i-- > 0; ) {	/* newest first */
		if (!matches(&l->all[i], &w, f))
			continue;
		if (nr++ == w.back)
			hit = &l->all[i];
	}
	if (!hit)
		return none(spec, &w, nr, f, e);
	/* A day means its newest; a second, a name's beginning or an id means one. */
	if (nr > 1 && (w.by == ID || w.by == NAME || (w.by == DATE && w.len == SNAPSHOT_DATE_LEN)))
		return ambiguous(l, spec, &w, f, nr, e);
	*out = hit;
	return ERR_OK;
}
