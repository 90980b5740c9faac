/* SPDX-License-Identifier: MIT */
/* The walk through what is restored: directories, and items for the pool. */
#include "store/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/digest.h"

#define QUEUE_CAP	16u		/* jobs that wait: memory, and folders and large files that are open */
/*
 * One job's: small files one by one cost two changes of thread each, and all threads would make
 * files in the same folder and want chunks of the same block.
 */
#define BATCH_ITEMS	64u
#define BATCH_BYTES	((uint64_t)1 << 20)
#define LOST_STEP	64u		/* entries passed at once when seeking a damaged node's end */

/* Items. */

void restore_item_done(struct ritem *it)
{
	struct restore *r = it->r;
	struct rdir *dir = it->dir;

	restore_moved_end(it);
	free(it);
	rdir_done(r, dir);
}

static uint8_t *take(uint8_t **mem, const void *from, size_t len)
{
	uint8_t *at = *mem;

	if (len)
		memcpy(at, from, len);
	at[len] = 0;
	*mem += len + 1;
	return at;
}

static struct ritem *item_new(struct restore *r, struct rdir *dir, const struct entry *e)
{
	struct ritem *it = malloc(sizeof(*it) + e->target_len + e->xattrs_len + e->content_len + 3);
	uint8_t *mem;

	if (!it)
		return NULL;
	it->r = r;
	it->dir = dir;
	it->group = NULL;
	it->next = NULL;
	it->moved = 0;
	it->e = *e;
	memcpy(it->name, e->name, e->name_len);
	it->name[e->name_len] = '\0';
	mem = it->mem;
	it->e.name = it->name;
	it->e.target = (char *)take(&mem, e->target, e->target_len);
	it->e.xattrs = take(&mem, e->xattrs, e->xattrs_len);
	it->e.content_p = take(&mem, e->content_p, e->content_len);
	it->e.user = it->e.group = "";
	it->e.user_len = it->e.group_len = 0;
	atomic_fetch_add(&dir->pending, 1);
	return it;
}

static void run_item(struct restore *r, struct ritem *it)
{

	if (restore_stopping(r)) {
		restore_link_done(it, false);
	} else if (r->reading_back) {
		restore_read_back(it);
	} else if (!restore_link_try(it)) {
		restore_link_done(it, restore_make(it));
	}
	restore_item_done(it);
}

static void batch_job(void *arg)
{
	struct ritem *it, *next = arg;

	while ((it = next)) {
		next = it->next;
		it->next = NULL;	/* where it waits for another name, that is its own */
		run_item(it->r, it);
	}
}

static void batch_submit(struct restore *r)
{
	if (r->batch)
		pool_submit(r->pool, batch_job, r->batch);
	r->batch = NULL;
	r->batch_end = &r->batch;
	r->batch_nr = 0;
	r->batch_bytes = 0;
}

static void batch_add(struct restore *r, struct ritem *it)
{
	*r->batch_end = it;
	r->batch_end = &it->next;
	r->batch_nr++;
	if (it->e.type == ENTRY_FILE)
		r->batch_bytes += it->e.size - it->e.hole_bytes;
	if (r->batch_nr == BATCH_ITEMS || r->batch_bytes >= BATCH_BYTES)
		batch_submit(r);
}

static void dry_item(struct ritem *it)
{
	struct restore *r = it->r;
	bool unchanged = false;
	const char *text = "would write";
	struct stat st;
	int fd = it->dir->absent ? -1 : rdir_fd(r, it->dir);

	if (fd >= 0 && fstatat(fd, it->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		text = "would replace";
		unchanged = it->e.type == ENTRY_FILE && S_ISREG(st.st_mode) &&
			    (uint64_t)st.st_size == it->e.size &&
			    st.st_mtim.tv_sec == it->e.mtime.sec &&
			    st.st_mtim.tv_nsec == (long)it->e.mtime.nsec;
	}
	if (fd >= 0)
		rdir_fd_put(r, it->dir);
	if (!unchanged)
		restore_event(r, EVENT_NOTE, it->dir, it->name, text);
	restore_count_item(it, unchanged);
	restore_item_done(it);
}

static void submit(struct restore *r, struct rdir *dir, const struct entry *e)
{
	struct ritem *it;

	if (r->reading_back && e->type != ENTRY_FILE)
		return;
	if (!rdir_make(r, dir))
		return;
	it = item_new(r, dir, e);
	if (!it) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_NOMEM, "no memory for an entry of %.255s", r->o->target);
		restore_stop(r, &err);
	} else if (r->o->dry_run) {
		dry_item(it);
	} else if (r->reading_back) {
		batch_add(r, it);
	} else if (!restore_link_wait(r, it)) {
		if (it->group || e->type != ENTRY_FILE || !restore_file_parts(r, it))
			batch_add(r, it);
	}
}

