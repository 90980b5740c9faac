/* SPDX-License-Identifier: MIT */
#include "store/base/rate.h"

#include <stdlib.h>
#include <time.h>

#include "store/base/must.h"

#define SECOND_NS	1000000000ull
#define BURST_NS	(SECOND_NS / 10)	/* what may be caught up of a pause: the medium's own hiccups */
#define SLICE_NS	(SECOND_NS / 20)	/* how late a request to stop may be noticed */
#define PIECE_MIN	4096u
#define PIECES		16u			/* a second: progress stays smooth */
#define COST_MAX_NS	(86400 * SECOND_NS)

static uint64_t now_ns(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t));
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void rate_init(struct rate *r, uint64_t per_second, const atomic_bool *cancel)
{
	r->per_second = per_second;
	r->cancel = cancel;
	r->next_ns = 0;
	must(pthread_mutex_init(&r->mutex, NULL));
}

void rate_release(struct rate *r)
{
	must(pthread_mutex_destroy(&r->mutex));
}

static bool is_canceled(const struct rate *r)
{
	return r->cancel && atomic_load(r->cancel);
}

void rate_wait(struct rate *r, uint64_t n)
{
	uint64_t now, until;
	double cost;

	if (r->per_second == 0 || n == 0)
		return;
	cost = (double)n / (double)r->per_second * (double)SECOND_NS;
	must(pthread_mutex_lock(&r->mutex));
	now = now_ns();
	/* Time in which nothing was moved is not saved up, or a pause would be followed by a rush. */
	if (r->next_ns + BURST_NS < now)
		r->next_ns = now - BURST_NS;
	r->next_ns += cost < (double)COST_MAX_NS ? (uint64_t)cost : COST_MAX_NS;
	until = r->next_ns;
	must(pthread_mutex_unlock(&r->mutex));
	while (now < until && !is_canceled(r)) {
		uint64_t left = until - now < SLICE_NS ? until - now : SLICE_NS;
		struct timespec t = { .tv_nsec = (long)left };

		(void)nanosleep(&t, NULL);
		now = now_ns();
	}
}

size_t rate_piece(const struct rate *r, size_t len)
{
	uint64_t piece = r->per_second / PIECES;

	if (r->per_second == 0)
		return len;
	if (piece < PIECE_MIN)
		piece = PIECE_MIN;
	return len < piece ? len : (size_t)piece;
}
