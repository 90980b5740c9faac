/* SPDX-License-Identifier: MIT */
#include "store/engine/catalog_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/checked.h"
#include "store/base/hex.h"

#define APPLICATION_ID 0x76636831 /* "vch1" */
#define SCHEMA_VERSION 3
#define BUSY_MS	       10000
#define FIELD_LEN_MAX  (1 << 20) /* no field of ours is longer than a table's text */
#define MEMORY_PATH    ":memory:"

/* What sqlite_master must hold, in order of name, and nothing else. */
static const struct {
	const char *type, *name, *table, *sql;
} schema[] = {
    {"view", "backup_history", "backup_history",
     "CREATE VIEW backup_history AS SELECT id AS backup_id, type AS backup_type, time AS timestamp, "
     "checksum, bytes AS size_bytes, status, component, snapshot, seconds, error "
     "FROM history ORDER BY time, id"},
    {"table", "history", "history",
     "CREATE TABLE history(time TEXT, id TEXT, type TEXT, component TEXT, snapshot TEXT, "
     "status TEXT, error TEXT, checksum TEXT, bytes INTEGER, seconds REAL, "
     "PRIMARY KEY (time, id)) WITHOUT ROWID"},
    {"table", "meta", "meta", "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID"},
    {"table", "packs", "packs",
     "CREATE TABLE packs(no INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB UNIQUE, kind, len, chunks)"},
    {"table", "pages", "pages",
     "CREATE TABLE pages(no INTEGER PRIMARY KEY, run INTEGER, first INTEGER, data BLOB)"},
    {"index", "pages_first", "pages", "CREATE INDEX pages_first ON pages(run, first)"},
    {"table", "recent", "recent",
     "CREATE TABLE recent(key INTEGER, pack INTEGER, block INTEGER, "
     "PRIMARY KEY (key, pack, block)) WITHOUT ROWID"},
    {"table", "runs", "runs", "CREATE TABLE runs(no INTEGER PRIMARY KEY, rows INTEGER)"},
    {"index", "sqlite_autoindex_packs_1", "packs", NULL},
    {"table", "sqlite_sequence", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"},
};

enum err_code catalog_db_err(struct sqlite3 *db, const char *what, struct err *e)
{
	int x = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
	const char *text = db ? sqlite3_errmsg(db) : "out of memory";
	enum err_code code;

	switch (x & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = ERR_BUSY;
		break;
	case SQLITE_NOMEM:
		code = ERR_NOMEM;
		break;
	case SQLITE_READONLY:
		/* A journal that cannot be rolled back here, or a file replaced under us: useless
		 * as it is. */
		code = x == SQLITE_READONLY_ROLLBACK || x == SQLITE_READONLY_DBMOVED ||
			       x == SQLITE_READONLY_RECOVERY
			   ? ERR_CORRUPT
			   : ERR_IO;
		break;
	case SQLITE_IOERR:
		code = x == SQLITE_IOERR_NOMEM	      ? ERR_NOMEM
		       : x == SQLITE_IOERR_SHORT_READ ? ERR_CORRUPT
						      : ERR_IO;
		break;
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_NOLFS:
		code = ERR_IO;
		break;
	default:
		/* CORRUPT, NOTADB, a table that is gone, a constraint that cannot fail, a walk
		 * without end. */
		code = ERR_CORRUPT;
	}
	err_set(e, code, "index: %s: %s", what, text);
	if (e && code == ERR_IO)
		e->sys = (x & 0xff) == SQLITE_FULL ? ENOSPC : sqlite3_system_errno(db);
	return code;
}

static enum err_code foreign(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "index: %s", what);
}

static enum err_code run(sqlite3 *db, const char *sql, struct err *e)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK
								    : catalog_db_err(db, sql, e);
}

/* The first column of the first row as a number; ERR_CORRUPT where there is no row. */
static enum err_code get_number(sqlite3 *db, const char *sql, int64_t *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return catalog_db_err(db, sql, e);
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		*out = sqlite3_column_int64(st, 0);
		break;
	case SQLITE_DONE:
		rc = foreign("a pragma has no answer", e);
		break;
	default:
		rc = catalog_db_err(db, sql, e);
	}
	sqlite3_finalize(st);
	return rc;
}

static bool same_text(sqlite3_stmt *st, int col, const char *want)
{
	const unsigned char *text = sqlite3_column_text(st, col);

	if (!text || !want)
		return !text && !want && sqlite3_column_type(st, col) == SQLITE_NULL;
	return strcmp((const char *)text, want) == 0;
}

/* ERR_NOT_FOUND where nothing was ever created in this file. */
static enum err_code check_schema(sqlite3 *db, struct err *e)
{
	enum err_code rc;
	sqlite3_stmt *st = NULL;
	int64_t app = 0, version = 0;
	size_t i = 0;
	int step;

