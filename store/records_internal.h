/* SPDX-License-Identifier: MIT */
/* Inside libvouch: the small files that exist twice, and heal each other. */
#ifndef VOUCH_STORE_RECORDS_INTERNAL_H
#define VOUCH_STORE_RECORDS_INTERNAL_H

#include "store/internal.h"

enum record_outcome {
	RECORD_MENDED,		/* written anew from the other one, and read back (dry_run: would be) */
	RECORD_NOT_MENDED,	/* could be, and why not is in err */
	RECORD_LOST		/* both are damaged, or one is and the other is missing: as it was */
};

struct record_news {
	enum record_outcome outcome;
	const char *name;		/* of the one that is damaged or missing */
	bool missing;
	const struct err *err;		/* what is wrong with it; NOT_MENDED: what failed */
};

typedef void record_news_fn(void *ctx, const struct record_news *n);

/**
 * vouch.json, each snapshot's file and each record of a forgotten one against its second copy below copies/: where one
 * of the two is whole, the other is made so.  A forgotten snapshot's are left alone.  cancel may be NULL;
 * ERR_CANCELED.  Errors are those of the medium; what concerns one record alone goes to fn.
 */
MUST_CHECK enum err_code records_mend(struct store *s, bool dry_run, const atomic_bool *cancel,
				      record_news_fn *fn, void *ctx, struct err *e);

#endif
