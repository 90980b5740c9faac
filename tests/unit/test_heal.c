/* SPDX-License-Identifier: MIT */
/* Damage healed while it is read, and mended after: from parity, from a copy; and where it must not be. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/digest.h"
#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/format/block.h"
#include "tests/lib/chunkbox.h"
#include "tests/lib/faulty_backend.h"

#define LEN 50000u
#define NR  40u
#define S4K 4096u

static struct box box;
static struct object_id pack;
static uint64_t seeds[NR];
static char far[96];		/* a copy of the repository */
static atomic_uint nr_known, nr_opened;
static atomic_bool far_gone;

static enum err_code known(void *ctx, char ***names, size_t *nr, struct err *e)
{
	(void)ctx;
	(void)e;
	atomic_fetch_add(&nr_known, 1);
	*names = calloc(2, sizeof(**names));
	assert_non_null(*names);
	(*names)[0] = strdup("/nowhere");
	(*names)[1] = strdup(far);
	*nr = 2;
	return ERR_OK;
}

static void release(char **names, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(names[i]);
	free(names);
}

static enum err_code open_one(void *ctx, const char *name, struct backend **out, struct err *e)
{
	(void)ctx;
	atomic_fetch_add(&nr_opened, 1);
	if (atomic_load(&far_gone))
		return err_set(e, ERR_ABSENT, "pulled out");
	return file_backend_open(name, false, false, &io_system, out, e);
}

static void remove_far(void)
{
	char cmd[256];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", far);
	assert_int_equal(system(cmd), 0);
}

static int setup(void **state)
{
	(void)state;
	box_make(&box);
	far[0] = '\0';
	atomic_store(&nr_known, 0);
	atomic_store(&nr_opened, 0);
	atomic_store(&far_gone, false);
	faulty_set_space(box.backend, UINT64_MAX);
	for (unsigned i = 0; i < NR; i++)
		seeds[i] = 1 + 2 * i;	/* do not compress: two MB */
	pack = box_pack(&box, seeds, NR, LEN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	box_remove(&box);
	if (far[0])
		remove_far();
	return 0;
}

/* From now on there is a copy of the repository as it is now. */
static void with_copy(void)
{
	char cmd[256];

	(void)snprintf(far, sizeof(far), "%s.far", box.dir);
	(void)snprintf(cmd, sizeof(cmd), "cp -r -- '%s' '%s'", box.dir, far);
	assert_int_equal(system(cmd), 0);
	box.replicas = (struct heal_replicas){
	    .known = known, .release = release, .open = open_one};
}

static void reopen(bool heal, bool mend)
{
	box_reopen(&box);
	box.nr_damages = box.nr_news = 0;
	chunks_set_heal(box.chunks, heal, mend);
}

static void path_in(const char *dir, const struct object_id *id, bool par, char out[192])
{
	char name[PACK_NAME_LEN + 1];

	if (par)
		parity_name(id, name);
	else
		pack_name(id, name);
	(void)snprintf(out, 192, "%s/%s", dir, name);
}

static void spoil(const char *dir, const struct object_id *id, bool par, uint64_t off, size_t len)
{
	uint8_t *buf = malloc(len);
	char path[192];
	int fd;

	assert_non_null(buf);
	path_in(dir, id, par, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, buf, len, (off_t)off), len);
	for (size_t i = 0; i < len; i++)
		buf[i] ^= 0x5a;
	assert_int_equal(pwrite(fd, buf, len, (off_t)off), len);
	assert_int_equal(close(fd), 0);
	free(buf);
}

/* By the backend, which has it open. */
static void delete(const struct object_id *id)
{
	char name[PACK_NAME_LEN + 1];

	pack_name(id, name);
	assert_int_equal(box.backend->ops->remove(box.backend, name, NULL), ERR_OK);
}

