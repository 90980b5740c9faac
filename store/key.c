/* SPDX-License-Identifier: MIT */
/*
 * This host's secret key lies beside the writer's id, in the user's state folder; what is in the repository's keys/ is
 * for convenience: who can write there can put another key there.
 */
#include "store/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/hex.h"
#include "store/signature_internal.h"

#define DIR_KEYS	"keys/"
#define PUB_PREFIX	"sign-"
#define PUB_SUFFIX	".pub"
#define NAMED_DIGITS	16u	/* of a public key's fingerprint, in its name */
#define LISTED_MAX	4096u	/* public keys in a repository that are looked at */

/* Of the kinds of keys. */

static void public_set(struct key_public *out, const struct sign_public *p)
{
	memcpy(out->raw, p->b, sizeof(out->raw));
	sign_fingerprint(p, &out->fingerprint);
}

enum err_code key_public_read(const void *pem, size_t len, struct key_public *out, struct err *e)
{
	struct sign_public p;
	enum err_code rc = sign_public_read(pem, len, &p, e);

	if (!rc)
		public_set(out, &p);
	return rc;
}

void key_public_pem(const struct key_public *k, char out[KEY_PEM_LEN])
{
	struct buf b = BUF_INIT;
	struct sign_public p;

	memcpy(p.b, k->raw, sizeof(p.b));
	sign_public_write(&p, &b);
	(void)snprintf(out, KEY_PEM_LEN, "%.*s", b.bad ? 0 : (int)b.len,
		       b.bad ? "" : (const char *)b.p);
	buf_release(&b);
}

/* The secret key. */

/** The folder, open, and its path; the key's name in it. */
struct place {
	int dir;
	char *path;
	char name[64];
};

static enum err_code place_open(struct store *s, struct place *p, struct err *e)
{
	enum err_code rc = user_dir("XDG_STATE_HOME", "/var/lib/vouch", ".local/state", &p->path, e);

	p->dir = -1;
	if (rc)
		return rc;
	(void)snprintf(p->name, sizeof(p->name), "%s.sign.pem", s->id_text);
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir >= 0)
		return ERR_OK;
	rc = err_sys(e, "open %s", p->path);
	free(p->path);
	p->path = NULL;
	return rc;
}

static void place_close(struct place *p)
{
	if (p->dir >= 0)
		(void)close(p->dir);
	free(p->path);
}

/** At most len bytes; into the caller's memory, which it overwrites, and no other. */
static enum err_code read_secret(struct store *s, const struct place *p, char *pem, size_t len,
				 size_t *n, struct err *e)
{
	int fd = openat(p->dir, p->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	enum err_code rc = ERR_OK;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "this host has no key for the "
						 "repository; 'vouch key sign' makes one")
				       : err_sys(e, "open %s/%s", p->path, p->name);
	if (fstat(fd, &st) < 0)
		rc = err_sys(e, "stat %s/%s", p->path, p->name);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(e, ERR_CORRUPT, "%s/%s is no regular file", p->path, p->name);
	else
		rc = io_pread_all(&io_system, fd, pem, len, 0, n, e);
	if (!rc && (st.st_mode & 077))
		store_event(s, EVENT_WARNING, NULL, NULL,
			    "others may read the secret key %s/%s; chmod 600, and make another if they did",
			    p->path, p->name);
	(void)close(fd);
	return rc;
}

static enum err_code load_from(struct store *s, const struct place *p, struct sign_key **out,
			       struct err *e)
{
	char pem[SIGN_PEM_MAX];
	size_t n = 0;
	enum err_code rc = read_secret(s, p, pem, sizeof(pem), &n, e);

	if (!rc) {
		rc = sign_key_read(pem, n, out, e);
		if (rc == ERR_CORRUPT)	/* which is what a repository is; this is a file of this host */
			rc = err_set(e, ERR_FAILED, "%s/%s is no Ed25519 key, or has a password; bring it back, "
				     "or 'vouch key sign --new' makes another", p->path, p->name);
	}
	explicit_bzero(pem, sizeof(pem));
	return rc;
}

enum err_code signing_key_load(struct store *s, struct sign_key **out, struct err *e)
{
	struct place p;
	enum err_code rc = place_open(s, &p, e);

	if (rc)
		return rc;
	rc = load_from(s, &p, out, e);
	place_close(&p);
	return rc;
}

/* Public keys in the repository. */

static bool is_public_name(const char *name)
{
	size_t len = strlen(name), suffix = strlen(PUB_SUFFIX);

	return strncmp(name, DIR_KEYS PUB_PREFIX, strlen(DIR_KEYS PUB_PREFIX)) == 0 &&
	       len > suffix && strcmp(name + len - suffix, PUB_SUFFIX) == 0;
}

