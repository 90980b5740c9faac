/* SPDX-License-Identifier: MIT */
/* A real repository in a private folder, for tests: everything asserts, nothing is left behind. */
#ifndef VOUCH_TESTS_TESTREPO_H
#define VOUCH_TESTS_TESTREPO_H

#include <pthread.h>

#include "store/engine/writer.h"
#include "store/format/node.h"
#include "store/internal.h"
#include "store/snapshot.h"

/** A call that must succeed; it ends in &ok_err. */
#define OK(call) do { \
	struct err ok_err = ERR_INIT; \
	if ((call) != ERR_OK) \
		fail_msg("%s: %s", #call, ok_err.msg); \
} while (0)

struct testrepo {
	char dir[128];			/* private; state/ and cache/ of XDG are below it */
	char path[160];			/* the repository in it */
	struct store *s;		/* where open */
	struct pool *pool;		/* where a writer is */
	struct writer *w;
	pthread_mutex_t mutex;
	unsigned damages, warnings;	/* mutex; events since testrepo_make */
	char text[1024];		/* mutex; of the last DAMAGE or WARNING, with its cause */
};

/**
 * The private folder, the environment, and an empty repository with default parameters, not
 * open.
 */
void testrepo_make(struct testrepo *r);
/** The same without the repository: r->path is not there. */
void testrepo_make_dir(struct testrepo *r);
void testrepo_remove(struct testrepo *r);	/* closes, deletes */

void testrepo_open(struct testrepo *r, enum store_mode mode);
void testrepo_close(struct testrepo *r);	/* the writer too */
struct store_events testrepo_events(struct testrepo *r);

/** Store a chunk; *id gets its digest.  A writer is opened at need (STORE_WRITE). */
void testrepo_put(struct testrepo *r, enum pack_kind kind, const void *buf, size_t len,
		  struct object_id *id);
/** A node_emit_fn whose ctx is the testrepo. */
enum err_code testrepo_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			    struct err *e);
void testrepo_finish(struct testrepo *r);	/* all that was put is sealed and found */

/**
 * A snapshot record with these values and an empty root of its own, not published.
 * snapshot_release() frees it.
 */
struct snapshot testrepo_snapshot(struct testrepo *r, int64_t sec, const char *host);

/** Files of the repository, by their names in it. */
void testrepo_flip(struct testrepo *r, const char *name, size_t off, unsigned bit);
void testrepo_write(struct testrepo *r, const char *name, const void *buf, size_t len);
/** The whole file; the caller frees it.  NULL where it is not there. */
uint8_t *testrepo_read(struct testrepo *r, const char *name, size_t *len);
void testrepo_unlink(struct testrepo *r, const char *name);
bool testrepo_exists(struct testrepo *r, const char *name);

/** rm -rf. */
void testrepo_rm(const char *path);

/** Pseudo-random numbers from a seed (splitmix64), the same everywhere. */
uint64_t test_random(uint64_t *state);
/** $TEST_SEED, else the time; printed. */
uint64_t test_seed(void);

#endif
