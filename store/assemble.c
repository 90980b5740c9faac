/* SPDX-License-Identifier: MIT */
/*
 * A file's bytes gather in a window of its own; when that is full it is cut into chunks, their digests are made
 * together, and they go to the writer, which is shared by all files and takes one chunk at a time.
 */
#include "store/assemble_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/base/must.h"
#include "store/damage_internal.h"
#include "store/format/limits.h"

#define WINDOW_LEN   (1u << 20)		/* of bytes whose digests are made together */
#define JOBS_MAX     256u		/* chunks of a window hashed at once */
#define DEPTH_MAX    64u		/* folders below one another in a name */
#define PROGRESS_NS  100000000u

struct assembly_file {
	struct assembly *a;
	char *path;
	struct chunker chunker;
	struct content_builder *content;
	struct digest_stream *whole;
	uint8_t *window;
	size_t len, cap;
	struct vtime time;
	bool failed;				/* a write did: it has a hole, or no end */
	struct assembly_file *next, **link;	/* a's mutex */
};

static enum err_code check_path(const char *path, struct err *e)
{
	const char *p = path;
	unsigned depth = 0;

	if (strlen(path) >= 4096)
		return err_set(e, ERR_USAGE, "a name of %zu bytes for a file of a snapshot", strlen(path));
	for (;;) {
		size_t len = strcspn(p, "/");

		if (len == 0 || len > NAME_LEN_MAX || ++depth > DEPTH_MAX ||
		    (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return err_set(e, ERR_USAGE, "\"%s\" is no name for a file of a snapshot", path);
		if (p[len] == '\0')
			return ERR_OK;
		p += len + 1;
	}
}

/** A file, a folder with files in it, or below a file, which would stand just before it; open ones count. */
static bool is_taken(const struct assembly *a, const char *path)
{
	size_t nr, at = assembled_range(&a->files, path, &nr);
	bool taken = nr > 0 || (at > 0 && assembled_below(path, a->files.all[at - 1]->path));

	for (const struct assembly_file *f = a->open; f && !taken; f = f->next)
		taken = assembled_below(f->path, path) || assembled_below(path, f->path);
	return taken;
}

static void file_free(struct assembly_file *f)
{
	if (f->content)
		content_builder_close(f->content);
	digest_stream_close(f->whole);
	free(f->window);
	free(f->path);
	free(f);
}

static void unlink_open(struct assembly_file *f)
{
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
}

enum err_code assembly_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			    struct err *e)
{
	struct assembly *a = ctx;

	if (len > NODE_LEN_MAX)
		return err_set(e, ERR_LIMIT, "node of %zu bytes", len);
	digest_sha256(buf, len, id);
	return writer_put(a->writer, PACK_TREE, id, buf, (uint32_t)len, NULL, e);
}

enum err_code assembly_file_open(struct assembly *a, const char *path, uint32_t chunk_avg,
				 struct assembly_file **out, struct err *e)
{
	struct assembly_file *f = NULL;
	enum err_code rc = check_path(path, e);

