/* SPDX-License-Identifier: MIT */
/*
 * A buffered read of a large file arrives in pieces of what the kernel reads ahead: 128 KiB, unless root raises it in
 * /sys.  Where that lies is told by the device number, which is looked up in mountinfo: a stat would ask the mount
 * itself, which does not answer yet.
 */
#include "fs/readahead.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One request's most; more would be read in vain around each page fault of a program that maps a file. */
#define READAHEAD_KIB	"1024\n"

/* Whether the escaped path (of len bytes; "\040" is a space) is path. */
static bool same_path(const char *escaped, size_t len, const char *path)
{
	const char *end = escaped + len;

	while (escaped < end && *path) {
		char c = *escaped++;

		if (c == '\\' && end - escaped >= 3) {
			c = (char)((escaped[0] - '0') << 6 | (escaped[1] - '0') << 3 |
				   (escaped[2] - '0'));
			escaped += 3;
		}
		if (c != *path++)
			return false;
	}
	return escaped == end && !*path;
}

/* "36 35 0:45 / /mnt rw,... - fuse.vouch ..." */
bool readahead_device(const char *line, const char *mountpoint, char *out, size_t cap)
{
	const char *field[5];
	size_t len[5];

	for (size_t i = 0; i < 5; i++) {
		field[i] = line;
		len[i] = strcspn(line, " \n");
		line += len[i];
		if (*line != ' ')
			return false;
		line++;
	}
	if (!same_path(field[4], len[4], mountpoint) || len[2] >= cap)
		return false;
	memcpy(out, field[2], len[2]);
	out[len[2]] = '\0';
	return true;
}

void readahead_raise(const char *mountpoint)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char device[32] = "", name[96], *line = NULL;
	size_t cap = 0;
	ssize_t done;
	int fd;

	if (!f)
		return;
	while (getline(&line, &cap, f) > 0)	/* the last one is on top of the others */
		(void)readahead_device(line, mountpoint, device, sizeof(device));
	free(line);
	(void)fclose(f);
	(void)snprintf(name, sizeof(name), "/sys/class/bdi/%s/read_ahead_kb", device);
	fd = device[0] ? open(name, O_WRONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	done = write(fd, READAHEAD_KIB, sizeof(READAHEAD_KIB) - 1);
	(void)done;		/* not allowed: slower, and nothing else */
	(void)close(fd);
}
