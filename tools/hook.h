/* SPDX-License-Identifier: MIT */
/* Programs of the user that run before and after something: keys of vouch.conf(5) that may be there more than once. */
#ifndef VOUCH_TOOLS_HOOK_H
#define VOUCH_TOOLS_HOOK_H

#include <stdatomic.h>

#include "tools/config.h"

/**
 * Each value of key in s, in the file's order, as words without a shell: nothing on its standard input, what it writes goes to
 * standard error.  env: "NAME=value" each beside what the environment has; NULL: none.  cancel NULL: it is not interrupted.
 * Ends with the first that fails: ERR_FAILED, which names the section and the program.
 */
MUST_CHECK enum err_code hook_run(struct config_section *s, const char *key, char *const *env, const atomic_bool *cancel,
				  struct err *e);

/**
 * Should vouch be killed (-9) before hook_guard_close(), the same programs are run all the same, each whatever became of the one before,
 * by a process that waits for that.  *out is NULL where there is no such key.
 */
struct hook_guard;
MUST_CHECK enum err_code hook_guard_open(struct config_section *s, const char *key, char *const *env, struct hook_guard **out,
					 struct err *e);
void hook_guard_close(struct hook_guard *g);	/* NULL is allowed */

#endif
