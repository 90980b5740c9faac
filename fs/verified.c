/* SPDX-License-Identifier: MIT */
#include "fs/verified.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "store/base/must.h"

#define SHARDS	16u
#define SETS	1024u
#define WAYS	4u	/* 64 Ki files, 1 MB */

struct verified {
	struct {
		pthread_mutex_t mutex;
		struct {
			uint64_t nodeid;	/* 0: free */
			time_t when;
		} ways[SETS][WAYS];		/* mutex */
	} shards[SHARDS];
};

enum err_code verified_open(struct verified **out, struct err *e)
{
	struct verified *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(e, ERR_NOMEM, "list of verified files");
	for (size_t i = 0; i < SHARDS; i++)
		must(pthread_mutex_init(&v->shards[i].mutex, NULL));
	*out = v;
	return ERR_OK;
}

void verified_close(struct verified *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		must(pthread_mutex_destroy(&v->shards[i].mutex));
	free(v);
}

static size_t place_of(uint64_t nodeid, size_t *shard)
{
	uint64_t h = nodeid * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	*shard = h % SHARDS;
	return h / SHARDS % SETS;
}

void verified_set(struct verified *v, uint64_t nodeid, time_t when)
{
	size_t shard, set = place_of(nodeid, &shard), to = 0;

	must(pthread_mutex_lock(&v->shards[shard].mutex));
	for (size_t i = 0; i < WAYS; i++) {
		if (v->shards[shard].ways[set][i].nodeid == nodeid) {
			to = i;
			break;
		}
		if (v->shards[shard].ways[set][i].when < v->shards[shard].ways[set][to].when)
			to = i;
	}
	v->shards[shard].ways[set][to].nodeid = nodeid;
	v->shards[shard].ways[set][to].when = when;
	must(pthread_mutex_unlock(&v->shards[shard].mutex));
}

bool verified_get(struct verified *v, uint64_t nodeid, time_t *when)
{
	size_t shard, set = place_of(nodeid, &shard);
	bool found = false;

	must(pthread_mutex_lock(&v->shards[shard].mutex));
	for (size_t i = 0; i < WAYS && !found; i++) {
		found = v->shards[shard].ways[set][i].nodeid == nodeid;
		if (found)
			*when = v->shards[shard].ways[set][i].when;
	}
	must(pthread_mutex_unlock(&v->shards[shard].mutex));
	return found;
}
