/* SPDX-License-Identifier: MIT */
/*
 * inih reads the file; this looks at each line before inih gets it, and refuses what inih would drop, cut or join
 * without a word.  What inih then hands out is compared with what stood on the line, so that another inih, built
 * otherwise, cannot read it otherwise.
 */
#include "tools/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/checked.h"

#define SPACE " \t\r\v\f"
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

struct reading {
	struct config *c;
	bool others_read;
	const char *at, *end;		/* what inih has not got yet */
	unsigned line;			/* inih got it last */
	const char *value;		/* what stands behind the '=' there; NULL: no key on it */
	size_t value_len;
	bool taken;			/* inih handed it out */
	enum err_code rc;
	struct err *e;
};

static enum err_code wrong(struct reading *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static enum err_code wrong(struct reading *r, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->rc = err_set(r->e, ERR_USAGE, "%s:%u: %s", r->c->file, r->line, text);
	return r->rc;
}

/* What files hold may be a secret: it is cleared before the memory goes back. */
static void clear_free(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void config_close(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nr; i++) {
		struct config_section *s = &c->sections[i];

		for (size_t k = 0; k < s->nr_keys; k++) {
			free(s->keys[k].key);
			clear_free(s->keys[k].value);
		}
		free(s->keys);
		free(s->kind);
		free(s->name);
	}
	free(c->sections);
	free(c->file);
	free(c);
}

/* Section headers. */

/* What may follow "[": which kinds there are, and whether they have names. */
static const struct kind {
	const char *kind;
	bool named;
} kinds[] = { { "repository", false }, { "run", false }, { "component", true }, { "reference", true } };

static enum err_code check_kind(struct reading *r, const char *kind, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kind, kinds[i].kind) != 0)
			continue;
		if (kinds[i].named && !*name)
			return wrong(r, "[%s] needs a name: [%s NAME]", kind, kind);
		if (!kinds[i].named && *name)
			return wrong(r, "[%s] takes no name", kind);
		return ERR_OK;
	}
	return wrong(r, "[%s] is no section; there are [repository], [component NAME], [run] and [reference NAME]", kind);
}

static enum err_code add_section(struct reading *r, const char *kind, const char *name)
{
	struct config *c = r->c;
	struct config_section *grown, *s = config_find(c, kind, name);

	if (s)
		return wrong(r, "[%s%s%s] is there already, on line %u", kind, *name ? " " : "", name, s->line);
	grown = reallocarray(c->sections, c->nr + 1, sizeof(*grown));
	if (!grown)
		goto no_memory;
	c->sections = grown;
	s = &grown[c->nr];
	*s = (struct config_section){ .kind = strdup(kind), .name = strdup(name), .line = r->line, .file = c->file,
				      .others_read = r->others_read };
	c->nr++;
	if (!s->kind || !s->name)
		goto no_memory;
	return ERR_OK;
no_memory:
	r->rc = err_set(r->e, ERR_NOMEM, "no memory for %s", c->file);
	return r->rc;
}

/* text: what stands between the brackets. */
static enum err_code take_header(struct reading *r, const char *line, size_t len)
{
	const char *close = memchr(line, ']', len);
	char text[CONFIG_NAME_MAX + 1], *name;
	bool lacking;
	size_t n;

	if (!close)
		return wrong(r, "a section without ']'");
	n = (size_t)(close - line) - 1;
	for (const char *p = close + 1; p < line + len; p++)
		if (!strchr(SPACE, *p))
			return wrong(r, "text behind ']' would be passed over; a key goes on a line of its own");
	if (n > CONFIG_NAME_MAX)
		return wrong(r, "a section of %zu bytes; at most %u", n, CONFIG_NAME_MAX);
	memcpy(text, line + 1, n);
	text[n] = '\0';
	name = strchr(text, ' ');
	lacking = name && !name[1];
	if (name)
		*name++ = '\0';
	else
		name = text + n;
	if (lacking || !*text || text[strspn(text, NAME_CHARS)] || name[strspn(name, NAME_CHARS)] || *name == '.' ||
	    *name == '-')
		return wrong(r, "a section is [KIND] or [KIND NAME], one space between, of letters, digits, '_', '.' and "
				"'-'; a NAME begins with none of the last two");
	if (check_kind(r, text, name))
		return r->rc;
	return add_section(r, text, name);
}

/* Keys. */

