/* SPDX-License-Identifier: MIT */
/* The root's list: names, links beside them, slots, what is told when it changes. The repository is a table here. */
#define snapshot_list_read	fake_list_read
#define snapshot_list_stamp	fake_list_stamp
#define snapshot_list_release	fake_list_release
#define store_refresh		fake_refresh
#include "fs/snaps.c"
#define name_order	view_name_order
#include "fs/views.c"
#include "fs/views_find.c"
#undef name_order
#include "fs/log.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct snapshot have[8];
static char *bad[2];
static size_t nr_have, nr_bad;
static uint64_t stamp_now;
static unsigned nr_reads;

enum err_code fake_list_read(struct store *s, struct snapshot_list *out, struct err *e)
{
	(void)s;
	(void)e;
	nr_reads++;
	*out = (struct snapshot_list){ .all = have, .nr = nr_have, .bad = bad, .nr_bad = nr_bad };
	return ERR_OK;
}

enum err_code fake_list_stamp(struct store *s, uint64_t *stamp, struct err *e)
{
	(void)s;
	(void)e;
	*stamp = stamp_now;
	return ERR_OK;
}

void fake_list_release(struct snapshot_list *l)
{
	(void)l;
}

enum err_code fake_refresh(struct store *s, struct err *e)
{
	(void)s;
	(void)e;
	return ERR_OK;
}

static char text[8][SNAP_NAME_MAX];

/* A snapshot called name, taken sec seconds after a day's begin; the id's hash is key. */
static void add(const char *name, int64_t sec, uint8_t key)
{
	struct snapshot *s = &have[nr_have];

	(void)snprintf(text[nr_have], sizeof(text[0]), "%s", name);
	*s = (struct snapshot){ .name = text[nr_have], .time = { .sec = sec } };
	s->id.b[7] = key;
	s->id.b[31] = (uint8_t)nr_have;
	nr_have++;
	stamp_now++;
}

static struct snaps *s;
static struct log *l;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	nr_have = nr_bad = 0;
	add("2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e", 100, 1);
	add("2026-11-21T03-00-00Z-aaaaaaaa3b4c5d6e", 200, 2);
	add("2026-11-21T03-00-00Z-bbbbbbbb3b4c5d6e", 200, 3);
	add("2026-11-21T04-00-00Z-cccccccc00000000", 300, 4);
	add("2026-11-21T04-00-00Z-cccccccc00000001", 300, 4);
	return log_open(NULL, &l, &e) || snaps_open(NULL, l, false, &s, &e);
}

static int teardown(void **state)
{
	(void)state;
	snaps_close(s);
	log_close(l);
	return 0;
}

static const struct name_row {
	const char *name;
	int found;	/* which of setup's; -1: none */
	bool alias;
} names[] = {
	{ "2026-11-21T02-00-00Z", 0, false },
	{ "2026-11-21T02-00-00Z-1c9e0d2a", 0, true },
	{ "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e", 0, true },
	{ "2026-11-21T02-00-00Z-1c9e0d2", -1, false },
	{ "2026-11-21T02-00-00", -1, false },
	{ "2026", -1, false },
	{ "", -1, false },
	{ "2026-11-21T03-00-00Z", -1, false },
	{ "2026-11-21T03-00-00Z-aaaaaaaa", 1, false },
	{ "2026-11-21T03-00-00Z-bbbbbbbb", 2, false },
	{ "2026-11-21T03-00-00Z-bbbbbbbb3b4c5d6e", 2, true },
	{ "2026-11-21T03-00-00Z-bbbbbbbb3b4c5d6e7", -1, false },
	{ "2026-11-21T04-00-00Z-cccccccc", -1, false },
	{ "2026-11-21T04-00-00Z-cccccccc00000001", 4, false },
	{ "9999", -1, false },
};

static void test_name(void **state)
{
	const struct name_row *t = *state;
	const struct snap_list *now = snaps_get(s);
	bool alias = false;
	const struct snap *got = snap_list_name(now, t->name, strlen(t->name), &alias);

	if (t->found < 0) {
		assert_null(got);
	} else {
		assert_non_null(got);
		assert_true(id_eq(&got->id, &have[t->found].id));
		assert_int_equal(alias, t->alias);
	}
	snaps_put(now);
}

