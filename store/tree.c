/* SPDX-License-Identifier: MIT */
/*
 * Directories: a descent touches one node a level.  What a parent claims of a child (level,
 * first name, number of entries) is compared with the child; the totals it claims are believed
 * here, and compared by tree_walk and so by verify, because adding up a child costs as much as
 * reading everything below it.
 */
#include "store/tree.h"

#include "store/base/checked.h"
#include "store/internal.h"

void entry_ref_release(struct store *s, struct entry_ref *r)
{
	node_cache_put(s, r->pin);
	*r = (struct entry_ref){ 0 };
}

static enum err_code count_of(const struct totals *t, uint64_t *out, struct err *e)
{
	if (add_u64(t->files, t->dirs, out) || add_u64(*out, t->others, out))
		return err_set(e, ERR_CORRUPT, "totals that do not fit in 64 bits");
	return ERR_OK;
}

enum err_code tree_root(struct store *s, const struct object_id *root, struct entry_ref *out,
			struct err *e)
{
	struct entry_ref r = { 0 };
	char hex[ID_HEX_LEN + 1];
	const struct node *n;
	enum err_code rc;

	rc = node_cache_get(s, root, &n, &r.pin, e);
	if (rc)
		return rc;
	if (n->kind != NODE_ROOT) {
		node_cache_put(s, r.pin);
		return err_set(e, ERR_CORRUPT, "node %s is of kind %d and no root",
			       id_hex(root, hex), (int)n->kind);
	}
	node_entry(n, 0, &r.e);
	*out = r;
	return ERR_OK;
}

/** The first name in or below a node; false where there is none. */
static bool first_name(const struct node *n, const char **name, size_t *len)
{
	struct entry ent;

	if (n->nr == 0)
		return false;
	if (n->kind == NODE_DIR_INNER) {
		*name = n->children[0].first;
		*len = n->children[0].first_len;
		return true;
	}
	node_entry(n, 0, &ent);
	*name = ent.name;
	*len = ent.name_len;
	return true;
}

/** Get a directory's node.  parent is NULL for the topmost, else claim is its row in parent. */
static enum err_code dir_node_get(struct store *s, const struct object_id *id,
				  const struct node *parent, const struct node_child *claim,
				  const struct node **out, void **pin, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	const struct node *n;
	const char *name;
	void *held;
	size_t len;
	enum err_code rc;

	rc = node_cache_get(s, id, &n, &held, e);
	if (rc)
		return rc;
	if (n->kind != (n->level == 0 ? NODE_DIR_LEAF : NODE_DIR_INNER))
		rc = err_set(e, ERR_CORRUPT, "node %s is of kind %d, level %u and no directory's",
			     id_hex(id, hex), (int)n->kind, n->level);
	else if (parent && n->level + 1 != parent->level)
		rc = err_set(e, ERR_CORRUPT, "node %s has level %u below level %u",
			     id_hex(id, hex), n->level, parent->level);
	else if (parent && n->level == 0 && n->nr != claim->entries)
		rc = err_set(e, ERR_CORRUPT, "node %s has %u entries and not %llu", id_hex(id, hex),
			     n->nr, (unsigned long long)claim->entries);
	else if (parent && (!first_name(n, &name, &len) || len != claim->first_len ||
			    memcmp(name, claim->first, len) != 0))
		rc = err_set(e, ERR_CORRUPT, "node %s does not begin with the name its parent says",
			     id_hex(id, hex));
	if (rc) {
		node_cache_put(s, held);
		return rc;
	}
	*out = n;
	*pin = held;
	return ERR_OK;
}

/** What a descent looks for: a name, or an entry's position, or a preorder number. */
struct goal {
	enum { BY_NAME, BY_POSITION, BY_NUMBER } by;
	const char *name;
	size_t name_len;
	uint64_t nr;
};

/** A leaf, pinned, and what stands before its first entry. */
struct leaf {
	const struct node *n;
	void *pin;
	uint64_t position;
	struct totals before;
};