static enum err_code check_value(struct reading *r, const char *v, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (v[i] == ';' && i > 0 && strchr(SPACE, v[i - 1]))
			return wrong(r, "' ;' would end the value as a comment; a comment is a line of its own");
		if ((unsigned char)v[i] < 0x20 && v[i] != '\t' && !(v[i] == '\r' && i + 1 == len))
			return wrong(r, "a control character in a value");
	}
	return ERR_OK;
}

static enum err_code check_key(struct reading *r, const char *line, size_t len)
{
	const char *equals = memchr(line, '=', len);
	size_t n = strspn(line, NAME_CHARS), gap;

	if (!equals)
		return wrong(r, "neither a section, a comment nor KEY = VALUE");
	gap = strspn(line + n, " \t");
	if (n == 0 || line + n + gap != equals)
		return wrong(r, "a key is of letters, digits, '_', '.' and '-', and '=' follows it");
	if (n > CONFIG_NAME_MAX)
		return wrong(r, "a key of %zu bytes; at most %u", n, CONFIG_NAME_MAX);
	if (r->c->nr == 0)
		return wrong(r, "a key before the first section");
	if (check_value(r, equals + 1, (size_t)(line + len - equals) - 1))
		return r->rc;
	r->value = equals + 1;
	r->value_len = (size_t)(line + len - equals) - 1;
	while (r->value_len > 0 && strchr(SPACE, r->value[0])) {
		r->value++;
		r->value_len--;
	}
	while (r->value_len > 0 && strchr(SPACE, r->value[r->value_len - 1]))
		r->value_len--;
	r->taken = false;
	return ERR_OK;
}

/* line[len] is readable: the newline or the end's NUL. */
static enum err_code check_line(struct reading *r, const char *line, size_t len)
{
	size_t blank = strspn(line, SPACE);

	if (memchr(line, '\0', len))
		return wrong(r, "a NUL byte");
	if (r->line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
		return wrong(r, "the file begins with a byte order mark; save it as UTF-8 without one");
	if (len > CONFIG_LINE_MAX)
		return wrong(r, "a line of %zu bytes; at most %u (a long query belongs into a view of the database)", len,
			     CONFIG_LINE_MAX);
	if (blank >= len || line[blank] == '#' || line[blank] == ';')
		return ERR_OK;
	if (blank > 0)
		return wrong(r, "a line that begins with a space would go on with the value before it");
	return line[0] == '[' ? take_header(r, line, len) : check_key(r, line, len);
}

/* inih took no key from the line before, though there was one. */
static bool was_dropped(struct reading *r)
{
	if (!r->rc && r->value && !r->taken)
		(void)wrong(r, "inih does not read this line");
	return r->rc != ERR_OK;
}

/* As fgets(): the next line, once it is found to be good. */
static char *give_line(char *out, int size, void *ctx)
{
	struct reading *r = ctx;
	const char *newline;
	size_t len;

	if (was_dropped(r) || r->at == r->end)
		return NULL;
	newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
	len = (size_t)((newline ? newline : r->end) - r->at);
	r->line++;
	r->value = NULL;
	if (check_line(r, r->at, len))
		return NULL;
	if (size < 3 || len > (size_t)size - 2) {
		(void)wrong(r, "a line of %zu bytes; this inih takes %d", len, size - 2);
		return NULL;
	}
	memcpy(out, r->at, len);
	out[len] = '\n';
	out[len + 1] = '\0';
	r->at += len + (newline != NULL);
	return out;
}

/* ${NAME} replaced; *literal: there was none. */
static enum err_code expand(struct reading *r, const char *value, char **out, bool *literal)
{
	struct buf b = BUF_INIT;
	char name[CONFIG_LINE_MAX + 1];
	const char *end, *got;
	size_t n;

	*literal = true;
	for (const char *p = value; *p; p = end + 1) {
		end = p;
		if (p[0] != '$' || p[1] != '{') {
			buf_add_u8(&b, (uint8_t)*p);
			continue;
		}
		end = strchr(p, '}');
		n = end ? (size_t)(end - p) - 2 : 0;
		if (n == 0 || strspn(p + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != n) {
			(void)wrong(r, "'${' begins a name of the environment: ${NAME}");
			goto out;
		}
		memcpy(name, p + 2, n);
		name[n] = '\0';
		got = getenv(name);
		if (!got) {
			(void)wrong(r, "${%s} is not set in the environment", name);
			goto out;
		}
		buf_add_str(&b, got);
		*literal = false;
	}
	buf_add_u8(&b, '\0');
	if (b.bad) {
		r->rc = err_set(r->e, ERR_NOMEM, "no memory for %s", r->c->file);
		goto out;
	}
	*out = (char *)b.p;
	return ERR_OK;
out:
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_release(&b);
	return r->rc;
}

static enum err_code add_key(struct reading *r, const char *key, const char *value)
{
	struct config_section *s = &r->c->sections[r->c->nr - 1];
	struct config_key *grown, k = { .line = r->line };

