/* SPDX-License-Identifier: MIT */
/* Every link is first an item, a path and a target; items in order of their paths then become nodes, with folders. */
#include "fs/views.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "fs/nodes.h"
#include "fs/snaps.h"
#include "store/base/array.h"
#include "store/base/buf.h"
#include "store/base/checked.h"

#define DEPTH_MAX	8u	/* of a path: by-type/TYPE/YYYY/MM/DD/NAME has 6 parts */
#define NONE		UINT32_MAX

struct component {
	char *type, *name;	/* made legal; type in lower case */
	bool several;		/* the snapshot is of others of its type, too, be it that they failed */
};

struct view_parts {
	atomic_uint refs;
	char *host;		/* as it was recorded */
	bool whole;		/* no components: a snapshot of files */
	struct component *all;	/* those that went well */
	size_t nr;
};

struct item {
	char *path, *target;
	size_t ext_at;		/* where in path the extension begins: -SUFFIX goes there */
	char suffix[9];
	struct vtime time;
};

struct builder {
	const struct snap_list *l;
	bool local, bad;	/* bad: no memory */
	struct item *items;
	size_t nr_items, cap_items;
	struct view_node *nodes;
	uint32_t *up;		/* of each node: its parent's index, or NONE */
	uint32_t nr_nodes, cap_nodes;
};

