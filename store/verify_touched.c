/* SPDX-License-Identifier: MIT */
/* Which paths a damaged chunk touches: verify's naming, without the check before it. */
#include <stdlib.h>
#include <time.h>

#include "store/verify_internal.h"

static int64_t seconds_now(void)
{
	struct timespec now = { 0 };

	return clock_gettime(CLOCK_MONOTONIC, &now) < 0 ? 0 : (int64_t)now.tv_sec;
}

bool verify_late(const struct verify *v)
{
	return v->touched && seconds_now() > v->deadline;
}

enum err_code verify_touched(struct store *s, const struct object_id *chunks, size_t nr,
			     unsigned seconds, const atomic_bool *cancel, verify_touched_fn *fn,
			     void *ctx, bool *all, struct err *e)
{
	struct verify_options o = { .cancel = cancel };
	struct verify v = {
		.s = s, .o = &o, .stop = ERR_INIT, .touched = fn, .touched_ctx = ctx,
		.deadline = seconds_now() + seconds,
	};
	struct snapshot_list l = { 0 };
	struct err local = ERR_INIT;
	enum err_code rc;

	if (!e)
		e = &local;	/* the walk looks at what is in it */
	if (pthread_mutex_init(&v.mutex, NULL))
		abort();
	rc = snapshot_list_read(s, &l, e);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = keyset_add(&v.bad, id_key(&chunks[i]), NULL, e);
	for (size_t i = l.nr; i-- > 0 && !rc && !verify_stopping(&v);)
		rc = verify_tree(&v, &l.all[i], WALK_NAME, e);
	if (!rc || rc == ERR_CANCELED) {
		*all = !rc && !verify_stopping(&v);
		rc = ERR_OK;
		err_clear(e);
	}
	snapshot_list_release(&l);
	keyset_release(&v.bad);
	keyset_release(&v.clean);
	keyset_release(&v.bad_nodes);
	(void)pthread_mutex_destroy(&v.mutex);
	return rc;
}
