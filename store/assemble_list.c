/* SPDX-License-Identifier: MIT */
/* The files of an assembly: those that are whole, and those that were dropped. */
#include "store/assemble_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/array.h"
#include "store/base/must.h"

/* The end of a name comes first of all: "a" is before "a/b", which is before "a.b". */
static int rank(char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : 2 + (unsigned char)c;
}

int assembled_order(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return rank(*a) - rank(*b);
}

/** Where path is, or would be. */
static size_t find(const struct assembled_list *l, const char *path, bool *there)
{
	size_t lo = 0, hi = l->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (assembled_order(l->all[mid]->path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*there = lo < l->nr && strcmp(l->all[lo]->path, path) == 0;
	return lo;
}

bool assembled_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return len == 0 || (strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/'));
}

size_t assembled_range(const struct assembled_list *l, const char *folder, size_t *nr)
{
	bool there;
	size_t at = find(l, folder, &there), end = at;

	while (end < l->nr && assembled_below(l->all[end]->path, folder))
		end++;
	*nr = end - at;
	return at;
}

enum err_code assembled_keep(struct assembled_list *l, struct assembled *t, struct err *e)
{
	struct assembled **more = array_room(l->all, l->nr, &l->cap, sizeof(*more));
	bool there;
	size_t at;

	if (!more)
		return err_set(e, ERR_NOMEM, "%zu files", l->nr);
	l->all = more;
	at = find(l, t->path, &there);
	if (there) {
		assembled_free(l->all[at]);
	} else {
		memmove(l->all + at + 1, l->all + at, (l->nr - at) * sizeof(l->all[0]));
		l->nr++;
	}
	l->all[at] = t;
	return ERR_OK;
}

void assembled_cut(struct assembled_list *l, size_t at, size_t nr)
{
	if (nr == 0)
		return;		/* of an empty list, too, which is NULL */
	memmove(l->all + at, l->all + at + nr, (l->nr - at - nr) * sizeof(l->all[0]));
	l->nr -= nr;
}

void assembled_free(struct assembled *f)
{
	if (!f)
		return;
	free(f->path);
	free(f->content);
	free(f);
}

void assembled_release(struct assembled_list *l)
{
	for (size_t i = 0; i < l->nr; i++)
		assembled_free(l->all[i]);
	free(l->all);
	*l = (struct assembled_list){0};
}

/** The first of them that is left, or NULL. */
static struct assembled *take_one(struct assembly *from, const char *path)
{
	struct assembled *t = NULL;
	size_t at, nr;

	must(pthread_mutex_lock(&from->mutex));
	at = assembled_range(&from->dropped, path, &nr);
	if (nr > 0) {
		t = from->dropped.all[at];
		assembled_cut(&from->dropped, at, 1);
	}
	must(pthread_mutex_unlock(&from->mutex));
	return t;
}

enum err_code assembly_take_dropped(struct assembly *from, const char *path, struct assembly *to,
				    size_t *nr, struct err *e)
{
	struct assembled *t;
	enum err_code rc = ERR_OK;

	*nr = 0;
	if (!from->sealed)
		rc = writer_finish(from->writer, e);
	from->sealed = !rc;
	while (!rc && (t = take_one(from, path)) != NULL) {
		t->ent.user = to->user;
		t->ent.group = to->group;
		t->ent.user_len = strlen(to->user);
		t->ent.group_len = strlen(to->group);
		must(pthread_mutex_lock(&to->mutex));
		rc = assembled_keep(&to->files, t, e);
		must(pthread_mutex_unlock(&to->mutex));
		if (rc)
			assembled_free(t);
		else
			(*nr)++;
	}
	return rc;
}
