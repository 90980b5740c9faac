/* SPDX-License-Identifier: MIT */
#include "tools/components/neo4j.h"
enum err_code neo4j_restore_labels(struct component *c, struct restore_job *j, struct err *e)
{
	(void)j;
	return err_set(e, ERR_UNSUPPORTED, "[component %s]: labels of a Neo4j dump cannot be restored alone yet: recover all of it --into another home", c->name);
}
