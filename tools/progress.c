/* SPDX-License-Identifier: MIT */
#include "tools/progress.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "tools/jsonout.h"
#include "tools/pace.h"
#include "tools/text.h"

#define SECOND_NS 1000000000ull
#define BAR_PERIOD_NS (SECOND_NS / 10)	/* more often is only flicker */
#define JSON_PERIOD_NS (SECOND_NS / 2)
#define LISTING_NS SECOND_NS		/* a list that takes less needs no progress */
#define STUCK_NS (SECOND_NS / 4)
#define BAR_CELLS 20

struct progress {
	struct progress_options options;
	bool bar;
	bool colour;
	bool list_bar;			/* where there is a bar: beside a list, too */
	uint64_t start_ns;
	atomic_uint_fast64_t damage;
	pthread_mutex_t mutex;		/* all below, and the order of lines on standard error */
	bool drawn;
	bool told;			/* and not taken away since */
	uint64_t drawn_ns, json_ns;
	char what[16];
	uint64_t files, files_total, bytes, bytes_total, errors;
	struct buf path;		/* raw */
	struct pace pace;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static bool is_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && (!term || strcmp(term, "dumb") != 0);
}

bool progress_colour(int fd)
{
	const char *no = getenv("NO_COLOR");

	return is_terminal(fd) && !(no && *no);
}

enum err_code progress_open(const struct progress_options *o, struct progress **out, struct err *e)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, ERR_NOMEM, "progress");
	p->options = *o;
	p->bar = !o->json && !o->quiet && is_terminal(STDERR_FILENO);
	p->colour = progress_colour(STDERR_FILENO);
	p->start_ns = now_ns();
	pace_begin(&p->pace, p->start_ns, 0, 0);
	p->list_bar = p->bar && !isatty(STDOUT_FILENO);
	if (pthread_mutex_init(&p->mutex, NULL)) {
		free(p);
		return err_set(e, ERR_NOMEM, "mutex");
	}
	*out = p;
	return ERR_OK;
}

static void clear_locked(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = p->told = false;
}

void progress_clear(struct progress *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->mutex);
	clear_locked(p);
	fflush(stderr);
	pthread_mutex_unlock(&p->mutex);
}

void progress_close(struct progress *p)
{
	if (!p)
		return;
	progress_clear(p);
	pthread_mutex_destroy(&p->mutex);
	buf_release(&p->path);
	free(p);
}

uint64_t progress_damage(struct progress *p)
{
	return atomic_load(&p->damage);
}

void progress_forget_damage(struct progress *p)
{
	atomic_store(&p->damage, 0);
}

double progress_seconds(const struct progress *p)
{
	return (double)(now_ns() - p->start_ns) / (double)SECOND_NS;
}

static size_t terminal_columns(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;
	long n;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		return ws.ws_col;
	if (columns && text_parse_long(columns, 1, 10000, &n))
		return (size_t)n;
	return 80;
}

/* What the end is known of: bytes, else files. */
static uint64_t total_of(const struct progress *p)
{
	return p->bytes_total ? p->bytes_total : p->files_total;
}

static uint64_t done_of(const struct progress *p)
{
	return p->bytes_total ? p->bytes : p->files;
}

/* "[======>     ]  35%" where the end is known. */
static void add_bar(const struct progress *p, struct buf *line, size_t columns)
{
	double part;
	int cells;

	if (total_of(p) == 0)
		return;
	part = (double)done_of(p) / (double)total_of(p);
	part = part > 1 ? 1 : part;
	cells = (int)(part * BAR_CELLS);
	if (columns >= 100) {
		buf_add_u8(line, '[');
		for (int i = 0; i < BAR_CELLS; i++)
			buf_add_u8(line, i < cells ? '=' : i == cells ? '>' : ' ');
		buf_add_str(line, "] ");
	}
	buf_printf(line, "%3d%%  ", (int)(part * 100));
}

