/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/checked.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/text.h"

struct ls {
	struct app *app;
	struct store *store;
	bool is_long, recursive;
	uint64_t nr;
	struct buf path;	/* JSON: path in the snapshot; else what is printed before the name */
	struct buf line;
	/* The folder that on_entry() found and list() enters next. */
	bool enter;
	struct object_id enter_node;
	uint64_t enter_position;
};

/* A folder being listed: walked with a stack of its own, since hostile trees are deep. */
struct level {
	struct object_id node;
	uint64_t position;	/* next entry */
	size_t path_len;	/* of ls.path, for entries of this folder */
};

static const char *type_name(enum entry_type t)
{
	static const char *const names[] = {
		[ENTRY_FILE] = "file",		 [ENTRY_DIR] = "dir",
		[ENTRY_SYMLINK] = "symlink",	 [ENTRY_CHARDEV] = "chardev",
		[ENTRY_BLOCKDEV] = "blockdev",	 [ENTRY_FIFO] = "fifo",
	};

	return (size_t)t < ARRAY_LEN(names) && names[t] ? names[t] : "unknown";
}

static void mode_text(const struct entry *e, char out[11])
{
	static const char types[] = "?-dlcbp";
	static const char bits[] = "rwxrwxrwx";

	out[0] = (size_t)e->type < sizeof(types) - 1 ? types[e->type] : '?';
	for (unsigned i = 0; i < 9; i++)
		out[i + 1] = e->mode & (0400u >> i) ? bits[i] : '-';
	if (e->mode & 04000)
		out[3] = e->mode & 0100 ? 's' : 'S';
	if (e->mode & 02000)
		out[6] = e->mode & 0010 ? 's' : 'S';
	if (e->mode & 01000)
		out[9] = e->mode & 0001 ? 't' : 'T';
	out[10] = '\0';
}

static void add_owner(struct buf *line, const char *name, size_t len, uint32_t id)
{
	size_t before = line->len;

	if (len)
		text_escape(line, name, len);
	else
		buf_printf(line, "%u", (unsigned)id);
	while (!line->bad && line->len - before < 8)
		buf_add_u8(line, ' ');
	buf_add_u8(line, ' ');
}

static void add_long(struct buf *line, const struct entry *e)
{
	char mode[11], text[TEXT_LEN];

	mode_text(e, mode);
	buf_printf(line, "%s %3llu ", mode, (unsigned long long)(e->nlink ? e->nlink : 1));
	add_owner(line, e->user, e->user_len, e->uid);
	add_owner(line, e->group, e->group_len, e->gid);
	if (e->type == ENTRY_CHARDEV || e->type == ENTRY_BLOCKDEV) {
		(void)snprintf(text, sizeof(text), "%u, %u", (unsigned)e->rdev_major,
			       (unsigned)e->rdev_minor);
		buf_printf(line, "%14s ", text);
	} else {
		buf_printf(line, "%14llu ",
			   (unsigned long long)(e->type == ENTRY_DIR ? e->below.bytes : e->size));
	}
	buf_printf(line, "%s ", text_time(e->mtime, text));
}

static enum err_code print_text(struct ls *ls, const struct entry *e, struct err *err)
{
	struct buf *line = &ls->line;

	buf_reset(line);
	if (ls->is_long)
		add_long(line, e);
	if (!ls->path.bad)
		text_escape(line, (const char *)ls->path.p, ls->path.len);
	if (e->type == ENTRY_DIR)
		buf_add_u8(line, '/');
	if (ls->is_long && e->type == ENTRY_SYMLINK) {
		buf_add_str(line, " -> ");
		text_escape(line, e->target, e->target_len);
	}
	buf_add_u8(line, '\n');
	if (line->bad || ls->path.bad)
		return err_set(err, ERR_NOMEM, "a line of the list");
	if (fwrite(line->p, 1, line->len, stdout) != line->len)
		return err_sys(err, "write to standard output");
	return ERR_OK;
}

static void json_xattrs(struct jsonout *j, const struct entry *e)
{
	struct strings names = { 0 };
	struct entry_xattr x;

	for (size_t i = 0; entry_xattr_at(e, i, &x); i++)
		strings_add(&names, x.name, x.name_len);
	if (names.nr)
		jsonout_strings(j, "xattrs", names.v, names.nr);
	j->bad = j->bad || names.bad;
	strings_release(&names);
}

static void json_by_type(struct jsonout *j, const struct entry *e)
{
	struct object_id sum;

	switch (e->type) {
	case ENTRY_FILE:
		jsonout_u64(j, "size", e->size);
		if (entry_sha256(e, &sum))
			jsonout_id(j, "sha256", &sum);
		break;
	case ENTRY_DIR:
		jsonout_totals(j, &e->below);
		break;
	case ENTRY_SYMLINK:
		jsonout_bytes(j, "target", e->target, e->target_len);
		break;
	case ENTRY_CHARDEV:
	case ENTRY_BLOCKDEV:
		jsonout_u64(j, "major", e->rdev_major);
		jsonout_u64(j, "minor", e->rdev_minor);
		break;
	default:
		break;
	}
}

static enum err_code print_json(struct ls *ls, const struct entry *e, struct err *err)
{
	struct jsonout j = jsonout_begin("entry");
	char mode[8];

