/* SPDX-License-Identifier: MIT */
/* vouch.conf(5): sections of keys, read by inih; what inih would drop or cut without a word is refused, naming the line. */
#ifndef VOUCH_TOOLS_CONFIG_H
#define VOUCH_TOOLS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/err.h"

struct config_key {
	char *key, *value;		/* ${NAME} already replaced */
	unsigned line;
	bool used;			/* config_get() and its kin asked for it */
};

struct config_section {
	char *kind, *name;		/* "[component crm]": "component", "crm"; "[run]": "run", "" */
	unsigned line;
	const char *file;		/* for messages */
	struct config_key *keys;	/* in the file's order; a key may be there more than once (expect) */
	size_t nr_keys;
};

struct config {
	char *file;
	struct config_section *sections;
	size_t nr;
};

#define CONFIG_DEFAULT "/etc/vouch.conf"

/** ERR_NOT_FOUND: no such file.  ERR_USAGE: FILE:LINE and what is wrong there.  A file that others may read and that holds a secret is warned of by config_secret(). */
MUST_CHECK enum err_code config_open(const char *file, struct config **out, struct err *e);
void config_close(struct config *c);	/* NULL is allowed */

/** The section "[kind name]"; name NULL: the first of that kind.  NULL: none. */
struct config_section *config_find(struct config *c, const char *kind, const char *name);

/** The key's last value; NULL: it is not there. */
const char *config_get(struct config_section *s, const char *key);
/** The i-th value of a key that may be there more than once; NULL past the last. */
const char *config_nth(struct config_section *s, const char *key, size_t i);
/** Such a value as words, split as a shell does ('', "", \\), without any other meaning; *out is NULL-terminated, NULL where the key is not there; config_words_free(). */
MUST_CHECK enum err_code config_words(struct config_section *s, const char *key, char ***out, struct err *e);
/** One value split so (for keys with more parts). */
MUST_CHECK enum err_code config_split(const char *value, char ***out, struct err *e);
void config_words_free(char **w);	/* NULL is allowed */
/** yes/no/true/false/on/off; a duration ("15m", "24h", "90s", "7d") in seconds; a number.  ERR_USAGE names file and line. */
MUST_CHECK enum err_code config_bool(struct config_section *s, const char *key, bool def, bool *out, struct err *e);
MUST_CHECK enum err_code config_seconds(struct config_section *s, const char *key, uint64_t def, uint64_t *out, struct err *e);
MUST_CHECK enum err_code config_u64(struct config_section *s, const char *key, uint64_t def, uint64_t *out, struct err *e);

/** A secret: the value of KEY-file's first line, else of KEY (mostly "${NAME}").  malloc'ed, to be cleared with config_secret_free(); NULL where neither is there. */
MUST_CHECK enum err_code config_secret(struct config_section *s, const char *key, char **out, struct err *e);
void config_secret_free(char *secret);

/** ERR_USAGE, naming the line, where a key was never asked for: a misspelt key must not be passed over.  Call it after all were asked for. */
MUST_CHECK enum err_code config_unused(const struct config_section *s, struct err *e);

/** "FILE:LINE: [component crm] KEY: MESSAGE" with ERR_USAGE. */
enum err_code config_wrong(const struct config_section *s, const char *key, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
