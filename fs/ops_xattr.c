/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes as they were stored.  POSIX ACLs are among them, in the form the kernel itself keeps them in:
 * with FUSE_CAP_POSIX_ACL it asks for system.posix_acl_access and judges by it.
 *
 * And user.vouch.*, which are ours: they answer when asked and are not listed, or cp -a and rsync -X would carry them
 * into copies.
 */
#include <errno.h>
#include <string.h>

#include "fs/fresh.h"
#include "fs/ops.h"
#include "store/base/checked.h"

#define OURS	"user.vouch."

static bool find(const struct entry *ent, const char *name, struct entry_xattr *x)
{
	size_t len = strlen(name);

	for (size_t i = 0; entry_xattr_at(ent, i, x); i++)
		if (x->name_len == len && memcmp(x->name, name, len) == 0)
			return true;
	return false;
}

static void reply_value(fuse_req_t req, fuse_ino_t ino, const struct entry_xattr *x, size_t size)
{
	struct err e = ERR_INIT;
	void *buf;

	if (size == 0) {
		(void)fuse_reply_xattr(req, x->value_len);
	} else if (size < x->value_len) {
		(void)fuse_reply_err(req, ERANGE);
	} else {
		buf = reply_buffer(x->value_len);
		if (!buf)
			(void)fuse_reply_err(req, ENOMEM);
		else if (entry_xattr_value(fs_of(req)->store, x, buf, &e))
			reply_err(req, "getxattr", ino, &e);
		else
			(void)fuse_reply_buf(req, buf, x->value_len);
	}
}

static bool is_ours(const char *name, size_t len)
{
	return len >= sizeof(OURS) - 1 && memcmp(name, OURS, sizeof(OURS) - 1) == 0;
}

/* What name, one of ours, says of a file; its length, 0 where there is nothing to say. */
static size_t our_value(struct fs *fs, uint64_t nodeid, const struct entry *ent, const char *name,
			char out[2 * sizeof(struct object_id) + 1])
{
	struct object_id sum;
	struct tm tm;
	time_t when;

	if (ent->type != ENTRY_FILE)
		return 0;
	if (strcmp(name, OURS "sha256") == 0 && entry_sha256(ent, &sum))
		return strlen(id_hex(&sum, out));
	if (strcmp(name, OURS "verified") == 0 && fresh_verified(fs->fresh, nodeid, &when) &&
	    gmtime_r(&when, &tm))
		return strftime(out, 2 * sizeof(sum) + 1, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return 0;
}

static void reply_ours(fuse_req_t req, fuse_ino_t ino, const struct entry *ent, const char *name,
		       size_t size)
{
	char text[2 * sizeof(struct object_id) + 1];
	size_t len = our_value(fs_of(req), ino, ent, name, text);

	if (len == 0)
		(void)fuse_reply_err(req, ENODATA);
	else if (size == 0)
		(void)fuse_reply_xattr(req, len);
	else if (size < len)
		(void)fuse_reply_err(req, ERANGE);
	else
		(void)fuse_reply_buf(req, text, len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;
	struct entry_xattr x;

	if (root_has(ino)) {
		(void)fuse_reply_err(req, ENODATA);
		return;
	}
	if (node_entry_of(fs, ino, &r, NULL, &e)) {
		reply_err(req, "getxattr", ino, &e);
		return;
	}
	if (is_ours(name, strlen(name)))
		reply_ours(req, ino, &r.e, name, size);
	else if (find(&r.e, name, &x))
		reply_value(req, ino, &x, size);
	else
		(void)fuse_reply_err(req, ENODATA);
	entry_ref_release(fs->store, &r);
}

/* trusted.* is root's alone to see, as on other file systems; ours are nobody's, were they stored, too. */
static bool hidden(fuse_req_t req, const struct entry_xattr *x)
{
	static const char trusted[] = "trusted.";

	if (is_ours(x->name, x->name_len))
		return true;
	return fuse_req_ctx(req)->uid != 0 && x->name_len > sizeof(trusted) - 1 &&
	       memcmp(x->name, trusted, sizeof(trusted) - 1) == 0;
}

static void reply_names(fuse_req_t req, const struct entry *ent, size_t size)
{
	struct entry_xattr x;
	size_t len = 0;
	char *buf;

	for (size_t i = 0; entry_xattr_at(ent, i, &x); i++)
		len += hidden(req, &x) ? 0 : x.name_len + 1;
	if (size == 0) {
		(void)fuse_reply_xattr(req, len);
		return;
	}
	buf = reply_buffer(len);
	if (len > size || !buf) {
		(void)fuse_reply_err(req, len > size ? ERANGE : ENOMEM);
		return;
	}
	len = 0;
	for (size_t i = 0; entry_xattr_at(ent, i, &x); i++) {
		if (hidden(req, &x))
			continue;
		memcpy(buf + len, x.name, x.name_len);
		buf[len + x.name_len] = '\0';
		len += x.name_len + 1;
	}
	(void)fuse_reply_buf(req, buf, len);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	static const struct entry none = { .type = ENTRY_DIR };
	struct fs *fs = fs_of(req);
	struct entry_ref r = { 0 };
	struct err e = ERR_INIT;

	if (root_has(ino)) {
		reply_names(req, &none, size);
		return;
	}
	if (node_entry_of(fs, ino, &r, NULL, &e)) {
		reply_err(req, "listxattr", ino, &e);
		return;
	}
	reply_names(req, &r.e, size);
	entry_ref_release(fs->store, &r);
}
