/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/components/neo4j.h"

#define WORDS_MAX	10u
#define ENV_MAX		4u
#define OUTPUT_MAX	(4u << 20)
#define SERVE_S		180u		/* a scratch server on a busy machine; mostly ten seconds */
#define SERVE_TRIES	3		/* another program may take the port meanwhile */

/* A program's words and environment, in memory of their own. */
struct call {
	char *home, *conf, *java;
	char *argv[WORDS_MAX + 2];
	char *env[ENV_MAX];
};

static void call_release(struct call *k)
{
	free(k->home);
	free(k->conf);
	free(k->java);
}

/* program outlives the spawn: messages name it. */
static enum err_code call_make(struct component *c, const struct neo4j_place *p, char *program, const char *const *words,
			       struct call *k, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	size_t nr = 1;
	bool ok;

	*k = (struct call){ .argv = { program } };
	ok = asprintf(&k->home, "NEO4J_HOME=%s", p->home) >= 0 && asprintf(&k->conf, "NEO4J_CONF=%s", p->conf) >= 0 &&
	     (!n->java || asprintf(&k->java, "JAVA_HOME=%s", n->java) >= 0);
	if (!ok) {
		call_release(k);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	for (size_t i = 0; i < WORDS_MAX && words[i]; i++)
		k->argv[nr++] = (char *)(uintptr_t)words[i];
	k->env[0] = k->home;
	k->env[1] = k->conf;
	k->env[2] = k->java;
	return ERR_OK;
}

static struct spawn_options options(struct component *c, const struct call *k, bool inside, enum spawn_stdin in)
{
	struct spawn_options o = { .argv = k->argv };

	if (inside)
		o = component_spawn(c, k->argv);
	o.env = k->env;
	o.in = in;
	return o;
}

/* With via the component's own programs lie where its home does. */
static enum err_code admin_call(struct component *c, const struct neo4j_place *p, bool inside, enum spawn_stdin in,
				const char *const *words, struct call *k, struct spawn_options *o, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	enum err_code rc = call_make(c, p, inside && c->via ? n->admin_inside : n->admin, words, k, e);

	if (!rc)
		*o = options(c, k, inside, in);
	return rc;
}

enum err_code neo4j_admin(struct component *c, const struct neo4j_place *p, bool inside, enum spawn_stdin in,
			  const char *const *words, struct spawn **out, struct err *e)
{
	struct spawn_options o;
	struct call k;
	enum err_code rc = admin_call(c, p, inside, in, words, &k, &o, e);

	if (rc)
		return rc;
	rc = spawn_start(&o, out, e);
	call_release(&k);
	return rc;
}

enum err_code neo4j_admin_run(struct component *c, const struct neo4j_place *p, bool inside, const char *const *words,
			      char **out, int *status, struct err *e)
{
	struct buf text = BUF_INIT;
	struct spawn_options o;
	struct call k;
	enum err_code rc = admin_call(c, p, inside, SPAWN_STDIN_NONE, words, &k, &o, e);

	if (rc)
		return rc;
	rc = spawn_run(&o, c->cancel, &text, OUTPUT_MAX, status, e);
	call_release(&k);
	if (!rc) {
		*out = strdup(text.p ? (const char *)text.p : "");
		if (!*out)
			rc = err_set(e, ERR_NOMEM, "out of memory");
	}
	buf_release(&text);
	return rc;
}

/* Nobody listens there now. */
static enum err_code free_port(unsigned *out, struct err *e)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enum err_code rc = ERR_OK;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		rc = err_sys(e, "look for a free port");
	else
		*out = ntohs(a.sin_port);
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum err_code serve_once(struct component *c, struct neo4j_served *s, struct err *e)
{
	static const char *const words[] = { "console", NULL };
	struct spawn_options o;
	struct call k;
	unsigned http = 0, bolt = 0;
	enum err_code rc = free_port(&http, e);

	if (!rc)
		rc = free_port(&bolt, e);
	if (!rc)
		rc = neo4j_place_conf(c, &s->place, http, bolt, e);
	if (!rc)
		rc = call_make(c, &s->place, neo4j_of(c)->server, words, &k, e);
	if (rc)
		return rc;
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", http);
	o = options(c, &k, false, SPAWN_STDIN_NONE);
	o.out_none = true;
	rc = spawn_start(&o, &s->server, e);
	if (!rc)
		rc = neo4j_wait_up(s->url, SERVE_S, s->server, c->cancel, e);
	if (rc) {
		spawn_close(s->server);
		s->server = NULL;
	}
	call_release(&k);
	return rc;
}

enum err_code neo4j_serve(struct component *c, struct neo4j_place *p, struct neo4j_served **out, struct err *e)
{
	struct neo4j_served *s = calloc(1, sizeof(*s));
	enum err_code rc;

	if (!s) {
		neo4j_place_remove(p);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	s->place = *p;
	*p = (struct neo4j_place){ 0 };
	rc = neo4j_set_password(&s->place, s->password, e);
	if (!rc)
		rc = serve_once(c, s, e);
	for (int i = 1; rc == ERR_FAILED && i < SERVE_TRIES; i++) {
		err_clear(e);
		rc = serve_once(c, s, e);
	}
	if (rc) {
		err_prefix(e, "a scratch server over the dump");
		neo4j_unserve(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

void neo4j_unserve(struct neo4j_served *s)
{
	if (!s)
		return;
	spawn_close(s->server);
	neo4j_place_remove(&s->place);
	free(s->into);
	free(s);
}