static uint64_t hash_of(const char *s, size_t len, uint64_t h)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* No name that FAT, exFAT, SMB or Windows would refuse or change; NULL: no memory. */
static char *legal(const char *s, bool lower)
{
	char *out = strdup(*s ? s : "_");

	for (char *p = out; p && *p; p++) {
		bool upper = *p >= 'A' && *p <= 'Z';

		if (upper && lower)
			*p = (char)(*p - 'A' + 'a');
		else if (!upper && !(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') &&
			 !strchr("._-", *p))
			*p = '_';
	}
	if (out && *out == '.')
		*out = '_';
	if (out && strlen(out) > 64)
		out[64] = '\0';
	if (out && out[strlen(out) - 1] == '.')
		out[strlen(out) - 1] = '_';
	return out;
}

enum err_code view_parts_new(const struct snapshot *s, struct view_parts **out, struct err *e)
{
	struct view_parts *p = calloc(1, sizeof(*p));
	bool bad = !p;

	if (!bad) {
		atomic_init(&p->refs, 1);
		p->host = strdup(s->host ? s->host : "");
		p->whole = s->nr_components == 0;
		p->all = calloc(s->nr_components + 1, sizeof(p->all[0]));
		bad = !p->host || !p->all;
	}
	for (size_t i = 0; i < s->nr_components && !bad; i++) {
		struct component *c = &p->all[p->nr];

		if (strcmp(s->components[i].status, "ok") != 0)
			continue;
		c->type = legal(s->components[i].type, true);
		c->name = legal(s->components[i].name, false);
		for (size_t k = 0; k < s->nr_components; k++)
			c->several = c->several || (k != i && strcmp(s->components[k].type, s->components[i].type) == 0);
		p->nr++;
		bad = !c->type || !c->name;
	}
	if (bad) {
		view_parts_put(p);
		return err_set(e, ERR_NOMEM, "a snapshot's parts");
	}
	*out = p;
	return ERR_OK;
}

struct view_parts *view_parts_get(struct view_parts *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void view_parts_put(struct view_parts *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < p->nr; i++) {
		free(p->all[i].type);
		free(p->all[i].name);
	}
	free(p->all);
	free(p->host);
	free(p);
}

/* Takes path and target over. */
static void add_item(struct builder *b, struct buf *path, struct buf *target, const char *ext,
		     const struct snap *s)
{
	struct item *more = array_room(b->items, b->nr_items, &b->cap_items, sizeof(*more)), *it = NULL;

	b->bad = b->bad || !more;
	b->items = more ? more : b->items;
	if (!b->bad) {
		it = &b->items[b->nr_items];
		*it = (struct item){ .ext_at = path->len, .time = s->time };
		buf_add_str(path, ext);
		buf_add_u8(path, '\0');
		buf_add_u8(target, '\0');
		b->bad = path->bad || target->bad;
	}
	if (!b->bad && it) {
		memcpy(it->suffix, s->name + SNAPSHOT_DATE_LEN + 1, 8);
		it->path = strdup((const char *)path->p);
		it->target = strdup((const char *)target->p);
		b->nr_items++;
		b->bad = !it->path || !it->target;
	}
	buf_release(path);
	buf_release(target);
}

static int host_order(const void *a, const void *b)
{
	const struct snap *x = *(const struct snap *const *)a, *y = *(const struct snap *const *)b;
	int c = strcmp(x->parts->host, y->parts->host);

	return c ? c : snap_order(y, x);
}

static void add_hosts(struct builder *b)
{
	const struct snap **s = calloc(b->l->nr_live + 1, sizeof(*s));

	for (size_t i = 0; s && i < b->l->nr_live; i++)
		s[i] = &b->l->all[b->l->by_name[i]];
	b->bad = b->bad || !s;
	if (!b->bad)
		qsort(s, b->l->nr_live, sizeof(*s), host_order);
	for (size_t i = 0; i < b->l->nr_live && !b->bad; i++) {
		const char *host = s[i]->parts->host;
		struct buf path = BUF_INIT, target = BUF_INIT;
		char *name;

		if (!*host || (i && strcmp(s[i - 1]->parts->host, host) == 0))
			continue;
		name = legal(host, false);
		buf_printf(&path, "latest-%s", name ? name : "");
		b->bad = !name;
		free(name);
		buf_add_str(&target, s[i]->shown);
		add_item(b, &path, &target, "", s[i]);
		if (!b->bad)	/* not the snapshot's: the name must not change with every new one */
			(void)snprintf(b->items[b->nr_items - 1].suffix, 9, "%08x",
				       (unsigned)hash_of(host, strlen(host), 0));
	}
	free(s);
}

/* What in a component's folder is its dump, and the extension people know it by; else the folder itself. */
static const struct main_file {
	const char *type, *ext, *file;
} main_files[] = {
	{ "postgres", ".dump", "/database.dump" },
	{ "mysql", ".sql", "/dump.sql" },
	{ "neo4j", ".dump", "/neo4j.dump" },
};

static const struct main_file *main_file(const char *type)
{
	static const struct main_file folder = { "", "", "" };

	for (size_t i = 0; i < ARRAY_LEN(main_files); i++)
		if (strcmp(main_files[i].type, type) == 0)
			return &main_files[i];
	return &folder;
}

static void add_component(struct builder *b, const struct snap *s, const struct component *c,
			  const struct tm *tm)
{
	struct buf path = BUF_INIT, target = BUF_INIT;
	const struct main_file *f = main_file(c->type);
	char day[16] = "", at[20] = "";

	(void)strftime(day, sizeof(day), "%Y/%m/%d", tm);
	(void)strftime(at, sizeof(at), "%Y%m%d_%H%M%S", tm);
	buf_printf(&path, "by-type/%s/%s/%s", c->type, day, c->type);
	if (c->several)
		buf_printf(&path, "-%s", c->name);
	buf_printf(&path, "_%s", at);
	buf_printf(&target, "../../../../../%s/%s/%s%s", s->shown, c->type, c->name, f->file);
	add_item(b, &path, &target, f->ext, s);
}

static void add_types(struct builder *b)
{
	for (size_t i = 0; i < b->l->nr_live && !b->bad; i++) {
		const struct snap *s = &b->l->all[b->l->by_name[i]];
		time_t t = (time_t)s->time.sec;
		struct tm tm;

		if (!(b->local ? localtime_r(&t, &tm) : gmtime_r(&t, &tm)) ||
		    tm.tm_year < -900 || tm.tm_year > 8099)
			continue;	/* not of four digits */
		if (s->parts->whole) {
			struct buf path = BUF_INIT, target = BUF_INIT;
			char at[20] = "";

			(void)strftime(at, sizeof(at), "%Y%m%d_%H%M%S", &tm);
			buf_printf(&path, "by-type/files/session_%s", at);
			buf_printf(&target, "../../%s", s->shown);
			add_item(b, &path, &target, "", s);
		}
		for (size_t k = 0; k < s->parts->nr && !b->bad; k++)
			add_component(b, s, &s->parts->all[k], &tm);
	}
}

static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = strcasecmp(x->path, y->path);

	return c ? c : strcmp(x->target, y->target);
}

