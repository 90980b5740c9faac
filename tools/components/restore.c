/* SPDX-License-Identifier: MIT */
/* What a restore reads: files of the dump in the job's snapshot, each byte checked. */
#include <stdlib.h>
#include <string.h>

#include "store/tree.h"
#include "tools/components/component.h"

#define FEED_LEN (1u << 20)	/* bytes at once into a program: a pipe holds 64 KiB, the store reads larger pieces faster */

enum err_code restore_file(struct restore_job *j, const char *name, struct blob **out, struct err *e)
{
	struct entry_ref ref = { 0 };
	struct buf path = BUF_INIT;
	enum err_code rc;

	buf_printf(&path, "%s/%s", j->folder, name);
	if (path.bad)
		rc = err_set(e, ERR_NOMEM, "no memory for %s", name);
	else
		rc = tree_path(j->store, &j->snapshot->root, (const char *)path.p, &ref, e);
	if (!rc && ref.e.type != ENTRY_FILE)
		rc = err_set(e, ERR_NOT_FOUND, "no file");
	if (!rc)
		rc = blob_open(j->store, &ref.e, out, e);
	entry_ref_release(j->store, &ref);
	buf_release(&path);
	if (rc)
		err_prefix(e, "%s/%s in snapshot %s", j->folder, name, j->snapshot->name);
	return rc;
}

enum err_code restore_feed(struct component *c, struct restore_job *j, const char *name, struct spawn *to, struct err *e)
{
	uint8_t *piece = malloc(FEED_LEN);
	struct blob *b = NULL;
	uint64_t off = 0;
	enum err_code rc;
	size_t n;

	rc = piece ? restore_file(j, name, &b, e) : err_set(e, ERR_NOMEM, "no memory to read %s", name);
	while (!rc && off < blob_size(b)) {
		rc = blob_pread(b, off, piece, FEED_LEN, &n, e);
		if (rc)
			err_prefix(e, "%s/%s", j->folder, name);
		else
			rc = spawn_write(to, c->cancel, piece, n, e);
		off += rc ? 0 : n;
		component_progress(c, "restore", off, blob_size(b));
	}
	/* After an error the program must not take what it got for all: the caller ends it before its input ends. */
	if (!rc)
		spawn_close_stdin(to);
	blob_close(b);
	free(piece);
	return rc;
}
