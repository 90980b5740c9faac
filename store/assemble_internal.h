/* SPDX-License-Identifier: MIT */
/*
 * What the parts of an assembly share: assemble.c takes bytes, assemble_list.c keeps the files that are whole,
 * assemble_tree.c makes folders of them at the end.
 */
#ifndef VOUCH_STORE_ASSEMBLE_INTERNAL_H
#define VOUCH_STORE_ASSEMBLE_INTERNAL_H

#include <pthread.h>

#include "store/assemble.h"
#include "store/base/rate.h"
#include "store/engine/chunker.h"
#include "store/engine/writer.h"
#include "store/format/node.h"
#include "store/writing_internal.h"

/** A file that is whole.  What its entry points to is its own. */
struct assembled {
	char *path;
	struct entry ent;	/* name is set when the tree is made */
	uint8_t *content;
};

/** Sorted by path, a folder's together. */
struct assembled_list {
	struct assembled **all;
	size_t nr, cap;
};

struct assembly {
	struct store *s;
	struct heartbeat *heart;
	struct pool *pool;
	struct writer *writer;
	struct rate rate;
	const atomic_bool *cancel;
	struct snapshot snap;
	char *user, *group;	/* of this process: who owns the files */
	bool sealed;		/* all that was put is in packs */
	bool keep_dropped, no_progress;
	pthread_mutex_t mutex;	/* all below, and the writer */
	struct assembled_list files, dropped;
	struct assembly_file *open;	/* a list */
	uint64_t seen;			/* bytes written to files, for progress */
	uint64_t next_progress_ns;
};

/** As memcmp of the folders' names one after the other: '/' comes before every other byte. */
int assembled_order(const char *a, const char *b);
void assembled_free(struct assembled *f);
/** Put t where it belongs; one of that name goes. */
MUST_CHECK enum err_code assembled_keep(struct assembled_list *l, struct assembled *t, struct err *e);
/** Files at folder and below it stand together: from the result on, *nr of them. */
size_t assembled_range(const struct assembled_list *l, const char *folder, size_t *nr);
/** path is folder, or lies below it; all do below "". */
bool assembled_below(const char *path, const char *folder);
/** Take out so many, without freeing them. */
void assembled_cut(struct assembled_list *l, size_t at, size_t nr);
void assembled_release(struct assembled_list *l);

/** Node bytes into the writer: a node_emit_fn whose ctx is the assembly; its mutex is held, or nobody else is there. */
enum err_code assembly_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id, struct err *e);

/** Folders of all files, and the root, into snap.root and snap.totals. */
MUST_CHECK enum err_code assembly_tree(struct assembly *a, struct err *e);

#endif
