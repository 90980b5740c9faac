/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "store/base/checked.h"
#include "tools/components/neo4j.h"
#include "tools/text.h"

#define OPEN_FOLDERS 16		/* nftw keeps so many descriptors */
#define CONF_LINE_MAX 4096
#define SCRATCH_PREFIX "vouch-neo4j-"
#define YOUNG_S 60

char *neo4j_path(const char *a, const char *b, const char *c)
{
	char *p = NULL;

	if (asprintf(&p, "%s/%s%s%s", a, b, c ? "/" : "", c ? c : "") < 0)
		return NULL;
	return p;
}

/* A folder that neo4j.conf names: absolute, or below home. */
static char *below(const char *home, const char *folder)
{
	return *folder == '/' ? strdup(folder) : neo4j_path(home, folder, NULL);
}

struct settings {
	char *data, *transactions, *http, *address;
};

static void take(char **to, const char *value, bool *bad)
{
	free(*to);
	*to = strdup(value);
	*bad = *bad || !*to;
}

/* "KEY=VALUE", '#' begins a comment line.  Only where the data lies and where the server listens is of interest. */
static void take_line(struct settings *s, char *line, bool *bad)
{
	const struct {
		const char *key;
		char **to;
	} known[] = {
		{ "server.directories.data", &s->data },
		{ "server.directories.transaction.logs.root", &s->transactions },
		{ "server.http.listen_address", &s->http },
		{ "server.default_listen_address", &s->address },
	};
	char *key = line + strspn(line, " \t"), *eq = strchr(key, '='), *value, *end;

	if (*key == '#' || !eq)
		return;
	value = eq + 1 + strspn(eq + 1, " \t");
	for (end = value + strlen(value); end > value && strchr(" \t\r\n", end[-1]); end--)
		end[-1] = 0;
	for (end = eq; end > key && strchr(" \t", end[-1]); end--)
		;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strlen(known[i].key) == (size_t)(end - key) && memcmp(known[i].key, key, (size_t)(end - key)) == 0)
			take(known[i].to, value, bad);
}

/* A file that cannot be read leaves Neo4j's defaults: it may lie in a container; check() says more. */
static bool read_settings(const char *conf, struct settings *s)
{
	char *path = neo4j_path(conf, "neo4j.conf", NULL), line[CONF_LINE_MAX];
	bool bad = !path;
	FILE *f = path ? fopen(path, "re") : NULL;

	while (f && fgets(line, sizeof(line), f))
		take_line(s, line, &bad);
	if (f)
		fclose(f);
	free(path);
	return !bad;
}

/* "0.0.0.0:7474", ":7474", "7474": as an address of this machine. */
static char *listen_url(const struct settings *s)
{
	const char *http = s->http ? s->http : ":7474", *colon = strrchr(http, ':');
	const char *host = colon == http || !colon ? (s->address ? s->address : "127.0.0.1") : http;
	size_t len = host == http ? (size_t)(colon - http) : strlen(host);
	char *url = NULL;

	if (len == 0 || (len == 7 && memcmp(host, "0.0.0.0", 7) == 0) || (len == 9 && memcmp(host, "localhost", 9) == 0)) {
		host = "127.0.0.1";
		len = strlen(host);
	}
	if (asprintf(&url, "http://%.*s:%s", (int)len, host, colon ? colon + 1 : http) < 0)
		return NULL;
	return url;
}

void neo4j_place_release(struct neo4j_place *p)
{
	free(p->home);
	free(p->conf);
	free(p->data);
	free(p->transactions);
	free(p->listen);
	if (p->held)
		closedir(p->held);
	*p = (struct neo4j_place){ 0 };
}

enum err_code neo4j_place_read(const char *home, const char *conf, const char *data, struct neo4j_place *out, struct err *e)
{
	struct neo4j_place p = { .home = strdup(home) };
	struct settings s = { 0 };
	bool ok;

	p.conf = conf ? strdup(conf) : neo4j_path(home, "conf", NULL);
	ok = p.home && p.conf && read_settings(p.conf, &s);
	if (ok) {
		p.data = data ? strdup(data) : below(home, s.data ? s.data : "data");
		p.listen = listen_url(&s);
		ok = p.data && p.listen;
	}
	if (ok) {
		p.transactions = s.transactions ? below(home, s.transactions) : neo4j_path(p.data, "transactions", NULL);
		ok = p.transactions != NULL;
	}
	free(s.data);
	free(s.transactions);
	free(s.http);
	free(s.address);
	if (!ok) {
		neo4j_place_release(&p);
		return err_set(e, ERR_NOMEM, "out of memory");
	}
	*out = p;
	return ERR_OK;
}

