/* SPDX-License-Identifier: MIT */
/*
 * Flip every bit of every file of a small repository, one at a time, and read all of it back through the library: the
 * same bytes, or an error that names the right thing; never other bytes, a name lost without a word, a crash or a hang.
 * What is flipped in a pack, a snapshot, vouch.json or a copy must also be found by verify.  With healing on all must
 * come back, whatever bit it was, and a pack whose damage was met must lie there again as it was written.
 *
 *   sweep [SHARE SHARES [STEP [HEAL]]]   this process takes every SHARES-th bit from SHARE on, of those every STEP-th, and
 *                                        lets every HEAL-th of these be healed
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/backup.h"
#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/base/digest.h"
#include "store/snapshot.h"
#include "store/store.h"
#include "store/tree.h"
#include "store/verify.h"

#define MAX_FILES 64
#define HANG_SECONDS 60

struct file {
	char name[256];		/* relative to the repository */
	uint8_t *bytes;
	size_t len;
};

static char repo[4096];
static struct file files[MAX_FILES];
static unsigned nr_files;
static struct buf want;		/* what a whole reading yields: a line an entry */
static atomic_uint heard;	/* damage events of this reading */
static char heard_what[4096];	/* the last one's words */

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "sweep: %s: %s\n", what, e ? e->msg : "");
	exit(1);
}

static void on_event(void *ctx, const struct event *ev)
{
	(void)ctx;
	if (ev->kind != EVENT_DAMAGE)
		return;
	if (atomic_fetch_add(&heard, 1) == 0)
		(void)snprintf(heard_what, sizeof(heard_what), "%s %s %s", ev->text ? ev->text : "",
			       ev->path ? ev->path : "", ev->err ? ev->err->msg : "");
}

static const struct store_events events = { .fn = on_event };

/* One reading of everything: lines into seen, errors counted. */
struct reading {
	struct store *s;
	struct buf seen;
	unsigned errors;
	char first[1024];	/* the first error's words */
	unsigned depth;
	char path[4096];
};

static void note_error(struct reading *r, const struct err *e)
{
	if (r->errors++ == 0)
		(void)snprintf(r->first, sizeof(r->first), "%s", e->msg);
}

static void add_entry(struct reading *r, const struct entry *en, const char *content)
{
	buf_printf(&r->seen, "%s %u %o %u %u %lld.%u %llu %.*s %s\n", r->path, (unsigned)en->type,
		   en->mode, en->uid, en->gid, (long long)en->mtime.sec, en->mtime.nsec,
		   (unsigned long long)en->size, (int)en->target_len,
		   en->target_len ? en->target : "", content);
}

static void read_file(struct reading *r, const struct entry *en)
{
	struct err e = ERR_INIT;
	struct object_id got, said;
	char hex[ID_HEX_LEN + 1];
	struct blob *b = NULL;
	uint8_t *buf = malloc(en->size + 1);
	size_t n = 0;

	if (!buf)
		die("memory", NULL);
	if (blob_open(r->s, en, &b, &e) || blob_pread(b, 0, buf, en->size + 1, &n, &e)) {
		note_error(r, &e);
		goto out;
	}
	if (n != en->size) {
		fprintf(stderr, "sweep: %s: a short read without an error\n", r->path);
		exit(1);
	}
	digest_sha256(buf, n, &got);
	entry_sha256(en, &said);
	if (!id_eq(&got, &said)) {
		fprintf(stderr, "sweep: %s: other bytes than its digest says\n", r->path);
		exit(1);
	}
	add_entry(r, en, id_hex(&got, hex));
out:
	blob_close(b);
	free(buf);
}

