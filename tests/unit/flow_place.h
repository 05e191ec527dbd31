// A directory in memory for the file of a connection table, and the file's path there: of each test
// program its own.

#pragma once

#include "test.h"

#include <stdio.h>
#include <unistd.h>

static char directory[] = "/dev/shm/sluice-flows-XXXXXX";
static char path[64];

static inline int make_place(void **state)
{
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.flows", directory);
	return 0;
}

static inline int remove_place(void **state)
{
	char lock[80];

	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock);
	unlink(path);
	return rmdir(directory);
}
