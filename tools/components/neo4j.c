/* SPDX-License-Identifier: MIT */
#include "tools/components/neo4j.h"

#include <stdlib.h>
#include <string.h>

#define STOP_WAIT	120u		/* seconds; a stop of an idle server takes thirteen */
#define START_WAIT	300u		/* a recovery of its logs may come first */
#define ONLINE_WAIT	600u
#define RTO		(30u * 60)
#define HEAP		"1g"

bool neo4j_is_name(const char *name)
{
	return *name >= 'a' && *name <= 'z' && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")];
}

static enum err_code take_system(struct component *c, enum neo4j_system *out, struct err *e)
{
	static const char *const names[] = { "missing", "always", "never" };
	const char *v = config_get(c->section, "system");

	*out = NEO4J_SYSTEM_MISSING;
	for (size_t i = 0; v && i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(v, names[i]) == 0) {
			*out = (enum neo4j_system)i;
			return ERR_OK;
		}
	}
	return v ? config_wrong(c->section, "system", e, "it is missing, always or never") : ERR_OK;
}

static const char *scratch_folder(struct component *c)
{
	const char *v = config_get(c->section, "scratch");

	if (!v)
		v = getenv("TMPDIR");
	return v && *v ? v : "/var/tmp";
}

static enum err_code take_words(struct component *c, struct neo4j *n, struct err *e)
{
	const char *key;
	enum err_code rc = config_words(c->section, "stop", &n->stop, e);

	if (!rc)
		rc = config_words(c->section, "start", &n->start, e);
	if (!rc && (n->stop && !n->stop[0]))
		rc = config_wrong(c->section, "stop", e, "it has no words");
	if (!rc && (n->start && !n->start[0]))
		rc = config_wrong(c->section, "start", e, "it has no words");
	if (!rc && !n->stop != !n->start)
		rc = config_wrong(c->section, n->stop ? "stop" : "start", e, "stop and start come together");
	if (!rc)
		rc = config_seconds(c->section, "stop-wait", STOP_WAIT, &n->stop_wait, e);
	if (!rc)
		rc = config_seconds(c->section, "start-wait", START_WAIT, &n->start_wait, e);
	if (!rc)
		rc = config_seconds(c->section, "online-wait", ONLINE_WAIT, &n->online_wait, e);
	for (size_t i = 0; !rc && (key = config_nth(c->section, "label-key", i)); i++) {
		const char *dot = strrchr(key, '.');

		if (!dot || dot == key || !dot[1])
			rc = config_wrong(c->section, "label-key", e, "it is LABEL.PROPERTY, as Person.id");
	}
	return rc;
}

static enum err_code take_places(struct component *c, struct neo4j *n, struct err *e)
{
	struct config_section *s = c->section;
	const char *home = config_get(s, "home"), *conf = config_get(s, "conf"), *data = config_get(s, "data");
	const char *tools = config_get(s, "tools");
	enum err_code rc;