static void rename_item(struct builder *b, struct item *it, size_t number)
{
	struct buf path = BUF_INIT;
	size_t ext_at;
	char *fresh;

	buf_add(&path, it->path, it->ext_at);
	if (number)
		buf_printf(&path, "-%zu", number);
	else
		buf_printf(&path, "-%s", it->suffix);
	ext_at = path.len;
	buf_add_str(&path, it->path + it->ext_at);
	buf_add_u8(&path, '\0');
	fresh = path.bad ? NULL : strdup((const char *)path.p);
	b->bad = b->bad || !fresh;
	if (fresh) {
		free(it->path);
		it->path = fresh;
		it->ext_at = ext_at;
	}
	buf_release(&path);
}

/* Those that share a path with another get their suffix; on the second round a number, too. */
static void tell_apart(struct builder *b, bool numbers)
{
	size_t end;

	if (b->bad)
		return;
	if (b->nr_items > 1)
		qsort(b->items, b->nr_items, sizeof(b->items[0]), item_order);
	for (size_t i = 0; i < b->nr_items; i = end) {
		for (end = i + 1; end < b->nr_items &&
				  strcasecmp(b->items[i].path, b->items[end].path) == 0; end++)
			;
		for (size_t k = i; k < end && end - i > 1; k++)
			rename_item(b, &b->items[k], numbers ? k - i + 1 : 0);
	}
}

static uint32_t add_node(struct builder *b, const struct item *it, size_t path_len,
			 const char *name, size_t name_len, uint32_t up, bool is_dir)
{
	uint64_t h = hash_of(it->path, path_len, 0);
	struct view_node *n = &b->nodes[b->nr_nodes];

	if (!is_dir)
		h = hash_of(it->target, strlen(it->target) + 1, h);
	*n = (struct view_node){ .id = NODEID_VIEW | h % (NODEID_VIEW / 2), .time = it->time };
	n->name = strndup(name, name_len);
	n->target = is_dir ? NULL : strdup(it->target);
	b->bad = b->bad || !n->name || (!is_dir && !n->target);
	b->up[b->nr_nodes] = up;
	if (is_dir && up != NONE)
		b->nodes[up].nr_subdirs++;
	return b->nr_nodes++;
}

/* Items come in order, so that a folder's stand together: stack has those that the last one lay in. */
static void add_nodes_of(struct builder *b, const struct item *it, uint32_t *stack, unsigned *depth)
{
	const char *part = it->path, *slash;
	uint32_t up = NONE;
	unsigned d = 0;

	for (; (slash = strchr(part, '/')) && d < DEPTH_MAX; part = slash + 1, d++) {
		size_t len = (size_t)(slash - part);
		const char *name = d < *depth ? b->nodes[stack[d]].name : "";

		if (strlen(name) != len || memcmp(name, part, len) != 0) {
			stack[d] = add_node(b, it, (size_t)(slash - it->path), part, len, up, true);
			*depth = d + 1;
			if (b->bad)
				return;
		}
		up = stack[d];
		if (vtime_cmp(it->time, b->nodes[up].time) > 0)
			b->nodes[up].time = it->time;
	}
	*depth = d;
	(void)add_node(b, it, strlen(it->path), part, strlen(part), up, false);
}

