/* SPDX-License-Identifier: MIT */
/* What a forget that was cut short left: the second copy of a snapshot of which there is a record. */
#include <stdio.h>
#include <string.h>

#include "store/forget.h"
#include "store/format/snaprec.h"
#include "store/internal.h"

#define DIR_MAIN "snapshots/"
#define DIR_COPY "copies/snapshots/"
#define SUFFIX	 ".json"

static bool add_name(void *ctx, const char *path, uint64_t size)
{
	const char *name = path + strlen(DIR_COPY);
	struct buf *names = ctx;
	size_t len = strlen(name);

	(void)size;
	if (strncmp(path, DIR_COPY, strlen(DIR_COPY)) == 0 && len > strlen(SUFFIX) &&
	    strcmp(name + len - strlen(SUFFIX), SUFFIX) == 0) {
		buf_add(names, name, len - strlen(SUFFIX));
		buf_add_u8(names, 0);
	}
	return !names->bad;
}

static bool is_alone(struct store *s, const char *name)
{
	char path[sizeof(DIR_MAIN) + SNAPSHOT_NAME_LEN + sizeof(SUFFIX)];
	uint64_t size;

	if (!snaprec_name_ok(name))
		return false;
	(void)snprintf(path, sizeof(path), DIR_MAIN "%s" SUFFIX, name);
	return s->backend->ops->size(s->backend, path, &size, NULL) == ERR_NOT_FOUND;
}

struct finishing {
	struct store *s;
	const struct buf *alone;	/* names, a NUL behind each */
};

static enum err_code on_forgotten(void *ctx, const struct forgotten *f, struct err *e)
{
	const struct finishing *fin = ctx;
	const char *name = (const char *)fin->alone->p;

	for (size_t at = 0; at < fin->alone->len; at += strlen(name + at) + 1)
		if (strcmp(name + at, f->name) == 0)
			return snapshot_remove_files(fin->s, f->name, e);
	return ERR_OK;
}

enum err_code forget_finish(struct store *s, struct err *e)
{
	struct buf names = BUF_INIT, alone = BUF_INIT;
	struct finishing fin = { s, &alone };
	enum err_code rc = s->backend->ops->list(s->backend, DIR_COPY, false, add_name, &names, e);

	for (size_t at = 0; !rc && !names.bad && at < names.len;) {
		const char *name = (const char *)names.p + at;

		if (is_alone(s, name))
			buf_add(&alone, name, strlen(name) + 1);
		at += strlen(name) + 1;
	}
	if (!rc && (names.bad || alone.bad))
		rc = err_set(e, ERR_NOMEM, "a list of snapshots");
	if (!rc && alone.len > 0)
		rc = forgotten_each(s, on_forgotten, &fin, e);
	buf_release(&names);
	buf_release(&alone);
	return rc;
}