/* The walk. */

struct visit {
	struct restore *r;
	struct rdir *dir, *child;	/* child: walk this one next */
};

static bool name_ok(const struct entry *e)
{
	return e->name_len > 0 && e->name_len <= NAME_LEN_MAX &&
	       !memchr(e->name, '/', e->name_len) && !memchr(e->name, '\0', e->name_len) &&
	       !(e->name[0] == '.' &&
		 (e->name_len == 1 || (e->name_len == 2 && e->name[1] == '.')));
}

/* Sets *included, for what is below too; false where nothing of it is wanted. */
static bool wanted(struct restore *r, const struct rdir *dir, const struct entry *e, bool *included)
{
	bool is_dir = e->type == ENTRY_DIR;
	const char *path;

	*included = dir->included;
	if (!r->includes && !r->excludes)
		return true;
	r->path.len = dir->path_len;
	if (dir->path_len > 0)
		buf_add_u8(&r->path, '/');
	buf_add(&r->path, e->name, e->name_len);
	buf_add_u8(&r->path, 0);
	if (r->path.bad)
		return true;	/* the walk ends with ERR_NOMEM */
	r->path.len--;
	path = (const char *)r->path.p;
	if (r->excludes && patterns_match(r->excludes, path, is_dir) == PATTERN_MATCH)
		return false;
	if (r->includes) {
		enum pattern_answer a = patterns_match(r->includes, path, is_dir);

		*included = a == PATTERN_MATCH || (*included && a != PATTERN_TAKEN_BACK);
	}
	return *included || is_dir;
}

static enum err_code visit(void *ctx, const struct entry_ref *ref, struct err *e)
{
	struct visit *v = ctx;
	struct restore *r = v->r;
	bool included;

	if (restore_stopping(r))
		return ERR_CANCELED;
	v->dir->position = ref->position + 1;
	if (!name_ok(&ref->e)) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_CORRUPT, "a name that no file can have");
		restore_failed(r, v->dir, NULL, &err, true);
		return ERR_OK;
	}
	if (!wanted(r, v->dir, &ref->e, &included))
		return ERR_OK;
	if (r->path.bad)
		return err_set(e, ERR_NOMEM, "a path below %s", r->o->target);
	if (ref->e.type == ENTRY_DIR) {
		struct err err = ERR_INIT;

		if (rdir_new(r, v->dir, &ref->e, &v->child, &err)) {
			restore_failed(r, v->dir, NULL, &err, true);
			return ERR_OK;
		}
		v->child->included = included;
		v->child->path_len = r->path.len;
		return ERR_CANCELED;	/* down there first */
	}
	submit(r, v->dir, &ref->e);
	return ERR_OK;
}

/*
 * The node that holds the entry at d->position is damaged: find the first entry behind it that
 * can be read, and say how many are lost.
 */
static void pass_over(struct restore *r, struct rdir *d, struct err *err)
{
	uint64_t bad = d->position, good, end = d->e.nr_entries, step = LOST_STEP;
	struct entry_ref ref = { 0 };
	struct err ignored = ERR_INIT;

	/* Each try reads the medium: where much is lost the steps grow. */
	for (unsigned tries = 1;; tries++) {
		good = end - bad > step ? bad + step : end;
		if (good == end || restore_stopping(r) ||
		    !tree_at(r->s, &d->e.node, good, &ref, &ignored))
			break;
		bad = good;
		step = tries % 16 == 0 ? 2 * step : step;
	}
	entry_ref_release(r->s, &ref);
	while (good - bad > 1) {
		uint64_t mid = bad + (good - bad) / 2;

		if (tree_at(r->s, &d->e.node, mid, &ref, &ignored))
			bad = mid;
		else
			good = mid;
		entry_ref_release(r->s, &ref);
	}
	err_prefix(err, "%" PRIu64 " of %" PRIu64 " names in this folder are lost",
		   good - d->position, end);
	restore_failed(r, d, NULL, err, true);
	d->position = good;
}

/* Enter d's next piece; *child is the directory to go into, NULL where d is done. */
static void walk_on(struct restore *r, struct rdir *d, struct rdir **child)
{
	do {
		struct visit v = { .r = r, .dir = d };
		struct err err = ERR_INIT;
		enum err_code rc = tree_walk(r->s, &d->e.node, d->position, visit, &v, &err);

		*child = v.child;
		if (v.child || restore_stopping(r) || !rc || rc == ERR_CANCELED)
			return;
		if (rc == ERR_NOMEM || rc == ERR_ABSENT) {
			restore_stop(r, &err);
			return;
		}
		if (d->position >= d->e.nr_entries) {
			restore_failed(r, d, NULL, &err, true);
			return;
		}
		pass_over(r, d, &err);
	} while (d->position < d->e.nr_entries);
}

