/* SPDX-License-Identifier: MIT */
#include "tests/lib/testtree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/digest.h"
#include "store/format/limits.h"

void testlog_init(struct testlog *l)
{
	*l = (struct testlog){ .hook = NULL };
	assert_int_equal(pthread_mutex_init(&l->mutex, NULL), 0);
}

void testlog_reset(struct testlog *l)
{
	for (int i = 0; i <= EVENT_PROGRESS; i++) {
		buf_release(&l->lines[i]);
		l->nr[i] = 0;
	}
}

void testlog_release(struct testlog *l)
{
	testlog_reset(l);
	(void)pthread_mutex_destroy(&l->mutex);
}

static void log_event(void *ctx, const struct event *ev)
{
	struct testlog *l = ctx;

	if (l->hook)
		l->hook(l->hook_ctx, ev);
	(void)pthread_mutex_lock(&l->mutex);
	l->nr[ev->kind]++;
	if (ev->kind != EVENT_PROGRESS)
		buf_printf(&l->lines[ev->kind], "%s|%s|%s\n", ev->text ? ev->text : "",
			   ev->path ? ev->path : "", ev->err ? ev->err->msg : "");
	(void)pthread_mutex_unlock(&l->mutex);
}

void testlog_attach(struct testlog *l, struct store *s)
{
	s->events = (struct store_events){ .fn = log_event, .ctx = l };
}

bool testlog_has(struct testlog *l, enum event_kind kind, const char *a, const char *b)
{
	bool found = false;
	char *text, *line, *rest;

	(void)pthread_mutex_lock(&l->mutex);
	text = strndup(l->lines[kind].len ? (char *)l->lines[kind].p : "", l->lines[kind].len);
	(void)pthread_mutex_unlock(&l->mutex);
	assert_non_null(text);
	for (line = strtok_r(text, "\n", &rest); line && !found; line = strtok_r(NULL, "\n", &rest))
		found = strstr(line, a) && strstr(line, b);
	free(text);
	return found;
}

static enum err_code emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			  struct err *e)
{
	struct testtree *t = ctx;

	if (++t->emitted == t->skip_node) {
		digest_sha256(buf, len, id);
		t->skipped = *id;
		return ERR_OK;
	}
	return testrepo_emit(t->r, buf, len, id, e);
}

static struct dir_builder *get_builder(struct testtree *t)
{
	struct dir_builder *b = NULL;

	if (t->nr_free > 0)
		return t->free[--t->nr_free];
	OK(dir_builder_open(emit, t, &b, &ok_err));
	return b;
}

static void put_builder(struct testtree *t, struct dir_builder *b)
{
	if (t->nr_free < sizeof(t->free) / sizeof(t->free[0]))
		t->free[t->nr_free++] = b;
	else
		dir_builder_close(b);
}

struct entry testtree_entry(enum entry_type type, const char *name)
{
	struct entry e = {
		.name = name,
		.name_len = strlen(name),
		.type = type,
		.mode = type == ENTRY_DIR ? 0755 : 0644,
		.uid = geteuid(),
		.gid = getegid(),
		.user = "",
		.group = "",
		.mtime = { 1, 5 },
		.ctime = { 1, 5 },
		.inode = 1,
		.nlink = 1,
		.target = "",
	};

	return e;
}

void testtree_begin(struct testtree *t, struct testrepo *r)
{
	struct entry top = testtree_entry(ENTRY_DIR, "");

	*t = (struct testtree){ .r = r };
	t->levels = calloc(TESTTREE_DEPTH + 2, sizeof(*t->levels));
	assert_non_null(t->levels);
	OK(content_builder_open(emit, t, &t->content, &ok_err));
	testtree_enter(t, &top);
}

void testtree_enter(struct testtree *t, const struct entry *e)
{
	assert_true(t->depth < TESTTREE_DEPTH + 2);
	t->levels[t->depth].e = *e;
	t->levels[t->depth++].b = get_builder(t);
}

void testtree_leave(struct testtree *t)
{
	struct entry *e = &t->levels[t->depth - 1].e;

	OK(dir_builder_finish(t->levels[t->depth - 1].b, e, &ok_err));
	put_builder(t, t->levels[t->depth - 1].b);
	t->depth--;
	if (t->depth > 0)
		testtree_add(t, e);
}

void testtree_add(struct testtree *t, const struct entry *e)
{
	OK(dir_builder_add(t->levels[t->depth - 1].b, e, &ok_err));
}

void testtree_end(struct testtree *t, struct object_id *root, struct entry *top)
{
	while (t->depth > 0)
		testtree_leave(t);
	*top = t->levels[0].e;
	OK(root_emit(top, emit, t, root, &ok_err));
	testrepo_finish(t->r);
	while (t->nr_free > 0)
		dir_builder_close(t->free[--t->nr_free]);
	content_builder_close(t->content);
	free(t->levels);
}

void testtree_fill(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = test_random(&seed);

		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
}

void testtree_file(struct testtree *t, struct entry e, const struct run *runs, size_t nr,
		   size_t chunk_len)
{
	static const uint8_t zeros[1 << 16];
	struct digest *d = NULL;

	OK(digest_open(&d, &ok_err));
	e.hole_bytes = 0;
	for (size_t i = 0; i < nr; i++) {
		struct segment s = { .kind = SEGMENT_HOLE, .len = runs[i].len };
		uint8_t *p = runs[i].seed ? malloc(runs[i].len) : NULL;

		if (!p) {
			OK(content_builder_add(t->content, &s, &ok_err));
			e.hole_bytes += s.len;
			/* Of a huge hole nobody computes the digest here. */
			for (uint64_t at = 0; s.len <= (1u << 30) && at < s.len;
			     at += sizeof(zeros))
				digest_add(d, zeros,
					   s.len - at < sizeof(zeros) ? (size_t)(s.len - at)
								      : sizeof(zeros));
			continue;
		}
		testtree_fill(p, runs[i].len, runs[i].seed);
		digest_add(d, p, runs[i].len);
		for (size_t at = 0; at < runs[i].len; at += chunk_len) {
			size_t len = runs[i].len - at < chunk_len ? runs[i].len - at : chunk_len;

			s = (struct segment){ .kind = SEGMENT_CHUNK, .len = len };
			testrepo_put(t->r, PACK_DATA, p + at, len, &s.id);
			OK(content_builder_add(t->content, &s, &ok_err));
		}
		free(p);
	}
	OK(content_builder_finish(t->content, &e, &ok_err));
	digest_finish(d, &e.sha256);
	e.flags |= ENTRY_HAS_SHA256;
	digest_close(d);
	testtree_add(t, &e);
}

void testtree_text(struct testtree *t, const char *name, const char *text)
{
	struct entry e = testtree_entry(ENTRY_FILE, name);

	e.size = e.content_len = strlen(text);
	e.content = e.size ? CONTENT_INLINE : CONTENT_NONE;
	e.content_p = (const uint8_t *)text;
	testtree_add(t, &e);
}

void testtree_xattr(struct testrepo *r, struct buf *b, const char *name, const void *value,
		    size_t len)
{
	struct xattr x = {
		.name = name, .name_len = strlen(name), .value = value, .value_len = len
	};

	if (len > 2048) {	/* readers take shorter ones too, and ext4 keeps no longer ones */
		x.in_chunk = true;
		testrepo_put(r, PACK_DATA, value, len, &x.id);
	}
	xattr_encode(&x, b);
}
