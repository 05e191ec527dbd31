// A map from bytes to pointers, for finding what occurs twice.

#pragma once

#include <stddef.h>

struct key_map;

struct key_map *key_map_new(void);

// Adds the key (copied) with its value, which is not NULL. Where the key is there already, nothing
// changes and its value is returned; otherwise NULL.
const void *key_map_add(struct key_map *map, const void *key, size_t size, const void *value);

// NULL where there is none.
const void *key_map_find(const struct key_map *map, const void *key, size_t size);

void key_map_free(struct key_map *map);
