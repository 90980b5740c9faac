/* SPDX-License-Identifier: MIT */
#include "fs/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "store/base/checked.h"

/*
 * The mount is read-only, nosuid, nodev and noatime whatever is asked, so the
 * words for that are taken in silence and their opposites refused: a person who
 * typed "suid" and got nosuid would find out at the worst time.  mount(8) adds
 * rw, suid and dev of its own accord, so that from it they mean nothing.
 */
static const char *const granted[] = {
	"ro", "nosuid", "nodev", "noatime", "default_permissions", "exec",
	/* what an /etc/fstab line has for others than us */
	"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev",
	"nofail",
	/* what makes no difference to a file system nobody can write to, and that keeps no access times */
	"relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime",
	"diratime", "nodiratime", "sync", "async", "dirsync", "silent", "loud", "mand", "nomand",
};

static const struct refusal {
	const char *name, *why;
} refused[] = {
	{ "rw", "a mounted backup is read-only" },
	{ "suid", "set-user-id programs are never honoured in a backup" },
	{ "dev", "device files are never honoured in a backup" },
	{ "atime", "a backup keeps no access times" },
};

static bool is(const char *opt, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(opt, name, len) == 0;
}

static bool begins(const char *opt, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len >= n && memcmp(opt, with, n) == 0;
}

static bool is_valued(const char *opt, size_t len, struct options *o)
{
	static const struct {
		const char *text;
		size_t at;
		bool to;
	} valued[] = {
		{ "control=hidden", offsetof(struct options, show_control), false },
		{ "control=visible", offsetof(struct options, show_control), true },
		{ "heal=on", offsetof(struct options, no_heal), false },
		{ "heal=off", offsetof(struct options, no_heal), true },
		{ "time=utc", offsetof(struct options, local_time), false },
		{ "time=local", offsetof(struct options, local_time), true },
		{ "verify=cached", offsetof(struct options, verify_always), false },
		{ "verify=always", offsetof(struct options, verify_always), true },
	};

	for (size_t i = 0; i < ARRAY_LEN(valued); i++) {
		if (is(opt, len, valued[i].text)) {
			*(bool *)((char *)o + valued[i].at) = valued[i].to;
			return true;
		}
	}
	return false;
}

static enum err_code option(const char *opt, size_t len, bool by_mount, struct options *o,
			    struct err *e)
{
	if (len == 0 || begins(opt, len, "x-") || begins(opt, len, "X-") ||
	    begins(opt, len, "comment=") || begins(opt, len, "user=") ||
	    begins(opt, len, "fsname=") || begins(opt, len, "subtype=") || is_valued(opt, len, o))
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(granted); i++)
		if (is(opt, len, granted[i]))
			return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (is(opt, len, refused[i].name) && by_mount)
			return ERR_OK;
		else if (is(opt, len, refused[i].name))
			return err_set(e, ERR_USAGE, "-o %s: %s", refused[i].name, refused[i].why);
	if (is(opt, len, "allow_other"))
		o->allow_other = true;
	else if (is(opt, len, "noexec"))
		o->noexec = true;
	else
		return err_set(e, ERR_USAGE, "-o %.*s: no such mount option",
			       (int)(len > 200 ? 200 : len), opt);
	return ERR_OK;
}

enum err_code options_parse(const char *text, bool by_mount, struct options *out, struct err *e)
{
	struct options o = { 0 };
	enum err_code rc = ERR_OK;

	while (text && *text && !rc) {
		size_t len = strcspn(text, ",");

		rc = option(text, len, by_mount, &o, e);
		text += len;
		text += *text == ',';
	}
	if (!rc)
		*out = o;
	return rc;
}

enum err_code options_check_allow_other(const char *conf, bool root, struct err *e)
{
	bool found = false;
	char line[256];
	FILE *f;

	if (root)
		return ERR_OK;
	f = fopen(conf, "re");
	/* One that exists but cannot be read is for fusermount3 to judge: it runs as root. */
	if (!f && errno != ENOENT)
		return ERR_OK;
	while (f && !found && fgets(line, sizeof(line), f)) {
		char *p = line + strspn(line, " \t");

		p[strcspn(p, " \t\r\n#")] = '\0';
		found = strcmp(p, "user_allow_other") == 0;
	}
	if (f)
		(void)fclose(f);	/* only read from */
	if (!found)
		return err_set(e, ERR_USAGE,
			       "-o allow_other is not allowed to users here: root must add the line "
			       "user_allow_other to %s", conf);
	return ERR_OK;
}
