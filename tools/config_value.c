/* SPDX-License-Identifier: MIT */
/* What the values of a section mean: words, numbers, durations, secrets; and which nobody asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "tools/config.h"
#include "tools/text.h"

#define SECRET_MAX 65536u	/* bytes read of a file that holds one */

static struct config_key *last_of(const struct config_section *s, const char *key)
{
	for (size_t i = s->nr_keys; i > 0; i--)
		if (strcmp(s->keys[i - 1].key, key) == 0)
			return &s->keys[i - 1];
	return NULL;
}

const char *config_get(struct config_section *s, const char *key)
{
	struct config_key *k = last_of(s, key);

	if (!k)
		return NULL;
	k->used = true;
	return k->value;
}

const char *config_nth(struct config_section *s, const char *key, size_t i)
{
	for (size_t k = 0; k < s->nr_keys; k++) {
		if (strcmp(s->keys[k].key, key) != 0 || i-- > 0)
			continue;
		s->keys[k].used = true;
		return s->keys[k].value;
	}
	return NULL;
}

static enum err_code wrong_at(const struct config_section *s, unsigned line, const char *key, struct err *e,
			      const char *text)
{
	return err_set(e, ERR_USAGE, "%s:%u: [%s%s%s]%s%s: %s", s->file, line, s->kind, *s->name ? " " : "", s->name,
		       key ? " " : "", key ? key : "", text);
}

enum err_code config_wrong(const struct config_section *s, const char *key, struct err *e, const char *fmt, ...)
{
	const struct config_key *k = key ? last_of(s, key) : NULL;
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return wrong_at(s, k ? k->line : s->line, key, e, text);
}

enum err_code config_unused(const struct config_section *s, struct err *e)
{
	for (size_t i = 0; i < s->nr_keys; i++) {
		const struct config_key *k = &s->keys[i];

		if (k->used)
			continue;
		return wrong_at(s, k->line, k->key, e,
				last_of(s, k->key)->used ? "given twice, and only the last would count" :
							   "no key that is known here; see vouch.conf(5)");
	}
	return ERR_OK;
}

/* Words. */

struct words {
	char **v;
	size_t nr, cap;		/* v has room for cap, and the NULL behind them */
};

static bool add_word(struct words *w, struct buf *b)
{
	char **grown;

	buf_add_u8(b, '\0');
	if (w->nr == w->cap) {
		grown = reallocarray(w->v, w->cap * 2 + 9, sizeof(*grown));
		if (!grown)
			return false;
		w->v = grown;
		w->cap = w->cap * 2 + 8;
	}
	if (b->bad)
		return false;
	w->v[w->nr++] = (char *)b->p;
	w->v[w->nr] = NULL;
	*b = (struct buf)BUF_INIT;
	return true;
}

/* Inside "" a backslash stands for itself but before what would end or open something there, as in sh. */
static bool escapes(char quote, const char *p)
{
	return *p == '\\' && quote != '\'' && p[1] && (!quote || strchr("\"\\$`", p[1]));
}

/* One word from p, where there is no space; NULL: a quote is not closed. */
static const char *take_word(const char *p, struct buf *b)
{
	char quote = 0;

	for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
		if (escapes(quote, p))
			buf_add_u8(b, (uint8_t)*++p);
		else if (quote ? *p == quote : *p == '\'' || *p == '"')
			quote = quote ? 0 : *p;
		else
			buf_add_u8(b, (uint8_t)*p);
	}
	return quote ? NULL : p;
}

enum err_code config_split(const char *value, char ***out, struct err *e)
{
	struct words w = { 0 };
	struct buf b = BUF_INIT;
	enum err_code rc = ERR_OK;

	for (const char *p = value + strspn(value, " \t\r\n"); *p; p += strspn(p, " \t\r\n")) {
		p = take_word(p, &b);
		if (!p) {
			rc = err_set(e, ERR_USAGE, "a quote that is not closed");
			goto out;
		}
		if (!add_word(&w, &b)) {
			rc = err_set(e, ERR_NOMEM, "no memory for words");
			goto out;
		}
	}
	if (w.nr == 0) {
		rc = err_set(e, ERR_USAGE, "no word");
		goto out;
	}
	*out = w.v;
	w.v = NULL;
out:
	buf_release(&b);
	config_words_free(w.v);
	return rc;
}

enum err_code config_words(struct config_section *s, const char *key, char ***out, struct err *e)
{
	const char *value = config_get(s, key);
	struct err why = ERR_INIT;
	enum err_code rc;

	if (!value) {
		*out = NULL;
		return ERR_OK;
	}
	rc = config_split(value, out, &why);
	return rc ? config_wrong(s, key, e, "%s", why.msg) : ERR_OK;
}

void config_words_free(char **w)
{
	for (size_t i = 0; w && w[i]; i++)
		free(w[i]);
	free(w);
}

