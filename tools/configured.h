/* SPDX-License-Identifier: MIT */
/* What the commands that work with vouch.conf(5) share: which file, which repository, which components. */
#ifndef VOUCH_TOOLS_CONFIGURED_H
#define VOUCH_TOOLS_CONFIGURED_H

#include "tools/common.h"
#include "tools/config.h"

/**
 * Read file (NULL: CONFIG_DEFAULT).  Where neither --repo nor VOUCH_REPO named a repository, a->repo is the one of
 * [repository] path, a view that lives as long as *out, as a->configuration is.  ERR_USAGE, also where there is no such file.
 */
MUST_CHECK enum err_code app_configure(struct app *a, const char *file, struct config **out, struct err *e);

/** In how many seconds all components should be back ([repository] rto; CONFIGURED_RTO).  ERR_USAGE. */
#define CONFIGURED_RTO 3600u
MUST_CHECK enum err_code configured_rto(struct config *c, uint64_t *out, struct err *e);

/** The section [run]; *out NULL: there is none.  ERR_USAGE: a key that it does not know. */
MUST_CHECK enum err_code configured_run(struct config *c, struct config_section **out, struct err *e);

/**
 * The components of these names, each once, in the file's order; nr 0: all.  *out is malloc'ed.  ERR_USAGE: there is no such
 * component (those that there are, are in the message), or none at all.
 */
MUST_CHECK enum err_code configured_components(struct config *c, char *const *names, size_t nr,
					       struct config_section ***out, size_t *nr_out, struct err *e);

#endif
