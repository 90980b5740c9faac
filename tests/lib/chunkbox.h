/* SPDX-License-Identifier: MIT */
/* A repository's folder with chunks in it, for tests of what reads and writes them. Asserts with cmocka. */
#ifndef VOUCH_TESTS_CHUNKBOX_H
#define VOUCH_TESTS_CHUNKBOX_H

#include <pthread.h>

#include "store/engine/chunks.h"
#include "store/engine/writer.h"

#define BOX_DAMAGES 64
#define BOX_NEWS    64

struct box {
	char dir[64], index[96];
	struct backend *file, *backend;		/* the folder; and a faulty one before it */
	struct pool *pool;
	struct chunks *chunks;
	struct store_params params;
	pthread_mutex_t mutex;
	struct chunk_damage damages[BOX_DAMAGES];	/* mutex */
	unsigned nr_damages, nr_rebuilds;		/* mutex */
	struct heal_replicas replicas;			/* for box_open */
	struct heal_news news[BOX_NEWS];		/* mutex */
	struct err news_err[BOX_NEWS];			/* mutex */
	unsigned nr_news;				/* mutex */
};

void box_make(struct box *b);		/* a new folder, chunks open */
void box_remove(struct box *b);
void box_open(struct box *b);		/* chunks alone; as configured */
void box_close(struct box *b);
void box_reopen(struct box *b);

/** Deterministic bytes: odd seeds do not compress. Returns the id. */
struct object_id box_bytes(uint64_t seed, uint8_t *buf, size_t len);
/** One pack that holds chunks of these seeds, each len bytes; its id. */
struct object_id box_pack(struct box *b, const uint64_t *seeds, size_t nr, uint32_t len);
/** Get the chunk of that seed and compare. */
enum err_code box_get(struct box *b, uint64_t seed, uint32_t len, struct err *e);
/** The pack's file. */
void box_pack_path(const struct box *b, const struct object_id *id, char out[192]);
/** Run SQL on the index, which must not be open elsewhere in a transaction. */
void box_sql(const struct box *b, const char *sql);
/** Count the packs' files. */
unsigned box_count_packs(struct box *b);
/** Count files in tmp/. */
unsigned box_count_tmp(struct box *b);

#endif
