/* SPDX-License-Identifier: MIT */
#include "tests/lib/faulty_backend.h"

#include <stdatomic.h>
#include <stdlib.h>

struct faulty {
	struct backend base;
	struct backend *inner;
	unsigned calls;
	atomic_uint made, nth;
	bool sticky;
	enum err_code code;
	int sys;
	atomic_bool fired;
	atomic_uint_fast64_t free_bytes; /* plus one; 0: as it is */
};

struct backend_put {
	struct faulty *f;
	struct backend_put *inner;
};

static struct faulty *of(struct backend *b)
{
	return (struct faulty *)b; /* base is its first member */
}

static enum err_code fails(struct faulty *f, unsigned kind, const char *what, struct err *e)
{
	unsigned n, nth = atomic_load(&f->nth);

	if (!(f->calls & kind))
		return ERR_OK;
	n = atomic_fetch_add(&f->made, 1) + 1;
	if (nth == 0 || n < nth || (n > nth && !f->sticky))
		return ERR_OK;
	atomic_store(&f->fired, true);
	err_set(e, f->code, "%s: failed on purpose", what);
	if (e)
		e->sys = f->sys;
	return f->code;
}

static enum err_code get(struct backend *b, const char *name, uint64_t off, void *buf, size_t len,
			 size_t *n, struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_READS, "get", e);

	return rc ? rc : of(b)->inner->ops->get(of(b)->inner, name, off, buf, len, n, e);
}

static enum err_code size(struct backend *b, const char *name, uint64_t *out, struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_READS, "size", e);

	return rc ? rc : of(b)->inner->ops->size(of(b)->inner, name, out, e);
}

static enum err_code list(struct backend *b, const char *prefix, bool with_size,
			  backend_list_fn *fn, void *ctx, struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_READS, "list", e);

	return rc ? rc : of(b)->inner->ops->list(of(b)->inner, prefix, with_size, fn, ctx, e);
}

static enum err_code put(struct backend *b, const char *name, const void *buf, size_t len,
			 struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_WRITES, "put", e);

	return rc ? rc : of(b)->inner->ops->put(of(b)->inner, name, buf, len, e);
}

static enum err_code put_begin(struct backend *b, struct backend_put **out, struct err *e)
{
	struct backend_put *p = calloc(1, sizeof(*p));
	enum err_code rc = fails(of(b), FAULTY_WRITES, "put_begin", e);

	if (!p)
		abort();
	p->f = of(b);
	if (!rc)
		rc = p->f->inner->ops->put_begin(p->f->inner, &p->inner, e);
	if (rc) {
		free(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

static enum err_code put_add(struct backend_put *p, const void *buf, size_t len, struct err *e)
{
	enum err_code rc = fails(p->f, FAULTY_WRITES, "put_add", e);

	return rc ? rc : p->f->inner->ops->put_add(p->inner, buf, len, e);
}

static enum err_code put_commit(struct backend_put *p, const char *name, struct err *e)
{
	enum err_code rc = fails(p->f, FAULTY_WRITES, "put_commit", e);

	if (rc)
		p->f->inner->ops->put_abort(p->inner);
	else
		rc = p->f->inner->ops->put_commit(p->inner, name, e);
	free(p);
	return rc;
}

static enum err_code put_commit_two(struct backend_put *first, const char *first_name,
				    struct backend_put *second, const char *second_name,
				    struct err *e)
{
	enum err_code rc = fails(first->f, FAULTY_WRITES, "put_commit_two", e);
	const struct backend_ops *inner = first->f->inner->ops;

	if (rc) {
		inner->put_abort(first->inner);
		inner->put_abort(second->inner);
	} else {
		rc = inner->put_commit_two(first->inner, first_name, second->inner, second_name, e);
	}
	free(first);
	free(second);
	return rc;
}

static enum err_code put_get(struct backend_put *p, uint64_t off, void *buf, size_t len, size_t *n,
			     struct err *e)
{
	enum err_code rc = fails(p->f, FAULTY_READS, "put_get", e);

	return rc ? rc : p->f->inner->ops->put_get(p->inner, off, buf, len, n, e);
}

static void put_abort(struct backend_put *p)
{
	if (!p)
		return;
	p->f->inner->ops->put_abort(p->inner);
	free(p);
}

static enum err_code settle(struct backend *b, const char *prefix, struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_WRITES, "settle", e);

	if (rc || !of(b)->inner->ops->settle)
		return rc;
	return of(b)->inner->ops->settle(of(b)->inner, prefix, e);
}

static enum err_code append(struct backend *b, const char *name, const void *buf, size_t len,
			    struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_WRITES, "append", e);

	return rc ? rc : of(b)->inner->ops->append(of(b)->inner, name, buf, len, e);
}

static enum err_code rem(struct backend *b, const char *name, struct err *e)
{
	enum err_code rc = fails(of(b), FAULTY_WRITES, "remove", e);

	return rc ? rc : of(b)->inner->ops->remove(of(b)->inner, name, e);
}

static enum err_code space(struct backend *b, uint64_t *free_bytes, uint64_t *total_bytes,
			   struct err *e)
{
	enum err_code rc = of(b)->inner->ops->space(of(b)->inner, free_bytes, total_bytes, e);
	uint64_t forced = atomic_load(&of(b)->free_bytes);

	if (!rc && forced > 0)
		*free_bytes = forced - 1;
	return rc;
}

static enum err_code sweep(struct backend *b, struct err *e)
{
	return of(b)->inner->ops->sweep(of(b)->inner, e);
}

void faulty_close(struct backend *b)
{
	free(b);
}

struct backend *faulty_open(struct backend *inner)
{
	static const struct backend_ops ops = {
	    .get = get,
	    .size = size,
	    .list = list,
	    .put = put,
	    .put_begin = put_begin,
	    .put_add = put_add,
	    .put_commit = put_commit,
	    .put_commit_two = put_commit_two,
	    .put_get = put_get,
	    .put_abort = put_abort,
	    .settle = settle,
    .append = append,
	    .remove = rem,
	    .space = space,
	    .sweep = sweep,
	    .close = faulty_close,
	};
	struct faulty *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->base = (struct backend){.ops = &ops, .read_only = inner->read_only};
	f->inner = inner;
	return &f->base;
}

void faulty_set(struct backend *b, unsigned calls, unsigned nth, bool sticky, enum err_code code,
		int sys)
{
	struct faulty *f = of(b);

	f->calls = calls;
	f->sticky = sticky;
	f->code = code;
	f->sys = sys;
	atomic_store(&f->made, 0);
	atomic_store(&f->nth, nth);
	atomic_store(&f->fired, false);
}

void faulty_set_space(struct backend *b, uint64_t free_bytes)
{
	atomic_store(&of(b)->free_bytes, free_bytes + 1);
}

bool faulty_fired(const struct backend *b)
{
	return atomic_load(&((const struct faulty *)b)->fired);
}

unsigned faulty_calls_made(const struct backend *b)
{
	return atomic_load(&((const struct faulty *)b)->made);
}
