/* SPDX-License-Identifier: MIT */
#include "tools/pace.h"

#define SECOND_NS 1000000000ull
#define PERIOD_NS (SECOND_NS / 2)	/* the rate is measured over at least this */
#define RATE_SECONDS 2.5		/* what is shown is smoothed over */
#define LEFT_SECONDS 30.0		/* the remaining time must not jump with every large file */
#define LEFT_FIRST_SECONDS 1.0		/* before that it would be a guess */

void pace_begin(struct pace *p, uint64_t now_ns, uint64_t bytes, uint64_t done)
{
	*p = (struct pace){ .left = -1, .at_ns = now_ns, .bytes = bytes, .done = done };
}

void pace_other_end(struct pace *p, uint64_t done)
{
	p->speed = p->seconds = 0;
	p->left = -1;
	p->done = done;
}

/* How much the newest of so many seconds weighs. */
static double weight(double seconds, double over)
{
	return seconds < over ? seconds / over : 1;
}

void pace_measure(struct pace *p, uint64_t now_ns, uint64_t bytes, uint64_t done, uint64_t total)
{
	double seconds, newest, speed;

	if (now_ns - p->at_ns < PERIOD_NS)
		return;
	seconds = (double)(now_ns - p->at_ns) / (double)SECOND_NS;
	newest = bytes > p->bytes ? (double)(bytes - p->bytes) / seconds : 0;
	p->rate = p->rate > 0 ? p->rate + (newest - p->rate) * weight(seconds, RATE_SECONDS) :
				newest;
	/* At first the mean of all. */
	speed = done > p->done ? (double)(done - p->done) / seconds : 0;
	p->seconds += seconds;
	p->speed += (speed - p->speed) *
		    weight(seconds, p->seconds < LEFT_SECONDS ? p->seconds : LEFT_SECONDS);
	p->left = -1;
	if (p->speed > 0 && p->seconds >= LEFT_FIRST_SECONDS && total > done)
		p->left = (double)(total - done) / p->speed;
	p->at_ns = now_ns;
	p->bytes = bytes;
	p->done = done;
}
