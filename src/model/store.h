// Desired state on disk: an SQLite database of packed objects and the number of the state.
//
// Threads: one at a time.

#pragma once

#include <stdint.h>

#include "base/error.h"
#include "model/set.h"
#include "model/transaction.h"

struct store;

// Opens or creates the database, and the directory that holds it where only that is missing. A file
// that is no database of ours, is damaged, or is in use by another process is an error.
int store_open(const char *path, struct store **store, struct error *err);

// Puts all objects into `set`, which is empty. The objects are not validated. A revision of 0 is a
// new store.
int store_load(struct store *store, struct object_set *set, uint64_t *revision, struct error *err);

// Makes the changes durable, all or none, under `revision`.
int store_commit(struct store *store, const struct change *changes, size_t count, uint64_t revision,
		 struct error *err);

void store_close(struct store *store);
