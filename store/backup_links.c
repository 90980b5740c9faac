/* SPDX-License-Identifier: MIT */
/*
 * Files with several names are read once.  The walker's table finds them by device and inode; what
 * was read is filled in by the committer, which comes to a file's other names only after its first.
 * A file whose names have all been seen is forgotten, so that memory follows the links that are
 * still open.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/backup_batch_internal.h"

struct hardlink {
	/* walker */
	uint64_t dev, ino, left; /* names still to come */
	struct hardlink *next;	 /* in its slot, or among the ones handed over */
	/* committer */
	bool known;
	unsigned flags;
	struct vtime mtime, ctime;
	uint64_t size, hole_bytes;
	struct object_id sha256, node;
	enum content_kind content;
	uint8_t *content_p; /* owned */
	size_t content_len;
};

struct links {
	struct hardlink **slots;
	size_t nr_slots, nr;
	struct hardlink *gone; /* out of the table; their content is freed by the committer */
};

#define SLOTS_MIN 256u

enum err_code links_open(struct links **out, struct err *e)
{
	struct links *l = calloc(1, sizeof(*l));

	if (l)
		l->slots = calloc(SLOTS_MIN, sizeof(l->slots[0]));
	if (!l || !l->slots) {
		free(l);
		return err_set(e, ERR_NOMEM, "table of hard links");
	}
	l->nr_slots = SLOTS_MIN;
	*out = l;
	return ERR_OK;
}

static void list_free(struct hardlink *h)
{
	while (h) {
		struct hardlink *next = h->next;

		free(h->content_p);
		free(h);
		h = next;
	}
}

void links_close(struct links *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->nr_slots; i++)
		list_free(l->slots[i]);
	list_free(l->gone);
	free(l->slots);
	free(l);
}

static size_t slot_of(const struct links *l, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ dev << 32) * 0x9e3779b97f4a7c15u;

	return (size_t)(h >> 32) & (l->nr_slots - 1);
}

struct hardlink *links_find(struct links *l, uint64_t dev, uint64_t ino, bool *last)
{
	struct hardlink **at = &l->slots[slot_of(l, dev, ino)], *h;

	while (*at && ((*at)->dev != dev || (*at)->ino != ino))
		at = &(*at)->next;
	h = *at;
	*last = false;
	if (h && --h->left == 0) {
		*last = true;
		*at = h->next;
		h->next = l->gone;
		l->gone = h;
		l->nr--;
	}
	return h;
}

static void links_grow(struct links *l)
{
	struct hardlink **old = l->slots, **n = calloc(2 * l->nr_slots, sizeof(n[0]));
	size_t nr_old = l->nr_slots;

	if (!n)
		return; /* slower, not wrong */
	l->slots = n;
	l->nr_slots = 2 * nr_old;
	for (size_t i = 0; i < nr_old; i++) {
		while (old[i]) {
			struct hardlink *h = old[i];
			struct hardlink **to = &n[slot_of(l, h->dev, h->ino)];

			old[i] = h->next;
			h->next = *to;
			*to = h;
		}
	}
	free(old);
}

enum err_code links_add(struct links *l, uint64_t dev, uint64_t ino, uint64_t nlink,
			struct hardlink **out, struct err *e)
{
	struct hardlink *h = calloc(1, sizeof(*h)), **to;

	assert(nlink > 1);
	if (!h)
		return err_set(e, ERR_NOMEM, "hard link");
	if (l->nr >= l->nr_slots)
		links_grow(l);
	*h = (struct hardlink){.dev = dev, .ino = ino, .left = nlink - 1};
	to = &l->slots[slot_of(l, dev, ino)];
	h->next = *to;
	*to = h;
	l->nr++;
	*out = h;
	return ERR_OK;
}

enum err_code hardlink_keep(struct hardlink *h, const struct entry *ent, struct err *e)
{
	uint8_t *copy = NULL;

	if (ent->content_len > 0) {
		copy = malloc(ent->content_len);
		if (!copy)
			return err_set(e, ERR_NOMEM, "content of %zu bytes", ent->content_len);
		memcpy(copy, ent->content_p, ent->content_len);
	}
	free(h->content_p);
	h->content_p = copy;
	h->content_len = ent->content_len;
	h->content = ent->content;
	h->node = ent->node;
	h->sha256 = ent->sha256;
	h->size = ent->size;
	h->hole_bytes = ent->hole_bytes;
	h->mtime = ent->mtime;
	h->ctime = ent->ctime;
	h->flags = ent->flags & (ENTRY_UNSETTLED | ENTRY_UNSTABLE | ENTRY_HAS_SHA256);
	h->known = true;
	return ERR_OK;
}

/*
 * The times are those of the reading: where the file has changed since, the next backup must see
 * that this content is older than what it finds.
 */
void hardlink_give(const struct hardlink *h, struct entry *ent)
{
	assert(h->known);
	ent->content = h->content;
	ent->content_p = h->content_p;
	ent->content_len = h->content_len;
	ent->node = h->node;
	ent->sha256 = h->sha256;
	ent->size = h->size;
	ent->hole_bytes = h->hole_bytes;
	ent->mtime = h->mtime;
	ent->ctime = h->ctime;
	ent->flags |= h->flags;
}

void hardlink_forget(struct hardlink *h)
{
	free(h->content_p);
	h->content_p = NULL;
	h->content_len = 0;
	h->known = false;
}