/* What .files counts. */
static const char *noun(const struct progress *p)
{
	static const struct {
		const char *what, *noun;
	} nouns[] = { { "index", "packs" },   { "verify", "packs" },
		    { "sync", "packs" },
		    { "ls", "entries" }, { "diff", "changes" } };

	for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
		if (strcmp(p->what, nouns[i].what) == 0)
			return nouns[i].noun;
	return "files";
}

static void add_numbers(const struct progress *p, struct buf *line)
{
	bool has_bytes = p->bytes || p->bytes_total || !p->files;
	char a[TEXT_LEN], b[TEXT_LEN];

	if (has_bytes)
		buf_add_str(line, text_size(p->bytes, a));
	if (p->bytes_total)
		buf_printf(line, " of %s", text_size(p->bytes_total, a));
	if (p->files || p->files_total || !has_bytes) {
		buf_printf(line, "%s%s", has_bytes ? "  " : "", text_count(p->files, a));
		if (p->files_total)
			buf_printf(line, " of %s", text_count(p->files_total, b));
		buf_printf(line, " %s", noun(p));
	}
	if (p->pace.rate > 0)
		buf_printf(line, "  %s/s", text_size((uint64_t)p->pace.rate, a));
	if (p->pace.left >= 0)
		buf_printf(line, "  %s left", text_seconds(p->pace.left, a));
	if (p->errors)
		buf_printf(line, "  %s %s", text_count(p->errors, a),
			   p->errors == 1 ? "error" : "errors");
}

/* Numbers alone can be too wide; they are ASCII, two spaces apart, and half a number would be another one. */
static void cut_back(struct buf *line, size_t columns)
{
	line->len = columns;
	while (line->len > 1 && (line->p[line->len] != ' ' || line->p[line->len - 1] != ' '))
		line->len--;
}

static void draw_locked(struct progress *p, uint64_t now)
{
	size_t columns = terminal_columns(), used;
	struct buf line = BUF_INIT, cut = BUF_INIT, path = BUF_INIT;

	if (p->drawn_ns && now - p->drawn_ns < BAR_PERIOD_NS)
		return;
	p->drawn_ns = now;
	if (columns < 2)
		return;
	columns--;			/* the last column would wrap on some terminals */
	buf_printf(&line, "%s ", p->what);
	add_bar(p, &line, columns);
	add_numbers(p, &line);
	text_escape(&path, (const char *)p->path.p, p->path.len);
	if (!line.bad && !path.bad && path.len) {
		used = text_columns((const char *)line.p, line.len);
		if (used + 12 < columns) {
			buf_add_str(&line, "  ");
			text_squeeze(&line, (const char *)path.p, path.len, columns - used - 2);
		}
	}
	if (!line.bad) {
		if (text_columns((const char *)line.p, line.len) > columns)
			cut_back(&line, columns);
		buf_add_str(&cut, "\r");
		buf_add(&cut, line.p, line.len);
		buf_add_str(&cut, "\033[K");
		if (!cut.bad) {
			(void)fwrite(cut.p, 1, cut.len, stderr);
			fflush(stderr);
			p->drawn = true;
		}
	}
	buf_release(&line);
	buf_release(&cut);
	buf_release(&path);
}

static void print_json_locked(struct progress *p, uint64_t now)
{
	struct jsonout j;

	if (p->json_ns && now - p->json_ns < JSON_PERIOD_NS)
		return;
	p->json_ns = now;
	j = jsonout_begin("progress");
	jsonout_str(&j, "what", p->what);
	jsonout_u64(&j, "files", p->files);
	if (p->files_total)
		jsonout_u64(&j, "files_total", p->files_total);
	jsonout_u64(&j, "bytes", p->bytes);
	if (p->bytes_total)
		jsonout_u64(&j, "bytes_total", p->bytes_total);
	jsonout_u64(&j, "errors", p->errors);
	jsonout_real(&j, "seconds", (double)(now - p->start_ns) / (double)SECOND_NS);
	jsonout_u64(&j, "bytes_per_second", (uint64_t)p->pace.rate);
	if (p->pace.left >= 0)
		jsonout_real(&j, "seconds_left", p->pace.left);
	if (p->path.len)
		jsonout_bytes(&j, "path", (const char *)p->path.p, p->path.len);
	(void)jsonout_end(&j);
	fflush(stdout);			/* who reads it wants it now */
}

