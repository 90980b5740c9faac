/* SPDX-License-Identifier: MIT */
/*
 * A pattern is kept as its pieces between slashes.  The pieces are matched by fnmatch(3), "**" (a
 * piece of its own) by going back to the last one met, as a star within a piece would be: linear
 * memory, at most pieces times components of work, whatever the pattern.
 */
#include "store/backup.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "store/format/limits.h"

struct pattern {
	char *text;    /* owned; cut into pieces at its slashes */
	char **pieces; /* owned array, views into text */
	size_t nr;
	bool taken_back; /* began with '!' */
	bool dir_only;	 /* ended in '/' */
	bool anchored;	 /* had a '/' before its end: from the root; else any component */
	bool literal;	 /* one piece without anything special: compared, not matched */
	size_t literal_len;
};

struct patterns {
	struct pattern *all;
	size_t nr;
};

static void pattern_release(struct pattern *p)
{
	free(p->text);
	free(p->pieces);
}

static enum err_code pattern_split(struct pattern *p, struct err *e)
{
	size_t nr = 1;
	char *at = p->text, *slash;

	for (const char *c = p->text; *c; c++)
		nr += *c == '/';
	p->pieces = calloc(nr, sizeof(p->pieces[0]));
	if (!p->pieces)
		return err_set(e, ERR_NOMEM, "pattern of %zu pieces", nr);
	do {
		slash = strchr(at, '/');
		if (slash)
			*slash = '\0';
		if (*at) /* "a//b" is "a/b" */
			p->pieces[p->nr++] = at;
		at = slash ? slash + 1 : at;
	} while (slash);
	return ERR_OK;
}

static enum err_code pattern_parse(const char *text, struct pattern *p, struct err *e)
{
	const char *from = text;
	enum err_code rc;
	size_t len;

	if (*from == '!') {
		p->taken_back = true;
		from++;
	}
	p->text = strdup(from);
	if (!p->text)
		return err_set(e, ERR_NOMEM, "pattern");
	len = strlen(p->text);
	while (len > 0 && p->text[len - 1] == '/') {
		p->dir_only = true;
		p->text[--len] = '\0';
	}
	if (len == 0)
		return err_set(e, ERR_USAGE, "pattern '%s' is empty", text);
	p->anchored = strchr(p->text, '/') != NULL;
	rc = pattern_split(p, e);
	if (rc)
		return rc;
	if (p->nr == 1) {
		p->literal_len = strlen(p->pieces[0]);
		p->literal = strcspn(p->pieces[0], "*?[\\") == p->literal_len;
	}
	return ERR_OK;
}

enum err_code patterns_open(const char *const *list, size_t nr, struct patterns **out,
			    struct err *e)
{
	struct patterns *p = calloc(1, sizeof(*p));
	enum err_code rc = ERR_OK;

	if (p && nr > 0)
		p->all = calloc(nr, sizeof(p->all[0]));
	if (!p || (nr > 0 && !p->all)) {
		free(p);
		return err_set(e, ERR_NOMEM, "%zu patterns", nr);
	}
	for (size_t i = 0; i < nr && !rc; i++) {
		p->nr++; /* what a failed parse left is released with the rest */
		rc = pattern_parse(list[i], &p->all[i], e);
	}
	if (rc) {
		patterns_close(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

void patterns_close(struct patterns *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nr; i++)
		pattern_release(&p->all[i]);
	free(p->all);
	free(p);
}

/** One component of a path, len bytes at name, against one piece. */
static bool piece_matches(const char *piece, const char *name, size_t len)
{
	char copy[NAME_LEN_MAX + 1];

	if (len > NAME_LEN_MAX)
		return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return fnmatch(piece, copy, 0) == 0;
}

static bool is_any_depth(const char *piece)
{
	return piece[0] == '*' && piece[1] == '*' && piece[2] == '\0';
}

/** The component at s: its length; *next is where the following one begins, NULL at the end. */
static size_t component(const char *s, const char **next)
{
	const char *slash = strchr(s, '/');

	*next = slash ? slash + 1 : NULL;
	return slash ? (size_t)(slash - s) : strlen(s);
}

static bool anchored_matches(const struct pattern *p, const char *path)
{
	const char *s = path, *back = NULL, *next;
	size_t i = 0, back_i = 0;

	while (s) {
		size_t len = component(s, &next);

		if (i < p->nr && is_any_depth(p->pieces[i])) {
			if (i + 1 == p->nr)
				return true; /* all that is in what came before */
			back_i = ++i;	     /* as few components as will do: none */
			back = s;
		} else if (i < p->nr && piece_matches(p->pieces[i], s, len)) {
			i++;
			s = next;
		} else if (back) {
			(void)component(back, &back); /* one component more for the "**" */
			s = back;
			i = back_i;
		} else {
			return false;
		}
	}
	return i == p->nr;
}

static bool pattern_matches(const struct pattern *p, const char *path, const char *base,
			    bool is_dir)
{
	size_t len;

	if (p->dir_only && !is_dir)
		return false;
	if (p->anchored)
		return anchored_matches(p, path);
	len = strlen(base);
	if (p->literal)
		return len == p->literal_len && memcmp(base, p->pieces[0], len) == 0;
	return piece_matches(p->pieces[0], base, len);
}

enum pattern_answer patterns_match(const struct patterns *p, const char *path, bool is_dir)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	for (size_t i = p->nr; i-- > 0;) {
		if (pattern_matches(&p->all[i], path, base, is_dir))
			return p->all[i].taken_back ? PATTERN_TAKEN_BACK : PATTERN_MATCH;
	}
	return PATTERN_NONE;
}
