// The changes that led to the present state, in the store.

#include <stdio.h>
#include <time.h>

#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"
#include "model/store/store_private.h"

#define SECOND 1000 // of the times in the tables
// That a summary names.
#define SUMMARY_OBJECTS 2

static int statement_finish(const struct store *store, sqlite3_stmt *statement, struct error *err)
{
	int result = 0;

	if (sqlite3_step(statement) != SQLITE_DONE)
		result = store_error(store, err, "cannot write the store");
	sqlite3_finalize(statement);
	return result;
}

static int objects_write(const struct store *store, const struct change *changes, size_t count,
			 uint64_t revision, uint64_t *size, struct error *err)
{
	sqlite3_stmt *statement =
		store_statement(store, "INSERT INTO history_objects VALUES (?, ?, ?, ?, ?)", err);
	int result = statement ? 0 : -1;

	*size = 0;
	for (size_t i = 0; i < count && result == 0; i++) {
		const struct change *change = &changes[i];
		uint8_t *data = NULL;

		if (change->action == SLUICE__V1__ACTION__ACTION_UNCHANGED)
			continue;
		sqlite3_bind_int64(statement, 1, (int64_t)revision);
		sqlite3_bind_text(statement, 2, kind_name(change->kind), -1, SQLITE_STATIC);
		sqlite3_bind_text(statement, 3, change->name, -1, SQLITE_STATIC);
		sqlite3_bind_int(statement, 4, (int)change->action);
		if (change->before) {
			size_t length = sluice__v1__object__get_packed_size(change->before);

			data = memory_new(length);
			sluice__v1__object__pack(change->before, data);
			sqlite3_bind_blob64(statement, 5, data, length, SQLITE_STATIC);
			*size += length;
		} else {
			sqlite3_bind_null(statement, 5);
		}
		*size += strlen(change->name);
		if (sqlite3_step(statement) != SQLITE_DONE)
			result = store_error(store, err, "cannot write the store");
		sqlite3_reset(statement);
		sqlite3_clear_bindings(statement);
		free(data);
	}
	sqlite3_finalize(statement);
	return result;
}

static int entry_write(const struct store *store, const struct change *changes, size_t count,
		       const struct store_record *record, uint64_t size, struct error *err)
{
	sqlite3_stmt *statement = store_statement(
		store, "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", err);
	int counts[4] = {0};

	if (!statement)
		return -1;
	for (size_t i = 0; i < count; i++)
		counts[changes[i].action & 3]++;
	sqlite3_bind_int64(statement, 1, (int64_t)record->revision);
	sqlite3_bind_int64(statement, 2, record->time);
	sqlite3_bind_text(statement, 3, record->action, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 4, (int64_t)record->back_to);
	sqlite3_bind_text(statement, 5, record->user, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 6, record->comment, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 7, record->confirm_seconds ? "waiting" : "", -1,
			  SQLITE_STATIC);
	sqlite3_bind_int(statement, 8, counts[SLUICE__V1__ACTION__ACTION_CREATED]);
	sqlite3_bind_int(statement, 9, counts[SLUICE__V1__ACTION__ACTION_CHANGED]);
	sqlite3_bind_int(statement, 10, counts[SLUICE__V1__ACTION__ACTION_DELETED]);
	sqlite3_bind_int64(statement, 11, (int64_t)size);
	return statement_finish(store, statement, err);
}

// The oldest ones go; what is kept has no gaps, so that one can go back through it.
static int history_bound(const struct store *store, uint64_t revision, struct error *err)
{
	int64_t first = 1;
	char sql[400];

	snprintf(sql, sizeof(sql),
		 "SELECT max(coalesce(max(revision) + 1, 1), %lld) FROM (SELECT revision, "
		 "sum(size) OVER (ORDER BY revision DESC) AS total FROM history) WHERE total > %u "
		 "AND revision < %llu",
		 (long long)revision - STORE_HISTORY_MAX + 1, STORE_HISTORY_BYTES,
		 (unsigned long long)revision);
	if (store_number(store, sql, &first, err) < 0)
		return -1;
	snprintf(sql, sizeof(sql),
		 "DELETE FROM history_objects WHERE revision < %lld;"
		 "DELETE FROM history WHERE revision < %lld;",
		 (long long)first, (long long)first);
	return store_run(store, sql, err);
}

static int waiting_end(const struct store *store, const char *how, struct error *err)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "UPDATE history SET confirmation = '%s' WHERE revision IN (SELECT revision FROM "
		 "waiting); DELETE FROM waiting;",
		 how);
	return store_run(store, sql, err);
}

int store_history_write(const struct store *store, const struct change *changes, size_t count,
			const struct store_record *record, struct error *err)
{
	uint64_t size;
	char sql[160];

	if (objects_write(store, changes, count, record->revision, &size, err) < 0 ||
	    entry_write(store, changes, count, record, size, err) < 0 ||
	    (record->reverts && waiting_end(store, "reverted", err) < 0) ||
	    history_bound(store, record->revision, err) < 0)
		return -1;
	if (!record->confirm_seconds)
		return 0;
	snprintf(sql, sizeof(sql), "INSERT INTO waiting VALUES (1, %llu, %lld, %u)",
		 (unsigned long long)record->revision,
		 (long long)record->time + (long long)record->confirm_seconds * SECOND,
		 record->confirm_seconds);
	return store_run(store, sql, err);
}

