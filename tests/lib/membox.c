/* SPDX-License-Identifier: MIT */
#include "tests/lib/membox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX 8

struct membox {
	struct backend base;
	struct {
		char name[96];
		struct buf data;
	} objects[OBJECTS_MAX];
	char bad_name[96];
	uint64_t bad_off, bad_len, free_bytes;
	bool lie;
	unsigned commits, reads;
};

struct backend_put {
	struct membox *m;
	struct buf data;
};

static struct membox *of(struct backend *b)
{
	return (struct membox *)b; /* base is its first member */
}

struct buf *membox_object(struct backend *b, const char *name)
{
	struct membox *m = of(b);

	for (int i = 0; i < OBJECTS_MAX; i++)
		if (strcmp(m->objects[i].name, name) == 0)
			return &m->objects[i].data;
	return NULL;
}

static enum err_code mem_get(struct backend *b, const char *name, uint64_t off, void *buf,
			     size_t len, size_t *n, struct err *e)
{
	struct membox *m = of(b);
	struct buf *d = membox_object(b, name);
	size_t have;

	m->reads++;
	if (!d)
		return err_set(e, ERR_NOT_FOUND, "%s", name);
	have = off < d->len ? d->len - (size_t)off : 0;
	have = have < len ? have : len;
	if (m->bad_len && strcmp(m->bad_name, name) == 0 && off < m->bad_off + m->bad_len &&
	    off + len > m->bad_off) {
		errno = EIO;
		return err_sys(e, "read %s", name);
	}
	if (have)
		memcpy(buf, d->p + off, have);
	*n = have;
	return ERR_OK;
}

static enum err_code mem_size(struct backend *b, const char *name, uint64_t *size, struct err *e)
{
	struct buf *d = membox_object(b, name);

	if (!d)
		return err_set(e, ERR_NOT_FOUND, "%s", name);
	*size = d->len;
	return ERR_OK;
}

static enum err_code mem_begin(struct backend *b, struct backend_put **out, struct err *e)
{
	struct backend_put *p = calloc(1, sizeof(*p));

	(void)e;
	if (!p)
		abort();
	p->m = of(b);
	*out = p;
	return ERR_OK;
}

static enum err_code mem_add(struct backend_put *p, const void *buf, size_t len, struct err *e)
{
	(void)e;
	buf_add(&p->data, buf, len);
	if (p->data.bad)
		abort();
	return ERR_OK;
}

static void mem_abort(struct backend_put *p)
{
	if (p)
		buf_release(&p->data);
	free(p);
}

static enum err_code mem_remove(struct backend *b, const char *name, struct err *e)
{
	struct buf *d = membox_object(b, name);

	if (!d)
		return err_set(e, ERR_NOT_FOUND, "%s", name);
	buf_release(d);
	for (int i = 0; i < OBJECTS_MAX; i++)
		if (&of(b)->objects[i].data == d)
			of(b)->objects[i].name[0] = '\0';
	return ERR_OK;
}

static enum err_code mem_commit(struct backend_put *p, const char *name, struct err *e)
{
	struct membox *m = p->m;

	(void)e;
	(void)!mem_remove(&m->base, name, NULL);
	for (int i = 0; i < OBJECTS_MAX; i++)
		if (!m->objects[i].name[0]) {
			if (strlen(name) >= sizeof(m->objects[i].name))
				abort();
			memcpy(m->objects[i].name, name, strlen(name) + 1);
			m->objects[i].data = p->data;
			if (m->lie)
				m->objects[i].data.p[p->data.len / 2] ^= 4;
			m->commits++;
			free(p);
			return ERR_OK;
		}
	abort();
}

static enum err_code mem_commit_two(struct backend_put *first, const char *first_name,
				    struct backend_put *second, const char *second_name,
				    struct err *e)
{
	enum err_code rc = mem_commit(first, first_name, e);

	return rc ? rc : mem_commit(second, second_name, e);
}

static enum err_code mem_put_get(struct backend_put *p, uint64_t off, void *buf, size_t len,
				 size_t *n, struct err *e)
{
	size_t have = off < p->data.len ? p->data.len - (size_t)off : 0;

	(void)e;
	have = have < len ? have : len;
	if (have)
		memcpy(buf, p->data.p + off, have);
	if (have && p->m->lie)
		((uint8_t *)buf)[have / 2] ^= 4;
	*n = have;
	return ERR_OK;
}

static enum err_code mem_put(struct backend *b, const char *name, const void *buf, size_t len,
			     struct err *e)
{
	struct backend_put *p = NULL;
	enum err_code rc = mem_begin(b, &p, e);

	if (!rc)
		rc = mem_add(p, buf, len, e);
	return rc ? rc : mem_commit(p, name, e);
}

static enum err_code mem_space(struct backend *b, uint64_t *free_bytes, uint64_t *total_bytes,
			       struct err *e)
{
	(void)e;
	*free_bytes = of(b)->free_bytes;
	*total_bytes = UINT64_MAX;
	return ERR_OK;
}

static const struct backend_ops ops = {
    .get = mem_get,
    .size = mem_size,
    .put = mem_put,
    .put_begin = mem_begin,
    .put_add = mem_add,
    .put_commit = mem_commit,
    .put_commit_two = mem_commit_two,
    .put_get = mem_put_get,
    .put_abort = mem_abort,
    .remove = mem_remove,
    .space = mem_space,
};

struct backend *membox_open(void)
{
	struct membox *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	m->base.ops = &ops;
	m->free_bytes = UINT64_MAX / 4;
	return &m->base;
}

void membox_close(struct backend *b)
{
	for (int i = 0; i < OBJECTS_MAX; i++)
		buf_release(&of(b)->objects[i].data);
	free(b);
}

void membox_unreadable(struct backend *b, const char *name, uint64_t off, uint64_t len)
{
	struct membox *m = of(b);

	memcpy(m->bad_name, name, strlen(name) + 1);
	m->bad_off = off;
	m->bad_len = len;
}

void membox_set_free(struct backend *b, uint64_t free_bytes)
{
	of(b)->free_bytes = free_bytes;
}

void membox_lie(struct backend *b, bool lie)
{
	of(b)->lie = lie;
}

unsigned membox_commits(const struct backend *b)
{
	return ((const struct membox *)b)->commits;
}

unsigned membox_reads(const struct backend *b)
{
	return ((const struct membox *)b)->reads;
}
