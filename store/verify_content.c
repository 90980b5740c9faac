/* SPDX-License-Identifier: MIT */
/*
 * What snapshots refer to: that each chunk is there and whole, and that whole files have the
 * digest recorded.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/bytes.h"
#include "store/base/digest.h"
#include "store/damage_internal.h"
#include "store/tree.h"
#include "store/verify_internal.h"

/*
 * Hashing zeros takes a second for each GiB or two: beyond this the digest of a file of holes is
 * not computed.
 */
#define HOLES_HASHED_MAX	((uint64_t)64 << 30)

/* Chunks. */

static bool in_good(const struct verify *v, uint64_t key)
{
	size_t lo = 0, hi = v->nr_good;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->good[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->nr_good && v->good[lo] == key;
}

struct chunk_job {
	struct verify *v;
	struct object_id id;
	uint32_t len;
};

/* Read it as a reader would. */
static enum err_code read_chunk(struct verify *v, const struct object_id *id, uint32_t len,
				struct err *e)
{
	struct chunk_ref ref = { 0 };
	struct err err = ERR_INIT;
	enum err_code rc = chunks_get(v->s->chunks, id, &ref, &err);
	bool gone = rc == ERR_NOT_FOUND || rc == ERR_INCOMPLETE;

	if (rc && verify_stops(&err)) {
		if (e)
			*e = err;
		return rc;
	}
	if (!rc && ref.len == len) {
		chunk_ref_release(v->s->chunks, &ref);
		verify_lock(v);
		v->res.chunks += v->o->only != NULL;
		v->res.bytes_checked += v->o->only ? len : 0;
		verify_unlock(v);
		rate_wait(&v->rate, len);
		return ERR_OK;
	}
	if (!rc)
		chunk_ref_release(v->s->chunks, &ref);
	if (verify_let_go(v, v->snap, &err)) {
		if (e)
			*e = err;
		return err.code;
	}
	if (gone)
		damage_note(v->s, &(struct damage){ .chunk = *id });
	if (rc == ERR_NOT_FOUND || rc == ERR_INCOMPLETE)
		store_event(v->s, EVENT_DAMAGE, NULL, &err, "%s", err.msg);
	verify_lock(v);
	rc = keyset_add(&v->bad, id_key(id), NULL, e);
	if (!rc && gone)
		rc = keyset_add(&v->missing, id_key(id), NULL, e);
	if (gone)
		v->res.missing_chunks++;
	else if (!keyset_has(&v->damaged, id_key(id)))
		v->res.damaged_chunks++;	/* else counted with its pack */
	verify_unlock(v);
	return rc;
}

static void chunk_job(void *arg)
{
	struct chunk_job *j = arg;
	struct err err = ERR_INIT;

	if (!verify_stopping(j->v) && read_chunk(j->v, &j->id, j->len, &err))
		verify_stop(j->v, &err);
	verify_progress(j->v, NULL);
	free(j);
}

enum err_code verify_chunk(struct verify *v, const struct object_id *id, uint32_t len,
			   struct err *e)
{
	uint64_t key = chunk_key(id, len);
	struct chunk_job *j;
	enum err_code rc;
	bool is_new;

	if (in_good(v, key))
		return ERR_OK;
	rc = keyset_add(&v->asked, key, &is_new, e);
	if (rc || !is_new)
		return rc;
	/*
	 * Not met in a whole pack: it may have come since (another backup), or be found where
	 * packs are searched.
	 */
	if (!v->o->only)
		return read_chunk(v, id, len, e);
	j = malloc(sizeof(*j));
	if (!j)
		return err_set(e, ERR_NOMEM, "a chunk to check");
	*j = (struct chunk_job){ .v = v, .id = *id, .len = len };
	pool_submit(v->pool, chunk_job, j);
	return ERR_OK;
}

bool verify_chunk_bad(struct verify *v, const struct object_id *id, struct err *err)
{
	char hex[ID_HEX_LEN + 1];
	bool bad, missing;

	verify_lock(v);
	bad = keyset_has(&v->bad, id_key(id));
	missing = bad && keyset_has(&v->missing, id_key(id));
	verify_unlock(v);
	if (bad)
		(void)err_set(err, missing ? ERR_NOT_FOUND : ERR_CORRUPT, "chunk %s is %s",
			      id_hex(id, hex), missing ? "missing" : "damaged");
	return bad;
}

/* Files. */

struct file_job {
	struct verify *v;
	struct blob *blob;
	struct object_id want;
	struct digest *digest;
	uint64_t key, next;
	bool canceled;
};

uint64_t verify_file_key(const struct entry *ent)
{
	uint64_t content = ent->content == CONTENT_NODE
				   ? id_key(&ent->node)
				   : digest_xxh3(ent->content_p, ent->content_len);

	return digest_xxh3_seed(ent->sha256.b, ID_LEN, content);
}

bool verify_file_bad(struct verify *v, const struct entry *ent)
{
	bool bad;

	if (!(ent->flags & ENTRY_HAS_SHA256))
		return false;
	verify_lock(v);
	bad = keyset_has(&v->bad_files, verify_file_key(ent));
	verify_unlock(v);
	return bad;
}

static enum err_code add_piece(void *ctx, uint64_t off, const uint8_t *data, uint64_t len,
			       struct err *e)
{
	static const uint8_t zeros[1 << 16];
	struct file_job *j = ctx;

	if (off != j->next)
		return err_set(e, ERR_CORRUPT, "content jumps");
	j->next = off + len;
	while (!data && len > 0) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		digest_add(j->digest, zeros, n);
		len -= n;
		if ((len >> 16) % 1024 == 0 && verify_stopping(j->v))
			break;
	}
	if (data) {
		digest_add(j->digest, data, (size_t)len);
		verify_lock(j->v);
		j->v->summed += len;
		verify_unlock(j->v);
		verify_progress(j->v, NULL);
		rate_wait(&j->v->rate, len);
	}
	j->canceled = verify_stopping(j->v);
	return j->canceled ? ERR_CANCELED : ERR_OK;
}

