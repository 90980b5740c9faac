/* SPDX-License-Identifier: MIT */
/* What the user expects of a component: the keys expect, not-null and orphans of its section. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/validate.h"

/* What SQL has for it; a type with another language says so in its ops. */
static const char sql_nulls[] = "SELECT count(*) FROM {table} WHERE {column} IS NULL";
static const char sql_orphans[] =
	"SELECT count(*) FROM {table} c LEFT JOIN {parent} p ON c.{column} = p.{parent-column} "
	"WHERE c.{column} IS NOT NULL AND p.{parent-column} IS NULL";

struct word {
	const char *name, *text;
	size_t len;
};

/* The template with each {name} replaced; malloc'ed. */
static char *fill(const char *template, const struct word *words, size_t nr)
{
	struct buf b = BUF_INIT;

	for (const char *p = template; *p; ) {
		size_t i = 0, len = 0;

		for (; i < nr && *p == '{'; i++) {
			len = strlen(words[i].name);
			if (strncmp(p + 1, words[i].name, len) == 0 && p[1 + len] == '}')
				break;
		}
		if (*p == '{' && i < nr) {
			buf_add(&b, words[i].text, words[i].len);
			p += len + 2;
		} else {
			buf_add_u8(&b, (uint8_t)*p++);
		}
	}
	buf_add_u8(&b, '\0');
	if (b.bad)
		buf_release(&b);
	return (char *)b.p;
}

/* TABLE.COLUMN at its last dot. */
static bool split_column(const char *word, const char *table, const char *column, struct word out[2])
{
	const char *dot = strrchr(word, '.');

	if (!dot || dot == word || !dot[1])
		return false;
	out[0] = (struct word){ table, word, (size_t)(dot - word) };
	out[1] = (struct word){ column, dot + 1, strlen(dot + 1) };
	return true;
}

static enum err_code add(struct expectations *x, struct expectation one, struct err *e)
{
	struct expectation *more = reallocarray(x->v, x->nr + 1, sizeof(*more));

	if (more) {
		x->v = more;
		x->v[x->nr++] = one;	/* released with the others, whole or not */
		if (one.text && one.query && one.value)
			return ERR_OK;
	}
	if (!more) {
		free(one.text);
		free(one.query);
		free(one.value);
	}
	return err_set(e, ERR_NOMEM, "%s", one.key);
}

/* QUERY = N: the last of the signs that stands between spaces. */
static enum err_code read_expect(struct component *c, const char *text, struct expectations *x, struct err *e)
{
	static const char *const signs[] = { [EXPECT_EQ] = " = ", [EXPECT_GE] = " >= ", [EXPECT_LE] = " <= " };
	struct expectation one = { .key = "expect" };
	const char *last = NULL, *value;

	for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
		for (const char *at = text; (at = strstr(at, signs[i])) != NULL; at++) {
			if (!last || at > last) {
				last = at;
				one.op = (enum expect_op)i;
			}
		}
	}
	if (!last || last == text)
		return config_wrong(c->section, "expect", e, "'%s' is not QUERY = VALUE (or >=, <=, with spaces around)", text);
	value = last + strlen(signs[one.op]);
	value += strspn(value, " \t");
	if (!*value)
		return config_wrong(c->section, "expect", e, "'%s' has no value at its end", text);
	one.text = strdup(text);
	one.query = strndup(text, (size_t)(last - text));
	one.value = strdup(value);
	return add(x, one, e);
}

static enum err_code read_not_null(struct component *c, char *const *words, struct expectations *x, struct err *e)
{
	const char *template = c->ops->nulls_query ? c->ops->nulls_query : sql_nulls;
	enum err_code rc = ERR_OK;

	for (; !rc && *words; words++) {
		struct word parts[2];

		if (!split_column(*words, "table", "column", parts))
			return config_wrong(c->section, "not-null", e, "'%s' is not TABLE.COLUMN", *words);
		rc = add(x, (struct expectation){ "not-null", strdup(*words), fill(template, parts, 2), EXPECT_LE, strdup("0") }, e);
	}
	return rc;
}

