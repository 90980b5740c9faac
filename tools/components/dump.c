/* SPDX-License-Identifier: MIT */
/* What a dump writes: files of the assembly below the component's folder; or nothing, where only looking is wanted. */
#include <stdlib.h>
#include <string.h>

#include "tools/components/component.h"

enum err_code dump_file_open(struct dump *d, const char *name, struct assembly_file **out, struct err *e)
{
	struct buf path = BUF_INIT;
	enum err_code rc;

	*out = NULL;
	if (!d->to)
		return ERR_OK;
	buf_printf(&path, "%s/%s", d->folder, name);
	if (path.bad)
		rc = err_set(e, ERR_NOMEM, "no memory for %s", name);
	else
		rc = assembly_file_open(d->to, (const char *)path.p, DUMP_CHUNK_AVG, out, e);
	buf_release(&path);
	return rc;
}

enum err_code dump_write(struct assembly_file *f, const void *buf, size_t len, struct err *e)
{
	return f ? assembly_write(f, buf, len, e) : ERR_OK;
}

enum err_code dump_file_close(struct dump *d, const char *name, struct assembly_file *f, struct err *e)
{
	struct object_id sha256;
	enum err_code rc;
	uint64_t size;

	if (!f)
		return ERR_OK;
	rc = assembly_file_close(f, &size, &sha256, e);
	if (!rc)
		facts_file(d->facts, name, size, &sha256);
	return rc;
}
