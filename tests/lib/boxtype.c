/* SPDX-License-Identifier: MIT */
#include "tests/lib/boxtype.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/tree.h"

#define BOX_MAX 65536u
#define BOX_LINES 256u

struct box {
	const char *file, *trouble;
	bool dump;
};

struct line {
	char name[64];
	unsigned long value;
};
struct lines {
	struct line v[BOX_LINES];
	size_t nr;
};

static enum err_code box_open(struct component *c, struct err *e)
{
	struct box *b = calloc(1, sizeof(*b));
	const char *way;

	if (!b)
		return err_set(e, ERR_NOMEM, "box");
	c->priv = b;
	b->file = config_get(c->section, "file");
	b->trouble = config_get(c->section, "trouble");
	way = config_get(c->section, "way");
	b->dump = way && strcmp(way, "dump") == 0;
	b->trouble = b->trouble ? b->trouble : "";
	return b->file ? ERR_OK : config_wrong(c->section, "file", e, "it needs a file");
}

static void box_close(struct component *c)
{
	free(c->priv);
}

static bool in_trouble(const struct component *c, const char *what)
{
	const struct box *b = c->priv;

	return strcmp(b->trouble, what) == 0;
}

/* Lines and files */

static void parse(char *text, struct lines *out)
{
	char *save = NULL;

	out->nr = 0;
	for (char *l = strtok_r(text, "\n", &save); l && out->nr < BOX_LINES; l = strtok_r(NULL, "\n", &save))
		if (sscanf(l, "%63s %lu", out->v[out->nr].name, &out->v[out->nr].value) == 2)
			out->nr++;
}

static enum err_code read_lines(const char *path, struct lines *out, struct err *e)
{
	char text[BOX_MAX];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "there is no box %s", path);
	if (!f)
		return err_sys(e, "open %s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	parse(text, out);
	return ERR_OK;
}

static enum err_code write_lines(const char *path, const struct lines *l, struct err *e)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return err_sys(e, "open %s", path);
	for (size_t i = 0; i < l->nr; i++)
		fprintf(f, "%s %lu\n", l->v[i].name, l->v[i].value);
	return fclose(f) ? err_sys(e, "write %s", path) : ERR_OK;
}

static void into_facts(const struct lines *l, struct facts *f)
{
	char sum[33];

	for (size_t i = 0; i < l->nr; i++) {
		(void)snprintf(sum, sizeof(sum), "%032lx", l->v[i].value * 7);
		facts_rows(f, "line", l->v[i].name, l->v[i].value, sum);
		facts_is(f, "mark", l->v[i].name, "MARK");
	}
}

static struct line *find(struct lines *l, const char *name)
{
	for (size_t i = 0; i < l->nr; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	return NULL;
}

/* The operations */

static enum err_code box_dump(struct component *c, struct dump *d, struct err *e)
{
	const struct box *b = c->priv;
	struct assembly_file *f = NULL;
	struct lines l;
	char text[BOX_MAX];
	int n = 0;
	enum err_code rc = read_lines(b->file, &l, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < l.nr && n < (int)BOX_MAX - 128; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %lu\n", l.v[i].name, l.v[i].value);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "end\n");
	into_facts(&l, d->facts);
	rc = dump_file_open(d, "box.txt", &f, e);
	if (!rc)
		rc = dump_write(f, text, (size_t)n, e);
	if (rc)
		return rc;
	return dump_file_close(d, "box.txt", f, e);
}

static const char *place(struct component *c, const char *into, char out[512])
{
	const struct box *b = c->priv;

	if (!into || strchr(into, '/'))
		return into ? into : b->file;
	(void)snprintf(out, 512, "%s.%s", b->file, into);
	return out;
}

static enum err_code box_inspect(struct component *c, const char *into, struct facts *out, struct err *e)
{
	struct lines l;
	char path[512];
	enum err_code rc = read_lines(place(c, into, path), &l, e);

	if (rc)
		return rc;
	into_facts(&l, out);
	return ERR_OK;
}

static enum err_code read_dump(struct restore_job *j, struct lines *out, struct err *e)
{
	struct entry_ref ref = { 0 };
	struct blob *b = NULL;
	char path[512], text[BOX_MAX];
	size_t n = 0;
	enum err_code rc;

