/* SPDX-License-Identifier: MIT */
#include "store/format/forgetrec.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "store/format/checkline.h"
#include "store/format/isotime.h"
#include "store/format/jsonrec.h"
#include "store/format/limits.h"
#include "store/format/snaprec.h"

#define FORGETREC_VERSION 1u
#define KIND		  "forgotten"
#define TAIL		  "\n}\n"	/* of an object as jsonrec_dump() writes it */

void forgotten_release(struct forgotten *f)
{
	free(f->name);
	free(f->reason);
	*f = (struct forgotten){ 0 };
}

void forgetrec_encode(const struct forgotten *f, struct buf *out)
{
	char iso[ISOTIME_LEN + 1];
	json_t *o = json_object();
	bool ok = o && jsonrec_set_str(o, "vouch", KIND) &&
		  jsonrec_set_u64(o, "format", FORGETREC_VERSION) &&
		  jsonrec_set_hex(o, "id", f->id.b, ID_LEN) && jsonrec_set_str(o, "name", f->name) &&
		  jsonrec_set_hex(o, "writer", f->writer, sizeof(f->writer)) &&
		  jsonrec_set_u64(o, "seq", f->seq) &&
		  jsonrec_set_str(o, "time", isotime_encode(&f->time, iso)) &&
		  jsonrec_set_bytes(o, "reason", f->reason);

	if (ok)
		ok = f->has_previous ? jsonrec_set_hex(o, "previous", f->previous.b, ID_LEN) :
				       json_object_set_new(o, "previous", json_null()) == 0;
	if (ok)
		jsonrec_dump(o, out);
	json_decref(o);
	if (!ok || out->bad || out->len < strlen(TAIL) ||
	    memcmp(out->p + out->len - strlen(TAIL), TAIL, strlen(TAIL)) != 0) {
		out->bad = true;
		return;
	}
	out->len -= strlen(TAIL);
	buf_add_str(out, ",\n");
	checkline_add(out);
}

static enum err_code members_decode(const json_t *o, struct forgotten *f, struct err *e)
{
	const json_t *previous = json_object_get(o, "previous");
	const char *name = NULL, *time = NULL;
	enum err_code rc = jsonrec_head(o, KIND, FORGETREC_VERSION, e);

	if (!rc)
		rc = jsonrec_hex(o, "id", f->id.b, ID_LEN, e);
	if (!rc)
		rc = jsonrec_str(o, "name", &name, e);
	if (!rc && !snaprec_name_ok(name))
		rc = err_set(e, ERR_CORRUPT, "\"name\" is no snapshot's");
	if (!rc)
		rc = jsonrec_hex(o, "writer", f->writer, sizeof(f->writer), e);
	if (!rc)
		rc = jsonrec_u64(o, "seq", UINT64_MAX, &f->seq, e);
	if (!rc)
		rc = jsonrec_str(o, "time", &time, e);
	if (!rc && !isotime_decode(time, &f->time))
		rc = err_set(e, ERR_CORRUPT, "\"time\" is no time");
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
	enum err_code rc;

	if (!checkline_ok(buf, len))
		return err_set(e, ERR_CORRUPT, "its last line is not the digest of the others");
	rc = jsonrec_load(buf, len, RECORD_JSON_MAX, &o, e);
	if (!rc)
		rc = members_decode(o, &f, e);
	json_decref(o);
	if (rc)
		forgotten_release(&f);
	else
		*out = f;
	return rc;
}
