/* SPDX-License-Identifier: MIT */
/*
 * A file of a dump under a path.  `vouch mount` of the repository on a folder of our own serves it without a copy, each
 * byte checked as it is read; it runs as a child, which ends, and unmounts, when this process does, however that is.
 * Where nothing can be mounted the file is copied, and the copy's name removed at once: a child that only sleeps has it
 * open, and /proc/CHILD/fd/0 is its path.  (Not our own /proc: nobody may look into a process that may not dump core.)
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/tree.h"
#include "tools/components/component.h"
#include "tools/text.h"

#define MOUNT_MS 30000		/* a repository whose index is lost takes that long to open; then the copy is made */
#define MOUNT_STEP_MS 20
#define COPY_LEN (1u << 20)	/* bytes at once */
#define COPY_SPARE (16u << 20)	/* bytes that a copy leaves free: others write there, too */

struct restore_path {
	char *dir;			/* private; NULL: none was made */
	char *at;			/* the mount point in it; NULL: none was made */
	struct spawn *server;		/* of the mount, or of the copy */
	const char *argv[8];		/* of the mount's */
	char *text;			/* the path */
};

/* What is run for the mount: ourselves, even where the file was replaced meanwhile. */
static const char *self = "/proc/self/exe";

static char *join(const char *a, const char *b) MUST_CHECK;
static char *join(const char *a, const char *b)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "%s/%s", a, b);
	if (text.bad)
		buf_release(&text);
	return (char *)text.p;
}

static bool is_mounted(const struct restore_path *p)
{
	struct stat at, above;

	if (lstat(p->at, &at) < 0)
		return errno == ENOTCONN;	/* its server is dead */
	return lstat(p->dir, &above) == 0 && at.st_dev != above.st_dev;
}

static void unmount(struct restore_path *p)
{
	char *argv[] = { (char *)(uintptr_t)"fusermount3", (char *)(uintptr_t)"-uqz", p->at, NULL };
	struct spawn_options o = { .argv = argv, .in = SPAWN_STDIN_NONE };
	struct buf out = BUF_INIT;

	spawn_close(p->server);		/* unmounts as it ends */
	p->server = NULL;
	if (!p->at)
		return;
	/* Only where it was killed. */
	if (is_mounted(p) && umount2(p->at, MNT_DETACH) < 0 && spawn_run(&o, NULL, &out, 4096, NULL, NULL))
		buf_reset(&out);	/* nothing more can be done about it; the mount is dead, and the folder stays */
	buf_release(&out);
	(void)rmdir(p->at);
	free(p->at);
	p->at = NULL;
	(void)rmdir(p->dir);
	free(p->dir);
	p->dir = NULL;
}

void restore_path_close(struct restore_path *p)
{
	if (!p)
		return;
	unmount(p);
	free(p->text);
	free(p);
}

const char *restore_path_text(const struct restore_path *p)
{
	return p->text;
}

static const char *tmp_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp && tmp[0] == '/' ? tmp : "/var/tmp";
}

static bool make_folders(struct restore_path *p)
{
	char *dir = join(tmp_folder(), "vouch-XXXXXX"), *at = NULL;
	bool made = dir && mkdtemp(dir);

	if (made)
		at = join(dir, "repository");
	if (at && mkdir(at, 0700) == 0) {
		p->dir = dir;
		p->at = at;
		return true;
	}
	if (made)
		(void)rmdir(dir);
	free(dir);
	free(at);
	return false;
}

/* By mount. */

/* Where the mount shows the snapshot. */
static char *shown_at(const struct restore_path *p, const struct restore_job *j, const char *name)
{
	struct buf b = BUF_INIT;
	const char *in = snapshot_has_tag(j->snapshot, TAG_SAFETY) ? ".vouch/safety/" :
			 snapshot_has_tag(j->snapshot, TAG_PARTIAL) ? ".vouch/partial/" : "";

	buf_printf(&b, "%s/%s%s/%s/%s", p->at, in, j->snapshot->name, j->folder, name);
	if (b.bad)
		buf_release(&b);
	return (char *)b.p;
}

/* Until it is mounted, or its program has ended, or it took too long. */
static bool wait_mounted(struct restore_path *p, const struct restore_job *j)
{
	const struct timespec step = { .tv_nsec = MOUNT_STEP_MS * 1000000L };

	for (unsigned ms = 0; ms < MOUNT_MS; ms += MOUNT_STEP_MS) {
		if (is_mounted(p))
			return true;
		if ((kill(spawn_pid(p->server), 0) < 0 && errno == ESRCH) || (j->cancel && atomic_load(j->cancel)))
			return false;
		(void)nanosleep(&step, NULL);
	}
	return false;
}

