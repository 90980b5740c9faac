/* SPDX-License-Identifier: MIT */
#include "fs/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/control.h"
#include "fs/refresh.h"

int reply_errno(const struct err *e)
{
	switch (e->code) {
	case ERR_OK:
		return 0;
	case ERR_NOMEM:
		return ENOMEM;
	case ERR_LIMIT:
		return EOVERFLOW;
	case ERR_UNSUPPORTED:
		return EOPNOTSUPP;
	case ERR_USAGE:
	case ERR_NOT_FOUND:
		/* Set by fs/ itself: ESTALE, ENOTDIR, ...  From the store, what is not found is a chunk. */
		return e->sys ? e->sys : EIO;
	default:
		return EIO;
	}
}

/* EIO has its cause told: without a line nobody could find out which medium or file it was. */
static void tell(struct fs *fs, const char *op, uint64_t nodeid, const struct err *e)
{
	uint64_t key = nodeid * UINT64_C(0x9e3779b97f4a7c15) + e->code;
	struct buf path = BUF_INIT;

	/* A drive that is away is not damaged: one line says so, however many files are asked for meanwhile. */
	if (e->code == ERR_ABSENT) {
		if (!log_seen_lately(fs->log, ERR_ABSENT))
			log_say(fs->log, EVENT_WARNING, "%s fails until it is back: %s", op, e->msg);
		return;
	}
	for (const char *p = e->msg; *p; p++)
		key = (key ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	if (log_seen_lately(fs->log, key))
		return;
	node_path(fs, nodeid, &path);
	log_damage(fs->log, op, path.bad ? "?" : (const char *)path.p, e);
	buf_release(&path);
}

static void answer(fuse_req_t req, const char *op, uint64_t nodeid, uint64_t off, uint64_t len,
		   const struct err *e)
{
	struct fs *fs = fs_of(req);
	int sys = reply_errno(e);

	if (sys == EIO && e->code != ERR_ABSENT)
		control_refused(fs, op, nodeid, off, len, e);
	if (sys == EIO || sys == EOVERFLOW || sys == EOPNOTSUPP) {
		tell(fs, op, nodeid, e);
		/* The pack may have come since we last looked: an rsync under way. */
		if (e->code == ERR_NOT_FOUND || e->code == ERR_INCOMPLETE)
			refresher_want_packs(fs->refresher);
	}
	(void)fuse_reply_err(req, sys);
}

void reply_err(fuse_req_t req, const char *op, uint64_t nodeid, const struct err *e)
{
	answer(req, op, nodeid, 0, 0, e);
}

void reply_read_err(fuse_req_t req, uint64_t nodeid, uint64_t off, uint64_t len,
		    const struct err *e)
{
	answer(req, "read", nodeid, off, len, e);
}

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static _Thread_local struct {
	uint8_t *p;
	size_t cap;
} buffer;

static void make_key(void)
{
	if (pthread_key_create(&buffer_key, free) != 0)
		abort();
}

void *reply_buffer(size_t len)
{
	uint8_t *p;

	if (len <= buffer.cap && buffer.p)
		return buffer.p;
	if (pthread_once(&buffer_once, make_key) != 0)
		abort();
	p = realloc(buffer.p, len ? len : 1);
	if (!p)
		return NULL;
	buffer.p = p;
	buffer.cap = len;
	/* The key is what frees it at the thread's end; fails only where the key is not one. */
	if (pthread_setspecific(buffer_key, p) != 0)
		abort();
	return p;
}
