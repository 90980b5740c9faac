/* SPDX-License-Identifier: MIT */
/*
 * Anybody on this machine can reach a scratch server's port, so it has a password.  It is left where neo4j-admin dbms
 * set-initial-password leaves one, without being in the arguments of a program; a server takes it as long as it has no
 * system database yet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/digest.h"
#include "store/base/hex.h"
#include "tools/components/neo4j.h"

#define ROUNDS 1024u	/* as Neo4j has them for SHA-256 */

static enum err_code forget_system(const struct neo4j_place *p, struct err *e)
{
	char *store = neo4j_path(p->data, "databases", "system"), *logs = neo4j_path(p->transactions, "system", NULL);
	enum err_code rc = store && logs ? neo4j_remove_tree(store, e) : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = neo4j_remove_tree(logs, e);
	free(store);
	free(logs);
	return rc;
}

static enum err_code write_hash(const char *folder, const struct object_id *hash, const struct object_id *salt,
				struct err *e)
{
	char *path = neo4j_path(folder, "auth.ini", NULL), hash_text[ID_HEX_LEN + 1], salt_text[ID_HEX_LEN + 1];
	FILE *f = path && (mkdir(folder, 0700) == 0 || errno == EEXIST) ? fopen(path, "we") : NULL;
	bool ok = f && fprintf(f, NEO4J_USER ":SHA-256,%s,%s,%u:\n", hex_encode(hash->b, ID_LEN, hash_text),
			       hex_encode(salt->b, ID_LEN, salt_text), ROUNDS) > 0;

	if (f)
		ok = fclose(f) == 0 && ok;
	free(path);
	return ok ? ERR_OK : err_sys(e, "write %s/auth.ini", folder);
}

enum err_code neo4j_set_password(const struct neo4j_place *p, char password[NEO4J_PASSWORD_LEN + 1], struct err *e)
{
	struct {
		struct object_id salt;
		char password[NEO4J_PASSWORD_LEN + 1];
	} salted;
	struct object_id random, hash;
	char *folder = neo4j_path(p->data, "dbms", NULL);
	enum err_code rc = folder ? forget_system(p, e) : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc)
		rc = digest_random(&random, sizeof(random), e);
	if (!rc)
		rc = digest_random(&salted.salt, sizeof(salted.salt), e);
	if (!rc) {
		(void)hex_encode(random.b, sizeof(random.b), salted.password);
		digest_sha256(&salted, sizeof(salted.salt) + NEO4J_PASSWORD_LEN, &hash);
		for (unsigned i = 1; i < ROUNDS; i++) {
			const struct object_id last = hash;

			digest_sha256(&last, sizeof(last), &hash);
		}
		rc = write_hash(folder, &hash, &salted.salt, e);
	}
	if (!rc)
		memcpy(password, salted.password, NEO4J_PASSWORD_LEN + 1);
	free(folder);
	return rc;
}