/* In a zone east of Greenwich and, since October, an hour from it: one folder a row, by each of its names. */
static const struct local_row {
	const char *name;
	int found;
	bool alias;
} locals[] = {
	{ "1970-01-01T01-01-40+0100", 0, false },
	{ "1970-01-01T01-01-40+0100-1c9e0d2a", 0, true },
	{ "1970-01-01T01-01-40+0100-1c9e0d2a3b4c5d6e", 0, true },
	{ "2026-11-21T02-00-00Z", 0, true },
	{ "2026-11-21T02-00-00Z-1c9e0d2a", 0, true },
	{ "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6e", 0, true },
	{ "2026-11-21T02-00-00Z-1c9e0d2a3b4c5d6", -1, false },
	{ "2026-11-21T03-00-00Z", -1, false },
	{ "2026-11-21T03-00-00Z-bbbbbbbb", 2, true },
	{ "1970-01-01T01-03-20+0100", -1, false },
	{ "1970-01-01T01-03-20+0100-bbbbbbbb", 2, false },
	{ "1970-01-01T01-05-00+0100-cccccccc00000001", 4, false },
	{ "1970-01-01T01-01-40", -1, false },
};

static void test_local(void **state)
{
	struct err e = ERR_INIT;
	const struct snap_list *now;

	(void)state;
	snaps_close(s);
	s = NULL;
	assert_int_equal(setenv("TZ", "CET-1", 1), 0);
	assert_int_equal(snaps_open(NULL, l, true, &s, &e), ERR_OK);
	now = snaps_get(s);
	for (size_t i = 0; i < ARRAY_LEN(locals); i++) {
		const struct local_row *t = &locals[i];
		bool alias = false;
		const struct snap *got = snap_list_name(now, t->name, strlen(t->name), &alias);

		if (t->found < 0) {
			assert_null(got);
			continue;
		}
		assert_non_null(got);
		assert_true(id_eq(&got->id, &have[t->found].id));
		assert_int_equal(alias, t->alias);
	}
	assert_non_null(views_child(now->views, views_child(now->views, views_child(now->views,
			NODEID_ROOT, "by-type")->id, "files")->id, "session_19700101_010140"));
	snaps_put(now);
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

static char told[512];

static void on_changed(void *ctx, const char *name)
{
	size_t n = strlen(told);

	assert_true(n + strlen(name) + 2 < sizeof(told));
	(void)snprintf(told + n, sizeof(told) - n, "%s\n", name);
	(void)ctx;
}

static void refresh(void)
{
	struct err e = ERR_INIT;

	told[0] = '\0';
	assert_int_equal(snaps_refresh(s, on_changed, NULL, &e), ERR_OK);
}

static void test_slots(void **state)
{
	const struct snap_list *a = snaps_get(s), *b;
	struct snapshot gone = have[3];

	(void)state;
	assert_int_equal(snap_list_slot(a, 2)->slot, 2);
	assert_true(a->newest == &a->all[4]);
	/* two ids with one hash: the second takes the next place, in order of time and id */
	assert_true(a->all[3].slot == 5 && a->all[4].slot == 6);
	assert_null(snap_list_slot(a, 1));
	assert_null(snap_list_slot(a, SLOT_MAX));

	/* forgotten: its slot stays its own, and the other keeps its place */
	memmove(&have[3], &have[4], sizeof(have[4]));
	nr_have--;
	stamp_now++;
	refresh();
	b = snaps_get(s);
	assert_ptr_not_equal(a, b);
	assert_true(snap_list_slot(b, 5)->gone);
	assert_false(snap_list_slot(b, 6)->gone);
	assert_int_equal(b->nr_live, 4);
	assert_string_equal(snap_list_slot(b, 6)->shown, "2026-11-21T04-00-00Z");
	assert_non_null(strstr(told, "2026-11-21T04-00-00Z\n"));
	assert_non_null(strstr(told, "2026-11-21T04-00-00Z-cccccccc00000000\n"));
	assert_null(strstr(told, "T02"));
	assert_non_null(strstr(told, "latest\n"));
	/* the old list is as it was for whoever still holds it */
	assert_false(snap_list_slot(a, 5)->gone);
	snaps_put(a);
	snaps_put(b);

	have[nr_have++] = gone;
	stamp_now++;
	refresh();
	b = snaps_get(s);
	assert_false(snap_list_slot(b, 5)->gone);
	assert_int_equal(b->nr_live, 5);
	snaps_put(b);
}

static void test_nothing_new(void **state)
{
	const struct snap_list *a = snaps_get(s), *b;
	unsigned reads = nr_reads;

	(void)state;
	refresh();
	assert_int_equal(nr_reads, reads);	/* the stamp says so */
	stamp_now++;
	refresh();
	assert_int_equal(nr_reads, reads + 1);
	b = snaps_get(s);
	assert_ptr_equal(a, b);
	assert_string_equal(told, "");
	snaps_put(a);
	snaps_put(b);
}

static void test_rotten_stays(void **state)
{
	const struct snap_list *b;

	(void)state;
	bad[0] = have[4].name;
	nr_bad = 1;
	nr_have--;
	stamp_now++;
	refresh();
	b = snaps_get(s);
	assert_int_equal(b->nr_live, 5);
	snaps_put(b);
}

/* What only vouch keeps: by its full name, and nowhere in the root, though it is the newest. */
static void test_reserved(void **state)
{
	static char nightly[] = "nightly", partial[] = TAG_PARTIAL, safety[] = TAG_SAFETY;
	static char *tags[2][2] = { { nightly, partial }, { safety, nightly } };
	const struct snap_list *b;
	bool alias;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		add("2026-11-22T02-00-00Z-dddddddd3b4c5d6e", 1000, (uint8_t)(10 + i));
		have[5 + i].tags = tags[i];
		have[5 + i].nr_tags = 2;
	}
	refresh();
	b = snaps_get(s);
	assert_int_equal(b->nr, 7);
	assert_int_equal(b->nr_live, 5);
	assert_true(b->newest == &b->all[4]);
	assert_int_equal(b->all[5].kind, SNAP_PARTIAL);
	assert_int_equal(b->all[6].kind, SNAP_SAFETY);
	assert_string_equal(b->all[5].shown, have[5].name);
	assert_null(snap_list_name(b, have[5].name, strlen(have[5].name), &alias));
	assert_null(snap_list_name(b, have[5].name, SNAPSHOT_DATE_LEN, &alias));
	assert_null(strstr(told, "2026-11-22"));
	snaps_put(b);
}