/* Another stage counts from zero, and other things. */
static void begin_stage_locked(struct progress *p, const char *what, const struct event *ev,
			       uint64_t now)
{
	(void)snprintf(p->what, sizeof(p->what), "%s", what);
	pace_begin(&p->pace, now, ev->bytes, ev->bytes_total ? ev->bytes : ev->files);
	buf_reset(&p->path);
}

static void take_locked(struct progress *p, const struct event *ev, uint64_t now)
{
	const char *what = ev->text ? ev->text : p->options.command;
	bool other_end = (p->bytes_total == 0) != (ev->bytes_total == 0);

	if (strncmp(p->what, what, sizeof(p->what) - 1) != 0)
		begin_stage_locked(p, what, ev, now);
	p->files = ev->files;
	p->files_total = ev->files_total;
	p->bytes = ev->bytes;
	p->bytes_total = ev->bytes_total;
	p->errors = ev->errors;
	if (other_end)		/* what was a guess is passed */
		pace_other_end(&p->pace, done_of(p));
	if (ev->path) {
		buf_reset(&p->path);
		buf_add(&p->path, ev->path, strlen(ev->path));
		if (p->path.bad)
			buf_release(&p->path);
	}
	pace_measure(&p->pace, now, p->bytes, done_of(p), total_of(p));
}

static void show_locked(struct progress *p, bool bar, uint64_t now)
{
	p->told = true;
	if (bar)
		draw_locked(p, now);
	else if (p->options.json)
		print_json_locked(p, now);
}

static void on_progress(struct progress *p, const struct event *ev)
{
	uint64_t now = now_ns();

	pthread_mutex_lock(&p->mutex);
	take_locked(p, ev, now);
	show_locked(p, p->bar, now);
	/* Nothing may follow for a long time: a mount goes to the background. */
	if (p->drawn && strcmp(p->what, "index") == 0 && p->files == p->files_total) {
		clear_locked(p);
		fflush(stderr);
	}
	pthread_mutex_unlock(&p->mutex);
}

void progress_tell(struct progress *p, const struct event *ev)
{
	uint64_t now = now_ns();

	pthread_mutex_lock(&p->mutex);
	take_locked(p, ev, now);
	if (now - p->start_ns >= LISTING_NS && (p->list_bar || p->options.json))
		show_locked(p, p->list_bar, now);
	pthread_mutex_unlock(&p->mutex);
}

/* Whoever holds the mutex may wait for a reader of our output; signals must be taken all the same. */
static bool lock_soon(struct progress *p)
{
	uint64_t until = now_ns() + STUCK_NS;

	while (pthread_mutex_trylock(&p->mutex) != 0) {
		if (now_ns() > until)
			return false;
		(void)poll(NULL, 0, 1);
	}
	return true;
}

void progress_tick(struct progress *p)
{
	uint64_t now;

	if (!(p->bar || p->options.json) || !lock_soon(p))
		return;
	now = now_ns();
	if (p->told && p->what[0]) {
		pace_measure(&p->pace, now, p->bytes, done_of(p), total_of(p));
		show_locked(p, p->options.listing ? p->list_bar : p->bar, now);
	}
	pthread_mutex_unlock(&p->mutex);
}

static const char *colour_of(const char *kind)
{
	return strcmp(kind, "damage") == 0 ? "\033[1;31m" : "\033[33m";
}

static void say_locked(struct progress *p, const char *command, const char *kind, const char *text)
{
	bool colour = kind && strcmp(kind, "note") != 0 &&
		      (p ? p->colour : progress_colour(STDERR_FILENO));

	fflush(stdout);			/* on one terminal lines come in the order they were said */
	if (p)
		clear_locked(p);
	if (!kind)
		fprintf(stderr, "vouch %s: %s\n", command, text);
	else
		fprintf(stderr, "vouch %s: %s%s%s: %s\n", command, colour ? colour_of(kind) : "",
			kind, colour ? "\033[0m" : "", text);
	fflush(stderr);
}