int store_confirm(struct store *store, struct error *err)
{
	if (store_run(store, "BEGIN IMMEDIATE", err) < 0)
		return -1;
	if (waiting_end(store, "confirmed", err) < 0 || store_run(store, "COMMIT", err) < 0) {
		sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	return 0;
}

int store_waiting(struct store *store, struct store_waiting *waiting, struct error *err)
{
	sqlite3_stmt *statement =
		store_statement(store, "SELECT revision, deadline, seconds FROM waiting", err);
	int step;

	*waiting = (struct store_waiting){0};
	if (!statement)
		return -1;
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW) {
		waiting->revision = (uint64_t)sqlite3_column_int64(statement, 0);
		waiting->deadline = sqlite3_column_int64(statement, 1);
		waiting->seconds = (uint32_t)sqlite3_column_int64(statement, 2);
	} else if (step != SQLITE_DONE) {
		store_error(store, err, "cannot read the store");
	}
	sqlite3_finalize(statement);
	return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : -1;
}

static char *column_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return memory_text(text ? text : "");
}

// RFC 3339, UTC.
static char *time_text(int64_t milliseconds)
{
	time_t seconds = milliseconds / SECOND;
	struct tm fields;
	char day[64], text[80];

	gmtime_r(&seconds, &fields);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &fields);
	snprintf(text, sizeof(text), "%s.%03dZ", day, (int)(milliseconds % SECOND));
	return memory_text(text);
}

static Sluice__V1__HistoryEntry *entry_read(sqlite3_stmt *statement)
{
	Sluice__V1__HistoryEntry *entry = memory_new(sizeof(*entry));

	sluice__v1__history_entry__init(entry);
	entry->revision = (uint64_t)sqlite3_column_int64(statement, 0);
	entry->time = time_text(sqlite3_column_int64(statement, 1));
	entry->action = column_text(statement, 2);
	entry->back_to = (uint64_t)sqlite3_column_int64(statement, 3);
	entry->user = column_text(statement, 4);
	entry->comment = column_text(statement, 5);
	entry->confirmation = column_text(statement, 6);
	entry->created = (uint32_t)sqlite3_column_int64(statement, 7);
	entry->changed = (uint32_t)sqlite3_column_int64(statement, 8);
	entry->deleted = (uint32_t)sqlite3_column_int64(statement, 9);
	if (sqlite3_column_type(statement, 10) != SQLITE_NULL)
		entry->reverts_at = time_text(sqlite3_column_int64(statement, 10));
	return entry;
}

// What was after a change of an object: before its next one, or it is the present one. With min(),
// SQLite takes the other columns from the row that has the minimum.
static const char objects_sql[] =
	"WITH next AS MATERIALIZED (SELECT kind, name, before, min(revision) FROM history_objects "
	"WHERE revision > ?1 GROUP BY kind, name) "
	"SELECT h.kind, h.name, h.action, h.before, coalesce(n.before, o.object) "
	"FROM history_objects h LEFT JOIN next n ON n.kind = h.kind AND n.name = h.name "
	"LEFT JOIN objects o ON o.kind = h.kind AND o.name = h.name WHERE h.revision = ?1 "
	"ORDER BY h.kind, h.name";

static int objects_read(const struct store *store, Sluice__V1__HistoryEntry *entry,
			struct error *err)
{
	sqlite3_stmt *statement = store_statement(store, objects_sql, err);
	size_t capacity = 0;
	int step;

	if (!statement)
		return -1;
	sqlite3_bind_int64(statement, 1, (int64_t)entry->revision);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		Sluice__V1__HistoryChange *change = memory_new(sizeof(*change));

		sluice__v1__history_change__init(change);
		change->kind = column_text(statement, 0);
		change->name = column_text(statement, 1);
		change->action = (Sluice__V1__Action)sqlite3_column_int(statement, 2);
		change->before = store_object(statement, 3, change->kind, change->name);
		if (change->action != SLUICE__V1__ACTION__ACTION_DELETED)
			change->after = store_object(statement, 4, change->kind, change->name);
		entry->changes = memory_grow(entry->changes, entry->n_changes, &capacity,
					     sizeof(*entry->changes));
		entry->changes[entry->n_changes++] = change;
	}
	if (step != SQLITE_DONE)
		store_error(store, err, "cannot read the store");
	sqlite3_finalize(statement);
	return step == SQLITE_DONE ? 0 : -1;
}

static const char entries_sql[] =
	"SELECT h.revision, time, action, back_to, user, comment, confirmation, created, changed, "
	"deleted, deadline FROM history h LEFT JOIN waiting w ON w.revision = h.revision WHERE ?1 "
	"= "
	"0 OR h.revision = ?1 ORDER BY h.revision DESC LIMIT ?2";