/* Numbers. */

enum err_code config_bool(struct config_section *s, const char *key, bool def, bool *out, struct err *e)
{
	static const char *const names[] = { "no", "yes", "false", "true", "off", "on" };
	const char *value = config_get(s, key);

	for (size_t i = 0; value && i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			*out = i % 2 == 1;
			return ERR_OK;
		}
	}
	if (value)
		return config_wrong(s, key, e, "yes or no, not '%s'", value);
	*out = def;
	return ERR_OK;
}

enum err_code config_seconds(struct config_section *s, const char *key, uint64_t def, uint64_t *out, struct err *e)
{
	const char *value = config_get(s, key);
	unsigned seconds;

	if (value && !text_parse_duration(value, &seconds))
		return config_wrong(s, key, e, "a time such as 90s, 15m, 24h or 7d, at most ten years, not '%s'", value);
	*out = value ? seconds : def;
	return ERR_OK;
}

enum err_code config_u64(struct config_section *s, const char *key, uint64_t def, uint64_t *out, struct err *e)
{
	const char *value = config_get(s, key);
	uint64_t v = 0;

	if (!value) {
		*out = def;
		return ERR_OK;
	}
	for (const char *p = value; *p || p == value; p++)
		if (*p < '0' || *p > '9' || mul_u64(v, 10, &v) || add_u64(v, (uint64_t)(*p - '0'), &v))
			return config_wrong(s, key, e, "a number, not '%s'", value);
	*out = v;
	return ERR_OK;
}

/* Secrets: no message repeats one. */

void config_secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* Others may read the file, and the value of key stands in it. */
static enum err_code refuse_shown(const struct config_section *s, const char *key, struct err *e)
{
	const struct config_key *k = last_of(s, key);

	if (!k || !k->literal || !s->others_read)
		return ERR_OK;
	return config_wrong(s, key, e,
			    "others may read %s: chmod o-r, or take the secret from a file of its own or from the "
			    "environment (${NAME})", s->file);
}

/* fd: the file; its first line into *out, which holds SECRET_MAX + 1 bytes. */
static enum err_code read_secret(int fd, const struct config_section *s, const char *key, const char *path, char *out,
				 struct err *e)
{
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at %s", path);
	if (S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO))
		return config_wrong(s, key, e, "others may read or write %s: chmod o-rwx", path);
	do {
		n = read(fd, out + len, SECRET_MAX - len);
		if (n < 0 && errno != EINTR)
			return err_sys(e, "read %s", path);
		len += n > 0 ? (size_t)n : 0;
		if (len == SECRET_MAX)
			return config_wrong(s, key, e, "%s is too long for a secret", path);
	} while (n != 0);
	out[len] = '\0';
	if (strlen(out) != len)
		return config_wrong(s, key, e, "%s holds a NUL byte", path);
	out[strcspn(out, "\r\n")] = '\0';
	if (!*out)
		return config_wrong(s, key, e, "the first line of %s is empty", path);
	return ERR_OK;
}

static enum err_code secret_of_file(const struct config_section *s, const char *key, const char *path, char **out,
				    struct err *e)
{
	char *text = calloc(1, SECRET_MAX + 1);
	enum err_code rc = ERR_OK;
	int fd = -1;

	if (!text) {
		rc = err_set(e, ERR_NOMEM, "no memory for a secret");
		goto out;
	}
	if (path[0] != '/') {
		rc = config_wrong(s, key, e, "a path that begins with '/', not '%s'", path);
		goto out;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		rc = config_wrong(s, key, e, "%s: %s", path, strerror(errno));
		goto out;
	}
	rc = read_secret(fd, s, key, path, text, e);
	if (rc)
		goto out;
	*out = strdup(text);
	if (!*out)
		rc = err_set(e, ERR_NOMEM, "no memory for a secret");
out:
	if (fd >= 0)
		(void)close(fd);	/* only read */
	if (text)
		explicit_bzero(text, SECRET_MAX);
	free(text);
	return rc;
}

enum err_code config_secret(struct config_section *s, const char *key, char **out, struct err *e)
{
	const char *value = config_get(s, key), *path;
	char file_key[CONFIG_NAME_MAX + 8];
	enum err_code rc;

	(void)snprintf(file_key, sizeof(file_key), "%s-file", key);
	path = config_get(s, file_key);
	if (path && value)
		return config_wrong(s, file_key, e, "%s is there, too: one of them", key);
	if (path)
		return secret_of_file(s, file_key, path, out, e);
	*out = NULL;
	if (!value)
		return ERR_OK;
	rc = refuse_shown(s, key, e);
	if (rc)
		return rc;
	if (!*value)
		return config_wrong(s, key, e, "it is empty");
	*out = strdup(value);
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a secret");
}