	rc = get_number(db, "PRAGMA application_id", &app, e);
	if (!rc)
		rc = get_number(db, "PRAGMA user_version", &version, e);
	if (rc)
		return rc;
	if (sqlite3_prepare_v2(db,
			       "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
			       -1, &st, NULL) != SQLITE_OK)
		return catalog_db_err(db, "schema", e);
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		if (i == ARRAY_LEN(schema) || !same_text(st, 0, schema[i].type) ||
		    !same_text(st, 1, schema[i].name) || !same_text(st, 2, schema[i].table) ||
		    !same_text(st, 3, schema[i].sql)) {
			rc = foreign("its tables are not those of vouch", e);
			goto out;
		}
		i++;
	}
	if (step != SQLITE_DONE)
		rc = catalog_db_err(db, "schema", e);
	else if (i == 0 && app == 0 && version == 0)
		rc = err_set(e, ERR_NOT_FOUND, "index: empty");
	else if (i != ARRAY_LEN(schema))
		rc = foreign("a table is missing", e);
	else if (app != APPLICATION_ID || version != SCHEMA_VERSION)
		rc = foreign("written by another program or version", e);
out:
	sqlite3_finalize(st);
	return rc;
}

static enum err_code check_repository(sqlite3 *db, const char *repo_hex, struct err *e)
{
	enum err_code rc = ERR_OK;
	sqlite3_stmt *st = NULL;
	int step;

	if (sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE name = 'repository'", -1, &st,
			       NULL) != SQLITE_OK)
		return catalog_db_err(db, "meta", e);
	step = sqlite3_step(st);
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		rc = catalog_db_err(db, "meta", e);
	else if (step == SQLITE_DONE || sqlite3_column_type(st, 0) != SQLITE_TEXT ||
		 !same_text(st, 0, repo_hex))
		rc = foreign("made for another repository", e);
	sqlite3_finalize(st);
	return rc;
}

static enum err_code create_tables(sqlite3 *db, const char *repo_hex, struct err *e)
{
	enum err_code rc = ERR_OK;
	char sql[160];

	for (size_t i = 0; i < ARRAY_LEN(schema) && !rc; i++)
		if (strncmp(schema[i].name, "sqlite_", 7) != 0) /* those come by themselves */
			rc = run(db, schema[i].sql, e);
	(void)snprintf(sql, sizeof(sql), "INSERT INTO meta VALUES('repository', '%s')", repo_hex);
	if (!rc)
		rc = run(db, sql, e);
	(void)snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d",
		       APPLICATION_ID, SCHEMA_VERSION);
	if (!rc)
		rc = run(db, sql, e);
	return rc;
}

/* Several processes may find an empty file at once: the first to hold the lock creates, the others
 * find it done. */
static enum err_code create_if_empty(sqlite3 *db, const char *repo_hex, struct err *e)
{
	enum err_code rc = run(db, "BEGIN IMMEDIATE", e);

	if (rc)
		return rc;
	rc = check_schema(db, e);
	if (rc == ERR_NOT_FOUND)
		rc = create_tables(db, repo_hex, e);
	if (!rc)
		rc = run(db, "COMMIT", e);
	if (rc)
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL,
				   NULL); /* the first error is what counts */
	return rc;
}

/* Before the first statement touches the file. */
static enum err_code defend(sqlite3 *db, bool read_only, struct err *e)
{
	static const struct {
		int op, value;
	} config[] = {
	    {SQLITE_DBCONFIG_DEFENSIVE, 1},	 {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
	    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
	    {SQLITE_DBCONFIG_DQS_DDL, 0},	 {SQLITE_DBCONFIG_DQS_DML, 0},
	};
	enum err_code rc;

	for (size_t i = 0; i < ARRAY_LEN(config); i++)
		if (sqlite3_db_config(db, config[i].op, config[i].value, (int *)NULL) != SQLITE_OK)
			return catalog_db_err(db, "configure", e);
	(void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, FIELD_LEN_MAX);
	(void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	(void)sqlite3_busy_timeout(db, BUSY_MS);
	rc = run(db,
		 "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; "
		 "PRAGMA cache_size=-8192; PRAGMA locking_mode=NORMAL; PRAGMA synchronous=NORMAL",
		 e);
	/* A rollback journal: a write-ahead log needs shared memory, which exFAT over FUSE and SMB
	 * do not give. */
	if (!rc && !read_only)
		rc = run(db, "PRAGMA journal_mode=DELETE", e);
	return rc;
}

/*
 * SQLite's own file handle reads, because closing a second one would drop the
 * locks that other connections of this process hold on the same file.
 */
static enum err_code check_header(sqlite3 *db, struct err *e)
{
	sqlite3_file *f = NULL;
	uint8_t head[20];

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f) != SQLITE_OK || !f ||
	    !f->pMethods)
		return ERR_OK; /* in memory */
	if (f->pMethods->xRead(f, head, sizeof(head), 0) != SQLITE_OK)
		return ERR_OK; /* empty or short: the schema check tells */
	if (memcmp(head, "SQLite format 3", 16) != 0)
		return foreign("not a database", e);
	if (head[18] != 1 || head[19] != 1)
		return foreign("needs a write-ahead log, which vouch does not use", e);
	return ERR_OK;
}

/*
 * A journal that names a super-journal makes SQLite delete the file of that
 * name, wherever it is.  Ours never do; one from a medium may.
 */
