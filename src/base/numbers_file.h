// Names with their numbers in a file, so that a process after this one gives them the same ones.
// The file is replaced as a whole: whenever the process ends, there is the old one or the new one.
// Control thread only.

#pragma once

#include "base/error.h"
#include "base/numbers.h"

// `id` says what else the numbers are in; a file with another one is another's. -1: it could not be
// written, and the old one is there still.
int numbers_file_write(const char *path, uint64_t id, struct numbers *const *lists,
		       unsigned int count, struct error *err);

// Into lists in which nothing is yet. -1: there is no such file, or it is damaged; nothing is in
// the lists then.
int numbers_file_read(const char *path, uint64_t id, struct numbers *const *lists,
		      unsigned int count, struct error *err);
