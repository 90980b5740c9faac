/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as vouch.conf: every line of it is a section, a key, a comment or nothing, and each key is handed out once, whole.
 * With: tools/config.c tools/config_value.c tools/text.c -linih
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Lines that have to come out as something. */
static size_t count_lines(const uint8_t *p, size_t len)
{
	size_t nr = 0, n;

	for (size_t at = 0; at < len; at += n + 1) {
		const uint8_t *end = memchr(p + at, '\n', len - at);

		n = end ? (size_t)(end - p) - at : len - at;
		for (size_t i = 0; i < n; i++) {
			if (strchr(" \t\r\v\f", p[at + i]))
				continue;
			nr += p[at + i] != '#' && p[at + i] != ';';
			break;
		}
	}
	return nr;
}

static void use(struct config_section *s)
{
	char **w = NULL;
	uint64_t n;
	bool b;

	for (size_t i = 0; i < s->nr_keys; i++) {
		const struct config_key *k = &s->keys[i];

		must(*k->key && strlen(k->key) <= CONFIG_NAME_MAX);
		must(!k->literal || strlen(k->value) <= CONFIG_LINE_MAX);
		if (config_split(k->value, &w, NULL) == ERR_OK) {
			must(w[0] != NULL);
			config_words_free(w);
		}
		(void)(config_bool(s, k->key, false, &b, NULL) || config_seconds(s, k->key, 0, &n, NULL) ||
		       config_u64(s, k->key, 0, &n, NULL) || config_unused(s, NULL));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = memfd_create("vouch.conf", MFD_CLOEXEC);
	struct config *c = NULL;
	struct err e = ERR_INIT;
	size_t nr = 0;
	char path[64];

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len && fchmod(fd, 0600) == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (config_open(path, &c, &e)) {
		must(e.code == ERR_USAGE && !c && strncmp(e.msg, path, strlen(path)) == 0);
	} else {
		for (size_t i = 0; i < c->nr; i++) {
			nr += 1 + c->sections[i].nr_keys;
			use(&c->sections[i]);
		}
		must(nr == count_lines(data, len));
	}
	config_close(c);
	(void)close(fd);
	return 0;
}
