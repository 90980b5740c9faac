/* SPDX-License-Identifier: MIT */
/* The one list of types: in a file of its own, so that a test can have another. */
#include "tools/components/component.h"

const struct component_ops *const component_types[] = {
	&component_postgres,
	&component_qdrant,
	&component_mysql,
	&component_neo4j,
	NULL
};
