/* SPDX-License-Identifier: MIT */
/* The history: a line a run, appended, each with a check of its own. */
#include <stdio.h>

#include "store/base/buf.h"
#include "store/base/digest.h"
#include "store/base/hex.h"
#include "store/internal.h"

#define CHECK_DIGITS	16	/* of the line's SHA-256: against rot, not against forgery */

enum err_code runlog_append(struct store *s, const char *event, const char *json_members,
			    struct err *e)
{
	char now[TIME_TEXT_LEN + 1], name[64], short_id[9], hex[ID_HEX_LEN + 1];
	struct buf line = BUF_INIT;
	struct object_id check;
	uint8_t writer[16];
	enum err_code rc;

	if (json_members && strpbrk(json_members, "\r\n"))
		return err_set(e, ERR_USAGE, "a log line with a line break in it");
	rc = writer_identity(s, writer, NULL, e);
	if (rc)
		return rc;
	store_now(now);
	buf_printf(&line, "{\"time\":\"%s\",\"event\":\"%s\"", now, event);
	if (json_members && *json_members)
		buf_printf(&line, ",%s", json_members);
	if (!line.bad)
		digest_sha256(line.p, line.len, &check);
	if (line.bad) {
		rc = err_set(e, ERR_NOMEM, "a log line");
		goto out;
	}
	buf_printf(&line, ",\"check\":\"%.*s\"}\n", CHECK_DIGITS, id_hex(&check, hex));
	if (line.bad) {
		rc = err_set(e, ERR_NOMEM, "a log line");
		goto out;
	}
	hex_encode(writer, 4, short_id);
	(void)snprintf(name, sizeof(name), "log/%s-%.7s.ndjson", short_id, now);
	rc = s->backend->ops->append(s->backend, name, line.p, line.len, e);
out:
	buf_release(&line);
	if (rc)
		err_prefix(e, "log");
	return rc;
}