static enum err_code not_found(const struct goal *g, struct err *e)
{
	if (g->by == BY_NAME)
		return err_set(e, ERR_NOT_FOUND, "no entry \"%.*s\"", (int)g->name_len, g->name);
	return err_set(e, ERR_NOT_FOUND, "no entry number %llu", (unsigned long long)g->nr);
}

static int name_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

/**
 * The child of n that the goal lies in, if anywhere; n->nr where the goal is past the end.
 * *before and *position are added to.
 */
static enum err_code choose_child(const struct node *n, const struct goal *g, uint32_t *which,
				  uint64_t *position, struct totals *before, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint32_t i, stop = n->nr;

	if (g->by == BY_NAME) {
		stop = node_lower_bound(n, g->name, g->name_len);
		if (stop == n->nr || name_cmp(n->children[stop].first, n->children[stop].first_len,
					      g->name, g->name_len) != 0) {
			if (stop == 0)
				return not_found(g, e);
			stop--;
		}
	}
	for (i = 0; i < stop && !rc; i++) {
		const struct node_child *c = &n->children[i];
		struct totals after = *before;
		uint64_t end;

		rc = totals_add(&after, &c->totals, e);
		if (!rc && g->by == BY_NUMBER) {
			rc = count_of(&after, &end, e);
			if (!rc && g->nr < end)
				break;
		}
		if (!rc && add_u64(*position, c->entries, &end))
			rc = err_set(e, ERR_CORRUPT, "entries that do not fit in 64 bits");
		if (rc || (g->by == BY_POSITION && g->nr < end))
			break;
		*position = end;
		*before = after;
	}
	*which = i;
	return rc;
}

static enum err_code descend(struct store *s, const struct object_id *dir, const struct goal *g,
			     struct leaf *out, struct err *e)
{
	struct leaf l = { 0 };
	char hex[ID_HEX_LEN + 1];
	const struct node *child;
	enum err_code rc;
	bool top = true;
	void *pin;

	rc = dir_node_get(s, dir, NULL, NULL, &l.n, &l.pin, e);
	/* Ends: each child's level is one less. */
	while (!rc && l.n->level > 0) {
		uint32_t i = 0;

		rc = choose_child(l.n, g, &i, &l.position, &l.before, e);
		if (!rc && i == l.n->nr)
			rc = top ? not_found(g, e)
				 : err_set(e, ERR_CORRUPT, "directory %s: a node that holds less "
					   "than its parent says", id_hex(dir, hex));
		if (rc)
			break;
		rc = dir_node_get(s, &l.n->children[i].id, l.n, &l.n->children[i], &child, &pin, e);
		if (rc)
			break;
		node_cache_put(s, l.pin);
		l.n = child;
		l.pin = pin;
		top = false;
	}
	if (rc) {
		node_cache_put(s, l.pin);
		return rc;
	}
	*out = l;
	return ERR_OK;
}

/** Entry i of l into *out, which takes over l's pin; on failure the pin is let go. */
static enum err_code take_entry(struct store *s, struct leaf *l, uint32_t i, struct entry_ref *out,
				struct err *e)
{
	struct entry_ref r = { .position = l->position + i, .before = l->before, .pin = l->pin };
	struct totals within;
	enum err_code rc;

	rc = node_cache_before(l->pin, i, &within, e);
	if (!rc)
		rc = totals_add(&r.before, &within, e);
	if (!rc)
		rc = count_of(&r.before, &r.number, e);
	if (rc) {
		node_cache_put(s, l->pin);
		return rc;
	}
	node_entry(l->n, i, &r.e);
	*out = r;
	return ERR_OK;
}

