/* SPDX-License-Identifier: MIT */
#include "tools/chain_args.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

#define PEM_MAX 4096u	/* bytes of a file with a public key */

void chain_args_release(struct chain_args *c)
{
	free(c->keys);
	free(c->roots);
	*c = (struct chain_args){ .nr_keys = 0 };
}

static enum err_code read_key(const char *path, struct key_public *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum err_code rc = ERR_OK;
	char pem[PEM_MAX];
	size_t n = 0;

	if (fd < 0)
		return err_sys(e, "open %s", path);
	while (!rc && n < sizeof(pem)) {
		ssize_t r = read(fd, pem + n, sizeof(pem) - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			rc = err_sys(e, "read %s", path);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	(void)close(fd);
	if (!rc && n == sizeof(pem))
		rc = err_set(e, ERR_CORRUPT, "%zu bytes and more", n);
	return rc ? rc : key_public_read(pem, n, out, e);
}

bool chain_args_key(struct app *a, struct chain_args *c, const char *path)
{
	struct key_public *more = reallocarray(c->keys, c->nr_keys + 1, sizeof(*more));
	struct err e = ERR_INIT;

	if (!more) {
		app_usage(a, "--pubkey: no memory");
		return false;
	}
	c->keys = more;
	if (read_key(path, &c->keys[c->nr_keys], &e)) {
		app_usage(a, "--pubkey %s: %s", path, e.msg);
		return false;
	}
	c->nr_keys++;
	return true;
}

bool chain_args_root(struct app *a, struct chain_args *c, const char *hex)
{
	struct object_id *more = reallocarray(c->roots, c->nr_roots + 1, sizeof(*more));
	char digits[ID_HEX_LEN + 1] = "";
	size_t n = 0;

	if (!more) {
		app_usage(a, "--root: no memory");
		return false;
	}
	c->roots = more;
	/* From paper: in groups, perhaps, or in capitals. */
	for (; *hex && n < ID_HEX_LEN; hex++)
		if (*hex != ' ')
			digits[n++] = (char)tolower((unsigned char)*hex);
	if (*hex || !id_parse(digits, &c->roots[c->nr_roots])) {
		app_usage(a, "--root needs the 64 hex digits that 'vouch key root' printed");
		return false;
	}
	c->nr_roots++;
	return true;
}

struct tell {
	struct app *app;
	bool strict, bad_output;
};

static void on_finding(void *ctx, const struct chain_finding *f)
{
	struct tell *t = ctx;

	/* Without something to prove a fork is no news each time. */
	if (!t->strict && f->kind == CHAIN_FORK)
		return;
	app_say(t->app, f->fails ? "NOT PROVED" : "warning", "%s", f->text);
	if (t->app->json) {
		struct jsonout j = jsonout_begin("finding");

		jsonout_str(&j, "kind", chain_kind_name(f->kind));
		jsonout_bool(&j, "fails", f->fails);
		jsonout_str(&j, "text", f->text);
		if (f->name)
			jsonout_str(&j, "snapshot", f->name);
		t->bad_output = !jsonout_end(&j) || t->bad_output;
	}
}

static bool print_json(const struct chain_args *c, const struct chain_result *r)
{
	struct jsonout j = jsonout_begin("chains");

	jsonout_u64(&j, "writers", r->writers);
	jsonout_u64(&j, "snapshots", r->snapshots);
	jsonout_u64(&j, "records", r->records);
	jsonout_u64(&j, "keys", c->nr_keys);
	jsonout_u64(&j, "roots", c->nr_roots);
	jsonout_u64(&j, "good_signatures", r->good_signatures);
	jsonout_u64(&j, "missing", r->missing);
	jsonout_u64(&j, "forks", r->forks);
	jsonout_u64(&j, "not_proved", r->failed);
	return jsonout_end(&j);
}

static void print_text(const struct chain_args *c, const struct chain_result *r)
{
	char n[TEXT_LEN];

	if (c->nr_keys + c->nr_roots == 0)
		return;
	if (r->failed > 0) {
		printf("NOT PROVED: %s things are wrong; each is named above\n",
		       text_count(r->failed, n));
		return;
	}
	if (c->nr_keys > 0)
		printf("%15s  good signatures: no snapshot was altered, added by another, or removed "
		       "without a record\n", text_count(r->good_signatures, n));
	if (c->nr_roots > 0)
		printf("%15s  roots: what you wrote down is there, or was let go, and so is all that "
		       "came before\n",
		       text_count(c->nr_roots, n));
	if (c->nr_roots == 0)
		puts("Whether the newest were taken away only a root shows that was written down: --root");
}

int chain_args_run(struct app *a, const struct chain_args *c, struct store *s)
{
	struct tell t = { .app = a, .strict = c->nr_keys + c->nr_roots > 0 };
	const struct chain_options o = {
		.keys = c->keys, .nr_keys = c->nr_keys, .roots = c->roots, .nr_roots = c->nr_roots,
		.jobs = a->jobs, .cancel = signals_cancel(), .fn = on_finding, .ctx = &t,
	};
	struct chain_result r;
	struct err e = ERR_INIT;

	if (chain_check(s, &o, &r, &e))
		return app_fail(a, &e);
	progress_clear(a->progress);
	if (a->json)
		t.bad_output = !print_json(c, &r) || t.bad_output;
	else if (!a->quiet)
		print_text(c, &r);
	return r.failed > 0 || t.bad_output ? STATUS_FAILED : STATUS_DONE;
}
