// A copy of the objects beside the store, in one file: what a node goes on with when the database
// is damaged. It is written a moment after each change and not brought to the disk at once, so it
// may be one change behind; a checksum says whether it is whole.

#pragma once

#include "model/store.h"

// Replaces the copy of the store at `path`.
int store_copy_write(const char *path, const struct object_set *set, uint64_t revision,
		     struct error *err);

// Into `set`, which is empty. The objects are not validated.
int store_copy_read(const char *path, struct object_set *set, uint64_t *revision,
		    struct error *err);

// Is the file at `path` no whole database? Of one that can't be looked at it is not known: false.
bool store_is_damaged(const char *path);

// Puts the database at `made`, which is closed, in the place of that at `path`. What was there, if
// anything was, and what SQLite has beside it, is set aside; `aside` gets its new name, or nothing.
// A crash leaves the one or the other.
int store_replace(const char *path, const char *made, char *aside, size_t size, struct error *err);

// The newest that was set aside and is there still; false: there is none.
bool store_find_aside(const char *path, char *aside, size_t size);
