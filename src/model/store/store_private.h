// What the parts of the store share.

#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include "model/store.h"

struct store {
	sqlite3 *database;
	char *path;
	dev_t device; // and number of the file that was opened
	ino_t file;
	int failure; // of the last commit
};

// The line for the last error of the database. Returns -1.
int store_error(const struct store *store, struct error *err, const char *what);

int store_run(const struct store *store, const char *sql, struct error *err);

// NULL with an error.
sqlite3_stmt *store_statement(const struct store *store, const char *sql, struct error *err);

// The one number that the statement results in.
int store_number(const struct store *store, const char *sql, int64_t *number, struct error *err);

// The packed object in a column of the row; NULL where it is not readable or another one.
Sluice__V1__Object *store_object(sqlite3_stmt *statement, int column, const char *kind,
				 const char *name);

// schema.c: is the file ours, whole, and of a version that is known? A new file gets its tables, an
// older version what it lacks.
int store_schema(const struct store *store, struct error *err);

// history.c: within the transaction of the change.
int store_history_write(const struct store *store, const struct change *changes, size_t count,
			const struct store_record *record, struct error *err);
