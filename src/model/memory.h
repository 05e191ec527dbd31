// Memory that is there or ends the process: the control plane has no way on without it. What comes
// from outside is bounded before it is allocated.

#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static inline void *memory_required(void *data)
{
	if (!data) {
		log_error("out of memory");
		abort();
	}
	return data;
}

// Zeroed.
static inline void *memory_new(size_t size)
{
	return memory_required(calloc(1, size ? size : 1));
}

static inline void *memory_resize(void *data, size_t count, size_t size)
{
	return memory_required(reallocarray(data, count ? count : 1, size));
}

// An empty string too is allocated.
static inline char *memory_text(const char *text)
{
	return memory_required(strdup(text));
}

// Makes room for one more element in an array of *capacity elements, of which `count` are used.
static inline void *memory_grow(void *data, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return data;
	*capacity = *capacity ? *capacity * 2 : 8;
	return memory_resize(data, *capacity, size);
}