static uint64_t file_len(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static uint64_t pack_len(void)
{
	char path[192];

	path_in(box.dir, &pack, false, path);
	return file_len(path);
}

static bool is_whole(const struct object_id *id)
{
	static uint8_t buf[8 << 20];
	struct object_id got;
	char path[192];
	size_t n;
	FILE *f;

	path_in(box.dir, id, false, path);
	f = fopen(path, "r");
	if (!f)
		return false;
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	digest_sha256(buf, n, &got);
	return id_eq(&got, id);
}

static unsigned count_failed(void)
{
	struct err e = ERR_INIT;
	unsigned failed = 0;

	for (unsigned i = 0; i < NR; i++)
		failed += box_get(&box, seeds[i], LEN, &e) != ERR_OK;
	return failed;
}

static struct chunks_stats stats(void)
{
	struct chunks_stats st;

	chunks_stats(box.chunks, &st);
	return st;
}

/* Everything reads right; after closing the pack is whole, told of once. */
static void heals_and_mends(enum heal_source from)
{
	assert_int_equal(count_failed(), 0);
	assert_true(stats().healed > 0);
	assert_int_equal(stats().healed, stats().damaged);
	for (unsigned i = 0; i < box.nr_damages; i++) {
		assert_true(box.damages[i].block);
		/* A later one may meet the pack just when it was mended: then its own parity gives all of it. */
		if (i == 0 || box.damages[i].healed != HEAL_PARITY)
			assert_int_equal(box.damages[i].healed, from);
	}
	box_close(&box);
	assert_int_equal(box.nr_news, 1);
	assert_int_equal(box.news[0].kind, HEAL_MENDED);
	assert_true(id_eq(&box.news[0].pack, &pack));
	assert_int_equal(box.news[0].from_replica, from == HEAL_REPLICA);
	assert_true(is_whole(&pack));
	assert_int_equal(box_count_tmp(&box), 0);
	box_open(&box);
	assert_int_equal(count_failed(), 0);
	assert_int_equal(stats().damaged, 0);
}

static void test_one_bit(void **state)
{
	(void)state;
	spoil(box.dir, &pack, false, 300007, 1);
	reopen(false, false);
	assert_true(count_failed() > 0);
	reopen(true, true);
	heals_and_mends(HEAL_PARITY);
	assert_int_equal(box.news[0].sectors, 1);
}

/* As long as parity reaches; then there is a copy. */
static void test_run(void **state)
{
	(void)state;
	spoil(box.dir, &pack, false, 300000, 50000);
	reopen(true, true);
	heals_and_mends(HEAL_PARITY);
	with_copy();
	spoil(box.dir, &pack, false, 300000, 900000);
	reopen(true, true);
	heals_and_mends(HEAL_REPLICA);
	/* Only for damage was it asked for. */
	assert_true(atomic_load(&nr_known) == 1);
}

/* The copy is damaged too, and makes itself right by its parity. */
static void test_damaged_copy(void **state)
{
	char path[192];

	(void)state;
	with_copy();
	spoil(box.dir, &pack, false, 0, pack_len());
	path_in(box.dir, &pack, true, path);
	assert_int_equal(unlink(path), 0);
	for (unsigned i = 0; i < 8; i++)
		spoil(far, &pack, false, 4 + 200000 * i, 1);
	spoil(far, &pack, true, 10, 100);
	reopen(true, true);
	heals_and_mends(HEAL_REPLICA);
}

static void test_table(void **state)
{
	(void)state;
	spoil(box.dir, &pack, false, pack_len() - 1000, 1000);
	unlink(box.index);
	reopen(true, true);	/* scanned as it was opened: looked at again now */
	heals_and_mends(HEAL_PARITY);
	assert_true(box.damages[0].table);
}

static void test_cut_short(void **state)
{
	char path[192];

	(void)state;
	path_in(box.dir, &pack, false, path);
	assert_int_equal(truncate(path, (off_t)pack_len() - 40000), 0);
	reopen(true, true);
	heals_and_mends(HEAL_PARITY);
	with_copy();
	assert_int_equal(truncate(path, 5000), 0);
	reopen(true, true);
	heals_and_mends(HEAL_REPLICA);
	assert_int_equal(truncate(path, 0), 0);
	unlink(box.index);
	reopen(true, true);
	heals_and_mends(HEAL_REPLICA);
}

/* A pack that is gone is wanted where its parity is still there; else only its bytes are. */
static void test_missing(void **state)
{
	char path[192], par[192];

	(void)state;
	with_copy();
	path_in(box.dir, &pack, false, path);
	path_in(box.dir, &pack, true, par);
	delete(&pack);
	reopen(false, false);
	assert_int_equal(count_failed(), NR);
	reopen(true, true);
	heals_and_mends(HEAL_REPLICA);

	delete(&pack);
	assert_int_equal(unlink(par), 0);
	reopen(true, true);
	assert_int_equal(count_failed(), 0);
	assert_int_equal(stats().mended, 0);
	box_close(&box);
	assert_int_equal(box.nr_news, 1);
	assert_int_equal(box.news[0].kind, HEAL_NOT_MENDED);
	assert_int_equal(access(path, F_OK), -1);
	box_open(&box);
	/* It counts as here for nobody else. */
	struct object_id id = box_bytes(seeds[0], (uint8_t[LEN]){ 0 }, LEN);
	bool have = true;

	assert_int_equal(chunks_have(box.chunks, &id, &have, NULL, NULL), ERR_OK);
	assert_false(have);
}

/* A tiny pack's parity is as good as the pack. */
static void test_missing_tiny(void **state)
{
	uint64_t seed = 1000;
	struct object_id tiny = box_pack(&box, &seed, 1, 3000);
	struct err e = ERR_INIT;

	(void)state;
	delete(&tiny);
	reopen(true, true);
	if (box_get(&box, seed, 3000, &e))
		fail_msg("%s", e.msg);
	box_close(&box);
	assert_true(is_whole(&tiny));
	box_open(&box);
}

static void test_off(void **state)
{
	(void)state;
	with_copy();
	spoil(box.dir, &pack, false, 300007, 1);
	reopen(false, true);
	assert_int_equal(count_failed(), 1);
	box_close(&box);
	assert_int_equal(box.nr_news, 0);
	assert_int_equal(atomic_load(&nr_known), 0);
	assert_false(is_whole(&pack));
	box_open(&box);
}

/* Nothing is written; all is read right. */
static void test_read_only(void **state)
{
	(void)state;
	spoil(box.dir, &pack, false, 300007, 1);
	reopen(true, false);
	assert_int_equal(count_failed(), 0);
	assert_int_equal(stats().healed, 1);
	box_close(&box);
	assert_int_equal(box.nr_news, 0);
	assert_false(is_whole(&pack));
	box_open(&box);
}

static void test_no_room(void **state)
{
	(void)state;
	spoil(box.dir, &pack, false, 300007, 1);
	faulty_set_space(box.backend, 2 * pack_len() - 2);
	reopen(true, true);
	assert_int_equal(count_failed(), 0);
	box_close(&box);
	assert_int_equal(box.nr_news, 1);
	assert_int_equal(box.news[0].kind, HEAL_NOT_MENDED);
	assert_int_equal(box.news_err[0].code, ERR_LIMIT);
	assert_false(is_whole(&pack));
	faulty_set_space(box.backend, 2 * pack_len() + 1);
	reopen(true, true);
	heals_and_mends(HEAL_PARITY);
}

/* Seeds 2001 ... so many packs of three chunks each, all damaged. */
static void spoil_many(struct object_id *ids, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		uint64_t three[3] = { 2001 + 6 * i, 2003 + 6 * i, 2005 + 6 * i };

		ids[i] = box_pack(&box, three, 3, LEN);
	}
	for (unsigned i = 0; i < nr; i++)
		spoil(box.dir, &ids[i], false, 70000, 1);
}

