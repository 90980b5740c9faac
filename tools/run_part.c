/* SPDX-License-Identifier: MIT */
#include "tools/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/digest.h"

#define POLL_NS 20000000	/* between two looks at the clock */

static bool is_known(const struct run *r, const char *id)
{
	for (size_t i = r->before.nr; i-- > 0;)
		if (strcmp(r->before.all[i].id, id) == 0)
			return true;
	return false;
}

/* A second in which a run of it began already would give two backups one id. */
static void give_id(struct run *r, struct run_part *p)
{
	const struct timespec step = { .tv_nsec = POLL_NS };
	struct timespec now = { 0 };

	for (unsigned waited = 0;; waited++) {
		(void)clock_gettime(CLOCK_REALTIME, &now);
		p->began = (struct vtime){ .sec = now.tv_sec, .nsec = (uint32_t)now.tv_nsec };
		history_id(p->id, p->type, p->named_id ? p->name : NULL, p->began);
		/* A clock that goes back must not keep it here. */
		if (!is_known(r, p->id) || waited > 1000000000 / POLL_NS + 1)
			return;
		(void)nanosleep(&step, NULL);
	}
}

void run_part_before(struct run *r, struct run_part *p)
{
	for (size_t i = 0; i < r->before.nr; i++) {
		const struct history_run *h = &r->before.all[i];

		if (strcmp(h->type, p->type) != 0 || strcmp(h->component, p->name) != 0 || strcmp(h->status, "ok") != 0)
			continue;
		p->has_last = true;
		p->last_bytes = h->bytes;
		p->last_seconds = h->seconds;
	}
	give_id(r, p);
}

/* Tables and their rows, and so on, for the summary. */
static void count_items(struct run_part *p, const struct facts *f)
{
	uint64_t rows;
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(f->root, "items"), i, item) {
		const char *kind = json_string_value(json_object_get(item, "kind"));
		const char *name = json_string_value(json_object_get(item, "name"));

		if (!kind || !name || strcmp(kind, p->c->ops->item_kind) != 0)
			continue;
		p->items++;
		if (facts_rows_of(f, kind, name, &rows))
			p->rows = rows < UINT64_MAX - p->rows ? p->rows + rows : UINT64_MAX;
	}
}

/* A type whose dump is text says how many lines it has: "lines" in facts.json. */
static void take_lines(struct run_part *p, const struct facts *f)
{
	const char *text = facts_get(f, "lines");
	char *end;

	if (!text || *text < '0' || *text > '9')
		return;
	p->lines = strtoull(text, &end, 10);
	p->has_lines = *end == '\0';
}

/* Of the main file; where a type has none, of facts.json, which has those of all files. */
static void take_checksum(struct run_part *p, const struct facts *f, const struct buf *text)
{
	const char *main_file = p->c->ops->main_file;
	json_t *file;
	size_t i;

	json_array_foreach(json_object_get(f->root, "files"), i, file) {
		const char *name = json_string_value(json_object_get(file, "name"));
		const char *sum = json_string_value(json_object_get(file, "sha256"));

		if (main_file && name && sum && strcmp(name, main_file) == 0)
			p->has_checksum = strlen(sum) == ID_HEX_LEN && id_parse(sum, &p->checksum);
	}
	if (!p->has_checksum && !main_file) {
		digest_sha256(text->p, text->len, &p->checksum);
		p->has_checksum = true;
	}
}

static enum err_code put_facts(struct run *r, struct run_part *p, struct facts *f, struct err *e)
{
	struct buf text = BUF_INIT, path = BUF_INIT;
	const char *instant = facts_get(f, "instant");
	enum err_code rc;

	facts_set_real(f, "seconds", p->seconds);
	facts_set_u64(f, "bytes", assembly_bytes(r->to, p->folder, NULL));
	(void)snprintf(p->instant, sizeof(p->instant), "%s", instant ? instant : "");
	rc = facts_text(f, &text, e);
	buf_printf(&path, "%s/facts.json", p->folder);
	buf_add_u8(&path, '\0');
	if (!rc && path.bad)
		rc = err_set(e, ERR_NOMEM, "facts.json");
	if (!rc)
		rc = assembly_put(r->to, (const char *)path.p, text.p, text.len, e);
	if (!rc) {
		count_items(p, f);
		take_lines(p, f);
		take_checksum(p, f, &text);
	}
	buf_release(&text);
	buf_release(&path);
	return rc;
}

static enum err_code dump(struct run *r, struct run_part *p, struct err *e)
{
	struct facts facts = { 0 };
	struct dump d = { .to = r->to, .folder = p->folder, .facts = &facts, .store = r->s };
	double start = progress_seconds(r->a->progress);
	uint64_t known = 0, now = 0;
	enum err_code rc;

	(void)assembly_bytes(r->to, p->folder, &known);
	facts_begin(&facts, p->type, p->name);
	rc = facts_check(&facts, e);
	if (!rc)
		rc = p->c->ops->dump(p->c, &d, e);
	p->seconds = progress_seconds(r->a->progress) - start;
	if (!rc)
		rc = put_facts(r, p, &facts, e);
	p->bytes = assembly_bytes(r->to, p->folder, &now);
	p->new_bytes = now - known;
	if (rc) {
		/* What there is of it is not what it would pass for. */
		assembly_drop(r->to, p->folder);
		p->has_checksum = false;
		p->bytes = 0;
	}
	facts_release(&facts);
	return rc;
}

void run_part_dump(struct run *r, struct run_part *p)
{
	struct hook_guard *guard;
	enum err_code rc;

	p->begun = true;
	rc = run_hooks_before(r, p->section, "before-dump", "after-dump", p->name, &guard, &p->e);
	if (!rc)
		rc = dump(r, p, &p->e);
	run_hooks_after(r, p->section, "after-dump", p->name, rc ? "failed" : "ok", guard);
	if (rc && !p->e.code)
		(void)err_set(&p->e, rc, "%s: it failed without a word", p->name);
}
