/* SPDX-License-Identifier: MIT */
#include "store/backup_names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_LEN (64u << 10) /* bytes a call may bring: some two thousand names */

void names_release(struct names *n)
{
	free(n->all);
	free(n->text);
	*n = (struct names){0};
}

enum err_code names_add(struct names *n, const char *name, struct err *e)
{
	size_t len = strlen(name) + 1;

	if (len > n->text_cap - n->text_len) {
		size_t cap = 2 * n->text_cap + len + 256;
		char *p = realloc(n->text, cap);

		if (!p)
			return err_set(e, ERR_NOMEM, "%zu bytes of names", cap);
		n->text = p;
		n->text_cap = cap;
	}
	memcpy(n->text + n->text_len, name, len);
	n->text_len += len;
	n->nr++;
	return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

enum err_code names_sort(struct names *n, struct err *e)
{
	size_t nr = 0;

	if (n->nr == 0)
		return ERR_OK;
	n->all = malloc(n->nr * sizeof(n->all[0]));
	if (!n->all)
		return err_set(e, ERR_NOMEM, "%zu names", n->nr);
	for (const char *p = n->text; p < n->text + n->text_len; p += strlen(p) + 1)
		n->all[nr++] = p;
	qsort(n->all, nr, sizeof(n->all[0]), by_name);
	/* A folder that changes while it is read may name an entry twice. */
	n->nr = 1;
	for (size_t i = 1; i < nr; i++) {
		if (strcmp(n->all[i], n->all[n->nr - 1]) != 0)
			n->all[n->nr++] = n->all[i];
	}
	return ERR_OK;
}

bool names_have(const struct names *n, const char *name)
{
	return n->nr > 0 && bsearch(&name, n->all, n->nr, sizeof(n->all[0]), by_name);
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

enum err_code names_read(struct names *n, int fd, int *sys, struct err *e)
{
	enum err_code rc = ERR_OK;
	char *buf = malloc(READ_LEN);
	ssize_t got;

	*sys = 0;
	if (!buf)
		return err_set(e, ERR_NOMEM, "folder");
	while (!rc && (got = getdents64(fd, buf, READ_LEN)) != 0) {
		if (got < 0) {
			*sys = errno;
			break;
		}
		for (ssize_t at = 0; at < got && !rc;) {
			const struct dirent64 *d = (const void *)(buf + at);

			if (!is_dot(d->d_name))
				rc = names_add(n, d->d_name, e);
			at += d->d_reclen;
		}
	}
	free(buf);
	return rc ? rc : names_sort(n, e);
}
