/* SPDX-License-Identifier: MIT */
/* A folder of one test's own: a source tree, a repository, and backups from one to the other. */
#ifndef VOUCH_TESTS_SANDBOX_H
#define VOUCH_TESTS_SANDBOX_H

#include "store/backup.h"
#include "store/tree.h"

struct sandbox {
	char dir[256], src[280], repo[280];
	struct store *s;
	struct backup_options o;  /* -C src . unless a test says otherwise */
	struct backup_result res; /* of the last run; released by the next */
	struct err e;
	/* Events of the last run. */
	char news[8192]; /* "WARNING path: text: cause\n" ... */
	unsigned notes, warnings;
	void (*hook)(struct sandbox *sb, const struct event *ev); /* within the event */
	void *hook_ctx;
};

/* cmocka's setup and teardown; *state is the sandbox. */
int sandbox_setup(void **state);
int sandbox_teardown(void **state);

/** src/rel, in a buffer that the next eight calls leave alone. */
const char *in_src(const struct sandbox *sb, const char *rel);
void make_dir(const struct sandbox *sb, const char *rel);
void make_file(const struct sandbox *sb, const char *rel, const void *p, size_t len);
void make_text(const struct sandbox *sb, const char *rel, const char *text);
/** len bytes that do not compress, the same for the same seed. */
uint8_t *noise(size_t len, uint64_t seed);
void make_noise(const struct sandbox *sb, const char *rel, size_t len, uint64_t seed);

/** Close the repository and open it again, with nothing of it in memory. */
void sandbox_reopen(struct sandbox *sb);

/** Run sb->o; the result in sb->res, an error in sb->e. */
enum err_code sandbox_run(struct sandbox *sb);
/** It must succeed. */
void sandbox_backup(struct sandbox *sb);
/** What was written before this call looks two seconds old to what runs after it. */
void sandbox_settle(void);
size_t sandbox_nr_snapshots(struct sandbox *sb);

/** The entry at path of the last snapshot; the caller releases it with found_release. */
void find(struct sandbox *sb, const char *path, struct entry_ref *out);
void found_release(struct sandbox *sb, struct entry_ref *r);
bool is_there(struct sandbox *sb, const char *path);
/** The names in a folder of it, each with a space behind; malloc'ed. */
char *names_in(struct sandbox *sb, const char *path);
void assert_content(struct sandbox *sb, const char *path, const void *p, size_t len);
void assert_text(struct sandbox *sb, const char *path, const char *text);
/** As above with the file's present content; its digest too. */
void assert_like_source(struct sandbox *sb, const char *rel);

#endif