enum err_code tree_lookup(struct store *s, const struct object_id *dir, const char *name,
			  size_t name_len, struct entry_ref *out, struct err *e)
{
	struct goal g = { .by = BY_NAME, .name = name, .name_len = name_len };
	struct entry ent;
	enum err_code rc;
	struct leaf l;
	uint32_t i;

	rc = descend(s, dir, &g, &l, e);
	if (rc)
		return rc;
	i = node_lower_bound(l.n, name, name_len);
	if (i < l.n->nr) {
		node_entry(l.n, i, &ent);
		if (name_cmp(ent.name, ent.name_len, name, name_len) == 0)
			return take_entry(s, &l, i, out, e);
	}
	node_cache_put(s, l.pin);
	return not_found(&g, e);
}

enum err_code tree_at(struct store *s, const struct object_id *dir, uint64_t position,
		      struct entry_ref *out, struct err *e)
{
	struct goal g = { .by = BY_POSITION, .nr = position };
	enum err_code rc;
	struct leaf l;

	rc = descend(s, dir, &g, &l, e);
	if (rc)
		return rc;
	if (position - l.position < l.n->nr)
		return take_entry(s, &l, (uint32_t)(position - l.position), out, e);
	node_cache_put(s, l.pin);
	return not_found(&g, e);
}

