/* SPDX-License-Identifier: MIT */
/* Components: opened from their sections with the common keys, waited for, and what their dumps write. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tests/lib/testrepo.h"
#include "tools/components/component.h"

static unsigned nr_closed;
static bool open_fails;

static enum err_code fake_open(struct component *c, struct err *e)
{
	c->priv = strdup("of the type");
	assert_non_null(c->priv);
	if (open_fails)
		return config_wrong(c->section, "dsn", e, "not like this");
	(void)config_get(c->section, "dsn");
	return ERR_OK;
}

static void fake_close(struct component *c)
{
	free(c->priv);
	nr_closed++;
}

static const struct component_ops fake = { .type = "fake", .rto = 1200, .open = fake_open, .close = fake_close };
static const struct component_ops other = { .type = "other", .open = fake_open, .close = fake_close };
const struct component_ops *const component_types[] = { &fake, &other, NULL };

static struct config *config_of(const char *keys)
{
	char path[] = "/tmp/test_component.XXXXXX", text[512];
	struct config *c = NULL;
	int fd = mkstemp(path);
	int n = snprintf(text, sizeof(text), "[component crm]\n%s\n", keys);

	assert_true(fd >= 0 && n > 0 && (size_t)n < sizeof(text));
	assert_int_equal(write(fd, text, (size_t)n), n);
	(void)close(fd);
	OK(config_open(path, &c, &ok_err));
	(void)unlink(path);
	return c;
}

static void test_open(void **state)
{
	struct config *f = config_of("type = fake\ndsn = x\nvia = docker exec 'a b'\nwait = 5s\nrto = 15m\nexpect = 1\nexpect = 2\n"
				     "before-recover = true");
	char *argv[] = { (char *)(uintptr_t)"psql", NULL };
	struct component *c = NULL;
	struct spawn_options o;

	(void)state;
	OK(component_open(&f->sections[0], NULL, NULL, &c, &ok_err));
	assert_string_equal(c->name, "crm");
	assert_ptr_equal(c->ops, &fake);
	assert_int_equal(c->wait, 5);
	assert_int_equal(c->rto, 900);
	assert_int_equal(c->rpo, 86400);
	o = component_spawn(c, argv);
	assert_string_equal(o.via[2], "a b");
	assert_int_equal(o.in, SPAWN_STDIN_NONE);
	component_note(c, "nobody listens %d", 1);
	component_close(c);
	config_close(f);

	f = config_of("type = fake");
	OK(component_open(&f->sections[0], NULL, NULL, &c, &ok_err));
	assert_int_equal(c->wait, 30);
	assert_int_equal(c->rto, 1200);
	assert_null(c->via);
	component_close(c);
	config_close(f);
	component_close(NULL);
}

static const struct row {
	const char *name, *keys, *says;
} rows[] = {
	{ "no type", "dsn = x", ":1: [component crm]: it needs 'type = ...'" },
	{ "a type that is none", "dsn = x\ntype = oracle", ":3: [component crm] type: there is no type 'oracle'; there are fake, other" },
	{ "a key that is none", "type = fake\n\ndns = x", ":4: [component crm] dns: no key that is known" },
	{ "a key twice", "type = fake\ndsn = x\ndsn = y", ":3: [component crm] dsn: given twice" },
	{ "wait no time", "type = fake\nwait = 30", ":3: [component crm] wait: a time" },
	{ "via with an open quote", "type = fake\nvia = a 'b", ":3: [component crm] via: a quote" },
};

static void test_refused(void **state)
{
	const struct row *t = *state;
	struct config *f = config_of(t->keys);
	struct component *c = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(component_open(&f->sections[0], NULL, NULL, &c, &e), ERR_USAGE);
	assert_null(c);
	if (!strstr(e.msg, t->says))
		fail_msg("wanted %s, got %s", t->says, e.msg);
	config_close(f);
}

/* A type that says no is closed all the same. */
static void test_type_refuses(void **state)
{
	struct config *f = config_of("type = fake\ndsn = x");
	struct component *c = NULL;
	unsigned before = nr_closed;
	struct err e = ERR_INIT;

	(void)state;
	open_fails = true;
	assert_int_equal(component_open(&f->sections[0], NULL, NULL, &c, &e), ERR_USAGE);
	open_fails = false;
	assert_non_null(strstr(e.msg, "dsn: not like this"));
	assert_int_equal(nr_closed, before + 1);
	config_close(f);
}

/* Waiting: reach() says what is next in the list. */
struct reach {
	const enum err_code *answers;
	unsigned nr;
};

static enum err_code reach(void *ctx, struct err *e)
{
	struct reach *r = ctx;
	enum err_code rc = r->answers[r->nr++];

	return rc ? err_set(e, rc, "answer %u", r->nr) : ERR_OK;
}

static enum err_code wait_for(uint64_t seconds, const atomic_bool *cancel, const enum err_code *answers, unsigned *nr,
			      struct err *e)
{
	struct component c = { .name = "crm", .wait = seconds, .cancel = cancel };
	struct reach r = { answers, 0 };
	enum err_code rc = component_wait(&c, reach, &r, e);