static void file_job(void *arg)
{
	struct file_job *j = arg;
	struct verify *v = j->v;
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;
	struct object_id got;

	if (verify_stopping(v))
		goto out;
	rc = digest_open(&j->digest, &err);
	if (!rc)
		rc = blob_each(j->blob, 0, add_piece, j, &err);
	if (j->canceled)
		goto out;
	if (rc && verify_stops(&err)) {
		verify_stop(v, &err);
		goto out;
	}
	if (rc)		/* a chunk or node of it, which is known by now */
		goto out;
	digest_finish(j->digest, &got);
	if (id_eq(&got, &j->want))
		goto out;
	verify_lock(v);
	rc = keyset_add(&v->bad_files, j->key, NULL, &err);
	verify_unlock(v);
	if (rc)
		verify_stop(v, &err);
out:
	digest_close(j->digest);
	blob_close(j->blob);
	free(j);
	verify_progress(v, NULL);
}

/* A file of one chunk whose id is the digest recorded: where the chunk is whole, so is the file. */
static bool same_as_chunk(const struct entry *ent)
{
	struct rd r = rd_init(ent->content_p, ent->content == CONTENT_LIST ? ent->content_len : 0);
	struct segment seg, more;

	return segment_next(&r, &seg) && seg.kind == SEGMENT_CHUNK && seg.len == ent->size &&
	       id_eq(&seg.id, &ent->sha256) && !segment_next(&r, &more);
}

enum err_code verify_file(struct verify *v, const struct entry *ent, struct err *e)
{
	struct file_job *j;
	enum err_code rc;
	bool is_new;

	if (!(ent->flags & ENTRY_HAS_SHA256) ||
	    (ent->content != CONTENT_LIST && ent->content != CONTENT_NODE) || same_as_chunk(ent))
		return ERR_OK;
	rc = keyset_add(&v->hashed, verify_file_key(ent), &is_new, e);
	if (rc || !is_new)
		return rc;
	if (ent->hole_bytes > HOLES_HASHED_MAX) {
		store_event(v->s, EVENT_NOTE, NULL, NULL,
			    "a file of %llu bytes of holes: its digest was not computed",
			    (unsigned long long)ent->hole_bytes);
		return ERR_OK;
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return err_set(e, ERR_NOMEM, "a file to check");
	j->v = v;
	j->key = verify_file_key(ent);
	entry_sha256(ent, &j->want);
	rc = blob_open(v->s, ent, &j->blob, e);
	if (rc) {
		free(j);
		if (verify_stops(e))
			return rc;
		err_clear(e);	/* the walk finds the same */
		return ERR_OK;
	}
	pool_submit(v->pool, file_job, j);
	return ERR_OK;
}
