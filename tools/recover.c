/* SPDX-License-Identifier: MIT */
#include "tools/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "tools/confirm.h"
#include "tools/jsonout.h"
#include "tools/signals.h"

int recover_worse(int status, int other)
{
	if (status == STATUS_DONE || other == STATUS_DAMAGE)
		return other ? other : status;
	return status;
}

int recover_repository(struct app *a, struct recover_options *o, struct store **out)
{
	struct statvfs v;
	bool locked = a->repo && statvfs(a->repo, &v) == 0 && (v.f_flag & ST_RDONLY);
	int status;

	o->no_notes = locked || o->dry_run;
	o->cancel = signals_cancel();
	status = app_open(a, o->no_notes ? STORE_READ : STORE_WRITE, true, out);
	if (status)
		return status;
	if (locked && !o->dry_run)
		app_say(a, "warning", "the repository's medium is read-only: what is done is not noted there");
	store_set_heal(*out, true);
	store_set_whole(*out);
	store_set_frugal(*out);
	return STATUS_DONE;
}

static int prepare(struct recovery *r, struct app *a, struct store *s, struct component *c, const struct snapshot_list *l,
		   const struct recover_options *o)
{
	struct err e = ERR_INIT;
	enum err_code rc = recovery_open(r, a, s, c, l, o, &e);

	if (!rc)
		rc = recovery_read(r, &e);
	if (!rc)
		rc = recovery_plan(r, &e);
	if (!rc)
		return STATUS_DONE;
	recovery_close(r);
	return recover_fail(a, c->name, &e);
}

/* What the countdown says; r of those that could be prepared have a component. */
static enum err_code ask(struct app *a, const struct recovery *r, size_t nr, const struct recover_options *o, bool yes,
			 struct err *e)
{
	char what[512];
	size_t ready = 0, last = 0;

	for (size_t i = 0; i < nr; i++) {
		if (r[i].c) {
			ready++;
			last = i;
		}
	}
	if (ready == 1)
		(void)snprintf(what, sizeof(what), "%.200s will be overwritten%s", o->into ? o->into : r[last].c->name,
			       r[last].items.nr ? " in part" : "");
	else
		(void)snprintf(what, sizeof(what), "%zu components will be overwritten", ready);
	return confirm_countdown(a, yes, what, o->cancel, e);
}

/* Of several: their times together, beside the target for all.  False where standard output fails. */
static bool tell_total(struct app *a, size_t nr, double seconds, uint64_t target)
{
	struct buf b = BUF_INIT;

	if (a->json) {
		struct jsonout j = jsonout_begin("total");

		jsonout_u64(&j, "components", nr);
		jsonout_real(&j, "seconds", seconds);
		jsonout_u64(&j, "rto_seconds", target);
		return jsonout_end(&j);
	}
	recovery_target(&b, "components together: recovery time", seconds, target);
	if (!a->quiet && !b.bad)
		printf("%zu %.*s\n", nr, (int)b.len, (const char *)b.p);
	buf_release(&b);
	return true;
}

static int execute(struct app *a, struct recovery *r, size_t nr, const struct recover_options *o)
{
	int status = STATUS_DONE;
	double seconds = 0;
	size_t done = 0;

	for (size_t i = 0; i < nr; i++) {
		if (!r[i].c)
			continue;
		if (atomic_load(o->cancel)) {
			app_say(r[i].a, NULL, "%s: interrupted, nothing was touched", r[i].c->name);
			status = recover_worse(status, STATUS_FAILED);
			continue;
		}
		recovery_execute(&r[i]);
		status = recover_worse(status, recovery_report(&r[i]));
		seconds += r[i].seconds;
		done++;
		if (r[i].outcome == RECOVER_OK && !o->no_notes)
			ways_discard_old(r[i].a, r[i].s, r[i].c);
	}
	if (done > 1 && !tell_total(a, done, seconds, o->rto_all))
		status = recover_worse(status, STATUS_FAILED);
	return status;
}

int recover_run(struct app *a, struct store *s, struct component *const *v, size_t nr, const struct recover_options *o,
		bool yes)
{
	struct recovery *r = calloc(nr, sizeof(*r));
	struct snapshot_list l = { 0 };
	struct err e = ERR_INIT;
	int status = STATUS_DONE;
	size_t ready = 0;

	if (!r) {
		status = recover_fail(a, "recover", &(struct err){ .code = ERR_NOMEM, .msg = "out of memory" });
		goto out;
	}
	if ((!o->dry_run && confirm_possible(yes, &e)) || snapshot_list_read(s, &l, &e)) {
		status = app_fail(a, &e);
		goto out;
	}
	for (size_t i = 0; i < nr; i++) {
		int one = prepare(&r[i], a, s, v[i], &l, o);

		ready += one == STATUS_DONE;
		status = recover_worse(status, one);
	}
	if (o->dry_run || ready == 0 || nr == 0)
		goto out;
	if (ask(a, r, nr, o, yes, &e)) {
		app_say(a, NULL, "%s", e.msg);
		status = STATUS_FAILED;
		goto out;
	}
	status = recover_worse(status, execute(a, r, nr, o));
out:
	for (size_t i = 0; r && i < nr; i++)
		recovery_close(&r[i]);
	free(r);
	snapshot_list_release(&l);
	return status;
}