	if (!home || *home != '/')
		return config_wrong(s, home ? "home" : NULL, e, "it needs 'home = /FOLDER' of the Neo4j installation");
	if ((conf && *conf != '/') || (data && *data != '/') || (tools && *tools != '/'))
		return config_wrong(s, NULL, e, "conf, data and tools are absolute paths");
	rc = neo4j_place_read(home, conf, data, &n->live, e);
	if (rc)
		return rc;
	if (c->via && data) {		/* what neo4j.conf says is a path inside */
		free(n->live.transactions);
		n->live.transactions = neo4j_path(data, "transactions", NULL);
	}
	n->tools = strdup(tools ? tools : home);
	n->admin = neo4j_path(tools ? tools : home, "bin", "neo4j-admin");
	n->admin_inside = neo4j_path(home, "bin", "neo4j-admin");
	n->server = neo4j_path(tools ? tools : home, "bin", "neo4j");
	return n->live.transactions && n->tools && n->admin && n->admin_inside && n->server
		   ? ERR_OK
		   : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code open_neo4j(struct component *c, struct err *e)
{
	struct config_section *s = c->section;
	struct neo4j *n = calloc(1, sizeof(*n));
	enum err_code rc;

	if (!n)
		return err_set(e, ERR_NOMEM, "out of memory");
	c->priv = n;
	n->database = config_get(s, "database");
	n->url = config_get(s, "url");
	n->user = config_get(s, "user");
	n->java = config_get(s, "java-home");
	n->heap = config_get(s, "scratch-heap");
	n->database = n->database ? n->database : "neo4j";
	n->heap = n->heap ? n->heap : HEAP;
	n->user = n->user ? n->user : NEO4J_USER;
	n->scratch = scratch_folder(c);
	rc = take_places(c, n, e);
	if (!rc)
		rc = take_words(c, n, e);
	if (!rc)
		rc = take_system(c, &n->system, e);
	if (!rc)
		rc = config_secret(s, "password", &n->password, e);
	if (!rc && strcmp(n->database, "system") == 0)
		rc = config_wrong(s, "database", e, "the system database is dumped beside the other in any case");
	if (!rc && !neo4j_is_name(n->database))
		rc = config_wrong(s, "database", e,
				  "it is no name of a database: a small letter, then small letters, digits, '.', '-'");
	return rc;
}

static void close_neo4j(struct component *c)
{
	struct neo4j *n = neo4j_of(c);

	if (!n)
		return;
	neo4j_unserve(n->served);
	neo4j_place_release(&n->live);
	config_words_free(n->stop);
	config_words_free(n->start);
	config_secret_free(n->password);
	free(n->tools);
	free(n->admin);
	free(n->admin_inside);
	free(n->server);
	free(n);
	c->priv = NULL;
}

static enum err_code query(struct component *c, const char *into, const char *text, char **out, struct err *e)
{
	struct http *h = NULL;
	json_t *values = NULL;
	enum err_code rc = neo4j_reach(c, into, &h, e);

	if (!rc)
		rc = neo4j_ask(h, neo4j_of(c)->database, false, text, NULL, &values, e);
	if (!rc)
		rc = neo4j_lines(values, out, e);
	json_decref(values);
	http_close(h);
	return rc;
}

/* Indexes are ready, and one node of each label is read with what hangs on it: as an application would. */
static enum err_code examine(struct component *c, const char *into, const struct facts *recorded, struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	struct http *h = NULL;
	size_t labels = 0;
	enum err_code rc = neo4j_reach(c, into, &h, e);

	(void)recorded;
	if (!rc)
		rc = neo4j_wait_online(h, n->database, n->online_wait, true, c->cancel, e);
	if (!rc)
		component_found(c, FINDING_OK, "all indexes are online");
	if (!rc)
		rc = neo4j_sample(h, n->database, &labels, e);
	if (!rc)
		component_found(c, FINDING_OK, "a sample query read a node of each of %zu labels with its relationships",
				labels);
	if (rc == ERR_FAILED) {		/* the server's answer, and so a finding */
		component_found(c, FINDING_FAILED, "%s", e->msg);
		err_clear(e);
		rc = ERR_OK;
	}
	http_close(h);
	return rc;
}

const struct component_ops component_neo4j = {
	.type = "neo4j",
	.main_file = NEO4J_DUMP,
	.item_kind = "label",
	.selector = "label",
	.rto = RTO,
	.merges_items = true,
	.open = open_neo4j,
	.close = close_neo4j,
	.check = neo4j_check,
	.dump = neo4j_dump,
	.inspect = neo4j_inspect,
	.read_back = neo4j_read_back,
	.plan = neo4j_plan,
	.restore = neo4j_restore,
	.rollback = neo4j_rollback,
	.discard = neo4j_discard,
	.query = query,
	.nulls_query = "MATCH (n:{table}) WHERE n.{column} IS NULL RETURN count(n)",
	.orphans_query = "",
	.examine = examine,
};
