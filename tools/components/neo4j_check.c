/* SPDX-License-Identifier: MIT */
/* What a dump would meet: programs and their versions, the store, the server, who stops it, whether there is room. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/components/neo4j.h"
#include "tools/text.h"

static void cut_line(char *text)
{
	text[strcspn(text, "\r\n")] = 0;
}

static enum err_code check_tools(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	char *version = NULL;
	int status = 0;
	enum err_code rc =
	    neo4j_admin_run(c, &n->live, true, (const char *const[]){"--version", NULL}, &version, &status, e);

	if (rc == ERR_FAILED) {
		component_found(c, FINDING_FAILED, "%s: home, tools or java-home may be wrong", e->msg);
		err_clear(e);
		rc = ERR_OK;
	} else if (!rc && status != 0) {
		component_found(c, FINDING_FAILED,
				"neo4j-admin of %s ends with %d: is there a Java that it can use (java-home)?", n->live.home,
				status);
	} else if (!rc) {
		cut_line(version);
		component_found(c, FINDING_OK, "neo4j-admin %s", version);
	}
	if (!rc && access(n->server, X_OK) < 0)
		component_found(c, FINDING_FAILED, "%s cannot be run: dumps are counted on a scratch server (tools)",
				n->server);
	free(version);
	return rc;
}

static enum err_code check_store(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	char size[TEXT_LEN];
	uint64_t bytes = 0;
	bool there = false;
	struct err room = ERR_INIT;
	enum err_code rc = neo4j_place_size(&n->live, n->database, &there, &bytes, e);

	if (rc)
		return rc;
	if (!there) {
		component_found(c, FINDING_FAILED, "there is no database %s in %s/databases (home, conf, data, database)",
				n->database, n->live.data);
		return ERR_OK;
	}
	component_found(c, FINDING_OK, "database %s in %s: %s", n->database, n->live.data, text_size(bytes, size));
	component_need(c, bytes);
	if (access(n->live.data, W_OK) < 0)
		component_found(c, FINDING_WARNING,
				"%s cannot be written to: a server could not be stopped safely, nothing be restored",
				n->live.data);
	if (neo4j_room(n->scratch, bytes + bytes / 8, "a scratch home for the dump", &room))
		component_found(c, FINDING_FAILED, "%s", room.msg);
	return ERR_OK;
}

static enum err_code check_running(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	struct http *h = NULL;
	json_t *rows = NULL;
	const char *version;
	enum err_code rc;

	if (!n->stop)
		component_found(c, FINDING_FAILED, "the server runs, and a dump needs it stopped: configure stop and start");
	else
		component_found(c, FINDING_OK,
				"the server runs; a dump stops and starts it (the time it is down is recorded)");
	rc = neo4j_http(c, NULL, &h, e);
	if (!rc)
		rc = neo4j_ask(h, n->database, false,
			       "CALL dbms.components() YIELD versions, edition RETURN versions[0], edition", NULL, &rows, e);
	version = rc ? NULL : json_string_value(json_array_get(json_array_get(rows, 0), 0));
	if (version)
		component_found(c, FINDING_OK, "server %s answers at %s", version, neo4j_url(c));
	json_decref(rows);
	http_close(h);
	if (rc == ERR_CANCELED || rc == ERR_NOMEM)
		return rc;
	if (rc)		/* a dump works all the same, so it is no failure */
		component_found(c, FINDING_WARNING,
				"%s: a recover could not be compared, nor a label restored (url, user, password-file)",
				e->msg);
	err_clear(e);
	return ERR_OK;
}

static enum err_code check_stopped(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	char *out = NULL;
	int status = 0;
	enum err_code rc = neo4j_admin_run(c, &n->live, true, (const char *const[]){"database", "info", n->database, NULL},
					   &out, &status, e);
	const char *needs = rc || !out ? NULL : strstr(out, "needs recovery:");

	if (rc == ERR_FAILED) {		/* check_tools() has said so */
		err_clear(e);
		rc = ERR_OK;
	} else if (!rc && needs && strstr(needs, "true") && strstr(needs, "true") < needs + 40) {
		if (n->start)
			component_found(
			    c, FINDING_WARNING,
			    "the server was killed, and its store needs recovery: a dump starts and stops it once");
		else
			component_found(c, FINDING_FAILED,
					"the server was killed, and its store needs recovery: start it once, and stop it");
	} else if (!rc && status != 0) {
		component_found(c, FINDING_WARNING,
				"neo4j-admin database info ends with %d: whether the store needs recovery is not known",
				status);
	} else if (!rc) {
		component_found(c, FINDING_OK, "no server runs: it is dumped as it is");
	}
	free(out);
	return rc;
}

enum err_code neo4j_check(struct component *c, struct err *e)
{
	struct neo4j *n = neo4j_of(c);
	enum err_code rc = neo4j_resume(c, e);

	if (rc == ERR_FAILED || rc == ERR_BUSY) {
		component_found(c, FINDING_FAILED, "%s", e->msg);
		err_clear(e);
		return ERR_OK;
	}
	if (!rc)
		rc = check_tools(c, e);
	if (!rc)
		rc = check_store(c, e);
	if (!rc && config_get(c->section, "restart"))	/* then it is to be up: vouch check --restart sees to it */
		rc = neo4j_wait_up(neo4j_url(c), c->wait, NULL, c->cancel, e);
	if (!rc)
		rc = neo4j_busy(n->live.data) ? check_running(c, e) : check_stopped(c, e);
	return rc;
}
