/* SPDX-License-Identifier: MIT */
#include "store/base/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_TICKS	22	/* of /proc/PID/stat: starttime, see proc(5) */

uint64_t process_ticks(uint64_t pid)
{
	char path[64], line[1024], *at;
	uint64_t ticks = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	at = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;	/* a name may hold anything */
	(void)fclose(f);
	if (at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0))
		at = NULL;
	for (int field = 2; at && field < FIELD_TICKS; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}