/* False: not this way. */
static bool by_mount(struct restore_path *p, const struct restore_job *j, const char *name, uint64_t size)
{
	struct spawn_options o = { .argv = (char *const *)(uintptr_t)p->argv, .in = SPAWN_STDIN_NONE, .out_none = true };
	size_t n = 0;
	struct stat st;

	if (!make_folders(p))
		return false;
	p->argv[n++] = self;
	p->argv[n++] = "mount";
	p->argv[n++] = "-fo";
	p->argv[n++] = j->heal ? "noexec" : "noexec,heal=off";
	p->argv[n++] = "--";
	p->argv[n++] = store_path(j->store);
	p->argv[n++] = p->at;
	if (spawn_start(&o, &p->server, NULL) || !wait_mounted(p, j))
		return false;
	p->text = shown_at(p, j, name);
	return p->text && stat(p->text, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

/* By copy. */

static enum err_code check_space(const char *dir, uint64_t size, struct err *e)
{
	char need[TEXT_LEN], is[TEXT_LEN];
	struct statvfs v;
	uint64_t room;

	if (statvfs(dir, &v) < 0)
		return err_sys(e, "space at %s (TMPDIR says where)", dir);
	if (mul_u64(v.f_bavail, v.f_frsize, &room))
		room = UINT64_MAX;
	if (size > UINT64_MAX - COPY_SPARE || room < size + COPY_SPARE)
		return err_set(e, ERR_LIMIT, "a copy needs %s, and %s has %s free; set TMPDIR to where there is more",
			       text_size(size, need), dir, text_size(room, is));
	return ERR_OK;
}

static enum err_code write_all(int fd, const uint8_t *buf, size_t len, const char *name, struct err *e)
{
	ssize_t n;

	for (size_t done = 0; done < len; done += (size_t)n) {
		n = write(fd, buf + done, len - done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return err_sys(e, "write %s", name);
	}
	return ERR_OK;
}

/* A file of our own without a name. */
static enum err_code open_nameless(int *out, struct err *e)
{
	char *name = join(tmp_folder(), "vouch-XXXXXX");
	enum err_code rc = name ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a path");

	if (!rc) {
		*out = mkostemp(name, O_CLOEXEC);
		if (*out < 0 || unlink(name) < 0)
			rc = err_sys(e, "a file %s (TMPDIR says where)", name);
	}
	free(name);
	return rc;
}

static enum err_code copy(int fd, const struct restore_job *j, struct blob *b, struct err *e)
{
	uint8_t *piece = malloc(COPY_LEN);
	enum err_code rc = piece ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a copy");
	uint64_t off = 0;
	size_t n;

	while (!rc && off < blob_size(b)) {
		if (j->cancel && atomic_load(j->cancel))
			rc = err_set(e, ERR_CANCELED, "interrupted");
		if (!rc)
			rc = blob_pread(b, off, piece, COPY_LEN, &n, e);
		if (!rc)
			rc = write_all(fd, piece, n, "a copy", e);
		off += rc ? 0 : n;
	}
	free(piece);
	return rc;
}

/* fd under a path, until p is closed. */
static enum err_code show(struct restore_path *p, int fd, struct err *e)
{
	static const char *const words[] = { "sleep", "2147483647", NULL };
	const struct spawn_options o = { .argv = (char *const *)(uintptr_t)words, .in = SPAWN_STDIN_FD, .in_fd = fd,
					 .out_none = true };
	enum err_code rc = spawn_start(&o, &p->server, e);

	if (rc)
		return rc;
	free(p->text);
	if (asprintf(&p->text, "/proc/%ld/fd/0", (long)spawn_pid(p->server)) < 0) {
		p->text = NULL;
		return err_set(e, ERR_NOMEM, "no memory for a path");
	}
	return access(p->text, R_OK) == 0 ? ERR_OK : err_sys(e, "read %s", p->text);
}

static enum err_code by_copy(struct restore_path *p, const struct restore_job *j, struct blob *b, struct err *e)
{
	enum err_code rc = check_space(tmp_folder(), blob_size(b), e);
	int fd = -1;

	if (!rc)
		rc = open_nameless(&fd, e);
	if (!rc)
		rc = copy(fd, j, b, e);
	if (!rc)
		rc = show(p, fd, e);
	if (fd >= 0 && close(fd) < 0 && !rc)
		rc = err_sys(e, "close a copy");
	return rc;
}

enum err_code restore_path_open(struct restore_job *j, const char *name, struct restore_path **out, struct err *e)
{
	struct restore_path *p = calloc(1, sizeof(*p));
	struct blob *b = NULL;
	enum err_code rc;

	rc = p ? restore_file(j, name, &b, e) : err_set(e, ERR_NOMEM, "no memory for a path");
	if (!rc && !by_mount(p, j, name, blob_size(b))) {
		unmount(p);
		rc = by_copy(p, j, b, e);
		if (rc)
			err_prefix(e, "%s/%s", j->folder, name);
	}
	blob_close(b);
	if (!rc) {
		*out = p;
		p = NULL;
	}
	restore_path_close(p);
	return rc;
}
