/* SPDX-License-Identifier: MIT */
#include "store/format/forgetrec.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "store/format/jsonrec.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"

#define FORGETREC_VERSION 1u
#define KIND		  "forgotten"

void forgotten_release(struct forgotten *f)
{
	free(f->name);
	free(f->reason);
	*f = (struct forgotten){ 0 };
}

void forgetrec_encode(const struct forgotten *f, struct buf *out)
{
	json_t *o = json_object();
	bool ok = o && jsonrec_set_str(o, "vouch", KIND) &&
		  jsonrec_set_u64(o, "format", FORGETREC_VERSION) &&
		  jsonrec_set_hex(o, "id", f->id.b, ID_LEN) && jsonrec_set_str(o, "name", f->name) &&
		  jsonrec_set_hex(o, "writer", f->writer, sizeof(f->writer)) &&
		  jsonrec_set_u64(o, "seq", f->seq) &&
		  jsonrec_set_time(o, "time", &f->time) &&
		  jsonrec_set_bytes(o, "reason", f->reason);

	if (ok)
		ok = f->has_previous ? jsonrec_set_hex(o, "previous", f->previous.b, ID_LEN) :
				       json_object_set_new(o, "previous", json_null()) == 0;
	jsonrec_finish(o, ok, out);
}

static enum err_code members_decode(const json_t *o, struct forgotten *f, struct err *e)
{
	const json_t *previous = json_object_get(o, "previous");
	enum err_code rc = jsonrec_hex(o, "id", f->id.b, ID_LEN, e);
	const char *name = NULL;

	if (!rc)
		rc = jsonrec_str(o, "name", &name, e);
	if (!rc && !snaprec_name_ok(name))
		rc = err_set(e, ERR_CORRUPT, "\"name\" is no snapshot's");
	if (!rc)
		rc = jsonrec_hex(o, "writer", f->writer, sizeof(f->writer), e);
	if (!rc)
		rc = jsonrec_u64(o, "seq", UINT64_MAX, &f->seq, e);
	if (!rc)
		rc = jsonrec_time(o, "time", &f->time, e);
	if (!rc)
		rc = jsonrec_bytes(o, "reason", SNAPSHOT_TEXT_MAX, &f->reason, e);
	if (!rc && !json_is_null(previous)) {
		f->has_previous = true;
		rc = jsonrec_hex(o, "previous", f->previous.b, ID_LEN, e);
	}
	if (rc)
		return rc;
	f->name = strdup(name);
	return f->name ? ERR_OK : err_set(e, ERR_NOMEM, "a record");
}

enum err_code forgetrec_decode(const uint8_t *buf, size_t len, struct forgotten *out,
			       struct err *e)
{
	struct forgotten f = { .name = NULL };
	json_t *o = NULL;
	enum err_code rc = jsonrec_load_checked(buf, len, KIND, FORGETREC_VERSION, &o, e);

	if (!rc)
		rc = members_decode(o, &f, e);
	json_decref(o);
	if (rc)
		forgotten_release(&f);
	else
		*out = f;
	return rc;
}
