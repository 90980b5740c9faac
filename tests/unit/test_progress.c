/* SPDX-License-Identifier: MIT */
/* What is said while work goes on: lines whole and safe, a bar that stays within the terminal's width. */
#include <stdarg.h>
#include <setjmp.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "store/base/checked.h"
#include "tools/jsonout.c"
#include "tools/pace.c"
#include "tools/progress.c"
#include "tools/text.c"

static const struct err denied = { .code = ERR_IO, .sys = 13, .msg = "open: Permission denied" };
static const struct err names_it = { .code = ERR_IO, .msg = "open /srv/x: Permission denied" };

/* Everything written to descriptor fd by fn(), as a string to be freed. */
static char *capture(int fd, void (*fn)(void *), void *arg)
{
	char *out = calloc(1, 65536);
	int file = memfd_create("captured", MFD_CLOEXEC), old = dup(fd);
	ssize_t n;

	assert_non_null(out);
	assert_true(file >= 0 && old >= 0);
	(void)fflush(NULL);
	assert_int_equal(dup2(file, fd), fd);
	fn(arg);
	(void)fflush(NULL);
	assert_int_equal(dup2(old, fd), fd);
	n = pread(file, out, 65535, 0);
	assert_true(n >= 0);
	(void)close(file);
	(void)close(old);
	return out;
}

static const struct row {
	const char *name;
	struct event ev;
	bool quiet;
	const char *want;	/* on standard error */
} rows[] = {
	{ "note", { .kind = EVENT_NOTE, .text = "skipped (proc)", .path = "/proc" }, false,
	  "vouch backup: note: /proc: skipped (proc)\n" },
	{ "note, quiet", { .kind = EVENT_NOTE, .text = "skipped", .path = "/proc" }, true, "" },
	{ "warning with cause", { .kind = EVENT_WARNING, .text = "not read", .path = "/srv/x", .err = &denied },
	  true, "vouch backup: warning: /srv/x: not read: open: Permission denied\n" },
	{ "cause names the path", { .kind = EVENT_WARNING, .text = "not read", .path = "/srv/x", .err = &names_it },
	  false, "vouch backup: warning: not read: open /srv/x: Permission denied\n" },
	{ "text names the path", { .kind = EVENT_DAMAGE, .text = "file /srv/x: gone", .path = "/srv/x" },
	  false, "vouch backup: damage: file /srv/x: gone\n" },
	{ "a longer path is not this one", { .kind = EVENT_DAMAGE, .text = "/srv/xy is gone", .path = "/srv/x" },
	  false, "vouch backup: damage: /srv/x: /srv/xy is gone\n" },
	{ "control characters", { .kind = EVENT_WARNING, .text = "no\033[2J", .path = "a\nb\033\\" }, false,
	  "vouch backup: warning: a\\nb\\x1b\\\\: no\\x1b[2J\n" },
	{ "nothing but a cause", { .kind = EVENT_DAMAGE, .err = &denied }, false,
	  "vouch backup: damage: open: Permission denied\n" },
};

struct said {
	const struct row *row;
	bool json;
	uint64_t damage;
};

static void say_row(void *arg)
{
	struct said *s = arg;
	struct progress_options o = { .command = "backup", .quiet = s->row->quiet, .json = s->json };
	struct progress *p = NULL;
	struct store_events ev;

	if (progress_open(&o, &p, NULL))
		abort();
	ev = progress_events(p);
	ev.fn(ev.ctx, &s->row->ev);
	s->damage = progress_damage(p);
	progress_close(p);
}

static void test_row(void **state)
{
	struct said s = { .row = *state };
	char *out = capture(STDERR_FILENO, say_row, &s);

	assert_string_equal(out, s.row->want);
	assert_int_equal(s.damage, s.row->ev.kind == EVENT_DAMAGE);
	free(out);
}

/* The same as JSON: one object a line, whatever the strings hold. */
static void test_row_json(void **state)
{
	struct said s = { .row = *state, .json = true };
	char *out;
	json_t *o;

	int null = open("/dev/null", O_WRONLY), old = dup(STDERR_FILENO);

	assert_int_equal(dup2(null, STDERR_FILENO), STDERR_FILENO);
	out = capture(STDOUT_FILENO, say_row, &s);
	assert_int_equal(dup2(old, STDERR_FILENO), STDERR_FILENO);
	(void)close(null);
	(void)close(old);
	o = json_loads(out, 0, NULL);
	assert_non_null(o);
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
	assert_non_null(json_object_get(o, "type"));
	assert_int_equal(json_object_get(o, "path") != NULL, s.row->ev.path != NULL);
	assert_int_equal(json_object_get(o, "error") != NULL, s.row->ev.err != NULL);
	json_decref(o);
	free(out);
}

