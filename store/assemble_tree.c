/* SPDX-License-Identifier: MIT */
/* The beginning of an assembly, and its end: folders of all files, the root, the snapshot. */
#include "store/assemble_internal.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "store/base/must.h"

static enum err_code make_folder(struct assembly *a, size_t from, size_t to, size_t skip,
				 struct entry *dir, struct err *e);

/** Entries of one folder: the files from..to, whose names below it begin at skip. */
static enum err_code fill_folder(struct assembly *a, size_t from, size_t to, size_t skip,
				 struct dir_builder *b, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = from, end; i < to && !rc; i = end) {
		struct assembled *f = a->files.all[i];
		const char *name = f->path + skip;
		size_t len = strcspn(name, "/");
		struct entry dir;

		end = i + 1;
		if (name[len] == '\0') {
			f->ent.name = name;
			f->ent.name_len = len;
			rc = dir_builder_add(b, &f->ent, e);
			continue;
		}
		while (end < to && strncmp(a->files.all[end]->path + skip, name, len + 1) == 0)
			end++;
		rc = make_folder(a, i, end, skip + len + 1, &dir, e);
		dir.name = name;
		dir.name_len = len;
		if (!rc)
			rc = dir_builder_add(b, &dir, e);
	}
	return rc;
}

/** As deep as names are, which assembly_file_open() bounds. */
static enum err_code make_folder(struct assembly *a, size_t from, size_t to, size_t skip,
				 struct entry *dir, struct err *e)
{
	struct dir_builder *b = NULL;
	enum err_code rc = dir_builder_open(assembly_emit, a, &b, e);

	*dir = (struct entry){.name = "", .type = ENTRY_DIR, .mode = 0755, .nlink = 1,
			      .mtime = a->snap.time, .ctime = a->snap.time,
			      .uid = geteuid(), .gid = getegid(),
			      .user = a->user, .user_len = strlen(a->user),
			      .group = a->group, .group_len = strlen(a->group)};
	if (!rc)
		rc = fill_folder(a, from, to, skip, b, e);
	if (!rc)
		rc = dir_builder_finish(b, dir, e);
	dir_builder_close(b);
	return rc;
}

enum err_code assembly_tree(struct assembly *a, struct err *e)
{
	struct entry root;
	enum err_code rc = make_folder(a, 0, a->files.nr, 0, &root, e);

	if (!rc)
		rc = root_emit(&root, assembly_emit, a, &a->snap.root, e);
	a->snap.totals = root.below;
	return rc;
}

static enum err_code take_components(struct snapshot *s, const struct component_outcome *from,
				     size_t nr, struct err *e)
{
	s->components = calloc(nr ? nr : 1, sizeof(s->components[0]));
	if (!s->components)
		return err_set(e, ERR_NOMEM, "outcomes");
	for (size_t i = 0; i < nr; i++) {
		struct component_outcome *c = &s->components[i];

		s->nr_components++;
		c->name = strdup(from[i].name);
		c->type = strdup(from[i].type);
		c->status = strdup(from[i].status);
		c->detail = strdup(from[i].detail ? from[i].detail : "");
		if (!c->name || !c->type || !c->status || !c->detail)
			return err_set(e, ERR_NOMEM, "outcomes");
	}
	return ERR_OK;
}

enum err_code assembly_publish(struct assembly *a, const struct component_outcome *components,
			       size_t nr, struct snapshot *out, struct err *e)
{
	struct snapshot *s = &a->snap;
	struct writer_stats stats;
	enum err_code rc = ERR_OK;

	if (a->files.nr == 0)
		return err_set(e, ERR_FAILED, "there is nothing to make a snapshot of");
	if (a->cancel && atomic_load(a->cancel))
		rc = err_set(e, ERR_CANCELED, "stopped on request");
	else if (a->open)	/* it would be missing, and nobody the wiser */
		rc = err_set(e, ERR_FAILED, "a file of the snapshot was neither closed nor dropped");
	if (!rc)
		rc = take_components(s, components, nr, e);
	if (!rc)
		rc = assembly_tree(a, e);
	if (!rc)
		rc = writer_finish(a->writer, e);
	a->sealed = !rc;
	if (!rc) {
		writer_stats(a->writer, &stats);
		s->new_bytes = stats.new_bytes;
		s->stored_bytes = stats.stored_bytes;
		rc = writing_publish(a->s, a->heart, s, e);
	}
	writing_log(a->s, s, a->files.nr, s->totals.bytes, rc);
	if (!rc) {
		*out = *s;
		*s = (struct snapshot){0};
	}
	return rc;
}

static char *user_name(void)
{
	struct passwd p, *got = NULL;
	char text[4096];

	return strdup(getpwuid_r(geteuid(), &p, text, sizeof(text), &got) == 0 && got ?
		      got->pw_name : "");
}

static char *group_name(void)
{
	struct group g, *got = NULL;
	char text[16384];

	return strdup(getgrgid_r(getegid(), &g, text, sizeof(text), &got) == 0 && got ?
		      got->gr_name : "");
}

static enum err_code describe(struct assembly *a, const struct assembly_options *o, struct err *e)
{
	struct snapshot *s = &a->snap;
	enum err_code rc = writing_host(o->host, &s->host, e);

	a->user = user_name();
	a->group = group_name();
	s->time = store_vtime();
	s->user = strdup(a->user ? a->user : "");
	s->version = strdup(store_version());
	s->base = strdup("");
	s->name = strdup("");	/* publishing finds it */
	if (!rc && (!a->user || !a->group || !s->user || !s->version || !s->base || !s->name))
		rc = err_set(e, ERR_NOMEM, "snapshot");
	if (!rc)
		rc = writing_strings(o->sources, o->nr_sources, &s->sources, &s->nr_sources, e);
	if (!rc)
		rc = writing_strings(o->tags, o->nr_tags, &s->tags, &s->nr_tags, e);
	return rc;
}

enum err_code assembly_open(struct store *s, const struct assembly_options *o, struct assembly **out,
			    struct err *e)
{
	struct writer_config cfg = {
		.chunks = s->chunks, .backend = s->backend, .params = s->super.params};
	unsigned jobs = o->jobs ? o->jobs : pool_nr_cpus();
	struct assembly *a;
	enum err_code rc;

	if (s->mode != STORE_WRITE || store_is_read_only(s))
		return err_set(e, ERR_USAGE, "the repository is open for reading only");
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(e, ERR_NOMEM, "snapshot");
	a->s = s;
	a->cancel = o->cancel;
	a->keep_dropped = o->keep_dropped;
	a->no_progress = o->no_progress;
	rate_init(&a->rate, o->limit_rate, o->cancel);
	must(pthread_mutex_init(&a->mutex, NULL));
	rc = describe(a, o, e);
	if (!rc)
		rc = writing_begin(s, &a->heart, e);
	if (!rc)
		rc = pool_open(jobs, 4 * (size_t)jobs, &a->pool, e);
	cfg.pool = a->pool;
	if (!rc)
		rc = writer_open(&cfg, &a->writer, e);
	if (rc) {
		assembly_close(a);
		return rc;
	}
	*out = a;
	return ERR_OK;
}
