/* SPDX-License-Identifier: MIT */
/* How fast a run goes, and how long it will go on: smoothed, so that numbers that people look at hold still. */
#ifndef VOUCH_TOOLS_PACE_H
#define VOUCH_TOOLS_PACE_H

#include <stdint.h>

struct pace {
	double rate;			/* bytes a second; 0 before the first measurement */
	double left;			/* seconds; below 0: unknown */
	uint64_t at_ns, bytes, done;	/* where the last measurement ended */
	double speed, seconds;		/* done a second, slowly smoothed; over how long so far */
};

/** A stage begins; done counts towards its end (bytes or files, whichever of them has one). */
void pace_begin(struct pace *p, uint64_t now_ns, uint64_t bytes, uint64_t done);
/** The end is another thing's from here on: what was learnt of the time that is left is void. */
void pace_other_end(struct pace *p, uint64_t done);
/** Measures where that is due.  total 0: unknown. */
void pace_measure(struct pace *p, uint64_t now_ns, uint64_t bytes, uint64_t done, uint64_t total);

#endif
