/* SPDX-License-Identifier: MIT */
#include "store/format/collectrec.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/format/jsonrec.h"
#include "store/format/limits.h"

#define VERSION 1u

void condemned_rec_release(struct condemned_rec *r)
{
	free(r->packs);
	*r = (struct condemned_rec){ .nr = 0 };
}

void condemned_rec_encode(const struct condemned_rec *r, struct buf *out)
{
	json_t *o = json_object(), *packs = json_array();
	char hex[ID_HEX_LEN + 1];
	bool ok = o && packs && jsonrec_set_str(o, "vouch", "condemned") &&
		  jsonrec_set_u64(o, "format", VERSION) && jsonrec_set_time(o, "time", &r->time);

	for (size_t i = 0; ok && i < r->nr; i++)
		ok = json_array_append_new(packs, json_string(id_hex(&r->packs[i], hex))) == 0;
	ok = ok && json_object_set(o, "packs", packs) == 0;
	json_decref(packs);
	jsonrec_finish(o, ok, out);
}

static enum err_code get_packs(const json_t *o, struct condemned_rec *r, struct err *e)
{
	const json_t *a = NULL;
	enum err_code rc = jsonrec_array(o, "packs", CONDEMNED_PACKS_MAX, &a, e);
	size_t nr;

	if (rc)
		return rc;
	nr = json_array_size(a);
	r->packs = calloc(nr + 1, sizeof(r->packs[0]));
	if (!r->packs)
		return err_set(e, ERR_NOMEM, "%zu packs", nr);
	for (; r->nr < nr; r->nr++) {
		const char *hex = json_string_value(json_array_get(a, r->nr));

		if (!hex || strlen(hex) != ID_HEX_LEN || !id_parse(hex, &r->packs[r->nr]))
			return err_set(e, ERR_CORRUPT, "\"packs\" has what is no id");
	}
	return ERR_OK;
}

enum err_code condemned_rec_decode(const uint8_t *buf, size_t len, struct condemned_rec *out,
				   struct err *e)
{
	struct condemned_rec r = { .nr = 0 };
	json_t *o = NULL;
	enum err_code rc = jsonrec_load_checked(buf, len, "condemned", VERSION, &o, e);

	if (!rc)
		rc = jsonrec_time(o, "time", &r.time, e);
	if (!rc)
		rc = get_packs(o, &r, e);
	json_decref(o);
	if (rc)
		condemned_rec_release(&r);
	else
		*out = r;
	return rc;
}

void writer_rec_release(struct writer_rec *r)
{
	for (size_t i = 0; i < r->nr_known; i++)
		free(r->known[i]);
	free(r->known);
	*r = (struct writer_rec){ .pid = 0 };
}

void writer_rec_encode(const struct writer_rec *r, struct buf *out)
{
	json_t *o = json_object(), *known = json_array();
	bool ok = o && known && jsonrec_set_str(o, "vouch", "writer") &&
		  jsonrec_set_u64(o, "format", VERSION) &&
		  jsonrec_set_hex(o, "writer", r->writer, sizeof(r->writer)) &&
		  jsonrec_set_time(o, "began", &r->began) && jsonrec_set_time(o, "beat", &r->beat) &&
		  jsonrec_set_str(o, "boot", r->boot) && jsonrec_set_u64(o, "pid", r->pid) &&
		  jsonrec_set_u64(o, "ticks", r->ticks);

	for (size_t i = 0; ok && i < r->nr_known; i++)
		ok = json_array_append_new(known, json_string(r->known[i])) == 0;
	ok = ok && json_object_set(o, "condemned", known) == 0;
	json_decref(known);
	jsonrec_finish(o, ok, out);
}

static enum err_code get_known(const json_t *o, struct writer_rec *r, struct err *e)
{
	const json_t *a = NULL;
	enum err_code rc = jsonrec_array(o, "condemned", WRITER_KNOWN_MAX, &a, e);
	size_t nr;

	if (rc)
		return rc;
	nr = json_array_size(a);
	r->known = calloc(nr + 1, sizeof(r->known[0]));
	if (!r->known)
		return err_set(e, ERR_NOMEM, "%zu records", nr);
	for (; r->nr_known < nr; r->nr_known++) {
		const char *name = json_string_value(json_array_get(a, r->nr_known));

		if (!name)
			return err_set(e, ERR_CORRUPT, "\"condemned\" has what is no name");
		r->known[r->nr_known] = strdup(name);
		if (!r->known[r->nr_known])
			return err_set(e, ERR_NOMEM, "%zu records", nr);
	}
	return ERR_OK;
}

enum err_code writer_rec_decode(const uint8_t *buf, size_t len, struct writer_rec *out,
				struct err *e)
{
	struct writer_rec r = { .pid = 0 };
	const char *boot = NULL;
	json_t *o = NULL;
	enum err_code rc = jsonrec_load_checked(buf, len, "writer", VERSION, &o, e);

	if (!rc)
		rc = jsonrec_hex(o, "writer", r.writer, sizeof(r.writer), e);
	if (!rc)
		rc = jsonrec_time(o, "began", &r.began, e);
	if (!rc)
		rc = jsonrec_time(o, "beat", &r.beat, e);
	if (!rc)
		rc = jsonrec_str(o, "boot", &boot, e);
	if (!rc && strlen(boot) >= sizeof(r.boot))
		rc = err_set(e, ERR_CORRUPT, "\"boot\" is too long");
	if (!rc)
		rc = jsonrec_u64(o, "pid", INT32_MAX, &r.pid, e);
	if (!rc)
		rc = jsonrec_u64(o, "ticks", UINT64_MAX, &r.ticks, e);
	if (!rc) {
		(void)snprintf(r.boot, sizeof(r.boot), "%s", boot);
		rc = get_known(o, &r, e);
	}
	json_decref(o);
	if (rc)
		writer_rec_release(&r);
	else
		*out = r;
	return rc;
}
