/* SPDX-License-Identifier: MIT */
/* What a validate found: printed, written into a file, and noted in the history. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/history.h"
#include "tools/jsonout.h"
#include "tools/text.h"
#include "tools/validate.h"

#define ROWS_MAX 40u		/* differing items that are printed; JSON has all */
#define NOTE_FAILED_MAX 20u	/* failed checks that a line of the history tells */

void report_begin(struct report *r, struct app *a, const char *file)
{
	*r = (struct report){ .a = a, .file = file, .json = json_pack("{s:[],s:[]}", "components", "references") };
	r->bad = !r->json;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Print what was added to r->text since from. */
static void print_since(struct report *r, size_t from, bool ok)
{
	if (r->text.bad || r->a->json || (r->a->quiet && ok))
		return;
	progress_clear(r->a->progress);
	(void)fwrite(r->text.p + from, 1, r->text.len - from, stdout);
	(void)fflush(stdout);
}

static void print_json(const struct report *r, const char *type, json_t *o)
{
	struct jsonout j;
	const char *key;
	json_t *value;

	if (!r->a->json || !o)
		return;
	j = jsonout_begin(type);
	json_object_foreach(o, key, value)
		jsonout_put(&j, key, json_incref(value));
	(void)jsonout_end(&j);		/* standard output that fails is seen at the end */
}

static void add_json(struct report *r, const char *list, const char *type, json_t *o)
{
	print_json(r, type, o);
	if (!o || json_array_append_new(json_object_get(r->json, list), o))
		r->bad = true;
}

/* One component */

static void add_items(struct buf *b, const struct validation *v)
{
	const json_t *o;
	size_t i, told = 0;

	buf_printf(b, "  %llu recorded and equal, %llu different", (unsigned long long)v->equal, (unsigned long long)v->differ);
	if (v->kept)
		buf_printf(b, ", %llu not compared, and rightly so", (unsigned long long)v->kept);
	buf_add_str(b, "\n");
	json_array_foreach(v->items, i, o) {
		if (json_is_true(json_object_get(o, "agrees")) && !v->o->recover.verbose)
			continue;
		if (told++ == ROWS_MAX && !v->o->recover.verbose) {
			buf_add_str(b, "  ... and more; --json or --verbose tells all\n");
			break;
		}
		buf_printf(b, "  %-8s %s %s: recorded %s, found %s\n", text_of(o, "verdict"), text_of(o, "kind"),
			   text_of(o, "name"), *text_of(o, "recorded") ? text_of(o, "recorded") : "-",
			   *text_of(o, "found") ? text_of(o, "found") : "-");
	}
}

static void add_not_validated(struct buf *b, const struct validation *v)
{
	buf_printf(b, "%s: NOT validated: ", v->c->name);
	text_clean_str(b, v->e.code == ERR_CANCELED ? "interrupted" : v->e.msg);
	buf_add_str(b, "\n");
}

static void add_component_text(struct report *r, const struct validation *v)
{
	struct buf *b = &r->text;
	const json_t *o;
	size_t i;

	buf_printf(b, "%s (%s), %s%.*s%s\n", v->c->name, v->c->ops->type,
		   v->o->live ? "as it is now, beside snapshot " : "restored from snapshot ", SNAPSHOT_DATE_LEN,
		   v->r.snapshot->name, v->o->live ? "" : " into a temporary place");
	if (v->compared)
		add_items(b, v);
	json_array_foreach(v->checks, i, o) {
		const char *verdict = text_of(o, "verdict");

		buf_printf(b, "  %-8s %s: %s\n", strcmp(verdict, "failed") == 0 ? "FAILED" : verdict, text_of(o, "check"),
			   text_of(o, "text"));
	}
	if (v->compared && !v->o->live) {
		recovery_target(b, "  recovery time", v->seconds, v->c->rto);
		recovery_target(b, "; age of the dump", recovery_age(&v->r), v->c->rpo);
		buf_add_str(b, "\n");
	}
	if (v->outcome == RECOVER_OK)
		buf_printf(b, "%s: valid\n", v->c->name);
	else if (v->outcome == RECOVER_DIFFERS)
		buf_printf(b, "%s: NOT valid: %llu of what was recorded differ, %zu checks failed\n", v->c->name,
			   (unsigned long long)v->differ, v->failed);
	else
		add_not_validated(b, v);
}

static json_t *component_json(const struct validation *v)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:f,s:I,s:f,s:I,s:I,s:I,s:I,s:O,s:O}", "component", v->c->name,
			      "component_type", v->c->ops->type, "snapshot", v->r.snapshot ? v->r.snapshot->name : "", "mode",
			      v->o->live ? "live" : "restored", "outcome", recover_outcome_name(v->outcome), "seconds",
			      v->seconds, "rto_seconds", (json_int_t)v->c->rto, "age_seconds", recovery_age(&v->r),
			      "rpo_seconds", (json_int_t)v->c->rpo, "equal", (json_int_t)v->equal, "not_compared",
			      (json_int_t)v->kept, "differ", (json_int_t)v->differ, "items", v->items, "checks", v->checks);

	if (o && v->e.code)
		(void)json_object_set_new(o, "error", jsonout_text(v->e.msg));
	return o;
}

