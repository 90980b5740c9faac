/* SPDX-License-Identifier: MIT */
/*
 * A file of a dump under a path.  `vouch mount` of the repository on a folder of our own serves it without a copy, each
 * byte checked as it is read; it runs as a child, which ends, and unmounts, when this process does, however that is.
 * Where nothing can be mounted the file is copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
	char *dir;			/* private; goes with all that is in it */
	char *at;			/* the mount point; NULL: none was made */
	struct spawn *mount;
	const char *argv[8];		/* of mount */
	char *text;			/* the path */
	bool copied;			/* text is a file of our own */
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

	spawn_close(p->mount);		/* unmounts as it ends */
	p->mount = NULL;
	if (!p->at)
		return;
	/* Only where it was killed. */
	if (is_mounted(p) && umount2(p->at, MNT_DETACH) < 0 && spawn_run(&o, NULL, &out, 4096, NULL, NULL))
		buf_reset(&out);	/* nothing more can be done about it; the mount is dead, and the folder stays */
	buf_release(&out);
	(void)rmdir(p->at);
	free(p->at);
	p->at = NULL;
}

void restore_path_close(struct restore_path *p)
{
	if (!p)
		return;
	unmount(p);
	if (p->copied)
		(void)unlink(p->text);
	if (p->dir)
		(void)rmdir(p->dir);
	free(p->text);
	free(p->dir);
	free(p);
}

const char *restore_path_text(const struct restore_path *p)
{
	return p->text;
}

static enum err_code make_folder(struct restore_path *p, struct err *e)
{
	const char *tmp = getenv("TMPDIR");

	p->dir = join(tmp && tmp[0] == '/' ? tmp : "/var/tmp", "vouch-XXXXXX");
	if (!p->dir)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (!mkdtemp(p->dir)) {
		enum err_code rc = err_sys(e, "a private folder %s (TMPDIR says where)", p->dir);

		free(p->dir);
		p->dir = NULL;
		return rc;
	}
	return ERR_OK;
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
		if ((kill(spawn_pid(p->mount), 0) < 0 && errno == ESRCH) || (j->cancel && atomic_load(j->cancel)))
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

	p->at = join(p->dir, "repository");
	if (!p->at || mkdir(p->at, 0700) < 0)
		return false;
	p->argv[n++] = self;
	p->argv[n++] = "mount";
	p->argv[n++] = "-fo";
	p->argv[n++] = j->heal ? "noexec" : "noexec,heal=off";
	p->argv[n++] = "--";
	p->argv[n++] = store_path(j->store);
	p->argv[n++] = p->at;
	if (spawn_start(&o, &p->mount, NULL) || !wait_mounted(p, j))
		return false;
	p->text = shown_at(p, j, name);
	return p->text && stat(p->text, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

/* By copy. */

static enum err_code check_space(const struct restore_path *p, uint64_t size, struct err *e)
{
	char need[TEXT_LEN], is[TEXT_LEN];
	struct statvfs v;
	uint64_t room;

	if (statvfs(p->dir, &v) < 0)
		return err_sys(e, "space at %s", p->dir);
	if (mul_u64(v.f_bavail, v.f_frsize, &room))
		room = UINT64_MAX;
	if (size > UINT64_MAX - COPY_SPARE || room < size + COPY_SPARE)
		return err_set(e, ERR_LIMIT, "a copy needs %s, and %s has %s free; set TMPDIR to where there is more",
			       text_size(size, need), p->dir, text_size(room, is));
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

static enum err_code copy(struct restore_path *p, const struct restore_job *j, struct blob *b, struct err *e)
{
	uint8_t *piece = malloc(COPY_LEN);
	enum err_code rc = ERR_OK;
	uint64_t off = 0;
	size_t n;
	int fd;

	fd = open(p->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = err_sys(e, "create %s", p->text);
		goto out;
	}
	p->copied = true;
	if (!piece)
		rc = err_set(e, ERR_NOMEM, "no memory for a copy");
	while (!rc && off < blob_size(b)) {
		if (j->cancel && atomic_load(j->cancel))
			rc = err_set(e, ERR_CANCELED, "interrupted");
		if (!rc)
			rc = blob_pread(b, off, piece, COPY_LEN, &n, e);
		if (!rc)
			rc = write_all(fd, piece, n, p->text, e);
		off += rc ? 0 : n;
	}
	if (close(fd) < 0 && !rc)
		rc = err_sys(e, "close %s", p->text);
out:
	free(piece);
	return rc;
}

static enum err_code by_copy(struct restore_path *p, const struct restore_job *j, const char *name, struct blob *b,
			     struct err *e)
{
	const char *base = strrchr(name, '/');
	enum err_code rc = check_space(p, blob_size(b), e);

	if (rc)
		return rc;
	free(p->text);
	p->text = join(p->dir, base ? base + 1 : name);
	return p->text ? copy(p, j, b, e) : err_set(e, ERR_NOMEM, "no memory for a path");
}

enum err_code restore_path_open(struct restore_job *j, const char *name, struct restore_path **out, struct err *e)
{
	struct restore_path *p = calloc(1, sizeof(*p));
	struct blob *b = NULL;
	enum err_code rc;

	rc = p ? restore_file(j, name, &b, e) : err_set(e, ERR_NOMEM, "no memory for a path");
	if (!rc)
		rc = make_folder(p, e);
	if (!rc && !by_mount(p, j, name, blob_size(b))) {
		unmount(p);
		rc = by_copy(p, j, name, b, e);
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
