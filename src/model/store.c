// Desired state on disk, in SQLite.

#include "model/store.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"
#include "model/store/store_private.h"

#define BUSY_TIMEOUT_MS 2000

// The kernel caches the file, too. In KiB where it is negative.
#define CACHE "PRAGMA cache_size = -256;"

int store_error(const struct store *store, struct error *err, const char *what)
{
	int code = sqlite3_extended_errcode(store->database);

	switch (code & 0xff) {
	case SQLITE_BUSY:
		return error_set(err, "%s: %s: another process uses it", store->path, what);
	case SQLITE_FULL:
		return error_set(err, "%s: %s: no space is left on its disk", store->path, what);
	case SQLITE_READONLY:
		return error_set(err, "%s: %s: the file, its directory or its disk is read-only",
				 store->path, what);
	case SQLITE_IOERR:
		// The kernel's word, where SQLite has kept it.
		if (sqlite3_system_errno(store->database))
			return error_set(err, "%s: %s: %s", store->path, what,
					 strerror(sqlite3_system_errno(store->database)));
		break;
	default:
		break;
	}
	return error_set(err, "%s: %s: %s", store->path, what, sqlite3_errmsg(store->database));
}

int store_run(const struct store *store, const char *sql, struct error *err)
{
	if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_error(store, err, "cannot use the store");
	return 0;
}

sqlite3_stmt *store_statement(const struct store *store, const char *sql, struct error *err)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK)
		return statement;
	store_error(store, err, "cannot use the store");
	return NULL;
}

int store_number(const struct store *store, const char *sql, int64_t *number, struct error *err)
{
	sqlite3_stmt *statement = store_statement(store, sql, err);
	int result = -1;

	if (statement && sqlite3_step(statement) == SQLITE_ROW) {
		*number = sqlite3_column_int64(statement, 0);
		result = 0;
	} else if (statement) {
		store_error(store, err, "cannot read the store");
	}
	sqlite3_finalize(statement);
	return result;
}