enum err_code neo4j_place_conf(const struct component *c, const struct neo4j_place *p, unsigned http, unsigned bolt,
			       struct err *e)
{
	const struct neo4j *n = neo4j_of(c);
	char *path = neo4j_path(p->conf, "neo4j.conf", NULL);
	FILE *f = path ? fopen(path, "we") : NULL;
	bool ok = f != NULL;

	if (ok) {
		fprintf(f,
			"# A scratch home of vouch: it may be removed when no vouch runs\n"
			"server.default_listen_address=127.0.0.1\n"
			"server.http.listen_address=127.0.0.1:%u\n"
			"server.bolt.listen_address=127.0.0.1:%u\n"
			"server.directories.transaction.logs.root=%s\n"
			"server.databases.default_to_read_only=true\n"
			"dbms.security.allow_csv_import_from_file_urls=false\n"
			"server.https.enabled=false\n"
			"db.tx_log.preallocate=false\n"
			"dbms.usage_report.enabled=false\n"
			"initial.dbms.default_database=%s\n"
			"server.memory.heap.initial_size=128m\n"
			"server.memory.heap.max_size=%s\n"
			"server.memory.pagecache.size=64m\n"
			"server.jvm.additional=--add-opens=java.base/java.nio=ALL-UNNAMED\n"
			"server.jvm.additional=--add-opens=java.base/java.io=ALL-UNNAMED\n"
			"server.jvm.additional=--add-opens=java.base/sun.nio.ch=ALL-UNNAMED\n"
			"server.jvm.additional=-XX:+UseSerialGC\n"
			"server.jvm.additional=-XX:TieredStopAtLevel=1\n"
			"server.jvm.additional=-Dlog4j2.disable.jmx=true\n"
			"internal.dbms.bolt.netty_server_shutdown_quiet_period=0\n"
			"internal.dbms.bolt.netty_server_shutdown_timeout=2\n",
			http, bolt, p->transactions, n->database, n->heap);
		ok = !ferror(f);
		ok = fclose(f) == 0 && ok;
	}
	free(path);
	return ok ? ERR_OK : err_sys(e, "write %s/neo4j.conf", p->conf);
}

/* Where the jars are: the tools' programs look for them beside their home, too. */
static enum err_code link_lib(const struct neo4j *n, const char *home, struct err *e)
{
	char *from = neo4j_path(n->tools, "lib", NULL), *to = neo4j_path(home, "lib", NULL);
	enum err_code rc = from && to ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

	if (!rc && access(from, F_OK) == 0 && symlink(from, to) < 0)
		rc = err_sys(e, "make %s", to);
	free(from);
	free(to);
	return rc;
}

