/* SPDX-License-Identifier: MIT */
#include "store/engine/filter.h"

#include <stdlib.h>

#define LINE_WORDS  8u	  /* 512 bits: one cache line */
#define LINE_KEYS   42u	  /* at 12 bits a key */
#define FIRST_LINES 1024u /* 64 KiB, 43,000 keys */
#define PROBES	    6
#define LEVELS_MAX  20

struct level {
	uint64_t *words;
	uint64_t nr_lines, nr_keys;
};

struct filter {
	struct level level[LEVELS_MAX];
	unsigned nr_levels;
	size_t bytes, max_bytes;
	bool full;  /* no more levels: memory's end, or max_bytes reached */
	bool blind; /* a key could not be kept */
};

enum err_code filter_open(size_t max_bytes, struct filter **out, struct err *e)
{
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(e, ERR_NOMEM, "filter");
	f->max_bytes = max_bytes;
	*out = f;
	return ERR_OK;
}

void filter_close(struct filter *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->nr_levels; i++)
		free(f->level[i].words);
	free(f);
}

/*
 * Keys come in any order, sorted too: were lines chosen by their high bits, a
 * level would be filled with neighbours that all fall into the same few lines.
 */
static uint64_t mix(uint64_t key)
{
	key = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
	return key ^ key >> 29;
}

static uint64_t *line_of(const struct level *l, uint64_t h)
{
	return l->words + LINE_WORDS * (size_t)(((unsigned __int128)h * l->nr_lines) >> 64);
}

/* 9 bits for each probe, not those that chose the line. */
static uint64_t probes(uint64_t h)
{
	return h * 0xD6E8FEB86659FD93u >> 10;
}

static bool level_has(const struct level *l, uint64_t hash)
{
	const uint64_t *line = line_of(l, hash);
	uint64_t h = probes(hash);

	for (int i = 0; i < PROBES; i++, h >>= 9)
		if (!(line[(h >> 6) & 7] >> (h & 63) & 1))
			return false;
	return true;
}

static bool grow(struct filter *f)
{
	uint64_t lines = (uint64_t)FIRST_LINES << f->nr_levels;
	size_t bytes = (size_t)lines * LINE_WORDS * sizeof(uint64_t);
	struct level *l = &f->level[f->nr_levels];

	if (f->full || f->nr_levels == LEVELS_MAX ||
	    (f->nr_levels > 0 && f->bytes + bytes > f->max_bytes)) {
		f->full = true;
		return false;
	}
	l->words = calloc(lines, LINE_WORDS * sizeof(uint64_t));
	if (!l->words) {
		f->full = true;
		return false;
	}
	l->nr_lines = lines;
	f->bytes += bytes;
	f->nr_levels++;
	return true;
}

void filter_add(struct filter *f, uint64_t key)
{
	struct level *l = f->nr_levels ? &f->level[f->nr_levels - 1] : NULL;
	uint64_t *line, h;

	if (filter_has(f, key))
		return;
	if ((!l || l->nr_keys >= l->nr_lines * LINE_KEYS) && grow(f))
		l = &f->level[f->nr_levels - 1];
	if (!l) {
		f->blind = true;
		return;
	}
	line = line_of(l, mix(key));
	h = probes(mix(key));
	for (int i = 0; i < PROBES; i++, h >>= 9)
		line[(h >> 6) & 7] |= (uint64_t)1 << (h & 63);
	l->nr_keys++;
}

bool filter_has(const struct filter *f, uint64_t key)
{
	uint64_t h = mix(key);

	if (f->blind)
		return true;
	for (unsigned i = f->nr_levels; i-- > 0;)
		if (level_has(&f->level[i], h))
			return true;
	return false;
}

size_t filter_bytes(const struct filter *f)
{
	return f->bytes;
}
