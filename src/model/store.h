// Desired state on disk: an SQLite database of packed objects, the number of the state (its
// revision), and the changes that led to it, of which the newest are kept.
//
// Threads: one at a time.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/set.h"
#include "model/transaction.h"

struct store;

// Changes that are kept: so many, and no more than so many bytes of objects (the last one is kept
// in any case).
#define STORE_HISTORY_MAX   1000
#define STORE_HISTORY_BYTES (64u * 1024 * 1024)

// What is remembered of a change.
struct store_record {
	uint64_t revision; // that it makes: the last one's plus one
	int64_t time;	   // milliseconds since 1970 UTC
	const char *action;
	uint64_t back_to; // of a rollback and a revert
	const char *user;
	const char *comment;
	// It reverts by itself after so many seconds, unless it is confirmed. 0: it stays.
	uint32_t confirm_seconds;
	// It ends the wait for the confirmation of the change before.
	bool reverts;
};

// A change that waits for its confirmation.
struct store_waiting {
	uint64_t revision; // 0: none waits. It reverts to the one before
	int64_t deadline;  // milliseconds since 1970 UTC
	uint32_t seconds;  // that were given to it
};

// Opens or creates the database, and the directory that holds it where only that is missing. A file
// that is no database of ours, is damaged, or is in use by another process is an error.
int store_open(const char *path, struct store **store, struct error *err);

// The same, and nobody is waited for; without `create` it must be there.
int store_open_now(const char *path, bool create, struct store **store, struct error *err);

// Can nothing be stored there any more, whatever is done? After store_commit has failed: the
// database is damaged, or its file was removed.
bool store_is_lost(const struct store *store);

// Puts all objects into `set`, which is empty. The objects are not validated. A revision of 0 is a
// new store.
int store_load(struct store *store, struct object_set *set, uint64_t *revision, struct error *err);

// Makes the changes durable, all or none, with what is to be remembered of them.
int store_commit(struct store *store, const struct change *changes, size_t count,
		 const struct store_record *record, struct error *err);

int store_waiting(struct store *store, struct store_waiting *waiting, struct error *err);

// The change that waits stays.
int store_confirm(struct store *store, struct error *err);

// The newest `limit` changes (0: all), newest first; with a revision only that one, with its
// objects. Freed with sluice__v1__history_response__free_unpacked. An unknown revision gives no
// entries.
int store_history(struct store *store, uint64_t revision, uint32_t limit,
		  Sluice__V1__HistoryResponse **response, struct error *err);

// The set as it was at an earlier revision, made of `set`, which is the present one. It is not
// validated. *result is NULL where the history does not go back so far; `*oldest` is as far as it
// goes.
int store_restore(struct store *store, const struct object_set *set, uint64_t revision,
		  struct object_set **result, uint64_t *oldest, struct error *err);

void store_close(struct store *store);