enum err_code key_public_named(const char *name, const struct buf *b, struct key_public *out,
			       struct err *e)
{
	size_t suffix = strlen(PUB_SUFFIX), len = strlen(name);
	char hex[ID_HEX_LEN + 1];
	enum err_code rc;

	if (!is_public_name(name) || len < strlen(DIR_KEYS PUB_PREFIX) + NAMED_DIGITS + suffix)
		return err_set(e, ERR_CORRUPT, "%s: no public key's name", name);
	rc = key_public_read(b->p, b->len, out, e);
	if (!rc && memcmp(name + len - suffix - NAMED_DIGITS, id_hex(&out->fingerprint, hex),
			  NAMED_DIGITS) != 0)
		rc = err_set(e, ERR_CORRUPT, "%s: it is another key than its name says", name);
	return rc;
}

struct names {
	struct buf text;	/* NUL after each */
	size_t nr;
};

static bool on_name(void *ctx, const char *name, uint64_t size)
{
	struct names *n = ctx;

	(void)size;
	if (!is_public_name(name))
		return true;
	buf_add(&n->text, name, strlen(name) + 1);
	return ++n->nr < LISTED_MAX && !n->text.bad;
}

struct sign_key *signing_key_or_none(struct store *s)
{
	struct names n = { BUF_INIT, 0 };
	struct sign_key *k = NULL;
	struct err e = ERR_INIT;
	enum err_code rc = signing_key_load(s, &k, &e);

	if (!rc)
		return k;
	if (rc != ERR_NOT_FOUND) {
		store_event(s, EVENT_WARNING, NULL, &e,
			    "the secret key cannot be had; what is written now is not signed");
		return NULL;
	}
	if (!s->backend->ops->list(s->backend, DIR_KEYS, false, on_name, &n, &e) && n.nr > 0)
		store_event(s, EVENT_WARNING, NULL, NULL,
			    "this repository is signed, and this host has no secret key for it: what is "
			    "written now is not signed; 'vouch key sign' makes a key, or bring the old one back");
	buf_release(&n.text);
	return NULL;
}

/* Listing. */

void key_list_release(struct key_list *l)
{
	for (size_t i = 0; i < l->nr; i++)
		free(l->all[i].where);
	free(l->all);
	*l = (struct key_list){ .nr = 0 };
}

/** Takes where, which may be NULL. */
static enum err_code list_add(struct key_list *l, const struct key_public *k, bool mine,
			      char *where, struct err *e)
{
	struct key_info *more = where ? reallocarray(l->all, l->nr + 1, sizeof(*more)) : NULL;

	if (!more) {
		free(where);
		return err_set(e, ERR_NOMEM, "a list of keys");
	}
	l->all = more;
	l->all[l->nr++] = (struct key_info){ .key = *k, .mine = mine, .where = where };
	return ERR_OK;
}

static char *secret_path(const struct place *p)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", p->path, p->name) < 0 ? NULL : path;
}

static enum err_code list_mine(struct store *s, struct key_list *l, struct err *e)
{
	struct sign_key *k = NULL;
	struct key_public public;
	struct sign_public p;
	struct place at;
	enum err_code rc = place_open(s, &at, e);

