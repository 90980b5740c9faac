/* SPDX-License-Identifier: MIT */
/* What the two halves of an assembly share: assemble.c takes bytes, assemble_tree.c makes folders of the files at the end. */
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

struct assembly {
	struct store *s;
	struct heartbeat *heart;
	struct pool *pool;
	struct writer *writer;
	struct rate rate;
	const atomic_bool *cancel;
	struct snapshot snap;
	char *user, *group;	/* of this process: who owns the files */
	bool ended;		/* publishing was tried */
	pthread_mutex_t mutex;	/* all below, and the writer */
	struct assembled **files;	/* sorted by path, a folder's together */
	size_t nr_files, cap_files;
	struct assembly_file *open;	/* a list */
	uint64_t seen;			/* bytes written to files, for progress */
	uint64_t next_progress_ns;
};

/** As memcmp of the folders' names one after the other: '/' comes before every other byte. */
int assembled_order(const char *a, const char *b);
void assembled_free(struct assembled *f);
/** Node bytes into the writer: a node_emit_fn whose ctx is the assembly; its mutex is held, or nobody else is there. */
enum err_code assembly_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id, struct err *e);

/** Folders of all files, and the root, into snap.root and snap.totals. */
MUST_CHECK enum err_code assembly_tree(struct assembly *a, struct err *e);

#endif