enum err_code neo4j_place_make(struct component *c, const char *folder, const char *transactions, struct neo4j_place *out,
			       struct err *e)
{
	static const char *const parts[] = { "conf", "data", "logs", "run", "plugins", "import", "licenses" };
	const struct neo4j *n = neo4j_of(c);
	struct neo4j_place p = { 0 };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < ARRAY_LEN(parts); i++) {
		char *part = neo4j_path(folder, parts[i], NULL);

		if (!part)
			rc = err_set(e, ERR_NOMEM, "out of memory");
		else if (mkdir(part, 0700) < 0)
			rc = err_sys(e, "make the folder %s", part);
		free(part);
	}
	if (!rc)
		rc = neo4j_place_read(folder, NULL, NULL, &p, e);
	if (!rc && transactions) {
		free(p.transactions);
		p.transactions = strdup(transactions);
		if (!p.transactions)
			rc = err_set(e, ERR_NOMEM, "out of memory");
	}
	if (!rc)
		rc = neo4j_place_conf(c, &p, 7474, 7687, e);
	if (!rc)
		rc = link_lib(n, folder, e);
	if (!rc && (!(p.held = opendir(folder)) || flock(dirfd(p.held), LOCK_EX | LOCK_NB) < 0))
		rc = err_sys(e, "lock the folder %s", folder);
	if (rc) {
		neo4j_place_release(&p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

/* One that no process holds was left by a vouch that was killed.  A young one is about to be locked. */
static void remove_left(struct component *c, const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && st.st_mtime < time(NULL) - YOUNG_S &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0) {
		component_note(c, "%s is what a vouch left that was killed: it is removed", path);
		neo4j_drop_tree(path);
	}
	close(fd);
}

static void sweep(struct component *c, const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *one;

	while (d && (one = readdir(d))) {
		char *path = strncmp(one->d_name, SCRATCH_PREFIX, sizeof(SCRATCH_PREFIX) - 1) == 0
				 ? neo4j_path(folder, one->d_name, NULL)
				 : NULL;

		if (path)
			remove_left(c, path);
		free(path);
	}
	if (d)
		closedir(d);
}

enum err_code neo4j_scratch(struct component *c, struct neo4j_place *out, struct err *e)
{
	char *folder = neo4j_path(neo4j_of(c)->scratch, SCRATCH_PREFIX "XXXXXX", NULL);
	enum err_code rc;

	if (!folder)
		return err_set(e, ERR_NOMEM, "out of memory");
	sweep(c, neo4j_of(c)->scratch);
	if (!mkdtemp(folder))
		rc = err_sys(e, "make a folder in %s (scratch)", neo4j_of(c)->scratch);
	else {
		rc = neo4j_place_make(c, folder, NULL, out, e);
		if (rc)
			neo4j_drop_tree(folder);
	}
	free(folder);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

enum err_code neo4j_remove_tree(const char *path, struct err *e)
{
	if (nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		return err_sys(e, "remove %s", path);
	return ERR_OK;
}

void neo4j_drop_tree(const char *path)
{
	struct err ignored = ERR_INIT;

	if (neo4j_remove_tree(path, &ignored))
		return;		/* it lies in a folder for such things, and says what it is */
}

void neo4j_place_remove(struct neo4j_place *p)
{
	if (p->held)
		neo4j_drop_tree(p->home);
	neo4j_place_release(p);
}

bool neo4j_busy(const char *data)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *path = neo4j_path(data, "databases", "store_lock");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool busy = fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;

	if (fd >= 0)
		close(fd);
	free(path);
	return busy;
}

/* nftw has no context; the walks are short and one thread's. */
static _Thread_local struct {
	uint64_t bytes;
	uid_t uid;
	gid_t gid;
} walk;

static int add_size_of(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)path;
	(void)where;
	if (kind == FTW_F)
		walk.bytes += (uint64_t)st->st_blocks * 512;	/* a log is preallocated: count what it has */
	return 0;
}

static enum err_code size_of(const char *folder, const char *database, bool *there, uint64_t *bytes, struct err *e)
{
	char *path = neo4j_path(folder, database, NULL);
	enum err_code rc = ERR_OK;

	walk.bytes = 0;
	if (!path)
		return err_set(e, ERR_NOMEM, "out of memory");
	*there = access(path, F_OK) == 0;
	if (*there && nftw(path, add_size_of, OPEN_FOLDERS, FTW_PHYS) != 0)
		rc = err_sys(e, "look into %s", path);
	*bytes = walk.bytes;
	free(path);
	return rc;
}

enum err_code neo4j_place_size(const struct neo4j_place *p, const char *database, bool *there, uint64_t *bytes,
			       struct err *e)
{
	char *databases = neo4j_path(p->data, "databases", NULL);
	uint64_t logs = 0;
	bool any;
	enum err_code rc;

	if (!databases)
		return err_set(e, ERR_NOMEM, "out of memory");
	rc = size_of(databases, database, there, bytes, e);
	if (!rc)
		rc = size_of(p->transactions, database, &any, &logs, e);
	if (!rc && add_u64(*bytes, logs, bytes))
		*bytes = UINT64_MAX;
	free(databases);
	return rc;
}

enum err_code neo4j_room(const char *folder, uint64_t need, const char *what, struct err *e)
{
	char have[TEXT_LEN], want[TEXT_LEN];
	struct statvfs v;
	uint64_t room;

	if (statvfs(folder, &v) < 0)
		return err_sys(e, "look for room in %s", folder);
	if (mul_u64(v.f_bavail, v.f_frsize, &room))
		room = UINT64_MAX;
	if (room < need)
		return err_set(e, ERR_FAILED,
			       "%s has %s of room, and %s needs %s: make room, or name another folder (scratch)", folder,
			       text_size(room, have), what, text_size(need, want));
	return ERR_OK;
}

static int give_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return lchown(path, walk.uid, walk.gid);
}

enum err_code neo4j_give(const char *path, const char *like, struct err *e)
{
	struct stat st;

	if (geteuid() != 0)
		return ERR_OK;
	if (stat(like, &st) < 0)
		return err_sys(e, "look at %s", like);
	walk.uid = st.st_uid;
	walk.gid = st.st_gid;
	if (nftw(path, give_one, OPEN_FOLDERS, FTW_PHYS) != 0 && errno != ENOENT)
		return err_sys(e, "give %s to the owner of %s", path, like);
	return ERR_OK;
}