static void walk(struct restore *r)
{
	struct rdir *d = r->top;

	while (d) {
		struct rdir *child = NULL, *parent = d->parent;

		/*
		 * An excluded parent is made when the first thing below it is wanted; empty ones
		 * here.
		 */
		if (d->included && !d->failed)
			(void)rdir_make(r, d);
		if (!d->failed && !restore_stopping(r))
			walk_on(r, d, &child);
		if (child) {
			d = child;
			continue;
		}
		if (d->parent)
			r->path.len = d->parent->path_len;
		if (d != r->top)
			rdir_done(r, d);
		d = d == r->top ? NULL : parent;
	}
}

/* One pass over everything; returns when all of it is done. */
static enum err_code pass(struct restore *r, const struct entry *what, struct err *e)
{
	enum err_code rc;

	rc = rdir_open_top(r, what, &r->top, e);
	if (rc)
		return rc;
	rc = pool_open(r->o->jobs, QUEUE_CAP, &r->pool, e);
	if (rc)
		goto out;
	r->batch_end = &r->batch;
	if (what->type == ENTRY_DIR)
		walk(r);
	else if (name_ok(what))
		submit(r, r->top, what);
	else
		rc = err_set(e, ERR_CORRUPT, "a name that no file can have");
	batch_submit(r);
	pool_wait(r->pool);
out:
	pool_close(r->pool);
	r->pool = NULL;
	restore_links_free(r);
	if (rc)
		atomic_store(&r->stopping, true);
	return rc;
}

static void end_pass(struct restore *r)
{
	if (r->top)
		rdir_done(r, r->top);
	r->top = NULL;
}

static enum err_code run(struct restore *r, const struct entry *what, struct err *e)
{
	enum err_code rc = pass(r, what, e);
	int fd = -1;

	if (rc || r->o->dry_run)
		goto out;
	/* The top's attributes are set when its count ends: keep a descriptor for what follows. */
	fd = dup(r->top->fd);
	if (fd < 0) {
		rc = err_sys(e, "%s", r->o->target);
		goto out;
	}
	end_pass(r);
	restore_late_flags(r);
	/*
	 * Could take minutes, which nobody waits for who has asked to stop; the next run compares
	 * all that it finds.
	 */
	if (!restore_stopping(r) && syncfs(fd) < 0)
		rc = err_sys(e, "write what is in memory to %s", r->o->target);
	if (!rc && r->o->verify && !restore_stopping(r)) {
		r->reading_back = true;
		rc = pass(r, what, e);
	}
out:
	end_pass(r);
	if (fd >= 0)
		(void)close(fd);	/* nothing was written through it */
	return rc;
}

static enum err_code open_patterns(struct restore *r, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (r->o->nr_includes > 0)
		rc = patterns_open(r->o->includes, r->o->nr_includes, &r->includes, e);
	if (!rc && r->o->nr_excludes > 0)
		rc = patterns_open(r->o->excludes, r->o->nr_excludes, &r->excludes, e);
	return rc;
}

enum err_code restore_run(struct store *s, const struct entry *what,
			  const struct restore_options *o, struct restore_result *out,
			  struct err *e)
{
	struct restore r = { .s = s, .o = o, .stop = ERR_INIT };
	enum err_code rc;

	rate_init(&r.rate, o->limit_rate, o->cancel);
	r.is_root = geteuid() == 0;
	r.special = o->special && r.is_root;
	if (pthread_mutex_init(&r.links, NULL) || pthread_mutex_init(&r.fds, NULL) ||
	    pthread_mutex_init(&r.count, NULL))
		abort();
	if (o->nr_includes == 0 && o->nr_excludes == 0) {	/* else the totals are not known */
		r.files_total = what->type == ENTRY_DIR ? what->below.files : 1;
		r.bytes_total = what->type == ENTRY_DIR ? what->below.bytes : what->size;
	}
	rc = open_patterns(&r, e);
	if (!rc)
		rc = digest_random(&r.tmp_base, sizeof(r.tmp_base), e);
	if (!rc)
		rc = run(&r, what, e);
	if (!rc && r.stop.code) {
		rc = r.stop.code;
		if (e)
			*e = r.stop;
	}
	restore_tell_notes(&r);
	*out = r.res;
	free(r.failed);
	buf_release(&r.path);
	patterns_close(r.includes);
	patterns_close(r.excludes);
	rate_release(&r.rate);
	(void)pthread_mutex_destroy(&r.links);
	(void)pthread_mutex_destroy(&r.fds);
	(void)pthread_mutex_destroy(&r.count);
	return rc;
}
