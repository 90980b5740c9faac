/* SPDX-License-Identifier: MIT */
/*
 * Repositories that nobody's writer would make: every checksum and every name right, what they vouch for as bad as
 * asked.  What fails here ends the program: nothing of it depends on the bytes that are given.
 */
#ifndef VOUCH_TESTS_HOSTILE_H
#define VOUCH_TESTS_HOSTILE_H

#include "store/engine/codec.h"
#include "store/format/node.h"
#include "store/format/packtable.h"
#include "store/snapshot.h"

struct hostile_pack {
	struct buf bytes, blocks, chunks;	/* what lies in it; struct table_block, struct chunk_desc */
};

struct hostile {
	char path[512];				/* the repository */
	struct codec *codec;
	struct hostile_pack packs[2];		/* data, tree: not written yet */
	unsigned nr_snapshots;
};

/** An empty repository at path, which is not there yet. */
void hostile_begin(struct hostile *h, const char *path);
/** All packs written. */
void hostile_end(struct hostile *h);

/** A file of the repository as it is; folders are made, what stands there is replaced. */
void hostile_file(struct hostile *h, const char *name, const void *buf, size_t len);
/** Under the name that its own digest gives it. */
void hostile_pack_file(struct hostile *h, const void *buf, size_t len);
/** Every checksum in it made right where there is room for one: headers, blocks, table. */
void hostile_pack_mend(uint8_t *buf, size_t len);

/** A chunk, in a block of its own. */
void hostile_chunk(struct hostile *h, enum pack_kind kind, const void *buf, size_t len,
		   struct object_id *id);
/** A block that says it holds nr chunks, and has this zstd frame. */
void hostile_block(struct hostile *h, enum pack_kind kind, const struct chunk_desc *chunks, uint32_t nr,
		   const uint8_t *frame, size_t frame_len);
/** A node_emit_fn whose ctx is the struct hostile. */
enum err_code hostile_emit(void *ctx, const uint8_t *buf, size_t len, struct object_id *id,
			   struct err *e);
/** A snapshot of that root node, at second 1700000000 + sec. */
void hostile_snapshot(struct hostile *h, const struct object_id *root, int64_t sec);
/** These bytes as a snapshot file and its copy, under the name that follows from them (or from second 0). */
void hostile_snapshot_json(struct hostile *h, const void *buf, size_t len);
/** The root node that holds dir, whose name is emptied. */
void hostile_root(struct hostile *h, struct entry *dir, struct object_id *id);

/** A plain entry of a type, its other fields quiet. */
struct entry hostile_entry(enum entry_type type, const char *name);

#endif