static enum err_code read_orphans(struct component *c, const char *text, char *const *words, struct expectations *x,
				  struct err *e)
{
	const char *template = c->ops->orphans_query ? c->ops->orphans_query : sql_orphans;
	const char *limit = words[0] && words[1] && words[2] ? words[2] : "0";
	struct word parts[4];

	if (c->ops->orphans_query && !*c->ops->orphans_query)
		return config_wrong(c->section, "orphans", e, "%s cannot be asked for them; see expect in vouch.conf(5)",
				    c->ops->type);
	if (!words[0] || !words[1] || (words[2] && words[3]) || strspn(limit, "0123456789") != strlen(limit) ||
	    !split_column(words[0], "table", "column", parts) ||
	    !split_column(words[1], "parent", "parent-column", parts + 2))
		return config_wrong(c->section, "orphans", e, "'%s' is not CHILD.COLUMN PARENT.COLUMN [LIMIT]", text);
	return add(x, (struct expectation){ "orphans", strdup(text), fill(template, parts, 4), EXPECT_LE, strdup(limit) }, e);
}

enum err_code expectations_read(struct component *c, struct expectations *out, struct err *e)
{
	struct expectations x = { 0 };
	enum err_code rc = ERR_OK;
	const char *text;

	for (size_t i = 0; !rc && (text = config_nth(c->section, "expect", i)); i++)
		rc = read_expect(c, text, &x, e);
	for (int orphans = 0; !rc && orphans < 2; orphans++) {
		const char *key = orphans ? "orphans" : "not-null";

		for (size_t i = 0; !rc && (text = config_nth(c->section, key, i)); i++) {
			char **words = NULL;

			if (config_split(text, &words, NULL))
				rc = config_wrong(c->section, key, e, "'%s' cannot be split into words", text);
			else
				rc = orphans ? read_orphans(c, text, words, &x, e) : read_not_null(c, words, &x, e);
			config_words_free(words);
		}
	}
	if (rc)
		expectations_release(&x);
	else
		*out = x;
	return rc;
}

void expectations_release(struct expectations *x)
{
	for (size_t i = 0; i < x->nr; i++) {
		free(x->v[i].text);
		free(x->v[i].query);
		free(x->v[i].value);
	}
	free(x->v);
	*x = (struct expectations){ 0 };
}

/* Whole numbers as such: a double has not the digits of a large one. */
static bool compare_numbers(const char *a, const char *b, int *order)
{
	char *end_a, *end_b;
	long long la, lb;
	double da, db;

	errno = 0;
	la = strtoll(a, &end_a, 10);
	lb = strtoll(b, &end_b, 10);
	if (errno == 0 && *a && *b && !*end_a && !*end_b) {
		*order = la < lb ? -1 : la > lb;
		return true;
	}
	da = strtod(a, &end_a);
	db = strtod(b, &end_b);
	if (!*a || !*b || *end_a || *end_b)
		return false;
	*order = da < db ? -1 : da > db;
	return da == da && db == db;
}

bool expectation_met(const struct expectation *x, const char *answer, struct buf *why)
{
	static const char *const wanted[] = { [EXPECT_EQ] = "", [EXPECT_GE] = "at least ", [EXPECT_LE] = "at most " };
	size_t len = strlen(answer), lines = 0;
	char *one;
	int order;
	bool met;

	for (const char *p = answer; *p; p += strcspn(p, "\n"), p += *p == '\n')
		lines++;
	if (lines != 1 || strchr(answer, '\t')) {
		buf_printf(why, "the answer is %zu rows%s, not one value", lines, strchr(answer, '\t') ? " of several fields" : "");
		return false;
	}
	len -= answer[len - 1] == '\n';
	one = strndup(answer, len);
	if (!one) {
		buf_printf(why, "out of memory");
		return false;
	}
	if (compare_numbers(one, x->value, &order))
		met = x->op == EXPECT_EQ ? order == 0 : x->op == EXPECT_GE ? order >= 0 : order <= 0;
	else
		met = x->op == EXPECT_EQ && strcmp(one, x->value) == 0;
	buf_printf(why, "it is %.200s", one);
	if (!met)
		buf_printf(why, ", and should be %s%s", wanted[x->op], x->value);
	free(one);
	return met;
}
