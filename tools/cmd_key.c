/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/chain.h"
#include "store/key.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/signals.h"
#include "tools/text.h"

enum { OPT_NEW = APP_OPT_FIRST, OPT_ALL, OPT_OUT };

struct key_args {
	bool replace, all;
	const char *out;	/* NULL: none */
};

/* The public key, to a file that is not there yet: another key's must not be lost. */

static enum err_code out_open(const struct key_args *k, int *fd, struct err *e)
{
	*fd = -1;
	if (!k->out)
		return ERR_OK;
	*fd = open(k->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return *fd < 0 ? err_sys(e, "make %s", k->out) : ERR_OK;
}

/** Takes fd, which may be -1. */
static enum err_code out_write(const struct key_args *k, int fd, const char *pem, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t len = strlen(pem);

	if (fd < 0)
		return ERR_OK;
	for (size_t at = 0; at < len && !rc;) {
		ssize_t n = write(fd, pem + at, len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EINTR)
			rc = err_sys(e, "write %s", k->out);
	}
	if (fsync(fd) < 0 && errno != EINVAL && !rc)
		rc = err_sys(e, "fsync %s", k->out);
	if (close(fd) < 0 && !rc)
		rc = err_sys(e, "close %s", k->out);
	return rc;
}

static bool print_key(struct app *a, const struct key_public *k, bool mine, const char *where)
{
	char hex[ID_HEX_LEN + 1], pem[KEY_PEM_LEN];
	struct jsonout j;

	if (!a->json) {
		struct buf line = BUF_INIT;
		bool ok;

		buf_printf(&line, "%s  %-9s  ", id_hex(&k->fingerprint, hex), mine ? "secret" : "public");
		text_escape_str(&line, where);
		buf_add_u8(&line, '\n');
		ok = !line.bad && fwrite(line.p, 1, line.len, stdout) == line.len;
		buf_release(&line);
		return ok;
	}
	key_public_pem(k, pem);
	j = jsonout_begin("key");
	jsonout_id(&j, "fingerprint", &k->fingerprint);
	jsonout_bool(&j, "mine", mine);
	jsonout_bytes(&j, "where", where, strlen(where));
	jsonout_str(&j, "pem", pem);
	return jsonout_end(&j);
}

static int list(struct app *a, struct store *s)
{
	struct key_list l = { .nr = 0 };
	struct err e = ERR_INIT;
	bool ok = true;

	if (key_list_read(s, &l, &e))
		return app_fail(a, &e);
	for (size_t i = 0; i < l.nr; i++)
		ok = print_key(a, &l.all[i].key, l.all[i].mine, l.all[i].where) && ok;
	if (l.nr == 0 && !a->quiet)
		app_say(a, NULL, "there is no key; 'vouch key sign' makes one, and backups sign from then on");
	key_list_release(&l);
	return ok ? STATUS_DONE : STATUS_FAILED;
}

/* This host's public key. */
static int public(struct app *a, struct store *s, const struct key_args *k)
{
	struct key_list l = { .nr = 0 };
	struct err e = ERR_INIT;
	char pem[KEY_PEM_LEN];
	enum err_code rc = key_list_read(s, &l, &e);
	int fd = -1;

	if (!rc && (l.nr == 0 || !l.all[0].mine))
		rc = err_set(&e, ERR_NOT_FOUND, "this host has no key for the repository; 'vouch key sign' "
			     "makes one");
	if (!rc)
		rc = out_open(k, &fd, &e);
	if (!rc) {
		key_public_pem(&l.all[0].key, pem);
		rc = out_write(k, fd, pem, &e);
	}
	if (!rc)
		fputs(pem, stdout);
	key_list_release(&l);
	return rc ? app_fail(a, &e) : STATUS_DONE;
}

static void say_made(struct app *a, const struct key_args *k, const struct key_public *made,
		     const char *where)
{
	char hex[ID_HEX_LEN + 1];

	if (a->quiet)
		return;
	app_say(a, NULL, "the secret key is %s: keep a copy where only you can read it", where);
	app_say(a, NULL, "the public key's fingerprint is %s", id_hex(&made->fingerprint, hex));
	app_say(a, NULL, "keep %s outside of the repository, for 'vouch verify --pubkey'; the one in keys/ "
		"proves nothing", k->out ? k->out : "the public key (printed below)");
}

static enum err_code make(struct app *a, struct store *s, const struct key_args *k, struct err *e)
{
	struct key_public made;
	char pem[KEY_PEM_LEN], *where = NULL;
	enum err_code rc;
	int fd;

