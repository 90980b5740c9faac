/* SPDX-License-Identifier: MIT */
#ifndef VOUCH_STORE_ERR_H
#define VOUCH_STORE_ERR_H

#include <stdarg.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/**
 * What a caller can act on.  "Missing", "damaged", "newer format" and "the
 * system failed" are four different things everywhere: the user acts
 * differently on each.
 */
enum err_code {
	ERR_OK = 0,
	ERR_IO,			/* the system failed; err.sys holds errno */
	ERR_NOMEM,
	ERR_NOT_FOUND,		/* missing: no such snapshot, chunk, path, pack */
	ERR_EXISTS,		/* already there, and in the way */
	ERR_CORRUPT,		/* damaged: a digest or a structure is wrong */
	ERR_INCOMPLETE,		/* a pack shorter than its name promises (copy under way) */
	ERR_UNSUPPORTED,	/* written by a newer vouch, or an unknown feature */
	ERR_LIMIT,		/* larger than a named limit allows */
	ERR_BUSY,		/* held by somebody else now; try again */
	ERR_USAGE,		/* the request itself is wrong or ambiguous */
	ERR_ABSENT,		/* the repository is not there (drive not plugged in) */
	ERR_CANCELED,		/* stopped on request; nothing is lost */
	ERR_FAILED,		/* a producer, hook or peer reported failure */
	ERR_CODE_NR
};

/** One line for the user: lower case, no full stop, control characters escaped. */
struct err {
	enum err_code code;
	int sys;		/* errno where the system failed, else 0 */
	const char *file;	/* where the cause was first seen */
	int line;
	char msg[1024];
};

#define ERR_INIT { .code = ERR_OK }

/**
 * Record an error; return its code.  A NULL e is allowed (the code is still
 * returned).  err_set replaces what e held.  The text is cut at the size of msg.
 */
#define err_set(e, code, ...) err_set_at((e), (code), __FILE__, __LINE__, __VA_ARGS__)

/** The same for a failed system call: appends strerror(errno); code ERR_IO (ERR_NOMEM for ENOMEM). */
#define err_sys(e, ...) err_sys_at((e), __FILE__, __LINE__, __VA_ARGS__)

enum err_code err_set_at(struct err *e, enum err_code code, const char *file, int line,
			 const char *fmt, ...) PRINTF_LIKE(5, 6);
enum err_code err_sys_at(struct err *e, const char *file, int line, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/** Put "context: " before the message. */
void err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(struct err *e);

/** "corrupt", "not-found", ...: the name used in JSON and logs. */
const char *err_name(enum err_code code);

#endif
