/* SPDX-License-Identifier: MIT */
/* Signatures that were left alone: a run was killed before its snapshot had its name, or while it was let go. */
#include <stdio.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/heartbeat_internal.h"
#include "store/signature_internal.h"

#define FOLDER	"snapshots/"
#define SUFFIX	".sig"

struct found {
	struct buf stems;	/* "snapshots/NAME", NUL after each */
	size_t nr, skip;	/* skip: bytes of a listed name before that */
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct found *f = ctx;
	size_t len = strlen(name), end = strlen(SUFFIX);

	(void)size;
	if (len - f->skip > STEM_LEN || len <= f->skip + end ||
	    strcmp(name + len - end, SUFFIX) != 0)
		return true;
	buf_add(&f->stems, name + f->skip, len - f->skip - end);
	buf_add_u8(&f->stems, '\0');
	f->nr++;
	return !f->stems.bad;
}

/** Neither the snapshot nor its copy is there. */
static bool is_alone(struct store *s, const char *stem)
{
	char path[sizeof("copies/.json") + STEM_LEN];
	bool alone = true;
	uint64_t size;

	for (int copy = 0; copy < 2 && alone; copy++) {
		(void)snprintf(path, sizeof(path), "%s%s.json", copy ? "copies/" : "", stem);
		alone = s->backend->ops->size(s->backend, path, &size, NULL) == ERR_NOT_FOUND;
	}
	return alone;
}

enum err_code signatures_sweep(struct store *s, const struct heartbeat *mine, struct err *e)
{
	const struct backend_ops *ops = s->backend->ops;
	struct found f = { BUF_INIT, 0, 0 };
	const char *stem;
	uint64_t others = 0;
	enum err_code rc;

	rc = ops->list(s->backend, FOLDER, false, on_name, &f, e);
	f.skip = strlen("copies/");
	if (!rc)
		rc = ops->list(s->backend, "copies/" FOLDER, false, on_name, &f, e);
	if (!rc && f.stems.bad)
		rc = err_set(e, ERR_NOMEM, "%zu signatures", f.nr);
	/* Who comes to work after the listing has not written any of these. */
	if (!rc)
		rc = heartbeats_unaware(s, NULL, mine, &others, e);
	stem = (const char *)f.stems.p;
	for (size_t i = 0; i < f.nr && !rc && others == 0; i++, stem += strlen(stem) + 1)
		if (is_alone(s, stem))
			rc = signature_remove(s, stem, e);
	buf_release(&f.stems);
	return rc;
}