	(void)snprintf(path, sizeof(path), "%s/box.txt", j->folder);
	rc = tree_path(j->store, &j->snapshot->root, path, &ref, e);
	if (!rc)
		rc = blob_open(j->store, &ref.e, &b, e);
	if (!rc)
		rc = blob_pread(b, 0, text, sizeof(text) - 1, &n, e);
	blob_close(b);
	entry_ref_release(j->store, &ref);
	if (rc)
		return rc;
	text[n] = '\0';
	if (n < 4 || strcmp(text + n - 4, "end\n") != 0)
		return err_set(e, ERR_CORRUPT, "box.txt has no end");
	parse(text, out);
	return ERR_OK;
}

static enum err_code box_read_back(struct component *c, struct restore_job *j, struct err *e)
{
	struct lines l;

	(void)c;
	return read_dump(j, &l, e);
}

static enum err_code box_plan(struct component *c, struct restore_job *j, struct err *e)
{
	const struct box *b = c->priv;

	(void)e;
	component_note(c, "keep %s", b->dump ? "a safety dump" : "a copy");
	component_note(c, "write %s", j->into ? j->into : b->file);
	return ERR_OK;
}

static enum err_code way_back(struct component *c, struct restore_job *j, const char *target, struct err *e)
{
	const struct box *b = c->priv;
	char before[1024], *snapshot = NULL;
	struct lines l;
	enum err_code rc = in_trouble(c, "silent") ? ERR_NOT_FOUND : read_lines(target, &l, e);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;		/* nothing there that could be lost */
	if (rc)
		return rc;
	if (b->dump && !j->into) {
		rc = j->safety_dump(j->ctx, c, &snapshot, e);
		if (!rc)
			rc = restore_way_back(c, j, json_pack("{s:s,s:s}", "kind", "dump", "snapshot", snapshot), e);
		free(snapshot);
		return rc;
	}
	(void)snprintf(before, sizeof(before), "%s.before.%ld", target, (long)getpid());
	rc = write_lines(before, &l, e);
	return rc ? rc : restore_way_back(c, j, json_pack("{s:s,s:s,s:s}", "kind", "copy", "copy", before, "of", target), e);
}

/* What will be there: the dump, or what there is with the chosen lines of it. */
static enum err_code merge(struct component *c, struct restore_job *j, const char *target, struct lines *out, struct err *e)
{
	static struct lines dump;
	enum err_code rc = read_dump(j, &dump, e);
	struct line *l;

	if (rc)
		return rc;
	*out = dump;
	if (j->nr_items > 0) {
		out->nr = 0;
		rc = read_lines(target, out, e);
		if (rc && rc != ERR_NOT_FOUND)
			return rc;
	}
	for (size_t i = 0; i < j->nr_items; i++) {
		l = find(out, j->items[i]);
		if (!l && out->nr < BOX_LINES)
			l = &out->v[out->nr++];
		if (l && find(&dump, j->items[i]))
			*l = *find(&dump, j->items[i]);
	}
	if (in_trouble(c, "lie") && out->nr)
		out->v[out->nr - 1].value++;
	if (in_trouble(c, "others") && out->nr)
		out->v[0].value++;
	if (in_trouble(c, "newer") && out->nr < BOX_LINES)
		out->v[out->nr++] = (struct line){ .name = "newer", .value = 1 };
	if (in_trouble(c, "more") && j->nr_items)
		find(out, j->items[0])->value++;
	return ERR_OK;
}

static enum err_code box_restore(struct component *c, struct restore_job *j, struct err *e)
{
	const struct timespec step = { .tv_nsec = 10000000 };
	char path[512];
	const char *target = place(c, j->into, path);
	struct lines l, half;
	enum err_code rc = j->temporary ? ERR_OK : way_back(c, j, target, e);

	if (j->temporary && access(target, F_OK) == 0)
		return err_set(e, ERR_EXISTS, "%s is there", target);