static void read_xattrs(struct reading *r, const struct entry *en)
{
	struct entry_xattr x;
	struct err e = ERR_INIT;
	uint8_t value[65536];

	for (size_t i = 0; entry_xattr_at(en, i, &x); i++) {
		struct object_id id;
		char hex[ID_HEX_LEN + 1];

		if (x.value_len > sizeof(value) || entry_xattr_value(r->s, &x, value, &e)) {
			note_error(r, &e);
			continue;
		}
		digest_sha256(value, x.value_len, &id);
		buf_printf(&r->seen, "xattr %.*s %s\n", (int)x.name_len, x.name, id_hex(&id, hex));
	}
}

static void read_dir(struct reading *r, const struct object_id *dir);

static enum err_code read_entry(void *ctx, const struct entry_ref *ref, struct err *e)
{
	struct reading *r = ctx;
	size_t len = strlen(r->path);

	(void)e;
	(void)snprintf(r->path + len, sizeof(r->path) - len, "/%.*s", (int)ref->e.name_len,
		       ref->e.name);
	read_xattrs(r, &ref->e);
	if (ref->e.type == ENTRY_FILE)
		read_file(r, &ref->e);
	else
		add_entry(r, &ref->e, "");
	if (ref->e.type == ENTRY_DIR)
		read_dir(r, &ref->e.node);
	r->path[len] = '\0';
	return ERR_OK;
}

static void read_dir(struct reading *r, const struct object_id *dir)
{
	struct err e = ERR_INIT;

	if (++r->depth > 100)
		die("too deep", NULL);
	if (tree_walk(r->s, dir, 0, read_entry, r, &e))
		note_error(r, &e);
	r->depth--;
}

/* The whole of the repository; false where it does not open. */
static bool read_all(struct reading *r, bool heal, struct err *e)
{
	struct snapshot_list l = { 0 };

	memset(r, 0, sizeof(*r));
	atomic_store(&heard, 0);
	heard_what[0] = '\0';
	if (store_open(repo, STORE_READ, &events, &r->s, e))
		return false;
	store_set_heal(r->s, heal);
	if (snapshot_list_read(r->s, &l, e)) {
		note_error(r, e);
		goto out;
	}
	if (l.nr_bad > 0) {
		struct err bad = ERR_INIT;

		(void)err_set(&bad, ERR_CORRUPT, "snapshot %s", l.bad[0]);
		note_error(r, &bad);
	}
	for (size_t i = 0; i < l.nr; i++) {
		struct entry_ref root = { 0 };

		buf_printf(&r->seen, "snapshot %s\n", l.all[i].name);
		if (tree_root(r->s, &l.all[i].root, &root, e)) {
			note_error(r, e);
			continue;
		}
		add_entry(r, &root.e, "");
		read_dir(r, &root.e.node);
		entry_ref_release(r->s, &root);
	}
out:
	snapshot_list_release(&l);
	return true;
}

static void reading_end(struct reading *r)
{
	store_close(r->s);
	buf_release(&r->seen);
}

/* Every line of got is a line of want: what was read is right, though not all was. */
static bool is_part(const struct buf *got)
{
	const char *p = (const char *)got->p, *end = p + got->len;
	const char *w = (const char *)want.p, *wend = w + want.len;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)(nl - p) + 1;

		while (w < wend) {
			const char *wnl = memchr(w, '\n', (size_t)(wend - w));
			size_t wn = (size_t)(wnl - w) + 1;
			bool same = wn == n && memcmp(w, p, n) == 0;

			w += wn;
			if (same)
				goto next;
		}
		return false;
next:
		p += n;
	}
	return true;
}

static void full_name(char out[8192], const char *name)
{
	if (snprintf(out, 8192, "%s/%s", repo, name) >= 8192)
		die("name too long", NULL);
}

static void store_bytes(const char *name, const uint8_t *bytes, size_t len)
{
	char path[8192];
	int fd;

	full_name(path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) < 0)
		die(path, NULL);
}

