/* SPDX-License-Identifier: MIT */
/*
 * manifest/SNAPSHOT.json: every regular file with size, times, mode and digest.  Its length is in no totals, so that
 * it is made when it is first looked at, into a file without a name in $TMPDIR (/var/tmp), and the newest few are
 * kept.  It is the same each time, so that one made again has the same length and bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control_impl.h"
#include "fs/filewalk.h"
#include "fs/json.h"
#include "store/base/checked.h"

#define KEPT		8u
#define SIZES		1024u		/* snapshots whose manifest's length is remembered */
#define WRITE_AT	(256u << 10)	/* bytes gathered before they are written */

struct manifest {
	uint64_t slot;
	uint64_t used;		/* clock when last asked for; 0: empty */
	unsigned readers;
	int fd;
};

struct manifests {
	pthread_mutex_t mutex;
	pthread_cond_t done;
	bool making;			/* mutex, as all here: one at a time */
	uint64_t clock;
	struct manifest kept[KEPT];
	struct {
		uint64_t slot, size;	/* slot 0: empty */
	} sizes[SIZES];
};

/* Making. */

struct maker {
	const struct ctl *c;
	int fd;
	struct buf text;
	uint64_t written;
	bool any;
};

static enum err_code flush(struct maker *m, struct err *e)
{
	size_t done = 0;

	if (m->text.bad)
		return err_set(e, ERR_NOMEM, "a manifest");
	while (done < m->text.len) {
		ssize_t n = write(m->fd, m->text.p + done, m->text.len - done);

		if (n < 0 && errno != EINTR)
			return err_sys(e, "write a manifest to the temporary folder");
		done += n > 0 ? (size_t)n : 0;
	}
	m->written += done;
	buf_reset(&m->text);
	return ERR_OK;
}

static enum err_code add_file(void *ctx, const struct filewalk *w, const struct entry *ent,
			      struct err *e)
{
	struct maker *m = ctx;
	struct buf *t = &m->text;
	char hex[ID_HEX_LEN + 1];
	struct object_id id;

	buf_add_str(t, m->any ? ",\n{" : "\n{");
	m->any = true;
	json_bytes(t, "path", w->path.p, w->path.len);
	buf_add_u8(t, ',');
	json_u64(t, "size", ent->size);
	buf_add_u8(t, ',');
	json_time(t, "mtime", &ent->mtime);
	buf_add_u8(t, ',');
	json_time(t, "ctime", &ent->ctime);
	buf_printf(t, ",\"mode\":\"%04o\",\"sha256\":", (unsigned)ent->mode & 07777);
	if (entry_sha256(ent, &id))
		buf_printf(t, "\"%s\"}", id_hex(&id, hex));
	else
		buf_add_str(t, "null}");
	if (t->len < WRITE_AT && !t->bad)
		return ERR_OK;
	if (ctl_interrupted(m->c))
		return err_set(e, ERR_FAILED, "interrupted");
	return flush(m, e);
}

static void add_head(struct maker *m, const struct snap *s, const struct entry *root)
{
	char hex[ID_HEX_LEN + 1];
	struct buf *t = &m->text;

	buf_add_str(t, "{\"vouch\":\"manifest\",\"format\":1,\n");
	json_bytes(t, "snapshot", s->name, strlen(s->name));
	buf_printf(t, ",\"id\":\"%s\",\n", id_hex(&s->id, hex));
	json_time(t, "time", &s->time);
	buf_printf(t, ",\"root\":\"%s\",\n", id_hex(&s->root, hex));
	json_u64(t, "files", root->below.files);
	buf_add_u8(t, ',');
	json_u64(t, "bytes", root->below.bytes);
	buf_add_str(t, ",\"entries\":[");
}

static enum err_code temporary(int *out, struct err *e)
{
	const char *dir = getenv("TMPDIR");
	char *path = NULL;
	int fd;

	if (!dir || dir[0] != '/')
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && asprintf(&path, "%s/vouch-manifest-XXXXXX", dir) >= 0) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			(void)unlink(path);	/* at worst it stays until the folder is swept */
		free(path);
	}
	if (fd < 0)
		return err_sys(e, "make a temporary file in %s", dir);
	*out = fd;
	return ERR_OK;
}

static enum err_code make(const struct ctl *c, const struct snap *s, int *out, uint64_t *size,
			  struct err *e)
{
	struct filewalk w = FILEWALK_INIT(c->fs->store);
	struct maker m = { .c = c, .fd = -1 };
	struct entry_ref root = { 0 };
	enum err_code rc;

	rc = tree_root(c->fs->store, &s->root, &root, e);
	if (!rc && root.e.type != ENTRY_DIR)
		rc = err_set(e, ERR_CORRUPT, "the snapshot's root is not a folder");
	if (!rc)
		rc = temporary(&m.fd, e);
	if (!rc) {
		add_head(&m, s, &root.e);
		rc = filewalk_enter(&w, &root.e, e);
	}
	if (!rc)
		rc = filewalk_run(&w, add_file, &m, e);
	if (!rc) {
		buf_add_str(&m.text, "\n]}\n");
		rc = flush(&m, e);
	}
	if (!rc) {
		*out = m.fd;
		*size = m.written;
	} else if (m.fd >= 0) {
		(void)close(m.fd);	/* nothing in it is wanted */
	}
	if (rc == ERR_FAILED)
		e->code = rc = ERR_CANCELED;	/* what the walk would take for an end without error */
	entry_ref_release(c->fs->store, &root);
	filewalk_release(&w);
	buf_release(&m.text);
	return rc;
}

