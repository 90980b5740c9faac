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
	bool by_key; /* lines go up with the keys */
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
 * level that is one of many would be filled with neighbours that all fall into
 * the same few lines.  One that was reserved for all keys is filled from end to
 * end by sorted ones: no line has to come from memory twice.
 */
static uint64_t mix(uint64_t key)
{
	key = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
	return key ^ key >> 29;
}

static uint64_t *line_of(const struct level *l, uint64_t key, uint64_t h)
{
	unsigned __int128 at = l->by_key ? key : h;

	return l->words + LINE_WORDS * (size_t)((at * l->nr_lines) >> 64);
}

/* 9 bits for each probe, not those that chose the line. */
static uint64_t probes(uint64_t h)
{
	return h * 0xD6E8FEB86659FD93u >> 10;
}

static bool level_has(const struct level *l, uint64_t key, uint64_t hash)
{
	const uint64_t *line = line_of(l, key, hash);
	uint64_t h = probes(hash);

	for (int i = 0; i < PROBES; i++, h >>= 9)
		if (!(line[(h >> 6) & 7] >> (h & 63) & 1))
			return false;
	return true;
}

static bool add_level(struct filter *f, uint64_t lines)
{
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

static bool grow(struct filter *f)
{
	return add_level(f, (uint64_t)FIRST_LINES << f->nr_levels);
}

void filter_reserve(struct filter *f, uint64_t nr)
{
	uint64_t lines = nr / LINE_KEYS + 1, most = f->max_bytes / (LINE_WORDS * sizeof(uint64_t));

	if (lines > most)
		lines = most;
	if (f->nr_levels > 0 || lines <= FIRST_LINES)
		return;
	if (add_level(f, lines))
		f->level[0].by_key = true;
	else
		f->full = false; /* smaller ones, while there is memory for them */
}

/* False where all of its bits were set already. */
static bool level_add(struct level *l, uint64_t key)
{
	uint64_t hash = mix(key), h = probes(hash), fresh = 0;
	uint64_t *line = line_of(l, key, hash);

	for (int i = 0; i < PROBES; i++, h >>= 9) {
		uint64_t bit = (uint64_t)1 << (h & 63);

		fresh |= bit & ~line[(h >> 6) & 7];
		line[(h >> 6) & 7] |= bit;
	}
	return fresh != 0;
}

void filter_add(struct filter *f, uint64_t key)
{
	struct level *l = f->nr_levels ? &f->level[f->nr_levels - 1] : NULL;

	if (f->blind || (f->nr_levels > 1 && filter_has(f, key)))
		return;
	if ((!l || l->nr_keys >= l->nr_lines * LINE_KEYS) && grow(f))
		l = &f->level[f->nr_levels - 1];
	if (!l) {
		f->blind = true;
		return;
	}
	if (level_add(l, key))
		l->nr_keys++;
}

bool filter_has(const struct filter *f, uint64_t key)
{
	uint64_t h = mix(key);

	if (f->blind)
		return true;
	for (unsigned i = f->nr_levels; i-- > 0;)
		if (level_has(&f->level[i], key, h))
			return true;
	return false;
}

size_t filter_bytes(const struct filter *f)
{
	return f->bytes;
}