static unsigned get_many(unsigned nr)
{
	struct err e = ERR_INIT;
	unsigned failed = 0;

	for (unsigned i = 0; i < 3 * nr; i++)
		failed += box_get(&box, 2001 + 2 * i, LEN, &e) != ERR_OK;
	return failed;
}

static unsigned count_whole(const struct object_id *ids, unsigned nr)
{
	unsigned whole = 0;

	for (unsigned i = 0; i < nr; i++)
		whole += is_whole(&ids[i]);
	return whole;
}

static void test_eight(void **state)
{
	struct object_id ids[11];

	(void)state;
	spoil_many(ids, 11);
	reopen(true, true);
	assert_int_equal(get_many(11), 0);
	assert_int_equal(stats().healed, 11);
	box_close(&box);
	assert_int_equal(count_whole(ids, 11), HEAL_PACKS_MAX);
	assert_int_equal(box.nr_news, HEAL_PACKS_MAX + 1);
	assert_int_equal(box.news[HEAL_PACKS_MAX].kind, HEAL_STOPPED);
	assert_null(box.news[HEAL_PACKS_MAX].err);
	box_open(&box);
}

/* Whichever call it is that fails: one warning of the pack, one of the end; no other pack is tried; nothing is lost. */
static void test_write_error(void **state)
{
	struct object_id ids[3];
	unsigned nth = 0;
	bool fired;

	(void)state;
	spoil_many(ids, 3);
	do {
		faulty_set(box.backend, FAULTY_WRITES, ++nth, true, ERR_IO, EIO);
		reopen(true, true);
		assert_int_equal(get_many(3), 0);
		box_close(&box);
		fired = faulty_fired(box.backend);
		faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
		if (fired) {
			assert_int_equal(box.news[box.nr_news - 1].kind, HEAL_STOPPED);
			assert_int_equal(box.news_err[box.nr_news - 1].sys, EIO);
			assert_int_equal(box.news[box.nr_news - 2].kind, HEAL_NOT_MENDED);
			assert_true(count_whole(ids, 3) < 3);
		}
		assert_int_equal(box_count_tmp(&box), 0);
		box_open(&box);
	} while (fired);
	assert_int_equal(count_whole(ids, 3), 3);
	assert_true(nth > 3);
}

