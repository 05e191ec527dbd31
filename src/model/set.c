// The set of objects: for each kind an array of members and a hash table of places in it.

#include "model/set.h"

#include <assert.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/kind.h"
#include "model/memory.h"
#include "model/message_compact.h"
#include "model/object.h"

// How many sets have the object, which follows in the same block.
struct member {
	_Atomic uint32_t references;
	uint32_t hash;
	const char *name;
	uint64_t mark;
};

static_assert(sizeof(struct member) % MESSAGE_COMPACT_ALIGNMENT == 0, "room before a message");

struct members {
	struct member **list;
	size_t count;
	size_t capacity;
	// Open addressing; place in the list plus one, 0 is free. A power of two, at most three
	// quarters full.
	uint32_t *slots;
	size_t slot_count;
};

struct object_set {
	struct members kinds[KIND_MAX];
};

const Sluice__V1__Object *member_object(const struct member *member)
{
	return (const Sluice__V1__Object *)(member + 1);
}

static uint32_t name_hash(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325u; // FNV-1a

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
	return (uint32_t)(hash ^ hash >> 32);
}

void member_release(struct member *member)
{
	if (atomic_fetch_sub(&member->references, 1) == 1)
		free(member);
}

// The slot that holds the name, or the free one where it belongs.
static size_t slot_find(const struct members *members, uint32_t hash, const char *name)
{
	size_t slot = hash & (members->slot_count - 1);

	while (members->slots[slot]) {
		const struct member *member = members->list[members->slots[slot] - 1];

		if (member->hash == hash && strcmp(member->name, name) == 0)
			break;
		slot = (slot + 1) & (members->slot_count - 1);
	}
	return slot;
}

static void slots_grow(struct members *members)
{
	if (members->slot_count * 3 > (members->count + 1) * 4)
		return;
	members->slot_count = members->slot_count ? members->slot_count * 2 : 16;
	free(members->slots);
	members->slots = memory_new(members->slot_count * sizeof(*members->slots));
	for (size_t i = 0; i < members->count; i++) {
		const struct member *member = members->list[i];

		members->slots[slot_find(members, member->hash, member->name)] = (uint32_t)i + 1;
	}
}

// Frees a slot and moves those behind it up that would no longer be found.
static void slot_clear(struct members *members, size_t slot)
{
	size_t mask = members->slot_count - 1;

	members->slots[slot] = 0;
	for (size_t next = (slot + 1) & mask; members->slots[next]; next = (next + 1) & mask) {
		size_t home = members->list[members->slots[next] - 1]->hash & mask;

		if (((next - home) & mask) < ((next - slot) & mask))
			continue;
		members->slots[slot] = members->slots[next];
		members->slots[next] = 0;
		slot = next;
	}
}

static struct member *member_find(const struct object_set *set, unsigned kind, const char *name)
{
	if (kind >= KIND_MAX || set->kinds[kind].count == 0)
		return NULL;
	const struct members *members = &set->kinds[kind];
	size_t slot = slot_find(members, name_hash(name), name);

	return members->slots[slot] ? members->list[members->slots[slot] - 1] : NULL;
}

struct object_set *object_set_new(void)
{
	return memory_new(sizeof(struct object_set));
}

struct object_set *object_set_copy(const struct object_set *set)
{
	struct object_set *copy = object_set_new();

	for (size_t kind = 0; kind < KIND_MAX; kind++) {
		const struct members *from = &set->kinds[kind];
		struct members *to = &copy->kinds[kind];

		if (from->count == 0)
			continue;
		to->count = from->count;
		to->capacity = from->count;
		to->slot_count = from->slot_count;
		to->list = memory_resize(NULL, to->capacity, sizeof(struct member *));
		to->slots = memory_resize(NULL, to->slot_count, sizeof(*to->slots));
		memcpy(to->slots, from->slots, to->slot_count * sizeof(*to->slots));
		for (size_t i = 0; i < from->count; i++) {
			to->list[i] = from->list[i];
			atomic_fetch_add(&to->list[i]->references, 1);
		}
	}
	return copy;
}

void object_set_free(struct object_set *set)
{
	if (!set)
		return;
	for (size_t kind = 0; kind < KIND_MAX; kind++) {
		for (size_t i = 0; i < set->kinds[kind].count; i++)
			member_release(set->kinds[kind].list[i]);
		free(set->kinds[kind].list);
		free(set->kinds[kind].slots);
	}
	free(set);
}