/* {...} of the history's line: numbers, and what failed. */
static json_t *history_members(const struct validation *v)
{
	json_t *note = component_json(v), *failed = json_array();
	const json_t *o;
	size_t i;

	(void)json_object_del(note, "items");
	(void)json_object_del(note, "checks");
	json_array_foreach(v->checks, i, o)
		if (strcmp(text_of(o, "verdict"), "failed") == 0 && json_array_size(failed) < NOTE_FAILED_MAX)
			(void)json_array_append_new(failed, json_sprintf("%s: %s", text_of(o, "check"), text_of(o, "text")));
	json_array_foreach(v->items, i, o)
		if (!json_is_true(json_object_get(o, "agrees")) && json_array_size(failed) < NOTE_FAILED_MAX)
			(void)json_array_append_new(failed, json_sprintf("%s %s: recorded %s, found %s", text_of(o, "kind"),
								      text_of(o, "name"), text_of(o, "recorded"),
								      text_of(o, "found")));
	(void)json_object_set_new(note, "failed", failed);
	return note;
}

static void note(struct report *r, struct store *s, json_t *members)
{
	char *text = members ? json_dumps(members, JSON_COMPACT) : NULL;
	struct err e = ERR_INIT;

	if (s) {
		if (text)
			text[strlen(text) - 1] = '\0';
		if (!text || history_note(s, "validate", text + 1, &e))
			app_say(r->a, "warning", "this is not in the history: %s", text ? e.msg : "out of memory");
	}
	free(text);
	json_decref(members);
}

void report_component(struct report *r, struct store *s, const struct validation *v)
{
	size_t from = r->text.len;

	if (v->o->recover.dry_run)
		return;
	if (v->outcome == RECOVER_NOT_BEGUN) {		/* said on standard error already */
		add_not_validated(&r->text, v);
	} else {
		add_component_text(r, v);
		print_since(r, from, v->outcome == RECOVER_OK);
	}
	add_json(r, "components", "validation", component_json(v));
	note(r, s, history_members(v));
	if (v->bad)
		r->bad = true;
}

void report_total(struct report *r, size_t nr, double seconds, uint64_t target)
{
	size_t from = r->text.len;
	json_t *o;

	buf_printf(&r->text, "%zu ", nr);
	recovery_target(&r->text, "components together: recovery time", seconds, target);
	buf_add_str(&r->text, "\n");
	print_since(r, from, true);
	o = json_pack("{s:I,s:f,s:I}", "components", (json_int_t)nr, "seconds", seconds, "rto_seconds", (json_int_t)target);
	print_json(r, "total", o);
	if (!o || json_object_set_new(r->json, "total", o))
		r->bad = true;
}

/* References */