/* What cannot be healed: an error for what is lost, and a copy that is not there is asked for once. */
static void test_in_vain(void **state)
{
	unsigned failed, reads;

	(void)state;
	with_copy();
	atomic_store(&far_gone, true);
	spoil(box.dir, &pack, false, 300000, 900000);
	reopen(true, true);
	failed = count_failed();
	assert_true(failed > 15 && failed < NR - 10);
	/* Nor is anything rebuilt in vain again: a read for each block, and a look at the listing. */
	faulty_set(box.backend, FAULTY_READS, 0, false, ERR_OK, 0);
	assert_int_equal(count_failed(), failed);
	reads = faulty_calls_made(box.backend);
	faulty_set(box.backend, 0, 0, false, ERR_OK, 0);
	assert_in_range(reads, 1, 2 * NR);
	assert_int_equal(atomic_load(&nr_known), 1);
	assert_int_equal(atomic_load(&nr_opened), 2);
	assert_int_equal(stats().healed, 0);
	box_close(&box);
	assert_int_equal(box.nr_news, 0);
	box_open(&box);
}

/* Block 0 of the copy's pack with other bytes, and checksums to fit: only the chunks' SHA-256 can tell. */
static void forge_copy(void)
{
	static uint8_t raw[4 << 20];
	struct packtable t = {0};
	struct block_header h;
	struct chunk_desc *chunks;
	struct buf head = BUF_INIT;
	struct err e = ERR_INIT;
	size_t head_len, len;
	char path[192];
	int fd;

	assert_int_equal(pack_read_table(box.backend, &pack, &t, &e), ERR_OK);
	head_len = block_header_len(t.blocks[0].nr_chunks);
	len = head_len + t.blocks[0].stored_len;
	assert_true(len <= sizeof(raw));
	chunks = calloc(t.blocks[0].nr_chunks, sizeof(*chunks));
	assert_non_null(chunks);
	path_in(far, &pack, false, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, raw, len, t.blocks[0].off), len);
	assert_int_equal(block_header_decode(raw, head_len, &h, chunks, &e), ERR_OK);
	raw[head_len + 5000] ^= 1;
	h.xxh3 = digest_xxh3(raw + head_len, h.stored_len);
	block_header_encode(&h, chunks, &head);
	assert_int_equal(head.len, head_len);
	memcpy(raw, head.p, head_len);
	assert_int_equal(pwrite(fd, raw, len, t.blocks[0].off), len);
	assert_int_equal(close(fd), 0);
	buf_release(&head);
	free(chunks);
	packtable_release(&t);
}