	if (rc)
		return rc;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(e, ERR_NOMEM, "%s", path);
	f->a = a;
	f->time = store_vtime();
	f->path = strdup(path);
	rc = writing_chunker(a->s, chunk_avg, &f->chunker, e);
	if (!rc)
		rc = content_builder_open(assembly_emit, a, &f->content, e);
	if (!rc)
		rc = digest_stream_open(&f->whole, e);
	f->cap = WINDOW_LEN + f->chunker.max;
	if (!rc) {
		f->window = malloc(f->cap);
		if (!f->window || !f->path)
			rc = err_set(e, ERR_NOMEM, "%s", path);
	}
	if (rc) {
		file_free(f);
		return rc;
	}
	must(pthread_mutex_lock(&a->mutex));
	if (is_taken(a, path)) {
		rc = err_set(e, ERR_EXISTS, "%s is in the snapshot already", path);
	} else {
		f->next = a->open;
		f->link = &a->open;
		if (f->next)
			f->next->link = &f->next;
		a->open = f;
	}
	must(pthread_mutex_unlock(&a->mutex));
	if (rc)
		file_free(f);
	else
		*out = f;
	return rc;
}

static void tell_progress(struct assembly *a, const char *path)
{
	struct event ev = {.kind = EVENT_PROGRESS, .text = "backup", .path = path};
	struct timespec t;
	uint64_t now;
	bool due;

	if (clock_gettime(CLOCK_MONOTONIC_COARSE, &t) < 0)
		return;
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	must(pthread_mutex_lock(&a->mutex));
	due = now >= a->next_progress_ns;
	if (due) {
		a->next_progress_ns = now + PROGRESS_NS;
		heartbeat_beat(a->heart);
	}
	ev.files = a->files.nr;
	ev.bytes = a->seen;
	must(pthread_mutex_unlock(&a->mutex));
	if (due && !a->no_progress && a->s->events.fn)
		a->s->events.fn(a->s->events.ctx, &ev);
}

/** Chunks whose digests are known, into the writer and the file's list. */
static enum err_code put_chunks(struct assembly_file *f, const struct digest_job *jobs, size_t nr,
				const struct object_id *ids, struct err *e)
{
	enum err_code rc = ERR_OK;

	must(pthread_mutex_lock(&f->a->mutex));
	for (size_t i = 0; i < nr && !rc; i++) {
		const struct segment seg = {.kind = SEGMENT_CHUNK, .len = jobs[i].len, .id = ids[i]};

		rc = writer_put(f->a->writer, PACK_DATA, &ids[i], jobs[i].buf, (uint32_t)jobs[i].len,
				NULL, e);
		if (!rc)
			rc = content_builder_add(f->content, &seg, e);
		f->a->seen += jobs[i].len;
	}
	must(pthread_mutex_unlock(&f->a->mutex));
	return rc;
}

/** Cut what is there: where more may come, only what is sure to end before it. */
static enum err_code cut(struct assembly_file *f, bool at_end, struct err *e)
{
	struct digest_job jobs[JOBS_MAX + 1];
	struct object_id ids[JOBS_MAX];
	enum err_code rc = ERR_OK;
	size_t done = 0;

	while (!rc && done < f->len && (at_end || f->len - done >= f->chunker.max)) {
		size_t nr = 0, from = done;

		while (nr < JOBS_MAX && done < f->len && (at_end || f->len - done >= f->chunker.max)) {
			size_t len = chunker_cut(&f->chunker, f->window + done, f->len - done);

			jobs[nr] = (struct digest_job){.buf = f->window + done, .len = len, .out = &ids[nr]};
			nr++;
			done += len;
		}
		jobs[nr] = (struct digest_job){
			.buf = f->window + from, .len = done - from, .stream = f->whole};
		digest_sha256_many(jobs, nr + 1);
		rc = put_chunks(f, jobs, nr, ids, e);
	}
	memmove(f->window, f->window + done, f->len - done);
	f->len -= done;
	if (!rc)
		tell_progress(f->a, f->path);
	return rc;
}

enum err_code assembly_write(struct assembly_file *f, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;
	enum err_code rc = ERR_OK;

	while (len > 0 && !rc) {
		size_t n = f->cap - f->len < len ? f->cap - f->len : len;

		n = rate_piece(&f->a->rate, n);
		memcpy(f->window + f->len, p, n);
		f->len += n;
		p += n;
		len -= n;
		rate_wait(&f->a->rate, n);
		if (f->a->cancel && atomic_load(f->a->cancel))
			rc = err_set(e, ERR_CANCELED, "stopped on request");
		else if (f->len == f->cap)
			rc = cut(f, false, e);
	}
	f->failed = f->failed || rc;
	return rc;
}

/** f's entry, with what the builder only lends; a's mutex is held. */
static enum err_code finish(struct assembly_file *f, struct assembled **out, struct err *e)
{
	struct assembled *t;
	enum err_code rc;

	if (f->failed)
		return err_set(e, ERR_FAILED, "%s was not written to its end", f->path);
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ERR_NOMEM, "%s", f->path);
	t->ent = (struct entry){.type = ENTRY_FILE, .mode = 0600, .nlink = 1, .mtime = f->time,
				.ctime = f->time, .uid = geteuid(), .gid = getegid(),
				.user = f->a->user, .user_len = strlen(f->a->user),
				.group = f->a->group, .group_len = strlen(f->a->group)};
	rc = content_builder_finish(f->content, &t->ent, e);
	if (!rc && t->ent.content_len > 0) {
		t->content = malloc(t->ent.content_len);
		if (!t->content)
			rc = err_set(e, ERR_NOMEM, "%s", f->path);
		else
			t->ent.content_p = memcpy(t->content, t->ent.content_p, t->ent.content_len);
	}
	if (rc) {
		assembled_free(t);
		return rc;
	}
	digest_stream_finish(f->whole, &t->ent.sha256);
	if (t->ent.size > 0)
		t->ent.flags |= ENTRY_HAS_SHA256;
	t->path = f->path;
	f->path = NULL;
	*out = t;
	return ERR_OK;
}

