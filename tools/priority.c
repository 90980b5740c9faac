/* SPDX-License-Identifier: MIT */
#include "tools/priority.h"

#include <linux/ioprio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEVEL_DEFAULT	4	/* ionice(1)'s */
#define LEVEL_MAX	7

bool priority_parse_ionice(const char *s, struct priority *out)
{
	static const char best[] = "best-effort";
	int level = LEVEL_DEFAULT;

	if (strcmp(s, "idle") == 0) {
		out->ionice = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
		out->has_ionice = true;
		return true;
	}
	if (strncmp(s, best, sizeof(best) - 1) != 0)
		return false;
	s += sizeof(best) - 1;
	if (*s) {
		if (s[0] != ':' || s[1] < '0' || s[1] > '0' + LEVEL_MAX || s[2])
			return false;
		level = s[1] - '0';
	}
	out->ionice = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, level);
	out->has_ionice = true;
	return true;
}

/* On Linux both are a thread's own, and inherited by the threads that it starts. */
enum err_code priority_apply(const struct priority *p, struct err *e)
{
	if (p->has_nice && setpriority(PRIO_PROCESS, 0, p->nice) < 0)
		return err_sys(e, "--nice %d", p->nice);
	if (p->has_ionice && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, p->ionice) < 0)
		return err_sys(e, "--ionice");
	return ERR_OK;
}
