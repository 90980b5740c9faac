/* SPDX-License-Identifier: MIT */
/*
 * Right bytes for a pack that is damaged, cut short or not there: from its parity, then from each copy of the
 * repository that can be reached (the same pack, then that one's parity).  And one thread that makes such packs whole
 * where they lie, so that no reader waits for a write.  Any thread may call anything here; nothing is locked while a
 * medium is read or written.
 */
#ifndef VOUCH_ENGINE_HEAL_H
#define VOUCH_ENGINE_HEAL_H

#include "store/backend/backend.h"
#include "store/id.h"

#define HEAL_PACKS_MAX 8u /* mended in a session: a medium that needs more is not to be written to */

/** Copies of the repository. Asked for once there is damage, not before. */
struct heal_replicas {
	void *ctx;
	/** Where they are, the best first; NULL: there are none. */
	enum err_code (*known)(void *ctx, char ***names, size_t *nr, struct err *e);
	void (*release)(char **names, size_t nr);
	/** To read.  Whatever fails: it is taken for absent, and not asked for again for a minute. */
	enum err_code (*open)(void *ctx, const char *name, struct backend **out, struct err *e);
};

enum heal_news_kind {
	HEAL_MENDED,	 /* the pack is whole again where it lies */
	HEAL_WAS_WHOLE,	 /* it reads right now: nothing was written */
	HEAL_NOT_MENDED, /* err says why; the others' turn comes */
	HEAL_STOPPED	 /* nothing is mended any more: err, or NULL for HEAL_PACKS_MAX */
};

struct heal_news {
	enum heal_news_kind kind;
	struct object_id pack;
	bool from_replica; /* MENDED, as a copy of the repository has it; else from parity ... */
	uint32_t sectors;  /* ... so many of 4 KiB */
	bool parity_damaged; /* MENDED, but its parity file is not whole */
	const struct err *err;
};

struct heal_config {
	struct backend *backend;
	struct heal_replicas replicas;
	void *ctx;
	/** The pack's file is another one now; then news of it.  By the thread that mends. */
	void (*mended)(void *ctx, const struct object_id *pack);
	void (*news)(void *ctx, const struct heal_news *n); /* may be NULL */
};

struct heal;
MUST_CHECK enum err_code heal_open(const struct heal_config *cfg, struct heal **out,
				   struct err *e);
/** Waits until what is queued is mended. NULL is allowed. */
void heal_close(struct heal *h);

enum heal_source {
	HEAL_NONE,
	HEAL_PARITY,
	HEAL_REPLICA /* as it lies there, or by its parity */
};

/** source has get and size alone, for packs alone.  What is got is not checked: ERR_OK means that it was, and is right. */
typedef enum err_code heal_use_fn(void *ctx, struct backend *source, struct err *e);

/**
 * Call fn with one source after the other until it returns ERR_OK.  off, a block's or HEAL_TABLE, names what is wanted
 * of the pack: what was in vain is not tried again within a minute, unless the pack was mended.
 */
#define HEAL_TABLE UINT64_MAX
enum heal_source heal_try(struct heal *h, const struct object_id *pack, uint64_t off,
			  heal_use_fn *fn, void *ctx);

/** fn with each copy that can be reached now, as it lies there, until a call returns ERR_OK. */
void heal_each_replica(struct heal *h, heal_use_fn *fn, void *ctx);

/** Have the pack made whole where it lies; once a session. */
void heal_queue(struct heal *h, const struct object_id *pack);

/** Packs made whole, so far. */
uint64_t heal_mended(struct heal *h);

#endif