void progress_say(struct progress *p, const char *command, const char *kind, const char *text)
{
	if (p)
		pthread_mutex_lock(&p->mutex);
	say_locked(p, command, kind, text);
	if (p)
		pthread_mutex_unlock(&p->mutex);
}

void progress_print(struct progress *p)
{
	struct buf line = BUF_INIT;
	char text[TEXT_LEN];

	if (!lock_soon(p))
		return;
	pace_measure(&p->pace, now_ns(), p->bytes, done_of(p), total_of(p));
	buf_printf(&line, "vouch %s: ", p->options.command);
	if (p->what[0] && strcmp(p->what, p->options.command) != 0)
		buf_printf(&line, "%s: ", p->what);
	add_numbers(p, &line);
	buf_printf(&line, "  after %s", text_duration(progress_seconds(p), text));
	if (p->path.len) {
		buf_add_str(&line, "  ");
		text_escape(&line, (const char *)p->path.p, p->path.len);
	}
	buf_add_u8(&line, '\n');
	if (!line.bad) {
		/* Not by way of standard output: a list's reader may have it wait. */
		if (p->drawn)
			fputs("\r\033[K", stderr);
		p->drawn = false;
		(void)fwrite(line.p, 1, line.len, stderr);
		fflush(stderr);
	}
	pthread_mutex_unlock(&p->mutex);
	buf_release(&line);
}

/* Whether text says path already, as a word of its own.  A short one could be any word: it is said again. */
static bool mentions(const char *text, const char *path)
{
	size_t len = strlen(path);

	for (const char *at = text; len > 3 && (at = strstr(at, path)); at++)
		if ((at == text || strchr(" \"'(", at[-1])) &&
		    (!at[len] || strchr(" \"'):;,", at[len])))
			return true;
	return false;
}

/* "path: text: cause", but nothing twice. */
static void event_text(const struct event *ev, struct buf *line)
{
	const char *text = ev->text ? ev->text : "";
	const char *why = ev->err ? ev->err->msg : "";
	struct buf path = BUF_INIT;

	if (ev->path) {
		text_escape_str(&path, ev->path);
		buf_add_u8(&path, '\0');
		if (!path.bad && !mentions(text, (const char *)path.p) &&
		    !mentions(why, (const char *)path.p))
			buf_printf(line, "%s: ", (const char *)path.p);
		buf_release(&path);
	}
	text_clean_str(line, text);
	if (*why && !strstr(text, why)) {
		buf_add_str(line, *text ? ": " : "");
		text_clean_str(line, why);
	}
	buf_add_u8(line, '\0');
}

static void on_line(struct progress *p, const struct event *ev, const char *kind)
{
	struct buf line = BUF_INIT;
	struct jsonout j;

	event_text(ev, &line);
	pthread_mutex_lock(&p->mutex);
	if (!line.bad && !(p->options.quiet && ev->kind == EVENT_NOTE))
		say_locked(p, p->options.command, kind, (const char *)line.p);
	if (p->options.json) {
		j = jsonout_begin(kind);
		jsonout_str(&j, "text", ev->text ? ev->text : "");
		if (ev->path)
			jsonout_str(&j, "path", ev->path);
		if (ev->err)
			jsonout_err(&j, "error", ev->err);
		(void)jsonout_end(&j);
	}
	pthread_mutex_unlock(&p->mutex);
	buf_release(&line);
}

static void on_event(void *ctx, const struct event *ev)
{
	struct progress *p = ctx;

	switch (ev->kind) {
	case EVENT_NOTE:
		on_line(p, ev, "note");
		break;
	case EVENT_WARNING:
		on_line(p, ev, "warning");
		break;
	case EVENT_DAMAGE:
		atomic_fetch_add(&p->damage, 1);
		on_line(p, ev, "damage");
		break;
	case EVENT_PROGRESS:
		on_progress(p, ev);
		break;
	}
}

struct store_events progress_events(struct progress *p)
{
	return (struct store_events){ .fn = on_event, .ctx = p };
}
