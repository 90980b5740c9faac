/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fs/mount.h"
#include "store/base/buf.h"
#include "tools/commands.h"

static void add_fuse_option(struct buf *all, const char *more)
{
	if (all->len)
		buf_add_u8(all, ',');
	buf_add_str(all, more);
}

static int mount_it(struct app *a, struct mount_options *o)
{
	struct err e = ERR_INIT;
	struct store_events ev;
	int status;

	if (!a->repo || !*a->repo)
		return app_usage(a, "no repository given: use --repo PATH, set VOUCH_REPO, or name it "
				    "before the mount point");
	status = app_begin(a, false);
	if (status)
		return status;
	o->repository = a->repo;
	ev = progress_events(a->progress);
	if (!mount_run(o, &ev, &e))
		return STATUS_DONE;
	return e.code == ERR_NOT_FOUND ? app_fail_open(a, &e) : app_fail(a, &e);
}

/*
 * By mount(8) and /etc/fstab it is "vouch REPOSITORY MOUNTPOINT -o OPTIONS" (mount.fuse3's form: main finds
 * no command in it) or "mount.vouch REPOSITORY MOUNTPOINT [-sfnv] [-o OPTIONS]"; then argv[0] is that program.
 */
static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, { "foreground", no_argument, NULL, 'f' },
		{ "options", required_argument, NULL, 'o' }, APP_LONG_END
	};
	struct mount_options o = { .by_mount = strcmp(argv[0], "mount") != 0 };
	struct buf fuse = BUF_INIT;
	bool fake = false;	/* mount -f: all but the mount */
	int status, c;

	while ((c = app_getopt(a, argc, argv, o.by_mount ? ":fnsvo:" : ":fho:r:", longs)) != -1) {
		if (o.by_mount && c == 'f') {
			fake = true;
		} else if (o.by_mount && strchr("nsv", c)) {
			continue;	/* no mtab, sloppy, verbose: nothing to be done about */
		} else if (c == 'f') {
			o.foreground = true;
		} else if (c == 'o') {
			add_fuse_option(&fuse, optarg);
		} else {
			buf_release(&fuse);
			return app_getopt_status(c);
		}
	}
	buf_add_u8(&fuse, '\0');
	if (fuse.bad) {
		status = STATUS_FAILED;
	} else if (argc - optind == 1 || argc - optind == 2) {
		if (argc - optind == 2)
			a->repo = argv[optind];
		o.mountpoint = argv[argc - 1];
		o.fuse_options = *fuse.p ? (const char *)fuse.p : NULL;
		status = fake ? STATUS_DONE : mount_it(a, &o);
	} else {
		status = app_usage(a, "one MOUNTPOINT, please");
	}
	buf_release(&fuse);
	return status;
}

const struct command cmd_mount = {
	.name = "mount",
	.summary = "show the snapshots as folders",
	.usage = "usage: vouch mount [-f] [-o OPTION,...] [REPOSITORY] MOUNTPOINT\n"
		 "Mount the repository: each snapshot is a dated folder, 'latest' a link to the newest.  It goes\n"
		 "to the background once the mount is up; 'fusermount3 -u MOUNTPOINT' ends it.\n\n"
		 "  -f, --foreground   stay in the foreground\n"
		 "  -o OPTION,...      allow_other and other options of FUSE; see vouch-mount(1)\n",
	.run = run,
};