/* Keeping. */

enum err_code manifests_open(struct manifests **out, struct err *e)
{
	struct manifests *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ERR_NOMEM, "manifests");
	must(pthread_mutex_init(&m->mutex, NULL));
	must(pthread_cond_init(&m->done, NULL));
	*out = m;
	return ERR_OK;
}

void manifests_close(struct manifests *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < KEPT; i++)
		if (m->kept[i].used)
			(void)close(m->kept[i].fd);
	must(pthread_cond_destroy(&m->done));
	must(pthread_mutex_destroy(&m->mutex));
	free(m);
}

static struct manifest *find_locked(struct manifests *m, uint64_t slot)
{
	for (size_t i = 0; i < KEPT; i++)
		if (m->kept[i].used && m->kept[i].slot == slot)
			return &m->kept[i];
	return NULL;
}

/* In the place of the one longest unused that nobody reads; NULL: all are read. */
static struct manifest *keep_locked(struct manifests *m, uint64_t slot, int fd)
{
	struct manifest *to = NULL;

	for (size_t i = 0; i < KEPT; i++)
		if (m->kept[i].readers == 0 && (!to || m->kept[i].used < to->used))
			to = &m->kept[i];
	if (!to)
		return NULL;
	if (to->used)
		(void)close(to->fd);
	*to = (struct manifest){ .slot = slot, .used = ++m->clock, .fd = fd };
	return to;
}

/* The manifest of the snapshot, held (readers) until it is let go. */
static enum err_code hold(const struct ctl *c, uint64_t slot, struct manifest **out, struct err *e)
{
	struct manifests *m = c->fs->control->manifests;
	const struct snap_list *l = snaps_get(c->fs->snaps);
	const struct snap *s = NULL;
	enum err_code rc = snaps_slot(l, slot, &s, e);
	struct manifest *k = NULL;
	uint64_t size = 0;
	int fd = -1;

	must(pthread_mutex_lock(&m->mutex));
	while (!rc && !(k = find_locked(m, slot)) && m->making)
		must(pthread_cond_wait(&m->done, &m->mutex));
	if (!rc && !k) {
		m->making = true;
		must(pthread_mutex_unlock(&m->mutex));
		rc = make(c, s, &fd, &size, e);
		must(pthread_mutex_lock(&m->mutex));
		m->making = false;
		must(pthread_cond_broadcast(&m->done));
	}
	if (!rc && !k) {
		m->sizes[slot % SIZES].slot = slot;
		m->sizes[slot % SIZES].size = size;
		k = keep_locked(m, slot, fd);
		if (!k) {
			(void)close(fd);
			rc = err_set(e, ERR_BUSY, "%u manifests are being read at once", KEPT);
		}
	}
	if (!rc) {
		k->used = ++m->clock;
		k->readers++;
		*out = k;
	}
	must(pthread_mutex_unlock(&m->mutex));
	snaps_put(l);
	return rc;
}

static void let_go(struct manifests *m, struct manifest *k)
{
	must(pthread_mutex_lock(&m->mutex));
	k->readers--;
	must(pthread_mutex_unlock(&m->mutex));
}

static bool known_size(struct manifests *m, uint64_t slot, uint64_t *out)
{
	bool known;

	must(pthread_mutex_lock(&m->mutex));
	known = m->sizes[slot % SIZES].slot == slot;
	*out = m->sizes[slot % SIZES].size;
	must(pthread_mutex_unlock(&m->mutex));
	return known;
}

static enum err_code manifest_stat(const struct ctl *c, uint64_t nodeid, struct stat *st,
				   struct err *e)
{
	struct manifests *m = c->fs->control->manifests;
	const struct snap_list *l = snaps_get(c->fs->snaps);
	const struct snap *s = NULL;
	enum err_code rc = snaps_slot(l, ctl_data(nodeid), &s, e);
	struct timespec t = { 0 };
	struct manifest *k = NULL;
	uint64_t size = 0;

	if (!rc)
		t = (struct timespec){ .tv_sec = (time_t)s->time.sec,
				       .tv_nsec = (long)s->time.nsec };
	snaps_put(l);
	if (!rc && !known_size(m, ctl_data(nodeid), &size)) {
		struct stat file;

		rc = hold(c, ctl_data(nodeid), &k, e);
		if (!rc && fstat(k->fd, &file) < 0)
			rc = err_sys(e, "look at a manifest in the temporary folder");
		else if (!rc)
			size = (uint64_t)file.st_size;
		if (k)
			let_go(m, k);
	}
	if (!rc) {
		ctl_stat(c, S_IFREG | 0400, &t, st);
		st->st_size = (off_t)size;
	}
	return rc;
}

static enum err_code manifest_read(const struct ctl *c, uint64_t nodeid, uint64_t off, void *buf,
				   size_t len, size_t *n, struct err *e)
{
	struct manifest *k;
	enum err_code rc = hold(c, ctl_data(nodeid), &k, e);
	size_t done = 0;
	ssize_t got = 1;

	if (rc)
		return rc;
	while (done < len && got > 0) {
		got = pread(k->fd, (uint8_t *)buf + done, len - done, (off_t)(off + done));
		done += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		rc = err_sys(e, "read a manifest from the temporary folder");
	else
		*n = done;
	let_go(c->fs->control->manifests, k);
	return rc;
}

const struct ctl_ops ctl_manifest_ops = { .stat = manifest_stat, .read = manifest_read };