/* Reading a damaged repository may have made index.db anew, and notes in log/ what it met. Put them back as they were. */
static void restore_volatile(void)
{
	char path[8192];

	full_name(path, "index.db-journal");
	(void)unlink(path);
	for (unsigned i = 0; i < nr_files; i++)
		if (strcmp(files[i].name, "index.db") == 0 || strncmp(files[i].name, "log/", 4) == 0)
			store_bytes(files[i].name, files[i].bytes, files[i].len);
}

static void load(const char *dir)
{
	char path[8192];
	struct dirent *d;
	DIR *h;

	full_name(path, dir);
	h = opendir(path);
	if (!h)
		die(path, NULL);
	while ((d = readdir(h))) {
		char name[8192], full[16384];
		struct stat st;
		FILE *f;

		if (d->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s", dir, dir[0] ? "/" : "", d->d_name);
		(void)snprintf(full, sizeof(full), "%s/%s", repo, name);
		if (stat(full, &st) < 0)
			die(full, NULL);
		if (S_ISDIR(st.st_mode)) {
			load(name);
			continue;
		}
		if (nr_files == MAX_FILES || strlen(name) >= sizeof(files[0].name))
			die("too many files", NULL);
		(void)snprintf(files[nr_files].name, sizeof(files[0].name), "%.255s", name);
		files[nr_files].len = (size_t)st.st_size;
		files[nr_files].bytes = malloc((size_t)st.st_size + 1);
		f = fopen(full, "rb");
		if (!f || fread(files[nr_files].bytes, 1, files[nr_files].len, f) != files[nr_files].len)
			die(full, NULL);
		(void)fclose(f);
		nr_files++;
	}
	(void)closedir(h);
}

static void make_source(const char *src)
{
	static const struct {
		const char *name;
		size_t len;
	} plan[] = {
		{ "empty", 0 }, { "tiny", 20 }, { "small", 700 }, { "dir/middle", 3000 }, { "dir/large", 9000 },
	};
	char path[8192];
	unsigned seed = 7;

	(void)snprintf(path, sizeof(path), "%s/dir", src);
	if (mkdir(src, 0700) < 0 || mkdir(path, 0755) < 0)
		die(path, NULL);
	for (size_t i = 0; i < ARRAY_LEN(plan); i++) {
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/%s", src, plan[i].name);
		f = fopen(path, "wb");
		if (!f)
			die(path, NULL);
		for (size_t k = 0; k < plan[i].len; k++)
			/* half compressible, half not: both codecs are met */
			(void)fputc(i == 3 ? 'a' + (int)(k % 7) : rand_r(&seed) & 255, f);
		(void)fclose(f);
	}
	(void)snprintf(path, sizeof(path), "%s/link", src);
	if (symlink("dir/large", path) < 0)
		die(path, NULL);
}

static void make_repo(const char *src)
{
	const struct store_create_params p = { .chunk_min = 1024, .chunk_avg = 2048, .chunk_max = 4096,
					       .block_len = 4096 };
	const char *sources[] = { "." };
	const struct backup_options o = { .sources = sources, .nr_sources = 1, .base = src, .host = "sweep",
					  .jobs = 1 };
	struct backup_result res = { 0 };
	struct err e = ERR_INIT;
	struct store *s;

	if (store_create(repo, &p, &e) || store_open(repo, STORE_WRITE, NULL, &s, &e) ||
	    backup_run(s, &o, &res, &e))
		die("make", &e);
	snapshot_release(&res.snapshot);
	store_close(s);
}

/* What an error about this file has to name. */
static bool names_it(const char *file, const char *words)
{
	const char *base = strrchr(file, '/');
	char id[13];

	base = base ? base + 1 : file;
	if (strncmp(file, "packs/", 6) == 0 || strncmp(file, "copies/packs/", 13) == 0) {
		(void)snprintf(id, sizeof(id), "%.12s", base);
		return strstr(words, id) != NULL;
	}
	if (strstr(file, "snapshots/"))
		return strstr(words, "snapshot") != NULL;
	if (strcmp(base, "vouch.json") == 0)
		return strstr(words, "vouch.json") != NULL;
	return false;
}

static bool verify_must_find(const char *name)
{
	return strncmp(name, "packs/", 6) == 0 || strncmp(name, "snapshots/", 10) == 0 ||
	       strcmp(name, "vouch.json") == 0 || strncmp(name, "copies/", 7) == 0;
}

static uint64_t verify_finds(void)
{
	const struct verify_options o = { .jobs = 1 };
	struct verify_result v = { 0 };
	struct err e = ERR_INIT;
	struct store *s;

	if (store_open(repo, STORE_READ, &events, &s, &e))
		return 1;	/* refusing is finding */
	if (verify_run(s, &o, &v, &e))
		die("verify could not run", &e);
	store_close(s);
	return v.damaged_packs + v.damaged_chunks + v.missing_chunks + v.damaged_nodes +
	       v.damaged_snapshots + v.incomplete_packs + v.damaged_records;
}

enum outcome { SAME, SAME_AND_SAID, REPORTED, REFUSED, NR_OUTCOMES };

static enum outcome try_flip(const struct file *f, size_t bit)
{
	struct err e = ERR_INIT;
	struct reading r;
	enum outcome out;
	bool opened = read_all(&r, false, &e);

	if (!opened) {
		if (!names_it(f->name, e.msg)) {
			fprintf(stderr, "sweep: bit %zu of %s: refused, but the words are: %s\n", bit, f->name,
				e.msg);
			exit(1);
		}
		out = REFUSED;
	} else if (r.errors == 0) {
		if (r.seen.len != want.len || memcmp(r.seen.p, want.p, want.len) != 0) {
			fprintf(stderr, "sweep: bit %zu of %s: no error, but not the same:\n%.*s\n", bit, f->name,
				(int)r.seen.len, (const char *)r.seen.p);
			exit(1);
		}
		out = atomic_load(&heard) ? SAME_AND_SAID : SAME;
	} else {
		if (!is_part(&r.seen)) {
			fprintf(stderr, "sweep: bit %zu of %s: something else was read:\n%.*s\n", bit, f->name,
				(int)r.seen.len, (const char *)r.seen.p);
			exit(1);
		}
		if (!names_it(f->name, r.first) && !names_it(f->name, heard_what)) {
			fprintf(stderr, "sweep: bit %zu of %s: the words name another thing: %s / %s\n", bit,
				f->name, r.first, heard_what);
			exit(1);
		}
		out = REPORTED;
	}
	if (opened)
		reading_end(&r);
	if (verify_must_find(f->name) && verify_finds() == 0) {
		fprintf(stderr, "sweep: bit %zu of %s: verify finds nothing\n", bit, f->name);
		exit(1);
	}
	return out;
}

static bool is_whole_again(const struct file *f)
{
	uint8_t *now = malloc(f->len + 1);
	char path[8192];
	size_t n;
	FILE *h;
	bool same;

	full_name(path, f->name);
	h = fopen(path, "rb");
	if (!h || !now)
		die(path, NULL);
	n = fread(now, 1, f->len + 1, h);
	same = n == f->len && memcmp(now, f->bytes, n) == 0;
	(void)fclose(h);
	free(now);
	return same;
}

/* Whether the file is one that is mended where it lies, as soon as somebody meets the damage. */
static bool must_mend(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, "packs/", 6) == 0 && n > 5 && strcmp(name + n - 5, ".pack") == 0;
}