static void test_empty(void **state)
{
	const struct snap_list *b;

	(void)state;
	nr_have = 0;
	stamp_now++;
	refresh();
	b = snaps_get(s);
	assert_int_equal(b->nr_live, 0);
	assert_null(b->newest);
	assert_int_equal(b->nr, 5);
	snaps_put(b);
}

/* Lists come and go under those who look things up in them. */
static atomic_bool ended;
static atomic_uint wrong;

static void *look_up(void *arg)
{
	(void)arg;
	while (!atomic_load(&ended)) {
		const struct snap_list *now = snaps_get(s);
		const struct snap *got;
		bool alias;

		got = snap_list_name(now, have[0].name, strlen(have[0].name), &alias);
		if (!got || got->slot != 1 + 1 || snap_list_slot(now, got->slot) != got ||
		    !views_child(now->views, NODEID_ROOT, "by-type"))
			atomic_fetch_add(&wrong, 1);
		snaps_put(now);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[3];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, look_up, NULL), 0);
	for (size_t i = 0; i < 200; i++) {
		nr_have = i % 2 ? 5 : 4;
		stamp_now++;
		refresh();
	}
	atomic_store(&ended, true);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(atomic_load(&wrong), 0);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(names) + 7];
	size_t n = 0;

	for (; n < ARRAY_LEN(names); n++)
		tests[n] = (struct CMUnitTest){ names[n].name, test_name, setup, teardown,
						(void *)(uintptr_t)&names[n] };
	tests[n++] = (struct CMUnitTest){ "local", test_local, setup, teardown, NULL };
	tests[n++] = (struct CMUnitTest){ "slots", test_slots, setup, teardown, NULL };
	tests[n++] = (struct CMUnitTest){ "nothing new", test_nothing_new, setup, teardown, NULL };
	tests[n++] = (struct CMUnitTest){ "rotten", test_rotten_stays, setup, teardown, NULL };
	tests[n++] = (struct CMUnitTest){ "reserved", test_reserved, setup, teardown, NULL };
	tests[n++] = (struct CMUnitTest){ "empty", test_empty, setup, teardown, NULL };
	tests[n++] = (struct CMUnitTest){ "threads", test_threads, setup, teardown, NULL };
	assert(n == ARRAY_LEN(tests));
	return cmocka_run_group_tests_name("fs snaps", tests, NULL, NULL);
}