	(void)snprintf(mode, sizeof(mode), "%04o", (unsigned)(e->mode & 07777));
	jsonout_bytes(&j, "path", ls->path.len ? (const char *)ls->path.p : "/",
		      ls->path.len ? ls->path.len : 1);
	jsonout_str(&j, "kind", type_name(e->type));
	jsonout_str(&j, "mode", mode);
	jsonout_u64(&j, "uid", e->uid);
	jsonout_u64(&j, "gid", e->gid);
	if (e->user_len)
		jsonout_bytes(&j, "user", e->user, e->user_len);
	if (e->group_len)
		jsonout_bytes(&j, "group", e->group, e->group_len);
	jsonout_time(&j, "mtime", e->mtime);
	if (e->flags & ENTRY_HARDLINK) {
		jsonout_u64(&j, "nlink", e->nlink);
		jsonout_u64(&j, "inode", e->inode);
	}
	if (e->flags & ENTRY_UNSTABLE)
		jsonout_bool(&j, "unstable", true);
	json_by_type(&j, e);
	json_xattrs(&j, e);
	j.bad = j.bad || ls->path.bad;
	return jsonout_end(&j) ? ERR_OK :
				 err_set(err, ERR_IO, "standard output could not be written");
}

static enum err_code print_entry(struct ls *ls, const struct entry *e, struct err *err)
{
	const struct event ev = { .kind = EVENT_PROGRESS, .text = "ls", .files = ++ls->nr };

	progress_tell(ls->app->progress, &ev);
	return ls->app->json ? print_json(ls, e, err) : print_text(ls, e, err);
}

static enum err_code on_entry(void *ctx, const struct entry_ref *r, struct err *e)
{
	struct ls *ls = ctx;
	size_t before = ls->path.len;
	enum err_code rc;

	buf_add(&ls->path, r->e.name, r->e.name_len);
	rc = print_entry(ls, &r->e, e);
	if (!rc && ls->recursive && r->e.type == ENTRY_DIR) {
		ls->enter = true;
		ls->enter_node = r->e.node;
		ls->enter_position = r->position + 1;
		buf_add_u8(&ls->path, '/');
		return ERR_CANCELED;	/* list() goes in, and comes back to the entry after */
	}
	ls->path.len = before;
	return rc;
}

/* Everything below dir; a path is cut back to where its folder's names begin. */
static enum err_code list(struct ls *ls, const struct object_id *dir, struct err *e)
{
	struct level *stack = calloc(1, sizeof(*stack)), *more;
	size_t depth = 1, cap = 1;
	enum err_code rc = ERR_OK;

	if (!stack)
		return err_set(e, ERR_NOMEM, "list");
	stack[0] = (struct level){ .node = *dir, .path_len = ls->path.len };
	while (!rc && depth > 0) {
		struct level *top = &stack[depth - 1];

		ls->enter = false;
		ls->path.len = top->path_len;
		rc = tree_walk(ls->store, &top->node, top->position, on_entry, ls, e);
		if (rc || !ls->enter) {
			depth--;
			continue;
		}
		top->position = ls->enter_position;
		if (depth == cap) {
			more = reallocarray(stack, cap, 2 * sizeof(*stack));
			if (!more) {
				rc = err_set(e, ERR_NOMEM, "%zu folders deep", depth);
				break;
			}
			stack = more;
			cap *= 2;
		}
		stack[depth++] = (struct level){ .node = ls->enter_node,
						 .path_len = ls->path.len };
	}
	free(stack);
	return rc;
}

/* "/a/b" of whatever the user has typed. */
static void add_absolute(struct buf *out, const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len && !(len == 1 && path[0] == '.')) {
			buf_add_u8(out, '/');
			buf_add(out, path, len);
		}
		path += len + (path[len] == '/');
	}
}

static enum err_code list_target(struct ls *ls, const struct target *t, struct err *e)
{
	const struct entry *ent = &t->ref.e;

	if (ls->app->json)
		add_absolute(&ls->path, t->path);
	if (ent->type == ENTRY_DIR) {
		if (ls->app->json)
			buf_add_u8(&ls->path, '/');
		return list(ls, &ent->node, e);
	}
	if (!ls->app->json)
		buf_add(&ls->path, ent->name, ent->name_len);
	return print_entry(ls, ent, e);
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_FILTER,
		{ "long", no_argument, NULL, 'l' }, { "recursive", no_argument, NULL, 'R' },
		APP_LONG_END
	};
	struct ls ls = { .app = a };
	struct target t = { 0 };
	struct err e = ERR_INIT;
	enum err_code rc;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hlRr:", longs)) != -1) {
		if (c == 'l')
			ls.is_long = true;
		else if (c == 'R')
			ls.recursive = true;
		else
			return app_getopt_status(c);
	}
	if (argc - optind != 1)
		return app_usage(a, "one SNAPSHOT[:PATH], please");
	status = app_open(a, STORE_READ, false, &ls.store);
	if (status)
		return status;
	rc = target_find(a, ls.store, argv[optind], &t, &e);
	progress_clear(a->progress);
	if (!rc)
		rc = list_target(&ls, &t, &e);
	if (rc)
		status = app_fail(a, &e);
	target_release(ls.store, &t);
	buf_release(&ls.path);
	buf_release(&ls.line);
	store_close(ls.store);
	return status;
}

const struct command cmd_ls = {
	.name = "ls",
	.summary = "list the files of a snapshot",
	.usage = "usage: vouch ls [-l] [-R] [--json] SNAPSHOT[:PATH]\n"
		 "List a folder of a snapshot, or one file.  SNAPSHOT is a name, a date (2026-11-21: the newest of\n"
		 "that day), six digits or more of an id, 'latest', or 'latest~N'.\n\n"
		 "  -l, --long         mode, links, owner, group, size, time; folders: the bytes below\n"
		 "  -R, --recursive    everything below, with its path\n"
		 "  --json             one JSON object a line\n"
		 "  --host HOST, --tag TAG, --path SOURCE   which snapshots 'latest' and dates mean\n",
	.run = run,
};
