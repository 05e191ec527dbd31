// A map from bytes to pointers: open addressing, keys in one growing block.

#include "model/key_map.h"

#include <stdint.h>

#include "model/memory.h"

struct entry {
	uint64_t hash;
	size_t offset;
	size_t size;
	const void *value; // NULL: free
};

struct key_map {
	struct entry *entries;
	size_t entry_count; // a power of two
	size_t used;
	char *keys;
	size_t keys_size;
	size_t keys_capacity;
};

static uint64_t bytes_hash(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0xcbf29ce484222325u; // FNV-1a

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash ^ hash >> 32;
}

static struct entry *entry_find(const struct key_map *map, uint64_t hash, const void *key,
				size_t size)
{
	size_t place = hash & (map->entry_count - 1);

	for (;;) {
		struct entry *entry = &map->entries[place];

		if (!entry->value || (entry->hash == hash && entry->size == size &&
				      memcmp(map->keys + entry->offset, key, size) == 0))
			return entry;
		place = (place + 1) & (map->entry_count - 1);
	}
}

static void entries_grow(struct key_map *map)
{
	struct entry *old = map->entries;
	size_t old_count = map->entry_count;

	map->entry_count = old_count * 2;
	map->entries = memory_new(map->entry_count * sizeof(*old));
	for (size_t i = 0; i < old_count; i++)
		if (old[i].value)
			*entry_find(map, old[i].hash, map->keys + old[i].offset, old[i].size) =
				old[i];
	free(old);
}

struct key_map *key_map_new(void)
{
	struct key_map *map = memory_new(sizeof(*map));

	map->entry_count = 16;
	map->entries = memory_new(map->entry_count * sizeof(*map->entries));
	map->keys_capacity = 256;
	map->keys = memory_new(map->keys_capacity);
	return map;
}

const void *key_map_add(struct key_map *map, const void *key, size_t size, const void *value)
{
	uint64_t hash = bytes_hash(key, size);

	if ((map->used + 1) * 4 > map->entry_count * 3)
		entries_grow(map);
	struct entry *entry = entry_find(map, hash, key, size);
	if (entry->value)
		return entry->value;
	while (map->keys_capacity - map->keys_size < size) {
		map->keys_capacity *= 2;
		map->keys = memory_resize(map->keys, map->keys_capacity, 1);
	}
	memcpy(map->keys + map->keys_size, key, size);
	*entry = (struct entry){
		.hash = hash, .offset = map->keys_size, .size = size, .value = value};
	map->keys_size += size;
	map->used++;
	return NULL;
}

const void *key_map_find(const struct key_map *map, const void *key, size_t size)
{
	return entry_find(map, bytes_hash(key, size), key, size)->value;
}

void key_map_free(struct key_map *map)
{
	if (!map)
		return;
	free(map->entries);
	free(map->keys);
	free(map);
}