static int integrity_check(const struct store *store, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = -1;

	if (sqlite3_prepare_v2(store->database, "PRAGMA quick_check(1)", -1, &statement, NULL) !=
		    SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		store_error(store, err, "cannot read the store");
	else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
		// What SQLite says of it has several lines.
		error_set(err, "%s: the store is damaged", store->path);
	else
		result = 0;
	sqlite3_finalize(statement);
	return result;
}

static void parent_make(const char *path)
{
	char copy[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return;
	strcpy(copy, path);
	// Whether it worked is seen when the file is opened.
	mkdir(dirname(copy), 0750);
}

// Is the file that was opened still the one at the path?
static bool file_find(const struct store *store, struct error *err)
{
	struct stat is;

	if (stat(store->path, &is) < 0)
		return error_errno(err, "%s", store->path) == 0;
	if (is.st_dev != store->device || is.st_ino != store->file)
		return error_set(err, "%s: another file is in its place; a restart takes that",
				 store->path) == 0;
	return true;
}

bool store_is_lost(const struct store *store)
{
	struct stat is;

	return (stat(store->path, &is) < 0 && errno == ENOENT) ||
	       store->failure == SQLITE_CORRUPT || store->failure == SQLITE_NOTADB;
}

static int open_file(const char *path, int create, int wait, struct store **result,
		     struct error *err)
{
	struct store *store = memory_new(sizeof(*store));
	struct stat is;
	mode_t mask;
	int opened;

	store->path = memory_text(path);
	mask = umask(0027);
	opened = sqlite3_open_v2(path, &store->database,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | create, NULL);
	umask(mask);
	if (opened != SQLITE_OK) {
		store_error(store, err, "cannot open the store");
		goto failed;
	}
	sqlite3_busy_timeout(store->database, wait);
	// One process has the store; the lock is taken by the first statement that reads and kept
	// until the end.
	if (store_run(store, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; " CACHE,
		      err) < 0 ||
	    store_run(store, "BEGIN EXCLUSIVE; COMMIT;", err) < 0 || store_schema(store, err) < 0 ||
	    integrity_check(store, err) < 0)
		goto failed;
	if (stat(path, &is) == 0) {
		store->device = is.st_dev;
		store->file = is.st_ino;
	}
	*result = store;
	return 0;
failed:
	store_close(store);
	return -1;
}

int store_open(const char *path, struct store **store, struct error *err)
{
	parent_make(path);
	return open_file(path, SQLITE_OPEN_CREATE, BUSY_TIMEOUT_MS, store, err);
}

int store_open_now(const char *path, bool create, struct store **store, struct error *err)
{
	if (create)
		parent_make(path);
	return open_file(path, create ? SQLITE_OPEN_CREATE : 0, 0, store, err);
}

Sluice__V1__Object *store_object(sqlite3_stmt *statement, int column, const char *kind,
				 const char *name)
{
	const void *data = sqlite3_column_blob(statement, column);
	size_t size = (size_t)sqlite3_column_bytes(statement, column);
	Sluice__V1__Object *object = NULL;

	if (kind && name && data)
		object = sluice__v1__object__unpack(NULL, size, data);
	if (object && object_message(object) && strcmp(object_kind_name(object), kind) == 0 &&
	    strcmp(object_name(object), name) == 0)
		return object;
	object_free(object);
	return NULL;
}

static int row_load(const struct store *store, sqlite3_stmt *statement, struct object_set *set,
		    struct error *err)
{
	const char *kind = (const char *)sqlite3_column_text(statement, 0);
	const char *name = (const char *)sqlite3_column_text(statement, 1);
	Sluice__V1__Object *object = store_object(statement, 2, kind, name);

	if (!object)
		return error_set(err, "%s: the store is damaged: %s/%s cannot be read", store->path,
				 kind ? kind : "?", name ? name : "?");
	object_set_put(set, object);
	return 0;
}

int store_load(struct store *store, struct object_set *set, uint64_t *revision, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	int64_t number;
	int step;

	if (store_number(store, "SELECT revision FROM state", &number, err) < 0)
		return -1;
	if (sqlite3_prepare_v2(store->database, "SELECT kind, name, object FROM objects", -1,
			       &statement, NULL) != SQLITE_OK)
		return store_error(store, err, "cannot read the store");
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		if (row_load(store, statement, set, err) < 0) {
			sqlite3_finalize(statement);
			return -1;
		}
	}
	if (step != SQLITE_DONE)
		store_error(store, err, "cannot read the store");
	sqlite3_finalize(statement);
	if (step != SQLITE_DONE)
		return -1;
	*revision = (uint64_t)number;
	return 0;
}

static int change_write(const struct store *store, sqlite3_stmt *put, sqlite3_stmt *drop,
			const struct change *change, struct error *err)
{
	sqlite3_stmt *statement = change->object ? put : drop;
	uint8_t *data = NULL;
	int result = 0;

	sqlite3_reset(statement);
	sqlite3_bind_text(statement, 1, kind_name(change->kind), -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, change->name, -1, SQLITE_STATIC);
	if (change->object) {
		size_t size = sluice__v1__object__get_packed_size(change->object);

		data = memory_new(size);
		sluice__v1__object__pack(change->object, data);
		sqlite3_bind_blob64(statement, 3, data, size, SQLITE_STATIC);
	}
	if (sqlite3_step(statement) != SQLITE_DONE)
		result = store_error(store, err, "cannot write the store");
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	free(data);
	return result;
}

static int changes_write(const struct store *store, const struct change *changes, size_t count,
			 uint64_t revision, struct error *err)
{
	sqlite3_stmt *put =
		store_statement(store, "INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", err);
	sqlite3_stmt *drop =
		put ? store_statement(store, "DELETE FROM objects WHERE kind = ? AND name = ?", err)
		    : NULL;
	int result = drop ? 0 : -1;
	char sql[80];

	for (size_t i = 0; i < count && result == 0; i++)
		if (changes[i].action != SLUICE__V1__ACTION__ACTION_UNCHANGED)
			result = change_write(store, put, drop, &changes[i], err);
	sqlite3_finalize(put);
	sqlite3_finalize(drop);
	if (result < 0)
		return -1;
	snprintf(sql, sizeof(sql), "UPDATE state SET revision = %lld", (long long)revision);
	return store_run(store, sql, err);
}

int store_commit(struct store *store, const struct change *changes, size_t count,
		 const struct store_record *record, struct error *err)
{
	store->failure = SQLITE_OK;
	// What is written into a removed file would be gone with the process.
	if (!file_find(store, err) || store_run(store, "BEGIN IMMEDIATE", err) < 0)
		return -1;
	if (changes_write(store, changes, count, record->revision, err) < 0 ||
	    store_history_write(store, changes, count, record, err) < 0 ||
	    store_run(store, "COMMIT", err) < 0) {
		store->failure = sqlite3_errcode(store->database);
		sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	sqlite3_close(store->database);
	free(store->path);
	free(store);
}