	*nr = r.nr;
	return rc;
}

static void test_wait(void **state)
{
	static const enum err_code at_once[] = { ERR_OK }, late[] = { ERR_ABSENT, ERR_ABSENT, ERR_OK },
				   refused[] = { ERR_ABSENT, ERR_FAILED },
				   never[] = { ERR_ABSENT, ERR_ABSENT, ERR_ABSENT, ERR_ABSENT, ERR_ABSENT, ERR_ABSENT, ERR_ABSENT };
	atomic_bool cancel;
	struct err e = ERR_INIT;
	unsigned nr;

	(void)state;
	assert_int_equal(wait_for(30, NULL, at_once, &nr, &e), ERR_OK);
	assert_int_equal(wait_for(30, NULL, late, &nr, &e), ERR_OK);
	assert_int_equal(nr, 3);
	assert_int_equal(wait_for(30, NULL, refused, &nr, &e), ERR_FAILED);
	assert_string_equal(e.msg, "answer 2");
	assert_int_equal(wait_for(0, NULL, never, &nr, &e), ERR_ABSENT);
	assert_int_equal(nr, 1);
	assert_string_equal(e.msg, "answer 1");
	assert_int_equal(wait_for(1, NULL, never, &nr, &e), ERR_ABSENT);
	assert_true(nr >= 3 && nr <= 6);
	assert_non_null(strstr(e.msg, "not reached within 1 s: answer"));
	atomic_init(&cancel, true);
	assert_int_equal(wait_for(30, &cancel, never, &nr, &e), ERR_CANCELED);
}

/* What is said is one safe line. */
static char heard[256];

static void hear(void *ctx, const char *text)
{
	(void)ctx;
	(void)snprintf(heard, sizeof(heard), "%s", text);
}

static void hear_finding(void *ctx, enum finding kind, const char *text)
{
	(void)ctx;
	(void)snprintf(heard, sizeof(heard), "%d %s", kind, text);
}

static void test_said(void **state)
{
	struct component c = { .events = { .note = hear, .found = hear_finding } };

	(void)state;
	component_note(&c, "table %s\n%s", "\033[2J", "x");
	assert_string_equal(heard, "table \\x1b[2J\\nx");
	component_found(&c, FINDING_WARNING, "%u of %s", 2, "them");
	assert_string_equal(heard, "1 2 of them");
	component_progress(&c, "dump", 1, 2);
	component_need(&c, 5);
}

/* Dumps. */
static void test_dump(void **state)
{
	struct testrepo r;
	struct assembly *a = NULL;
	struct assembly_options o = { 0 };
	struct assembly_file *f = NULL;
	struct facts facts;
	struct dump d = { .folder = "fake/crm", .facts = &facts };
	struct snapshot snap = { 0 };
	json_t *file;

	(void)state;
	testrepo_make(&r);
	testrepo_open(&r, STORE_WRITE);
	OK(assembly_open(r.s, &o, &a, &ok_err));
	facts_begin(&facts, "fake", "crm");
	d.to = a;
	OK(dump_file_open(&d, "tables/a.sql", &f, &ok_err));
	OK(dump_write(f, "abc", 3, &ok_err));
	OK(dump_file_close(&d, "tables/a.sql", f, &ok_err));
	assert_int_equal(dump_file_open(&d, "tables/a.sql", &f, NULL), ERR_EXISTS);
	assert_null(f);
	file = json_array_get(json_object_get(facts.root, "files"), 0);
	assert_string_equal(json_string_value(json_object_get(file, "name")), "tables/a.sql");
	assert_string_equal(json_string_value(json_object_get(file, "bytes")), "3");
	assert_string_equal(json_string_value(json_object_get(file, "sha256")),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	OK(assembly_publish(a, NULL, 0, &snap, &ok_err));
	snapshot_release(&snap);
	assembly_close(a);

	/* Only looking: the same calls, nothing stored. */
	d.to = NULL;
	f = (struct assembly_file *)&r;
	OK(dump_file_open(&d, "b", &f, &ok_err));
	assert_null(f);
	OK(dump_write(f, "abc", 3, &ok_err));
	OK(dump_file_close(&d, "b", f, &ok_err));
	assert_int_equal(json_array_size(json_object_get(facts.root, "files")), 1);
	facts_release(&facts);
	testrepo_remove(&r);
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_open), cmocka_unit_test(test_type_refuses), cmocka_unit_test(test_wait),
		cmocka_unit_test(test_said), cmocka_unit_test(test_dump),
	};
	struct CMUnitTest tests[ARRAY_LEN(rows) + ARRAY_LEN(more)];

	memcpy(tests, more, sizeof(more));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[ARRAY_LEN(more) + i] = (struct CMUnitTest){ rows[i].name, test_refused, NULL, NULL,
								  (void *)(uintptr_t)&rows[i] };
	return cmocka_run_group_tests_name("component", tests, NULL, NULL);
}
