/* SPDX-License-Identifier: MIT */
/*
 * In "damage": who was told EIO.  What was copied from such a file lacks bytes, and a cp that went on after it left it
 * cut short: here is its name, and which of its bytes were asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control_impl.h"
#include "fs/nodes.h"
#include "store/base/checked.h"

#define KEPT	512u		/* ranges, or folders; more are counted */

struct refused {
	uint64_t nodeid;
	uint64_t from, to;	/* bytes of the file, to not in; both 0 where it was not a read */
	struct timespec first;
	char *path;		/* raw bytes */
	char op[16], why[200];
};

struct refusals {
	pthread_mutex_t mutex;
	struct refused all[KEPT];	/* mutex, as all here */
	size_t nr;
	uint64_t unlisted;
	uint64_t version;		/* grows with each that is new */
};

enum err_code refusals_open(struct refusals **out, struct err *e)
{
	struct refusals *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ERR_NOMEM, "list of refused reads");
	must(pthread_mutex_init(&r->mutex, NULL));
	*out = r;
	return ERR_OK;
}

void refusals_close(struct refusals *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr; i++)
		free(r->all[i].path);
	must(pthread_mutex_destroy(&r->mutex));
	free(r);
}

/* The same range again, or one that touches one that is there. */
static bool joined_locked(struct refusals *r, uint64_t nodeid, const char *op, uint64_t from,
			  uint64_t to)
{
	for (size_t i = 0; i < r->nr; i++) {
		struct refused *f = &r->all[i];

		if (f->nodeid != nodeid || strcmp(f->op, op) != 0 || from > f->to || to < f->from)
			continue;
		if (from < f->from || to > f->to)
			r->version++;
		f->from = from < f->from ? from : f->from;
		f->to = to > f->to ? to : f->to;
		return true;
	}
	return false;
}

static void add_locked(struct refusals *r, const struct refused *f)
{
	r->version++;
	if (r->nr == KEPT || !f->path) {
		r->unlisted++;
		free(f->path);
		return;
	}
	r->all[r->nr++] = *f;
}

void control_refused(struct fs *fs, const char *op, uint64_t nodeid, uint64_t off, uint64_t len,
		     const struct err *why)
{
	struct refusals *r = fs->control->refusals;
	struct refused f = { .nodeid = nodeid };
	struct buf path = BUF_INIT;
	bool known;

	(void)snprintf(f.op, sizeof(f.op), "%s", op);
	(void)snprintf(f.why, sizeof(f.why), "%.*s", (int)sizeof(f.why) - 1, why->msg);
	f.from = off;
	f.to = add_u64(off, len, &f.to) ? UINT64_MAX : f.to;
	if (clock_gettime(CLOCK_REALTIME, &f.first) < 0)
		f.first.tv_sec = 0;
	must(pthread_mutex_lock(&r->mutex));
	known = joined_locked(r, nodeid, f.op, f.from, f.to);
	must(pthread_mutex_unlock(&r->mutex));
	if (known)
		return;
	node_path(fs, nodeid, &path);	/* may read */
	f.path = path.bad ? NULL : strdup((const char *)path.p);
	buf_release(&path);
	must(pthread_mutex_lock(&r->mutex));
	if (joined_locked(r, nodeid, f.op, f.from, f.to))
		free(f.path);
	else
		add_locked(r, &f);
	must(pthread_mutex_unlock(&r->mutex));
}

uint64_t refusals_version(struct refusals *r)
{
	uint64_t version;

	must(pthread_mutex_lock(&r->mutex));
	version = r->version;
	must(pthread_mutex_unlock(&r->mutex));
	return version;
}

static void add_refused(struct buf *out, const struct refused *f)
{
	ctl_add_time(out, &f->first);
	buf_add_str(out, " EIO ");
	ctl_add_escaped(out, f->path);
	if (f->to)
		buf_printf(out, ": bytes %llu to %llu", (unsigned long long)f->from,
			   (unsigned long long)f->to - 1);
	else
		buf_printf(out, ": %s", f->op);
	buf_add_str(out, ": ");
	ctl_add_escaped(out, f->why);
	buf_add_u8(out, '\n');
}

bool refusals_text(struct refusals *r, struct buf *out)
{
	bool any;

	must(pthread_mutex_lock(&r->mutex));
	any = r->nr > 0 || r->unlisted > 0;
	if (any)
		buf_add_str(out, "# Who asked for these was answered EIO: a copy of such a file is cut "
				 "short, or lacks bytes.\n");
	for (size_t i = 0; i < r->nr; i++)
		add_refused(out, &r->all[i]);
	if (r->unlisted)
		buf_printf(out, "and %llu more\n", (unsigned long long)r->unlisted);
	must(pthread_mutex_unlock(&r->mutex));
	return any;
}