enum err_code assembly_file_close(struct assembly_file *f, uint64_t *size, struct object_id *sha256,
				  struct err *e)
{
	struct assembly *a = f->a;
	struct assembled *t = NULL;
	enum err_code rc = cut(f, true, e);

	must(pthread_mutex_lock(&a->mutex));
	unlink_open(f);
	if (!rc)
		rc = finish(f, &t, e);
	if (!rc)
		rc = assembled_keep(&a->files, t, e);
	if (!rc && size)
		*size = t->ent.size;
	if (!rc && sha256)
		*sha256 = t->ent.sha256;
	must(pthread_mutex_unlock(&a->mutex));
	if (rc)
		assembled_free(t);
	file_free(f);
	return rc;
}

/** As far as it was written; what cannot be kept is dropped after all. */
static void set_aside(struct assembly_file *f)
{
	struct assembly *a = f->a;
	struct assembled *t = NULL;
	enum err_code rc = cut(f, true, NULL);

	must(pthread_mutex_lock(&a->mutex));
	if (!rc)
		rc = finish(f, &t, NULL);
	if (!rc)
		rc = assembled_keep(&a->dropped, t, NULL);
	if (rc)
		assembled_free(t);
	must(pthread_mutex_unlock(&a->mutex));
}

void assembly_file_drop(struct assembly_file *f)
{
	if (!f)
		return;
	must(pthread_mutex_lock(&f->a->mutex));
	unlink_open(f);
	must(pthread_mutex_unlock(&f->a->mutex));
	if (f->a->keep_dropped)
		set_aside(f);
	file_free(f);
}

enum err_code assembly_put(struct assembly *a, const char *path, const void *buf, size_t len,
			   struct err *e)
{
	struct assembly_file *f;
	enum err_code rc = assembly_file_open(a, path, 0, &f, e);

	if (rc)
		return rc;
	rc = assembly_write(f, buf, len, e);
	if (rc) {
		assembly_file_drop(f);
		return rc;
	}
	return assembly_file_close(f, NULL, NULL, e);
}

void assembly_drop(struct assembly *a, const char *path)
{
	size_t at, nr;

	must(pthread_mutex_lock(&a->mutex));
	at = assembled_range(&a->files, path, &nr);
	for (size_t i = at; i < at + nr; i++)
		if (!a->keep_dropped || assembled_keep(&a->dropped, a->files.all[i], NULL))
			assembled_free(a->files.all[i]);
	assembled_cut(&a->files, at, nr);
	must(pthread_mutex_unlock(&a->mutex));
}

uint64_t assembly_bytes(struct assembly *a, const char *path, uint64_t *new_bytes)
{
	struct writer_stats stats;
	uint64_t sum = 0;
	size_t at, nr;

	must(pthread_mutex_lock(&a->mutex));
	at = assembled_range(&a->files, path, &nr);
	for (size_t i = at; i < at + nr; i++)
		sum += a->files.all[i]->ent.size;
	writer_stats(a->writer, &stats);
	must(pthread_mutex_unlock(&a->mutex));
	if (new_bytes)
		*new_bytes = stats.new_bytes;
	return sum;
}

enum err_code assembly_failure(struct assembly *a, struct err *e)
{
	return writer_failure(a->writer, e);
}

void assembly_close(struct assembly *a)
{
	struct err later = ERR_INIT;

	if (!a)
		return;
	a->keep_dropped = false;
	while (a->open)
		assembly_file_drop(a->open);
	/* What was put is stored, and so known to the next run; that it fails is of no more interest. */
	if (a->writer && !a->sealed && writer_finish(a->writer, &later))
		store_event(a->s, EVENT_NOTE, NULL, &later, "what was read so far is not kept");
	writer_close(a->writer);
	pool_close(a->pool);
	if (a->heart)
		damage_settle(a->s);
	heartbeat_end(a->heart);
	assembled_release(&a->files);
	assembled_release(&a->dropped);
	free(a->user);
	free(a->group);
	snapshot_release(&a->snap);
	rate_release(&a->rate);
	must(pthread_mutex_destroy(&a->mutex));
	free(a);
}