	if (rc)
		return rc;
	rc = load_from(s, &at, &k, e);
	if (!rc) {
		sign_key_public(k, &p);
		public_set(&public, &p);
		rc = list_add(l, &public, true, secret_path(&at), e);
	}
	sign_key_free(k);
	place_close(&at);
	if (rc == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

enum err_code key_list_read(struct store *s, struct key_list *out, struct err *e)
{
	struct names n = { BUF_INIT, 0 };
	struct key_list l = { .nr = 0 };
	struct buf pem = BUF_INIT;
	enum err_code rc = list_mine(s, &l, e);

	if (!rc)
		rc = s->backend->ops->list(s->backend, DIR_KEYS, false, on_name, &n, e);
	if (!rc && n.text.bad)
		rc = err_set(e, ERR_NOMEM, "a list of keys");
	for (size_t i = 0, at = 0; i < n.nr && !rc; i++) {
		const char *name = (const char *)n.text.p + at;
		struct key_public k;

		at += strlen(name) + 1;
		buf_reset(&pem);
		rc = record_get(s->backend, name, SIGN_PEM_MAX, &pem, e);
		if (!rc)
			rc = key_public_named(name, &pem, &k, e);
		if (!rc) {
			rc = list_add(&l, &k, false, strdup(name), e);
		} else if (rc != ERR_ABSENT && rc != ERR_NOMEM) {
			store_event(s, EVENT_WARNING, name, e, "is passed over");
			err_clear(e);
			rc = ERR_OK;
		}
	}
	buf_release(&pem);
	buf_release(&n.text);
	if (rc)
		key_list_release(&l);
	else
		*out = l;
	return rc;
}

/* Making. */

/** For convenience: that it cannot be put there is told. */
static void put_public(struct store *s, const uint8_t writer[16], const struct key_public *k)
{
	char pem[KEY_PEM_LEN], name[128], host[9], hex[ID_HEX_LEN + 1];
	struct err e = ERR_INIT;

	key_public_pem(k, pem);
	(void)snprintf(name, sizeof(name), DIR_KEYS PUB_PREFIX "%s-%.16s" PUB_SUFFIX,
		       hex_encode(writer, 4, host), id_hex(&k->fingerprint, hex));
	if (record_put(s, name, pem, strlen(pem), &e))
		store_event(s, EVENT_WARNING, name, &e, "the public key is not in the repository");
}

/** Under the identity's lock. */
static enum err_code make_locked(const struct place *at, bool replace, struct key_public *out,
				 struct err *e)
{
	char pem[SIGN_PEM_MAX], tmp[sizeof(at->name) + 8];
	struct sign_key *k = NULL;
	struct sign_public p;
	struct stat st;
	size_t len = 0;
	enum err_code rc;

	if (!replace && fstatat(at->dir, at->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, ERR_EXISTS, "this host has a key for the repository already, %s/%s; "
			       "'vouch key sign --new' puts another in its place", at->path, at->name);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", at->name);
	rc = sign_key_make(&k, e);
	if (!rc)
		rc = sign_key_write(k, pem, &len, e);
	(void)unlinkat(at->dir, tmp, 0);	/* a dead one's; the lock is ours */
	if (!rc)
		rc = io_publish(&io_system, at->dir, tmp, at->dir, at->name, pem, len, e);
	explicit_bzero(pem, sizeof(pem));
	if (!rc) {
		sign_key_public(k, &p);
		public_set(out, &p);
	}
	sign_key_free(k);
	return rc;
}

enum err_code key_make(struct store *s, bool replace, struct key_public *out, char **where,
		       struct err *e)
{
	uint8_t writer[16];
	struct place at;
	int lock_fd = -1;
	enum err_code rc = place_open(s, &at, e);

	*where = NULL;
	if (rc)
		return rc;
	rc = writer_identity(s, writer, &lock_fd, e);
	if (!rc && lock_fd < 0)
		rc = err_set(e, ERR_FAILED, "%s: this host's identity cannot be kept there, so no key can",
			     at.path);
	if (!rc)
		rc = make_locked(&at, replace, out, e);
	if (!rc) {
		*where = secret_path(&at);
		if (!*where)
			rc = err_set(e, ERR_NOMEM, "a path");
		put_public(s, writer, out);
	}
	if (lock_fd >= 0)
		(void)close(lock_fd);
	place_close(&at);
	return rc;
}

/* Signing what is there. */

static enum err_code sign_one(struct store *s, const struct sign_key *k,
			      const struct chain_node *c, struct key_signed *done, struct err *e)
{
	char stem[STEM_LEN + 1];
	struct buf b = BUF_INIT;
	bool there = false;
	enum err_code rc;

	chain_node_stem(c, stem);
	rc = signature_exists(s, stem, &there, e);
	if (rc || there)
		return rc;
	rc = chain_node_bytes(s, c, &b, e);
	if (!rc)
		rc = signature_put(s, k, stem, &b, false, e);
	if (!rc) {
		signature_put_copy(s, stem);
		*(c->record ? &done->records : &done->snapshots) += 1;
	}
	buf_release(&b);
	if (rc)
		err_prefix(e, "sign %s", stem);
	return rc;
}

enum err_code key_sign_present(struct store *s, bool all, const atomic_bool *cancel,
			       struct key_signed *out, struct err *e)
{
	struct chain_nodes n = { .nr = 0 };
	struct sign_key *k = NULL;
	struct err sums = ERR_INIT;
	uint8_t writer[16];
	enum err_code rc = signing_key_load(s, &k, e);

	*out = (struct key_signed){ 0, 0 };
	if (!rc)
		rc = writer_identity(s, writer, NULL, e);
	if (!rc)
		rc = chain_nodes_read(s, &n, e);
	for (size_t i = 0; i < n.nr && !rc; i++) {
		const struct event ev = { .kind = EVENT_PROGRESS, .text = "sign", .files = i,
					  .files_total = n.nr };

		if (s->events.fn)
			s->events.fn(s->events.ctx, &ev);
		if (cancel && atomic_load(cancel))
			rc = err_set(e, ERR_CANCELED, "signing stopped on request");
		else if (all || memcmp(n.all[i].writer, writer, sizeof(writer)) == 0)
			rc = sign_one(s, k, &n.all[i], out, e);
	}
	sign_key_free(k);
	chain_nodes_release(&n);
	if (out->snapshots + out->records > 0 && records_refresh_sums(s, &sums))
		store_event(s, EVENT_WARNING, "SHA256SUMS", &sums, "not made anew");
	return rc;
}