/** The last of a leaf's nr entries (nr > 0) that has at most number entries before it. */
static uint32_t find_number(const uint64_t *numbers, uint32_t nr, uint64_t number)
{
	uint32_t lo = 0, hi = nr - 1;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;

		if (numbers[mid] <= number)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

/** In leaf l, which lies over the number; on success *out takes over l's pin. */
static enum err_code number_in_leaf(const struct leaf *l, const struct goal *g,
				    struct entry_ref *out, uint64_t *rest, struct err *e)
{
	struct entry_ref r = { .pin = l->pin };
	uint64_t first = 0, below = 0;
	const uint64_t *numbers;
	enum err_code rc;
	uint32_t i;

	if (l->n->nr == 0)
		return not_found(g, e);
	rc = node_cache_numbers(l->pin, &numbers, e);
	if (!rc)
		rc = count_of(&l->before, &first, e);
	if (!rc && g->nr < first)
		rc = not_found(g, e);
	if (rc)
		return rc;
	i = find_number(numbers, l->n->nr, g->nr - first);
	r.position = l->position + i;
	if (add_u64(first, numbers[i], &r.number))
		return err_set(e, ERR_CORRUPT, "totals that do not fit in 64 bits");
	node_entry(l->n, i, &r.e);
	if (r.e.type == ENTRY_DIR)
		rc = count_of(&r.e.below, &below, e);
	if (!rc && g->nr - r.number > below)
		rc = not_found(g, e);
	if (rc)
		return rc;
	*rest = g->nr - r.number;
	*out = r;
	return ERR_OK;
}

enum err_code tree_by_number(struct store *s, const struct object_id *dir, uint64_t number,
			     struct entry_ref *out, uint64_t *rest, struct err *e)
{
	struct goal g = { .by = BY_NUMBER, .nr = number };
	enum err_code rc;
	struct leaf l;

	rc = descend(s, dir, &g, &l, e);
	if (rc)
		return rc;
	rc = number_in_leaf(&l, &g, out, rest, e);
	if (rc)
		node_cache_put(s, l.pin);
	return rc;
}

struct walk {
	struct store *s;
	uint64_t from;			/* entries before this position are passed over */
	uint64_t position;		/* of the next entry */
	struct totals before;
	tree_walk_fn *fn;
	void *ctx;
};

static enum err_code walk_leaf(struct walk *w, const struct node *n, void *pin, struct err *e)
{
	uint64_t skip = w->from > w->position ? w->from - w->position : 0;
	struct entry_ref r = { .pin = pin };
	struct totals within = { 0 };
	enum err_code rc = ERR_OK;
	uint32_t i = skip < n->nr ? (uint32_t)skip : n->nr;

	if (i > 0)
		rc = node_cache_before(pin, i, &within, e);
	if (!rc)
		rc = totals_add(&w->before, &within, e);
	w->position += i;
	for (; i < n->nr && !rc; i++) {
		node_entry(n, i, &r.e);
		r.position = w->position++;
		r.before = w->before;
		rc = count_of(&r.before, &r.number, e);
		if (!rc)
			rc = totals_add_entry(&w->before, &r.e, e);
		if (!rc)
			rc = w->fn(w->ctx, &r, e);
	}
	return rc;
}

/** What the parent claimed of the child just walked must be what was met. */
static enum err_code check_claim(const struct walk *w, const struct node_child *c,
				 uint64_t end, const struct totals *after, struct err *e)
{
	char hex[ID_HEX_LEN + 1];
	const struct totals *b = &w->before;

	if (w->position == end && b->files == after->files && b->dirs == after->dirs &&
	    b->others == after->others && b->bytes == after->bytes &&
	    b->sums_len == after->sums_len && b->sums_escaped == after->sums_escaped)
		return ERR_OK;
	return err_set(e, ERR_CORRUPT, "node %s holds other totals than its parent says",
		       id_hex(&c->id, hex));
}

static enum err_code walk_node(struct walk *w, const struct object_id *id,
			       const struct node *parent, const struct node_child *claim,
			       struct err *e)
{
	const struct node *n;
	enum err_code rc;
	void *pin;

	rc = dir_node_get(w->s, id, parent, claim, &n, &pin, e);
	if (rc)
		return rc;
	if (n->level == 0)
		rc = walk_leaf(w, n, pin, e);
	for (uint32_t i = 0; n->level > 0 && i < n->nr && !rc; i++) {
		const struct node_child *c = &n->children[i];
		struct totals after = w->before;
		uint64_t end;

		rc = totals_add(&after, &c->totals, e);
		if (!rc && add_u64(w->position, c->entries, &end))
			rc = err_set(e, ERR_CORRUPT, "entries that do not fit in 64 bits");
		if (rc)
			break;
		if (end > w->from) {
			rc = walk_node(w, &c->id, n, c, e);	/* at most NODE_LEVEL_MAX deep */
			if (!rc)
				rc = check_claim(w, c, end, &after, e);
		} else {
			w->position = end;
			w->before = after;
		}
	}
	node_cache_put(w->s, pin);
	return rc;
}

enum err_code tree_walk(struct store *s, const struct object_id *dir, uint64_t position,
			tree_walk_fn *fn, void *ctx, struct err *e)
{
	struct walk w = { .s = s, .from = position, .fn = fn, .ctx = ctx };
	enum err_code rc = walk_node(&w, dir, NULL, NULL, e);

	if (rc == ERR_CANCELED) {
		err_clear(e);
		rc = ERR_OK;
	}
	return rc;
}

/** The next part of a path that is not "" or "."; false at its end. */
static bool next_part(const char **path, const char **part, size_t *len)
{
	for (;;) {
		while (**path == '/')
			(*path)++;
		if (!**path)
			return false;
		*part = *path;
		*len = strcspn(*path, "/");
		*path += *len;
		if (*len != 1 || **part != '.')
			return true;
	}
}

enum err_code tree_path(struct store *s, const struct object_id *root, const char *path,
			struct entry_ref *out, struct err *e)
{
	struct entry_ref at, next;
	const char *p = path, *part;
	enum err_code rc;
	size_t len;

	rc = tree_root(s, root, &at, e);
	if (rc)
		return rc;
	while (!rc && next_part(&p, &part, &len)) {
		if (len == 2 && memcmp(part, "..", 2) == 0) {
			rc = err_set(e, ERR_USAGE, "%s: \"..\" has no meaning in a snapshot", path);
		} else if (at.e.type != ENTRY_DIR) {
			rc = err_set(e, ERR_NOT_FOUND, "%s: \"%.*s\" is no directory", path,
				     (int)at.e.name_len, at.e.name);
		} else {
			rc = tree_lookup(s, &at.e.node, part, len, &next, e);
			if (rc) {
				err_prefix(e, "%s", path);
				break;
			}
			entry_ref_release(s, &at);
			at = next;
		}
	}
	if (rc) {
		entry_ref_release(s, &at);
		return rc;
	}
	*out = at;
	return ERR_OK;
}
