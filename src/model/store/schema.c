// The tables of the store, and what older versions of them lack.

#include <stdio.h>

#include "model/store/store_private.h"

// Marks the file as ours ("Slui"), and the form of its tables.
#define APPLICATION_ID 0x536c7569
#define SCHEMA_VERSION 2

// What version 1 is.
static const char objects_create[] =
	"CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);"
	"INSERT INTO state VALUES (1, 0);"
	"CREATE TABLE objects (kind TEXT NOT NULL, name TEXT NOT NULL, object BLOB NOT NULL,"
	" PRIMARY KEY (kind, name)) WITHOUT ROWID;";

// What version 2 has beside it. A change remembers what was before it; what was there after it is
// in the next change of the same object, or present. `size` is of the objects in bytes, `time` and
// `deadline` in milliseconds since 1970.
static const char history_create[] =
	"CREATE TABLE history (revision INTEGER PRIMARY KEY, time INTEGER NOT NULL, action TEXT "
	"NOT NULL, back_to INTEGER NOT NULL, user TEXT NOT NULL, comment TEXT NOT NULL, "
	"confirmation TEXT NOT NULL, created INTEGER NOT NULL, changed INTEGER NOT NULL, deleted "
	"INTEGER NOT NULL, size INTEGER NOT NULL);"
	"CREATE TABLE history_objects (revision INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT "
	"NOT NULL, action INTEGER NOT NULL, before BLOB, PRIMARY KEY (revision, kind, name)) "
	"WITHOUT ROWID;"
	"CREATE TABLE waiting (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, "
	"deadline INTEGER NOT NULL, seconds INTEGER NOT NULL);";

static int schema_make(const struct store *store, int64_t version, struct error *err)
{
	char sql[2048];

	snprintf(sql, sizeof(sql),
		 "BEGIN IMMEDIATE;%s%sPRAGMA application_id = %d;PRAGMA user_version = %d;COMMIT;",
		 version < 1 ? objects_create : "", history_create, APPLICATION_ID, SCHEMA_VERSION);
	if (store_run(store, sql, err) == 0)
		return 0;
	sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return -1;
}

int store_schema(const struct store *store, struct error *err)
{
	int64_t application, version, tables;

	if (store_number(store, "PRAGMA application_id", &application, err) < 0 ||
	    store_number(store, "PRAGMA user_version", &version, err) < 0 ||
	    store_number(store, "SELECT count(*) FROM sqlite_master", &tables, err) < 0)
		return -1;
	if (application == 0 && version == 0 && tables == 0)
		return schema_make(store, 0, err);
	if (application != APPLICATION_ID)
		return error_set(err, "%s: is a database of another program", store->path);
	if (version == 1)
		return schema_make(store, 1, err);
	if (version != SCHEMA_VERSION)
		return error_set(err, "%s: has version %lld, this program knows up to %d",
				 store->path, (long long)version, SCHEMA_VERSION);
	return 0;
}
