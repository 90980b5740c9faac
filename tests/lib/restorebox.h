/* SPDX-License-Identifier: MIT */
/* What the tests of restore share: a repository, a place to restore to, and trees to put there. */
#ifndef VOUCH_TESTS_RESTOREBOX_H
#define VOUCH_TESTS_RESTOREBOX_H

#include <sys/stat.h>

#include "store/restore.h"
#include "tests/lib/testtree.h"

#define K	1024u

extern struct restorebox {
	struct testrepo r;
	struct testlog log;
	char out[192];			/* restored to */
	struct object_id root;		/* of the tree built last */
	struct entry top;
	struct restore_result res;	/* of the last restore */
	struct err err;
} rb;

int rb_setup(void **state);
int rb_teardown(void **state);
void rb_reopen(void);			/* to read, the log emptied */

/** The tree into rb.out, with these options (target aside; jobs 3 where 0). */
enum err_code rb_restore_with(struct restore_options o);
void rb_restore(struct restore_options o);

/** A name's path in rb.out; one of four buffers by turns. */
const char *rb_path(const char *name);
bool rb_exists(const char *name);
struct stat rb_stat(const char *name);
void rb_assert_runs(const char *name, const struct run *runs, size_t nr);
void rb_put(const char *path, const char *text);
void rb_assert_text(const char *path, const char *text);
void rb_assert_no_leftovers(void);		/* of the names a restore writes under */

/** /closed/ with a file of every kind, /empty-dir, /text. */
void rb_build_kinds(void);
void rb_assert_kinds(bool special);
#define RESTOREBOX_HOLED	5	/* runs of /closed/holed */
#define RESTOREBOX_MANY		600	/* of /closed/many: more than a list holds */
extern const struct run rb_holed[RESTOREBOX_HOLED];
extern struct run rb_many[RESTOREBOX_MANY];

/** /dir/inner and /file, holding their names. */
void rb_build_plain(void);
/** A name of a file with several. */
void rb_add_link(struct testtree *t, const char *name, uint64_t inode, uint64_t nlink,
	      const struct run *run);

#endif