	if (!rc)
		rc = merge(c, j, target, &l, e);
	if (rc)
		return rc;
	half = l;
	half.nr /= 2;
	rc = write_lines(target, &half, e);
	if (rc)
		return rc;
	component_note(c, "half of it is there");
	if (in_trouble(c, "fail"))
		return err_set(e, ERR_FAILED, "the box broke");
	if (in_trouble(c, "kill"))
		(void)raise(SIGKILL);
	while (in_trouble(c, "cancel")) {
		if (atomic_load(c->cancel))
			return err_set(e, ERR_CANCELED, "interrupted");
		(void)nanosleep(&step, NULL);
	}
	return write_lines(target, &l, e);
}

static enum err_code box_rollback(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	const char *kind = json_string_value(json_object_get(way, "kind"));
	const char *copy = json_string_value(json_object_get(way, "copy")), *of = json_string_value(json_object_get(way, "of"));
	const struct box *b = c->priv;
	struct lines l;
	enum err_code rc;

	if (in_trouble(c, "lost"))
		return err_set(e, ERR_NOT_FOUND, "there is no shelf for the box");
	if (strcmp(kind, "dump") == 0) {
		rc = read_dump(j, &l, e);
		return rc ? rc : write_lines(b->file, &l, e);
	}
	if (rename(copy, of) < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "there is no %s", copy) : err_sys(e, "rename %s", copy);
	return ERR_OK;
}

static enum err_code box_discard(struct component *c, struct restore_job *j, const json_t *way, struct err *e)
{
	const char *copy = json_string_value(json_object_get(way, "copy"));
	char path[512];

	if (j && j->temporary) {
		if (c->cancel && atomic_load(c->cancel))
			return err_set(e, ERR_CANCELED, "interrupted");
		if (in_trouble(c, "stuck") && access(place(c, j->into, path), F_OK) == 0)
			return err_set(e, ERR_FAILED, "it is stuck");
		if (unlink(place(c, j->into, path)) < 0 && errno != ENOENT)
			return err_sys(e, "remove it");
	}
	if (copy && unlink(copy) < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : err_sys(e, "remove %s", copy);
	return ERR_OK;
}

static enum err_code box_query(struct component *c, const char *into, const char *query, char **out, struct err *e)
{
	struct lines l;
	char path[512], text[BOX_MAX] = "";
	unsigned long sum = 0;
	size_t n = 0;
	enum err_code rc = read_lines(place(c, into, path), &l, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < l.nr; i++) {
		sum += l.v[i].value;
		if (strcmp(query, "names") == 0)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", l.v[i].name);
	}
	if (strcmp(query, "sum") == 0)
		(void)snprintf(text, sizeof(text), "%lu\n", sum);
	else if (strncmp(query, "value ", 6) == 0 && find(&l, query + 6))
		(void)snprintf(text, sizeof(text), "%lu\n", find(&l, query + 6)->value);
	else if (strncmp(query, "nulls ", 6) == 0)
		(void)snprintf(text, sizeof(text), "%d\n", !find(&l, query + 6));
	else if (strcmp(query, "names") != 0)
		return err_set(e, ERR_FAILED, "no such query: %s", query);
	*out = strdup(text);
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "answer");
}

static enum err_code box_examine(struct component *c, const char *into, const struct facts *recorded, struct err *e)
{
	(void)into;
	(void)recorded;
	(void)e;
	if (in_trouble(c, "crooked"))
		component_found(c, FINDING_FAILED, "the box is crooked");
	else
		component_found(c, FINDING_OK, "the box is square");
	return ERR_OK;
}

#define BOX_OPERATIONS										\
	.main_file = "box.txt", .item_kind = "line", .rto = 60, .open = box_open, .close = box_close,	\
	.dump = box_dump, .inspect = box_inspect, .read_back = box_read_back, .plan = box_plan,	\
	.restore = box_restore, .rollback = box_rollback, .discard = box_discard,	\
	.query = box_query, .examine = box_examine, .nulls_query = "nulls {column}", .orphans_query = ""

const struct component_ops box_type = { .type = "box", .selector = "line", BOX_OPERATIONS };
const struct component_ops heap_type = {
	.type = "heap", .selector = "heap-line", .merges_items = true, .keeps_extra = true, BOX_OPERATIONS
};