/* What a hostile copy says is not believed, and does not come into the pack. */
static void test_hostile_copy(void **state)
{
	char path[192];

	(void)state;
	with_copy();
	forge_copy();
	for (int i = 0; i < 2; i++) {
		path_in(i ? far : box.dir, &pack, true, path);
		assert_int_equal(unlink(path), 0);
	}
	spoil(box.dir, &pack, false, 200000, 1);	/* in block 0 */
	reopen(true, true);
	assert_int_equal(count_failed(), 1);
	assert_int_equal(stats().healed, 0);
	spoil(box.dir, &pack, false, pack_len() - 20000, 1);	/* and in the last, where the copy is right */
	reopen(true, true);
	assert_int_equal(count_failed(), 1);
	assert_int_equal(stats().healed, 1);
	box_close(&box);
	assert_int_equal(box.nr_news, 1);
	assert_int_equal(box.news[0].kind, HEAL_NOT_MENDED);
	assert_false(is_whole(&pack));
	assert_int_equal(box_count_tmp(&box), 0);
	box_open(&box);
}

/* The next best: the same chunk in another pack. */
static void test_another_pack(void **state)
{
	char path[192], aside[224];
	uint64_t again[NR];

	(void)state;
	path_in(box.dir, &pack, false, path);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	box_reopen(&box);
	for (unsigned i = 0; i < NR; i++)
		again[i] = seeds[NR - 1 - i];
	(void)box_pack(&box, again, NR, LEN);
	assert_int_equal(rename(aside, path), 0);
	spoil(box.dir, &pack, false, 4096, pack_len() - 8192);
	reopen(true, true);
	assert_int_equal(count_failed(), 0);
	assert_int_equal(stats().healed, 0);
}

/* Every read goes to the medium: while the pack is mended, and after. */
static void test_fresh(void **state)
{
	(void)state;
	spoil(box.dir, &pack, false, 300007, 1);
	reopen(true, true);
	chunks_set_fresh(box.chunks);
	for (int i = 0; i < 20; i++)
		assert_int_equal(count_failed(), 0);
	for (int i = 0; i < 500 && stats().mended == 0; i++)
		usleep(10000);
	assert_int_equal(stats().mended, 1);
	assert_int_equal(count_failed(), 0);
	assert_int_equal(stats().healed, 1);
	assert_true(is_whole(&pack));
}

static void *reader(void *arg)
{
	uintptr_t from = (uintptr_t)arg;

	for (unsigned i = 0; i < 3 * NR; i++) {
		struct err e = ERR_INIT;

		if (box_get(&box, seeds[(from + i) % NR], LEN, &e))
			return strdup(e.msg);
	}
	return NULL;
}

/* Many readers over many damaged blocks, the index gone, the pack mended under them. */
static void test_readers(void **state)
{
	pthread_t t[6];

	(void)state;
	with_copy();
	for (unsigned i = 0; i < 20; i++)
		spoil(box.dir, &pack, false, 60000 + 90000 * i, 1);
	spoil(box.dir, &pack, false, pack_len() - 500, 500);
	reopen(true, true);
	for (uintptr_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, (void *)(i * 7)), 0);
	for (unsigned i = 0; i < 6; i++) {
		void *said;

		assert_int_equal(pthread_join(t[i], &said), 0);
		if (said)
			fail_msg("%s", (char *)said);
	}
	box_close(&box);
	assert_int_equal(box.nr_news, 1);
	assert_int_equal(box.news[0].kind, HEAL_MENDED);
	assert_true(is_whole(&pack));
	box_open(&box);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_one_bit), T(test_run), T(test_damaged_copy), T(test_table), T(test_cut_short),
	    T(test_missing), T(test_missing_tiny), T(test_off), T(test_read_only),
	    T(test_no_room), T(test_eight), T(test_write_error), T(test_in_vain),
	    T(test_another_pack), T(test_hostile_copy), T(test_fresh), T(test_readers),
	};

	return cmocka_run_group_tests_name("heal", tests, NULL, NULL);
}
