/* SPDX-License-Identifier: MIT */
#include "tools/confirm.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/text.h"

#define STEPS 10		/* looks at ^C a second */

enum err_code confirm_possible(bool yes, struct err *e)
{
	if (yes || isatty(STDERR_FILENO))
		return ERR_OK;
	return err_set(e, ERR_USAGE, "this overwrites, and there is no terminal on which it could be stopped; give --yes (or "
				     "look first with --dry-run)");
}

static void show(const char *what, int left)
{
	fprintf(stderr, "\r%s in %d s; ^C stops it \033[K", what, left);
	(void)fflush(stderr);
}

enum err_code confirm_countdown(struct app *a, bool yes, const char *what, const atomic_bool *cancel, struct err *e)
{
	const struct timespec step = { .tv_nsec = 1000000000 / STEPS };
	struct buf line = BUF_INIT;
	bool stop = atomic_load(cancel);

	if (!yes) {
		text_clean_str(&line, what);
		buf_add_u8(&line, '\0');
		progress_clear(a->progress);
		for (int n = 0; !stop && n < CONFIRM_SECONDS * STEPS; n++) {
			if (n % STEPS == 0)
				show(line.bad ? "" : (const char *)line.p, CONFIRM_SECONDS - n / STEPS);
			(void)nanosleep(&step, NULL);
			stop = atomic_load(cancel);
		}
		fputs("\r\033[K", stderr);
		(void)fflush(stderr);
		buf_release(&line);
	}
	return stop ? err_set(e, ERR_CANCELED, "stopped before anything was touched") : ERR_OK;
}
