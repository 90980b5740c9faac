/* SPDX-License-Identifier: MIT */
#include "store/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Names come from media and sources that nobody vouches for; a message is
 * printed on terminals and kept in logs, so control bytes never get into one.
 */
static void scrub(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

enum err_code err_set_at(struct err *e, enum err_code code, const char *file, int line,
			 const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	e->sys = 0;
	e->file = file;
	e->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	scrub(e->msg);
	return code;
}

enum err_code err_sys_at(struct err *e, const char *file, int line, const char *fmt, ...)
{
	int sys = errno;
	enum err_code code = sys == ENOMEM ? ERR_NOMEM : ERR_IO;
	char text[128];
	va_list ap;
	size_t n;

	if (!e)
		return code;
	e->code = code;
	e->sys = sys;
	e->file = file;
	e->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror_r(sys, text, sizeof(text)));
	scrub(e->msg);
	errno = sys;
	return code;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	size_t n;

	if (!e)
		return;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", old);
	scrub(e->msg);
}

void err_clear(struct err *e)
{
	if (!e)
		return;
	e->code = ERR_OK;
	e->sys = 0;
	e->msg[0] = '\0';
}

const char *err_name(enum err_code code)
{
	static const char *const names[ERR_CODE_NR] = {
		[ERR_OK] = "ok",
		[ERR_IO] = "io",
		[ERR_NOMEM] = "no-memory",
		[ERR_NOT_FOUND] = "not-found",
		[ERR_EXISTS] = "exists",
		[ERR_CORRUPT] = "corrupt",
		[ERR_INCOMPLETE] = "incomplete",
		[ERR_UNSUPPORTED] = "unsupported",
		[ERR_LIMIT] = "limit",
		[ERR_BUSY] = "busy",
		[ERR_USAGE] = "usage",
		[ERR_ABSENT] = "absent",
		[ERR_CANCELED] = "canceled",
		[ERR_FAILED] = "failed",
	};

	return (unsigned)code < ERR_CODE_NR ? names[code] : "unknown";
}