	/* First the file, whose name may be wrong. */
	rc = out_open(k, &fd, e);
	if (rc)
		return rc;
	rc = key_make(s, k->replace, &made, &where, e);
	if (rc) {
		if (fd >= 0) {
			(void)close(fd);
			(void)unlink(k->out);
		}
		return rc;
	}
	key_public_pem(&made, pem);
	rc = out_write(k, fd, pem, e);
	if (!rc)
		say_made(a, k, &made, where);
	if (!rc && a->json && !print_key(a, &made, true, where))
		rc = err_set(e, ERR_IO, "standard output could not be written");
	else if (!rc && !a->json)
		fputs(pem, stdout);
	free(where);
	return rc;
}

static int sign(struct app *a, struct store *s, const struct key_args *k)
{
	struct key_signed done = { 0, 0 };
	struct err e = ERR_INIT;
	struct key_list l = { .nr = 0 };
	enum err_code rc = ERR_OK;
	bool has = false;

	if (k->all && !k->replace) {
		rc = key_list_read(s, &l, &e);
		has = !rc && l.nr > 0 && l.all[0].mine;
		key_list_release(&l);
	}
	/* With --all the key that is there is used. */
	if (!rc && !has)
		rc = make(a, s, k, &e);
	else if (!rc && k->out)
		rc = err_set(&e, ERR_USAGE, "no key is made: 'vouch key public --out FILE' writes the one that "
			     "is there");
	if (!rc)
		rc = key_sign_present(s, k->all, signals_cancel(), &done, &e);
	progress_clear(a->progress);
	if (done.snapshots + done.records > 0 && !a->quiet)
		app_say(a, NULL, "signed what was there without a signature: %" PRIu64 " snapshots, %" PRIu64
			" records of forgotten ones; look at them before you rely on it", done.snapshots,
			done.records);
	return rc ? app_fail(a, &e) : STATUS_DONE;
}

static bool print_root(struct app *a, const struct chain_root *r)
{
	char hex[ID_HEX_LEN + 1];
	struct buf line = BUF_INIT;
	struct jsonout j;
	bool ok;

	if (a->json) {
		j = jsonout_begin("root");
		jsonout_id(&j, "root", &r->id);
		jsonout_str(&j, "snapshot", r->name);
		jsonout_u64(&j, "seq", r->seq);
		jsonout_str(&j, "host", r->host);
		return jsonout_end(&j);
	}
	buf_printf(&line, "%s  %.*s  %" PRIu64 "  ", id_hex(&r->id, hex), SNAPSHOT_DATE_LEN, r->name,
		   r->seq);
	text_escape_str(&line, r->host);
	buf_add_u8(&line, '\n');
	ok = !line.bad && fwrite(line.p, 1, line.len, stdout) == line.len;
	buf_release(&line);
	return ok;
}

static int roots(struct app *a, struct store *s)
{
	struct chain_roots r = { .nr = 0 };
	struct err e = ERR_INIT;
	bool ok = true;

	if (chain_roots_read(s, &r, &e))
		return app_fail(a, &e);
	for (size_t i = 0; i < r.nr; i++)
		ok = print_root(a, &r.all[i]) && ok;
	if (r.nr == 0 && !a->quiet)
		app_say(a, NULL, "there is no snapshot yet");
	chain_roots_release(&r);
	return ok ? STATUS_DONE : STATUS_FAILED;
}

static int run_word(struct app *a, const struct key_args *k, const char *word)
{
	bool signs = strcmp(word, "sign") == 0, shows = strcmp(word, "public") == 0;
	struct store *s = NULL;
	int status;

	if (!signs && !shows && *word && strcmp(word, "root") != 0)
		return app_usage(a, "'%s' is neither sign, public nor root", word);
	if (!signs && (k->replace || k->all))
		return app_usage(a, "--new and --all go with 'vouch key sign'");
	if (!signs && !shows && k->out)
		return app_usage(a, "--out goes with 'vouch key sign' and 'vouch key public'");
	status = app_open(a, signs ? STORE_WRITE : STORE_READ, signs, &s);
	if (status)
		return status;
	if (signs)
		status = sign(a, s, k);
	else if (shows)
		status = public(a, s, k);
	else
		status = *word ? roots(a, s) : list(a, s);
	store_close(s);
	return status;
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_QUIET,
		{ "new", no_argument, NULL, OPT_NEW },
		{ "all", no_argument, NULL, OPT_ALL },
		{ "out", required_argument, NULL, OPT_OUT },
		APP_LONG_END
	};
	struct key_args k = { .out = NULL };
	int c;

	while ((c = app_getopt(a, argc, argv, ":hqr:", longs)) != -1) {
		if (c == OPT_NEW)
			k.replace = true;
		else if (c == OPT_ALL)
			k.all = true;
		else if (c == OPT_OUT)
			k.out = optarg;
		else
			return app_getopt_status(c);
	}
	if (argc - optind > 1)
		return app_usage(a, "one word at most: sign, public or root");
	return run_word(a, &k, optind < argc ? argv[optind] : "");
}

const struct command cmd_key = {
	.name = "key",
	.summary = "make and list the keys that sign snapshots",
	.usage = "usage: vouch key [--json]\n"
		 "       vouch key sign [--new] [--all] [--out FILE]\n"
		 "       vouch key public [--out FILE]\n"
		 "       vouch key root [--json]\n"
		 "List the keys; make this host's key, so that its backups are signed from now on; print its\n"
		 "public half; print each writer's newest root, to be written down and given to\n"
		 "'vouch verify --root'.\n\n"
		 "  --new              make another key in place of the one that is there\n"
		 "  --all              also sign what other hosts left unsigned (with the key that is there)\n"
		 "  --out FILE         the public key goes to FILE, which must not be there yet\n"
		 "  --json             one JSON object a line\n"
		 "  -q, --quiet        only warnings and damage\n",
	.run = run,
};