// The first objects that each of the changes was about, and how many more there are.
static int summaries_read(const struct store *store, const Sluice__V1__HistoryResponse *response,
			  struct error *err)
{
	sqlite3_stmt *statement =
		store_statement(store,
				"SELECT kind, name, action FROM history_objects WHERE revision = ? "
				"ORDER BY kind, name LIMIT ?",
				err);
	int step = SQLITE_DONE;

	for (size_t i = 0; statement && i < response->n_entries && step == SQLITE_DONE; i++) {
		Sluice__V1__HistoryEntry *entry = response->entries[i];
		uint32_t left = entry->created + entry->changed + entry->deleted;
		FILE *file = memory_required(open_memstream(&entry->summary, &(size_t){0}));
		const char *separator = "";

		sqlite3_bind_int64(statement, 1, (int64_t)entry->revision);
		sqlite3_bind_int(statement, 2, SUMMARY_OBJECTS);
		while ((step = sqlite3_step(statement)) == SQLITE_ROW && left) {
			fprintf(file, "%s%s/%s %s", separator,
				(const char *)sqlite3_column_text(statement, 0),
				(const char *)sqlite3_column_text(statement, 1),
				action_name((Sluice__V1__Action)sqlite3_column_int(statement, 2)));
			separator = ", ";
			left--;
		}
		if (left)
			fprintf(file, "%s%u more", *separator ? " and " : "", left);
		fclose(file);
		memory_required(entry->summary);
		sqlite3_reset(statement);
	}
	if (statement && step != SQLITE_DONE)
		store_error(store, err, "cannot read the store");
	sqlite3_finalize(statement);
	return statement && step == SQLITE_DONE ? 0 : -1;
}

static int oldest_read(const struct store *store, uint64_t *oldest, struct error *err)
{
	int64_t number;

	// Before the first change there was the state that it was made to.
	if (store_number(store,
			 "SELECT coalesce((SELECT min(revision) - 1 FROM history), revision) FROM "
			 "state",
			 &number, err) < 0)
		return -1;
	*oldest = (uint64_t)number;
	return 0;
}

int store_history(struct store *store, uint64_t revision, uint32_t limit,
		  Sluice__V1__HistoryResponse **result, struct error *err)
{
	sqlite3_stmt *statement = store_statement(store, entries_sql, err);
	Sluice__V1__HistoryResponse *response;
	size_t capacity = 0;
	int64_t present;
	int step;

	if (!statement)
		return -1;
	response = memory_new(sizeof(*response));
	sluice__v1__history_response__init(response);
	sqlite3_bind_int64(statement, 1, (int64_t)revision);
	sqlite3_bind_int64(statement, 2, limit ? (int64_t)limit : -1);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		response->entries = memory_grow(response->entries, response->n_entries, &capacity,
						sizeof(*response->entries));
		response->entries[response->n_entries++] = entry_read(statement);
	}
	if (step != SQLITE_DONE)
		store_error(store, err, "cannot read the store");
	sqlite3_finalize(statement);
	if (step != SQLITE_DONE ||
	    store_number(store, "SELECT revision FROM state", &present, err) < 0 ||
	    oldest_read(store, &response->oldest, err) < 0 ||
	    summaries_read(store, response, err) < 0 ||
	    (revision && response->n_entries &&
	     objects_read(store, response->entries[0], err) < 0)) {
		sluice__v1__history_response__free_unpacked(response, NULL);
		return -1;
	}
	response->revision = (uint64_t)present;
	*result = response;
	return 0;
}

static const char restore_sql[] = "SELECT kind, name, before, min(revision) FROM history_objects "
				  "WHERE revision > ? GROUP BY kind, name";

int store_restore(struct store *store, const struct object_set *set, uint64_t revision,
		  struct object_set **result, uint64_t *oldest, struct error *err)
{
	sqlite3_stmt *statement;
	int step;

	*result = NULL;
	if (oldest_read(store, oldest, err) < 0)
		return -1;
	if (revision < *oldest)
		return 0;
	statement = store_statement(store, restore_sql, err);
	if (!statement)
		return -1;
	*result = object_set_copy(set);
	sqlite3_bind_int64(statement, 1, (int64_t)revision);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *kind = (const char *)sqlite3_column_text(statement, 0);
		const char *name = (const char *)sqlite3_column_text(statement, 1);
		Sluice__V1__Object *object;

		if (sqlite3_column_type(statement, 2) == SQLITE_NULL) {
			object_set_remove(*result, kind_find(kind), name);
			continue;
		}
		object = store_object(statement, 2, kind, name);
		if (!object) {
			error_set(err,
				  "%s: the store is damaged: %s/%s of revision %llu cannot be "
				  "read",
				  store->path, kind, name, (unsigned long long)revision);
			break;
		}
		object_set_put(*result, object);
	}
	if (step != SQLITE_DONE && step != SQLITE_ROW)
		store_error(store, err, "cannot read the store");
	sqlite3_finalize(statement);
	if (step == SQLITE_DONE)
		return 0;
	object_set_free(*result);
	*result = NULL;
	return -1;
}
