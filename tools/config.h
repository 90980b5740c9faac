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
	bool literal;			/* no ${NAME} was in it: the file itself holds the value */
	bool used;			/* config_get() and its kin asked for it */
};

struct config_section {
	char *kind, *name;		/* "[component crm]": "component", "crm"; "[run]": "run", "" */
	unsigned line;
	const char *file;		/* for messages */
	bool others_read;		/* the file's mode lets others read it */
	struct config_key *keys;	/* in the file's order; a key may be there more than once (expect) */
	size_t nr_keys;
};

struct config {
	char *file;
	struct config_section *sections;	/* of the kinds repository, component, run, reference; each name once */
	size_t nr;
};

#define CONFIG_DEFAULT "/etc/vouch.conf"
#define CONFIG_FILE_MAX (1u << 20)	/* bytes */
#define CONFIG_LINE_MAX 198u		/* bytes without the newline: what inih's buffer of 200 takes whole */
#define CONFIG_NAME_MAX 49u		/* bytes between [ and ], and of a key: inih cuts what is longer */

/**
 * ERR_NOT_FOUND: no such file.  ERR_USAGE: FILE:LINE and what is wrong there, or others may write the file (it names
 * programs to run).
 */
MUST_CHECK enum err_code config_open(const char *file, struct config **out, struct err *e);
void config_close(struct config *c);	/* NULL is allowed; clears what it held */

/** The section "[kind name]"; name NULL: the first of that kind.  NULL: none. */
struct config_section *config_find(struct config *c, const char *kind, const char *name);

/** The key's last value; NULL: it is not there.  One given twice is then wrong: config_unused(). */
const char *config_get(struct config_section *s, const char *key);
/** The i-th value of a key that may be there more than once; NULL past the last. */
const char *config_nth(struct config_section *s, const char *key, size_t i);

/**
 * Such a value as words, split as a shell does ('', "", \\), without any other meaning; *out is NULL-terminated, NULL
 * where the key is not there; config_words_free().  ERR_USAGE: a quote that is not closed, or no word at all.
 */
MUST_CHECK enum err_code config_words(struct config_section *s, const char *key, char ***out, struct err *e);
/** One value split so (for keys with more parts); the message names no file. */
MUST_CHECK enum err_code config_split(const char *value, char ***out, struct err *e);
void config_words_free(char **w);	/* NULL is allowed */

/** yes/no/true/false/on/off; a duration ("15m", "24h", "90s", "7d") in seconds; a decimal number.  ERR_USAGE. */
MUST_CHECK enum err_code config_bool(struct config_section *s, const char *key, bool def, bool *out, struct err *e);
MUST_CHECK enum err_code config_seconds(struct config_section *s, const char *key, uint64_t def, uint64_t *out,
					struct err *e);
MUST_CHECK enum err_code config_u64(struct config_section *s, const char *key, uint64_t def, uint64_t *out,
				    struct err *e);

/**
 * A secret: the first line of the file that KEY-file names, else the value of KEY (mostly "${NAME}").  malloc'ed,
 * config_secret_free(); NULL where neither is there.  ERR_USAGE: both are there, the secret is empty, or others may
 * read it where it is written.
 */
MUST_CHECK enum err_code config_secret(struct config_section *s, const char *key, char **out, struct err *e);
void config_secret_free(char *secret);	/* NULL is allowed; clears it */

/** ERR_USAGE, naming the line, where a key was never asked for: a misspelt one must not be passed over.  Call it last. */
MUST_CHECK enum err_code config_unused(const struct config_section *s, struct err *e);

/** "FILE:LINE: [component crm] KEY: MESSAGE" with ERR_USAGE; key NULL or not there: the section's line. */
enum err_code config_wrong(const struct config_section *s, const char *key, struct err *e, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
