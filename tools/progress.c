/* SPDX-License-Identifier: MIT */
#include "tools/progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "tools/jsonout.h"
#include "tools/text.h"

#define SECOND_NS 1000000000ull
#define BAR_PERIOD_NS (SECOND_NS / 10)	/* more often is only flicker */
#define JSON_PERIOD_NS (SECOND_NS / 2)
#define RATE_PERIOD_NS (SECOND_NS / 2)	/* the rate is measured over at least this */
#define RATE_WEIGHT 0.2			/* of the newest measurement: smooth over about five */
#define BAR_CELLS 20

struct progress {
	struct progress_options options;
	bool bar;
	bool colour;
	uint64_t start_ns;
	atomic_uint_fast64_t damage;
	pthread_mutex_t mutex;		/* all below, and the order of lines on standard error */
	bool drawn;
	uint64_t drawn_ns, json_ns;
	char what[16];
	uint64_t files, files_total, bytes, bytes_total, errors;
	struct buf path;		/* escaped */
	uint64_t rate_ns, rate_bytes;	/* where the last measurement ended */
	double rate;			/* bytes a second; 0 before the first measurement */
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
	p->rate_ns = p->start_ns;
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
	p->drawn = false;
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

/* "[======>     ]  35%" where the end is known. */
static void add_bar(const struct progress *p, struct buf *line, size_t columns)
{
	double part;
	int cells;

	if (p->bytes_total == 0)
		return;
	part = (double)p->bytes / (double)p->bytes_total;
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

static void add_numbers(const struct progress *p, struct buf *line)
{
	char a[TEXT_LEN], b[TEXT_LEN];

	buf_add_str(line, text_size(p->bytes, a));
	if (p->bytes_total)
		buf_printf(line, " of %s", text_size(p->bytes_total, a));
	buf_printf(line, "  %s", text_count(p->files, a));
	if (p->files_total)
		buf_printf(line, " of %s", text_count(p->files_total, b));
	buf_add_str(line, " files");
	if (p->rate > 0)
		buf_printf(line, "  %s/s", text_size((uint64_t)p->rate, a));
	if (p->rate > 0 && p->bytes_total > p->bytes)
		buf_printf(line, "  %s left",
			   text_duration((double)(p->bytes_total - p->bytes) / p->rate, a));
	if (p->errors)
		buf_printf(line, "  %s errors", text_count(p->errors, a));
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
	struct buf line = BUF_INIT, cut = BUF_INIT;

	if (p->drawn_ns && now - p->drawn_ns < BAR_PERIOD_NS)
		return;
	p->drawn_ns = now;
	if (columns < 2)
		return;
	columns--;			/* the last column would wrap on some terminals */
	buf_printf(&line, "%s ", p->what);
	add_bar(p, &line, columns);
	add_numbers(p, &line);
	if (!line.bad && p->path.len) {
		used = text_columns((const char *)line.p, line.len);
		if (used + 12 < columns) {
			buf_add_str(&line, "  ");
			text_squeeze(&line, (const char *)p->path.p, p->path.len,
				     columns - used - 2);
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
}

static void print_json_locked(struct progress *p, const struct event *ev, uint64_t now)
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
	jsonout_u64(&j, "bytes_per_second", (uint64_t)p->rate);
	if (p->rate > 0 && p->bytes_total > p->bytes)
		jsonout_real(&j, "seconds_left", (double)(p->bytes_total - p->bytes) / p->rate);
	if (ev->path)
		jsonout_str(&j, "path", ev->path);
	(void)jsonout_end(&j);
	fflush(stdout);			/* who reads it wants it now */
}

static void measure_locked(struct progress *p, uint64_t now)
{
	double seconds, newest;

	if (now - p->rate_ns < RATE_PERIOD_NS)
		return;
	seconds = (double)(now - p->rate_ns) / (double)SECOND_NS;
	newest = p->bytes > p->rate_bytes ? (double)(p->bytes - p->rate_bytes) / seconds : 0;
	p->rate = p->rate > 0 ? p->rate + (newest - p->rate) * RATE_WEIGHT : newest;
	p->rate_ns = now;
	p->rate_bytes = p->bytes;
}

static void on_progress(struct progress *p, const struct event *ev)
{
	const char *what = ev->text ? ev->text : p->options.command;
	uint64_t now = now_ns();

	pthread_mutex_lock(&p->mutex);
	if (strncmp(p->what, what, sizeof(p->what) - 1) != 0) {
		/* Another stage counts from zero. */
		(void)snprintf(p->what, sizeof(p->what), "%s", what);
		p->rate = 0;
		p->rate_ns = now;
		p->rate_bytes = ev->bytes;
		buf_reset(&p->path);
	}
	p->files = ev->files;
	p->files_total = ev->files_total;
	p->bytes = ev->bytes;
	p->bytes_total = ev->bytes_total;
	p->errors = ev->errors;
	if (ev->path) {
		buf_reset(&p->path);
		text_escape_str(&p->path, ev->path);
		if (p->path.bad)
			buf_release(&p->path);
	}
	measure_locked(p, now);
	if (p->bar)
		draw_locked(p, now);
	else if (p->options.json)
		print_json_locked(p, ev, now);
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

	pthread_mutex_lock(&p->mutex);
	measure_locked(p, now_ns());
	if (p->what[0] && strcmp(p->what, p->options.command) != 0)
		buf_printf(&line, "%s: ", p->what);
	add_numbers(p, &line);
	buf_printf(&line, "  after %s", text_duration(progress_seconds(p), text));
	if (p->path.len) {
		buf_add_str(&line, "  ");
		buf_add(&line, p->path.p, p->path.len);
	}
	buf_add_u8(&line, '\0');
	if (!line.bad)
		say_locked(p, p->options.command, NULL, (const char *)line.p);
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
