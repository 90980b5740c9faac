/* SPDX-License-Identifier: MIT */
#include "tools/components/component.h"

enum err_code restore_way_back(struct component *c, struct restore_job *j, json_t *way, struct err *e)
{
	enum err_code rc;

	if (!way)
		return err_set(e, ERR_NOMEM, "way back of %s", c->name);
	json_decref(j->way_back);
	j->way_back = way;
	rc = j->remember ? j->remember(j->ctx, c, way, e) : ERR_OK;
	if (rc)
		err_prefix(e, "way back of %s: it cannot be written down", c->name);
	return rc;
}