	if (expand(r, value, &k.value, &k.literal))
		return r->rc;
	k.key = strdup(key);
	grown = reallocarray(s->keys, s->nr_keys + 1, sizeof(*grown));
	if (grown)
		s->keys = grown;
	if (!k.key || !grown) {
		free(k.key);
		clear_free(k.value);
		r->rc = err_set(r->e, ERR_NOMEM, "no memory for %s", r->c->file);
		return r->rc;
	}
	s->keys[s->nr_keys++] = k;
	return ERR_OK;
}

/* inih's side: 0 is an error there. */
static int take_key(void *ctx, const char *section, const char *key, const char *value)
{
	struct reading *r = ctx;
	const struct config_section *s;
	size_t n;

	if (r->rc)
		return 0;
	s = &r->c->sections[r->c->nr - 1];
	n = strlen(s->kind);
	if (!r->value || r->taken || strlen(value) != r->value_len ||
	    memcmp(value, r->value, r->value_len) != 0 || strncmp(section, s->kind, n) != 0 ||
	    strcmp(section + n + (section[n] == ' '), s->name) != 0) {
		(void)wrong(r, "inih reads this line as something else");
		return 0;
	}
	r->taken = true;
	return add_key(r, key, value) == ERR_OK;
}

/* The file. */

static enum err_code read_all(int fd, const char *file, struct buf *out, struct err *e)
{
	uint8_t *room;
	ssize_t n;

	do {
		room = buf_room(out, 65536);
		if (!room)
			return err_set(e, ERR_NOMEM, "no memory for %s", file);
		n = read(fd, room, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read %s", file);
		out->len += (size_t)n;
		if (out->len > CONFIG_FILE_MAX)
			return err_set(e, ERR_USAGE, "%s: more than %u bytes: no configuration", file, CONFIG_FILE_MAX);
	} while (n != 0);
	buf_add_u8(out, '\0');		/* for strspn(); not part of the text */
	return out->bad ? err_set(e, ERR_NOMEM, "no memory for %s", file) : ERR_OK;
}

static enum err_code read_file(const char *file, struct buf *out, bool *others_read, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		rc = errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "there is no configuration %s", file) :
				       err_sys(e, "open %s", file);
		goto out;
	}
	if (fstat(fd, &st) < 0) {
		rc = err_sys(e, "look at %s", file);
		goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		rc = err_set(e, ERR_USAGE, "%s: a folder, no configuration", file);
		goto out;
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH)) {
		rc = err_set(e, ERR_USAGE, "%s: others may write it (mode %04o), and it names programs to run: chmod o-w",
			     file, (unsigned)st.st_mode & 07777u);
		goto out;
	}
	*others_read = S_ISREG(st.st_mode) && (st.st_mode & S_IROTH);
	rc = read_all(fd, file, out, e);
out:
	if (fd >= 0)
		(void)close(fd);	/* only read */
	return rc;
}

enum err_code config_open(const char *file, struct config **out, struct err *e)
{
	struct config *c = calloc(1, sizeof(*c));
	struct reading r = { .c = c, .e = e };
	struct buf text = BUF_INIT;
	enum err_code rc;

	if (!c || !(c->file = strdup(file))) {
		rc = err_set(e, ERR_NOMEM, "no memory for %s", file);
		goto out;
	}
	rc = read_file(file, &text, &r.others_read, e);
	if (rc)
		goto out;
	r.at = (const char *)text.p;
	r.end = r.at + text.len - 1;
	if (ini_parse_stream(give_line, &r, take_key, &r) != 0 && !r.rc)
		(void)wrong(&r, "inih does not read this line");
	rc = was_dropped(&r) ? r.rc : ERR_OK;
	if (rc)
		goto out;
	*out = c;
	c = NULL;
out:
	if (text.p)
		explicit_bzero(text.p, text.cap);
	buf_release(&text);
	config_close(c);
	return rc;
}

struct config_section *config_find(struct config *c, const char *kind, const char *name)
{
	for (size_t i = 0; i < c->nr; i++)
		if (strcmp(c->sections[i].kind, kind) == 0 && (!name || strcmp(c->sections[i].name, name) == 0))
			return &c->sections[i];
	return NULL;
}