static void assert_lines_fit(char *out, size_t columns)
{
	unsigned drawn = 0;

	for (char *at = strchr(out, '\r'); at; at = strchr(at + 1, '\r')) {
		char *end = strstr(at, "\033[K");

		assert_non_null(end);
		assert_true(text_columns(at + 1, (size_t)(end - at - 1)) < columns);
		drawn += end > at + 1;
	}
	assert_true(drawn > 0 || columns < 3);
}

static void bar_events(void *arg)
{
	static const char path[] = "/srv/\xe6\x96\x87\xe4\xbb\xb6/a long way down to a file whose name is "
				   "longer than most/gr\xc3\xbc\xc3\x9f.txt";
	struct progress_options o = { .command = "backup" };
	struct event ev = { .kind = EVENT_PROGRESS, .text = "backup", .files = 123456,
			    .files_total = 999999, .bytes = 5ull << 30, .bytes_total = 9ull << 30,
			    .errors = 12, .path = path };
	struct progress *p = NULL;
	struct store_events to;

	(void)arg;
	if (progress_open(&o, &p, NULL) || !p->bar)
		abort();
	to = progress_events(p);
	for (unsigned i = 0; i < 3; i++) {
		p->pace.rate = 1e8;
		p->drawn_ns = 0;	/* as if a tenth of a second had passed */
		to.fn(to.ctx, &ev);
	}
	progress_close(p);
}

static void test_bar_width(void **state)
{
	char out[16384];

	(void)state;
	assert_int_equal(setenv("TERM", "xterm", 1), 0);
	for (unsigned short columns = 1; columns < 200; columns++) {
		struct winsize ws = { .ws_row = 24, .ws_col = columns };
		int master, slave, old;
		ssize_t n;

		if (openpty(&master, &slave, NULL, NULL, &ws) < 0)
			skip();		/* no /dev/pts in this chroot */
		old = dup(STDERR_FILENO);
		assert_int_equal(dup2(slave, STDERR_FILENO), STDERR_FILENO);
		bar_events(NULL);
		assert_int_equal(dup2(old, STDERR_FILENO), STDERR_FILENO);
		assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
		n = read(master, out, sizeof(out) - 1);
		out[n > 0 ? n : 0] = '\0';
		assert_lines_fit(out, columns);
		(void)close(master);
		(void)close(slave);
		(void)close(old);
	}
}

/* A dump is bytes and no files. */
static void print_dump(void *arg)
{
	const struct progress_options o = { .command = "run", .quiet = true };
	const struct event ev = { .kind = EVENT_PROGRESS, .text = "read back", .bytes = 5ull << 30, .bytes_total = 9ull << 30,
				  .path = "crm" };
	struct progress *p = NULL;
	struct store_events to;

	(void)arg;
	if (progress_open(&o, &p, NULL))
		abort();
	to = progress_events(p);
	to.fn(to.ctx, &ev);
	progress_print(p);
	progress_close(p);
}

static void test_numbers(void **state)
{
	char *out = capture(STDERR_FILENO, print_dump, NULL);

	(void)state;
	assert_memory_equal(out, "vouch run: read back: 5.0 GiB of 9.0 GiB  ", 42);
	assert_null(strstr(out, "files"));
	free(out);
}

static void test_json_text(void **state)
{
	json_t *v = jsonout_text("gr\xc3\xbc\xc3\x9f \xff\n\\"), *none = jsonout_text("");

	(void)state;
	assert_string_equal(json_string_value(v), "gr\xc3\xbc\xc3\x9f \\xff\\n\\");
	assert_string_equal(json_string_value(none), "");
	json_decref(v);
	json_decref(none);
}

int main(void)
{
	struct CMUnitTest tests[2 * ARRAY_LEN(rows) + 3];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *row = (void *)(uintptr_t)&rows[i];

		tests[n++] = (struct CMUnitTest){ rows[i].name, test_row, NULL, NULL, row };
		tests[n++] = (struct CMUnitTest){ rows[i].name, test_row_json, NULL, NULL, row };
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_bar_width);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_numbers);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_json_text);
	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
