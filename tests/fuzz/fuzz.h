// What fuzzers share.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                              \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

#define GUARD_MAX 16384 // whole pages

// Room for so many bytes, up to GUARD_MAX, that ends at a page which can't be read or written. The
// same memory each time.
static inline uint8_t *guard_room(size_t size)
{
	static uint8_t *memory;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!memory) {
		memory = mmap(NULL, GUARD_MAX + page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		require(memory != MAP_FAILED && mprotect(memory + GUARD_MAX, page, PROT_NONE) == 0);
	}
	require(size <= GUARD_MAX);
	return memory + GUARD_MAX - size;
}

static inline const uint8_t *guard_put(const uint8_t *data, size_t size)
{
	return memcpy(guard_room(size), data, size);
}