bool report_reference(struct report *r, struct store *s, const struct reference *ref)
{
	uint64_t nr_from = 0, missing = 0;
	struct buf examples = BUF_INIT;
	const char *verdict = "ok";
	size_t from = r->text.len;
	struct err e = ERR_INIT;
	bool asked = ref->from_answer && ref->to_answer;
	json_t *o;

	if (!ref->failed && !asked)
		return true;		/* said by the command: one of both was not validated */
	if (ref->failed || reference_missing(ref->from_answer, ref->to_answer, &nr_from, &missing, &examples, &e) ||
	    missing > ref->allow)
		verdict = "failed";
	buf_add_u8(&examples, '\0');
	buf_printf(&r->text, "reference %s, from %s to %s\n  %-8s ", ref->name, ref->from, ref->to,
		   strcmp(verdict, "failed") == 0 ? "FAILED" : verdict);
	if (ref->failed || e.code) {
		text_clean_str(&r->text, ref->failed ? ref->failed : e.msg);
		buf_add_str(&r->text, "\n");
	} else {
		buf_printf(&r->text, "%llu of %llu are missing there, %llu allowed%s", (unsigned long long)missing,
			   (unsigned long long)nr_from, (unsigned long long)ref->allow, missing ? ": " : "");
		text_clean_str(&r->text, examples.bad ? "" : (const char *)examples.p);
		buf_add_str(&r->text, "\n");
	}
	if (asked && ref->snapshots[0] && ref->snapshots[1] && strcmp(ref->snapshots[0], ref->snapshots[1]) != 0)
		buf_printf(&r->text, "  warning  they are of different snapshots, %.*s and %.*s\n", SNAPSHOT_DATE_LEN,
			   ref->snapshots[0], SNAPSHOT_DATE_LEN, ref->snapshots[1]);
	print_since(r, from, strcmp(verdict, "ok") == 0);
	o = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "reference", ref->name, "from", ref->from, "to", ref->to, "verdict",
		      verdict, "rows", (json_int_t)nr_from, "missing", (json_int_t)missing, "allowed", (json_int_t)ref->allow);
	if (o && (ref->failed || e.code))
		(void)json_object_set_new(o, "error", jsonout_text(ref->failed ? ref->failed : e.msg));
	json_incref(o);
	add_json(r, "references", "reference", o);
	note(r, s, o);
	buf_release(&examples);
	return strcmp(verdict, "ok") == 0;
}

/* The file */

static enum err_code write_all(int fd, const char *p, size_t len, struct err *e)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, "write");
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

/* A rename would take the place of /dev/null, too, for everybody. */
enum err_code report_may_be(const char *file, struct err *e)
{
	struct stat st;

	if (lstat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "--report %s: that is no regular file; give the name of one, or of none yet", file);
	return ERR_OK;
}

/* Whole or not at all; for its owner alone, as values may be in it: so what has the temporary's name already is not written to. */
static enum err_code write_file(const char *file, const char *p, size_t len, struct err *e)
{
	char temporary[4096];
	enum err_code rc = report_may_be(file, e);
	int fd;

	if (rc)
		return rc;
	if (snprintf(temporary, sizeof(temporary), "%s.tmp", file) >= (int)sizeof(temporary))
		return err_set(e, ERR_LIMIT, "%.100s...: too long a name", file);
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "%s", temporary);
	rc = write_all(fd, p, len, e);
	if (!rc && fsync(fd) < 0)
		rc = err_sys(e, "write");
	if (close(fd) < 0 && !rc)
		rc = err_sys(e, "write");
	if (!rc && rename(temporary, file) < 0)
		rc = err_sys(e, "rename");
	if (rc)
		(void)unlink(temporary);
	if (rc)
		err_prefix(e, "%s", file);
	return rc;
}

static bool is_json_name(const char *file)
{
	size_t len = strlen(file);

	return len > 5 && strcmp(file + len - 5, ".json") == 0;
}

enum err_code report_end(struct report *r, int status, struct err *e)
{
	struct timespec now;
	enum err_code rc = ERR_OK;
	char time[TEXT_LEN], *text = NULL;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)text_time((struct vtime){ .sec = now.tv_sec }, time);
	if (r->bad || r->text.bad || json_object_set_new(r->json, "time", json_string(time)) ||
	    json_object_set_new(r->json, "valid", json_boolean(status == STATUS_DONE)))
		rc = err_set(e, ERR_NOMEM, "the report is not whole");
	if (!rc && r->file && is_json_name(r->file)) {
		text = json_dumps(r->json, JSON_INDENT(1));
		rc = text ? write_file(r->file, text, strlen(text), e) : err_set(e, ERR_NOMEM, "%s", r->file);
	} else if (!rc && r->file) {
		struct buf b = BUF_INIT;

		buf_printf(&b, "vouch validate, %s\n", time);
		buf_add(&b, r->text.p, r->text.len);
		buf_printf(&b, "%s\n", status == STATUS_DONE ? "all valid" : "NOT all valid");
		rc = b.bad ? err_set(e, ERR_NOMEM, "%s", r->file) : write_file(r->file, (const char *)b.p, b.len, e);
		buf_release(&b);
	}
	free(text);
	json_decref(r->json);
	buf_release(&r->text);
	return rc;
}