static void add_nodes(struct builder *b)
{
	uint32_t stack[DEPTH_MAX];
	unsigned depth = 0;

	b->cap_nodes = b->nr_items < NONE / DEPTH_MAX ? (uint32_t)b->nr_items * DEPTH_MAX + 1 : 0;
	b->nodes = calloc(b->cap_nodes, sizeof(b->nodes[0]));
	b->up = calloc(b->cap_nodes, sizeof(b->up[0]));
	b->bad = b->bad || !b->cap_nodes || !b->nodes || !b->up;
	for (size_t i = 0; i < b->nr_items && !b->bad; i++)
		add_nodes_of(b, &b->items[i], stack, &depth);
}

static int id_order(const void *a, const void *b, void *nodes)
{
	const struct view_node *x = (struct view_node *)nodes + *(const uint32_t *)a;
	const struct view_node *y = (struct view_node *)nodes + *(const uint32_t *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int name_order(const void *a, const void *b, void *nodes)
{
	const struct view_node *x = (struct view_node *)nodes + *(const uint32_t *)a;
	const struct view_node *y = (struct view_node *)nodes + *(const uint32_t *)b;

	return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1) : strcmp(x->name, y->name);
}

static int place_order(const void *a, const void *b)
{
	const struct view_node *x = a, *y = b;

	return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1) :
	       x->id < y->id ? -1 : x->id > y->id;
}

static uint32_t *sorted(struct views *v, int (*order)(const void *, const void *, void *))
{
	uint32_t *all = calloc((size_t)v->nr + 1, sizeof(*all));

	for (uint32_t i = 0; all && i < v->nr; i++)
		all[i] = i;
	if (all)
		qsort_r(all, v->nr, sizeof(*all), order, v->nodes);
	return all;
}

/* Two paths of one hash: the next number, for which there is room above all hashes. */
static bool number_nodes(struct views *v, const uint32_t *up)
{
	uint32_t *all = sorted(v, id_order);

	for (uint32_t i = 1; all && i < v->nr; i++)
		if (v->nodes[all[i]].id <= v->nodes[all[i - 1]].id)
			v->nodes[all[i]].id = v->nodes[all[i - 1]].id + 1;
	free(all);
	for (uint32_t i = 0; i < v->nr; i++)
		v->nodes[i].parent = up[i] == NONE ? NODEID_ROOT : v->nodes[up[i]].id;
	qsort(v->nodes, v->nr, sizeof(v->nodes[0]), place_order);
	return all != NULL;
}

enum err_code views_build(const struct snap_list *l, bool local, struct views **out, struct err *e)
{
	struct builder b = { .l = l, .local = local };
	struct views *v = calloc(1, sizeof(*v));

	b.bad = !v;
	add_hosts(&b);
	add_types(&b);
	tell_apart(&b, false);
	tell_apart(&b, true);
	add_nodes(&b);
	if (v) {
		v->nodes = b.nodes;
		v->nr = b.nr_nodes;
		b.nodes = NULL;
	}
	if (!b.bad)
		b.bad = !number_nodes(v, b.up);
	if (!b.bad) {
		v->by_id = sorted(v, id_order);
		v->by_name = sorted(v, name_order);
		b.bad = !v->by_id || !v->by_name;
	}
	for (size_t i = 0; i < b.nr_items; i++) {
		free(b.items[i].path);
		free(b.items[i].target);
	}
	free(b.items);
	free(b.nodes);
	free(b.up);
	if (b.bad) {
		views_free(v);
		return err_set(e, ERR_NOMEM, "views of %zu snapshots", l->nr_live);
	}
	*out = v;
	return ERR_OK;
}

void views_free(struct views *v)
{
	if (!v)
		return;
	for (uint32_t i = 0; i < v->nr; i++) {
		free(v->nodes[i].name);
		free(v->nodes[i].target);
	}
	free(v->nodes);
	free(v->by_id);
	free(v->by_name);
	free(v);
}