/* All comes back; true where the file, too, is what it was. */
static bool try_heal(const struct file *f, size_t bit)
{
	struct err e = ERR_INIT;
	struct reading r;
	bool was_heard;

	if (!read_all(&r, true, &e)) {
		fprintf(stderr, "sweep: bit %zu of %s: not healed: %s\n", bit, f->name, e.msg);
		exit(1);
	}
	if (r.errors > 0 || r.seen.len != want.len || memcmp(r.seen.p, want.p, want.len) != 0) {
		fprintf(stderr, "sweep: bit %zu of %s: not healed: %s\n", bit, f->name, r.first);
		exit(1);
	}
	was_heard = atomic_load(&heard) != 0;
	reading_end(&r);
	if (is_whole_again(f))
		return true;
	if (was_heard && must_mend(f->name)) {
		fprintf(stderr, "sweep: bit %zu of %s: met, and not mended: %s\n", bit, f->name, heard_what);
		exit(1);
	}
	return false;
}

static void flip(const struct file *f, size_t bit)
{
	uint8_t b = (uint8_t)(f->bytes[bit / 8] ^ (1u << (bit % 8)));
	char path[8192];
	int fd;

	full_name(path, f->name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || pwrite(fd, &b, 1, (off_t)(bit / 8)) != 1 || close(fd) < 0)
		die(path, NULL);
}

