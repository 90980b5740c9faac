/* SPDX-License-Identifier: MIT */
#include "store/writing_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/damage_internal.h"

enum err_code writing_begin(struct store *s, struct heartbeat **out, struct err *e)
{
	struct condemned c = {.nr = 0};
	enum err_code rc = heartbeat_begin(s, out, &c, e);

	if (!rc)
		rc = chunks_condemn(s->chunks, c.packs, c.nr, e);
	if (!rc)	/* what is damaged is stored anew */
		rc = damage_doubt(s, e);
	condemned_release(&c);
	return rc;
}

enum err_code writing_publish(struct store *s, const struct heartbeat *h, struct snapshot *snap,
			      struct err *e)
{
	struct err sums = ERR_INIT;
	enum err_code rc = heartbeat_check(h, e);

	if (rc)
		return rc;
	snap->end = store_vtime();
	rc = snapshot_publish(s, snap, e);
	if (!rc && records_refresh_sums(s, &sums))
		store_event(s, EVENT_WARNING, NULL, &sums, "SHA256SUMS is not up to date");
	return rc;
}

void writing_log(struct store *s, const struct snapshot *snap, uint64_t files, uint64_t bytes,
		 enum err_code why)
{
	struct buf line = BUF_INIT;
	struct err e = ERR_INIT;

	if (why)
		buf_printf(&line, "\"status\":\"failed\",\"error\":\"%s\",", err_name(why));
	else
		buf_printf(&line, "\"status\":\"ok\",\"snapshot\":\"%s\",", snap->name);
	buf_printf(&line,
		   "\"files\":%" PRIu64 ",\"bytes\":\"%" PRIu64 "\",\"new_bytes\":\"%" PRIu64
		   "\",\"stored_bytes\":\"%" PRIu64 "\",\"errors\":%" PRIu64,
		   files, bytes, snap->new_bytes, snap->stored_bytes, snap->errors);
	buf_add_u8(&line, '\0');
	if (!line.bad && runlog_append(s, "backup", (const char *)line.p, &e) && !why)
		store_event(s, EVENT_WARNING, NULL, &e, "the run is not in the log");
	buf_release(&line);
}

enum err_code writing_chunker(const struct store *s, uint32_t avg, struct chunker *out,
			      struct err *e)
{
	struct store_params p = s->super.params;
	enum err_code rc = ERR_OK;

	if (avg) {
		p.chunk_min = avg / 4;
		p.chunk_avg = avg;
		p.chunk_max = avg <= UINT32_MAX / 4 ? avg * 4 : UINT32_MAX;
		rc = store_params_check(&p, e);
	}
	if (!rc)
		chunker_init(out, p.chunk_min, p.chunk_avg, p.chunk_max, NULL);
	return rc;
}

enum err_code writing_host(const char *host, char **out, struct err *e)
{
	char name[256] = "";

	if (!host && gethostname(name, sizeof(name) - 1) < 0)
		return err_sys(e, "host name");
	*out = strdup(host ? host : name);
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "host name");
}

enum err_code writing_strings(const char *const *from, size_t nr, char ***out, size_t *out_nr,
			      struct err *e)
{
	*out = calloc(nr ? nr : 1, sizeof((*out)[0]));
	for (size_t i = 0; *out && i < nr; i++) {
		(*out)[i] = strdup(from[i]);
		if (!(*out)[i])
			break;
		++*out_nr;
	}
	if (!*out || *out_nr < nr)
		return err_set(e, ERR_NOMEM, "snapshot");
	return ERR_OK;
}
