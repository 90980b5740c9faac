/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tools/history.h"

/* The strings into one piece of memory, that of id. */
static bool keep(struct history_run *r)
{
	const char **const views[] = { &r->id, &r->type, &r->component, &r->snapshot, &r->status, &r->error };
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < 6; i++)
		len += strlen(*views[i]) + 1;
	at = malloc(len);
	for (size_t i = 0; at && i < 6; i++) {
		size_t n = strlen(*views[i]) + 1;

		memcpy(at, *views[i], n);
		*views[i] = at;
		at += n;
	}
	return at;
}

static enum err_code on_run(void *ctx, const struct history_run *r, struct err *e)
{
	struct run_list *l = ctx;

	if (l->nr == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct history_run *more = reallocarray(l->all, cap, sizeof(*more));

		if (!more)
			return err_set(e, ERR_NOMEM, "%zu runs", l->nr);
		l->all = more;
		l->cap = cap;
	}
	l->all[l->nr] = *r;
	if (!keep(&l->all[l->nr]))
		return err_set(e, ERR_NOMEM, "%zu runs", l->nr);
	l->nr++;
	return ERR_OK;
}

enum err_code run_list_read(struct store *s, struct run_list *out, struct err *e)
{
	struct run_list l = { 0 };
	enum err_code rc = history_each_run(s, on_run, &l, e);

	if (rc)
		run_list_release(&l);
	else
		*out = l;
	return rc;
}

void run_list_release(struct run_list *l)
{
	for (size_t i = 0; i < l->nr; i++)
		free((char *)(uintptr_t)l->all[i].id);
	free(l->all);
	*l = (struct run_list){ 0 };
}