static void sweep_file(const struct file *f, size_t share, size_t shares, size_t heal)
{
	size_t tally[NR_OUTCOMES] = { 0 }, bits = f->len * 8, nr = 0, healed = 0, mended = 0;
	bool is_index = strcmp(f->name, "index.db") == 0;

	for (size_t bit = share; bit < bits; bit += shares) {
		flip(f, bit);
		(void)alarm(HANG_SECONDS);
		tally[try_flip(f, bit)]++;
		if (nr++ % heal == 0) {
			restore_volatile();
			flip(f, bit);
			healed++;
			mended += try_heal(f, bit);
		}
		(void)alarm(0);
		if (!is_index)
			store_bytes(f->name, f->bytes, f->len);
		restore_volatile();
	}
	printf("%-60s %8zu bits: %zu same, %zu same and said, %zu reported, %zu refused; of %zu all healed, %zu mended\n",
	       f->name, nr, tally[SAME], tally[SAME_AND_SAID], tally[REPORTED], tally[REFUSED], healed, mended);
	(void)fflush(stdout);
}

/* Memory, where there is some: a third of a million flips each write files. In a chroot /dev/shm may be a plain folder. */
static const char *fast_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	struct stat shm, dev;

	if (stat("/dev/shm", &shm) == 0 && stat("/dev", &dev) == 0 && shm.st_dev != dev.st_dev)
		return "/dev/shm";
	return tmp ? tmp : "/tmp";
}

int main(int argc, char **argv)
{
	size_t share = argc > 2 ? (size_t)strtoul(argv[1], NULL, 10) : 0;
	size_t shares = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 1;
	size_t step = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 1;
	size_t heal = argc > 4 ? (size_t)strtoul(argv[4], NULL, 10) : 1;
	char top[4000], src[4096], command[8192];
	struct err e = ERR_INIT;
	struct reading r;

	(void)snprintf(top, sizeof(top), "%s/vouch-sweep-XXXXXX", fast_folder());
	if (shares == 0 || step == 0 || heal == 0 || !mkdtemp(top))
		die("usage: sweep [SHARE SHARES [STEP [HEAL]]]", NULL);
	(void)snprintf(repo, sizeof(repo), "%s/repo", top);
	(void)snprintf(src, sizeof(src), "%s/src", top);
	if (setenv("XDG_STATE_HOME", top, 1) < 0 || setenv("XDG_CACHE_HOME", top, 1) < 0)
		die("setenv", NULL);
	make_source(src);
	make_repo(src);
	load("");
	if (!read_all(&r, false, &e) || r.errors > 0)
		die("the whole repository does not read", &e);
	buf_add(&want, r.seen.p, r.seen.len);
	reading_end(&r);
	if (verify_finds() != 0)
		die("verify finds damage in a whole repository", NULL);
	for (unsigned i = 0; i < nr_files; i++)
		sweep_file(&files[i], share, shares * step, heal);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command) == 0 ? 0 : 1;
}