static bool journal_is_hostile(const char *journal)
{
	static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	uint8_t tail[8];
	struct stat st;
	bool bad = false;
	int fd = open(journal, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno != ENOENT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		bad = true;
	else if (st.st_size >= 16)
		bad = pread(fd, tail, sizeof(tail), st.st_size - 8) == sizeof(tail) &&
		      memcmp(tail, magic, sizeof(magic)) == 0;
	(void)close(fd);
	return bad;
}

/* What lies beside the file, before SQLite looks at it. */
static enum err_code check_files(const char *path, bool read_only, struct err *e)
{
	char beside[PATH_MAX + 16];
	struct stat st;

	if (lstat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return foreign("not a regular file", e);
	} else if (errno != ENOENT) {
		return err_sys(e, "index: %s", path);
	} else if (read_only) {
		return err_set(e, ERR_NOT_FOUND, "index: %s is not there", path);
	}
	(void)snprintf(beside, sizeof(beside), "%s-wal", path);
	if (lstat(beside, &st) == 0)
		return foreign("a write-ahead log lies beside it", e);
	(void)snprintf(beside, sizeof(beside), "%s-journal", path);
	if (read_only && lstat(beside, &st) == 0)
		return foreign("a journal lies beside it, and cannot be rolled back here", e);
	if (journal_is_hostile(beside))
		return foreign("the journal beside it is not ours", e);
	return ERR_OK;
}

/* The folder's real path and the last name: SQLite refuses links anywhere in a path opened with
 * NOFOLLOW. */
static enum err_code real_path(const char *path, char out[PATH_MAX], struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	char dir[PATH_MAX], real[PATH_MAX];
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= sizeof(dir))
		return err_set(e, ERR_LIMIT, "index: path of %zu bytes", strlen(path));
	if (slash && n == 0) {
		dir[n++] = '/';
	} else if (!slash) {
		dir[n++] = '.';
	} else {
		memcpy(dir, path, n);
	}
	dir[n] = '\0';
	if (!realpath(dir, real))
		return err_sys(e, "index: folder %s", dir);
	if (snprintf(out, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, base) >= PATH_MAX)
		return err_set(e, ERR_LIMIT, "index: path of %zu bytes", strlen(path));
	return ERR_OK;
}

/* "file:" and the path, percent-encoded; immutable: no lock, no journal, no look for changes. */
static void immutable_uri(const char *path, struct buf *out)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";

	buf_add_str(out, "file:");
	for (; *path; path++) {
		if (strchr(plain, *path))
			buf_add(out, path, 1);
		else
			buf_printf(out, "%%%02x", (unsigned)(unsigned char)*path);
	}
	buf_add_str(out, "?immutable=1");
	buf_add_u8(out, 0);
}

static enum err_code open_file(const char *path, bool read_only, sqlite3 **db, struct err *e)
{
	const int common = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
	enum err_code rc = ERR_OK;
	struct buf uri = BUF_INIT;
	int fd;

	if (read_only) {
		immutable_uri(path, &uri);
		if (uri.bad)
			return err_set(e, ERR_NOMEM, "index: path");
		if (sqlite3_open_v2((const char *)uri.p, db,
				    common | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
				    NULL) != SQLITE_OK)
			rc = catalog_db_err(*db, "open", e);
		buf_release(&uri);
		return rc;
	}
	/* SQLite would create it readable by others. Where this fails, SQLite says why. */
	if (strcmp(path, MEMORY_PATH) != 0) {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0)
			(void)close(fd);
	}
	if (sqlite3_open_v2(path, db, common | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
	    SQLITE_OK)
		return catalog_db_err(*db, "open", e);
	if (sqlite3_db_readonly(*db, "main") == 1) {
		rc = err_set(e, ERR_IO, "index: %s cannot be written", path);
		if (e)
			e->sys = EROFS;
	}
	return rc;
}

enum err_code catalog_db_open(const char *path, const uint8_t repo_id[16], bool read_only,
			      struct sqlite3 **out, struct err *e)
{
	bool memory = strcmp(path, MEMORY_PATH) == 0;
	char real[PATH_MAX] = MEMORY_PATH, repo_hex[33];
	enum err_code rc = ERR_OK;
	sqlite3 *db = NULL;

	hex_encode(repo_id, 16, repo_hex);
	if (!memory)
		rc = real_path(path, real, e);
	if (!rc && !memory)
		rc = check_files(real, read_only, e);
	if (!rc)
		rc = open_file(real, read_only && !memory, &db, e);
	if (!rc)
		rc = check_header(db, e);
	if (!rc)
		rc = defend(db, read_only, e);
	if (!rc)
		rc = check_schema(db, e);
	if (rc == ERR_NOT_FOUND && db && !read_only)
		rc = create_if_empty(db, repo_hex, e);
	else if (rc == ERR_NOT_FOUND && db)
		rc = foreign("empty", e);
	if (!rc)
		rc = check_repository(db, repo_hex, e);
	if (!rc) {
		err_clear(e); /* "empty" was not the last word */
		*out = db;
		return ERR_OK;
	}
	(void)sqlite3_close(db);
	return rc;
}