// Takes one reference over.
static void member_put(struct members *members, struct member *member)
{
	slots_grow(members);
	size_t slot = slot_find(members, member->hash, member->name);
	if (members->slots[slot]) {
		size_t place = members->slots[slot] - 1;

		member_release(members->list[place]);
		members->list[place] = member;
		return;
	}
	members->list = memory_grow(members->list, members->count, &members->capacity,
				    sizeof(struct member *));
	members->list[members->count++] = member;
	members->slots[slot] = (uint32_t)members->count;
}

struct member *member_new(Sluice__V1__Object *object)
{
	struct member *member = message_compact(&object->base, sizeof(*member));

	object_free(object);
	member->name = object_name(member_object(member));
	member->hash = name_hash(member->name);
	atomic_init(&member->references, 1);
	return member;
}

size_t member_size(struct member *member)
{
	return malloc_usable_size(member);
}

uint64_t *member_mark(struct member *member)
{
	return &member->mark;
}

struct member *member_hold(struct member *member)
{
	atomic_fetch_add(&member->references, 1);
	return member;
}

struct member *object_set_hold(const struct object_set *set, Sluice__V1__Object__KindCase kind,
			       const char *name)
{
	struct member *member = member_find(set, kind, name);

	return member ? member_hold(member) : NULL;
}

const Sluice__V1__Object *object_set_put(struct object_set *set, Sluice__V1__Object *object)
{
	struct member *member;

	if ((unsigned)object->kind_case >= KIND_MAX)
		abort();
	member = member_new(object);
	member_put(&set->kinds[member_object(member)->kind_case], member);
	return member_object(member);
}

bool object_set_share(struct object_set *set, const struct object_set *from,
		      Sluice__V1__Object__KindCase kind, const char *name)
{
	struct member *member = member_find(from, kind, name);

	if (!member || member_find(set, kind, name) == member)
		return false;
	atomic_fetch_add(&member->references, 1);
	member_put(&set->kinds[kind], member);
	return true;
}

bool object_set_remove(struct object_set *set, Sluice__V1__Object__KindCase kind, const char *name)
{
	struct member *member = member_find(set, kind, name);

	if (!member)
		return false;
	struct members *members = &set->kinds[kind];
	size_t slot = slot_find(members, member->hash, member->name);
	size_t place = members->slots[slot] - 1;
	struct member *last = members->list[members->count - 1];

	// The last one takes the place that gets free.
	if (last != member)
		members->slots[slot_find(members, last->hash, last->name)] = (uint32_t)place + 1;
	members->list[place] = last;
	slot_clear(members, slot);
	members->count--;
	member_release(member);
	return true;
}

const Sluice__V1__Object *object_set_find(const struct object_set *set,
					  Sluice__V1__Object__KindCase kind, const char *name)
{
	const struct member *member = member_find(set, kind, name);

	return member ? member_object(member) : NULL;
}

size_t object_set_count(const struct object_set *set, Sluice__V1__Object__KindCase kind)
{
	return (unsigned)kind < KIND_MAX ? set->kinds[kind].count : 0;
}

const Sluice__V1__Object *object_set_at(const struct object_set *set,
					Sluice__V1__Object__KindCase kind, size_t index)
{
	return member_object(set->kinds[kind].list[index]);
}

bool object_set_same(const struct object_set *a, const struct object_set *b,
		     Sluice__V1__Object__KindCase kind, size_t index)
{
	return index < a->kinds[kind].count && index < b->kinds[kind].count &&
	       a->kinds[kind].list[index] == b->kinds[kind].list[index];
}

static int compare_names(const void *a, const void *b)
{
	const Sluice__V1__Object *const *left = a;
	const Sluice__V1__Object *const *right = b;

	return strcmp(object_name(*left), object_name(*right));
}

size_t object_set_sorted(const struct object_set *set, Sluice__V1__Object__KindCase kind,
			 const Sluice__V1__Object ***objects)
{
	size_t count = object_set_count(set, kind);

	*objects = memory_resize(NULL, count, sizeof(**objects));
	for (size_t i = 0; i < count; i++)
		(*objects)[i] = object_set_at(set, kind, i);
	qsort(*objects, count, sizeof(**objects), compare_names);
	return count;
}
