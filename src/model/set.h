// The set of objects: desired state, or what a change would make of it. Objects in a set are never
// changed, only replaced, so that copies of a set share them: a copy of 100 000 objects is some
// arrays.
//
// Threads: a set is used by one thread at a time. Different sets that share objects may be used by
// different threads.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice.pb-c.h"

struct object_set;

// An object as sets have it: it lives as long as one of them has it, or somebody holds it.
struct member;

struct object_set *object_set_new(void);

// Shares the objects.
struct object_set *object_set_copy(const struct object_set *set);

void object_set_free(struct object_set *set);

// Makes a copy of `object` that takes one block of memory, and frees it (it comes from
// protobuf_c_message_unpack or a decoder, or was built with malloc alone) as well as what had the
// same kind and name. It must be of some kind. Returns the copy, which is the set's.
const Sluice__V1__Object *object_set_put(struct object_set *set, Sluice__V1__Object *object);

// Puts the object of another set into this one, too. False: it is there already, or the other has
// none of that name.
bool object_set_share(struct object_set *set, const struct object_set *from,
		      Sluice__V1__Object__KindCase kind, const char *name);

// Returns whether there was one.
bool object_set_remove(struct object_set *set, Sluice__V1__Object__KindCase kind, const char *name);

// NULL where there is none. Valid until it is replaced or removed here and in all copies.
const Sluice__V1__Object *object_set_find(const struct object_set *set,
					  Sluice__V1__Object__KindCase kind, const char *name);

// All of a kind, in no particular order: object_set_at(set, kind, 0 … object_set_count(set, kind) -
// 1). The order stays as long as the set is not changed.
size_t object_set_count(const struct object_set *set, Sluice__V1__Object__KindCase kind);
const Sluice__V1__Object *object_set_at(const struct object_set *set,
					Sluice__V1__Object__KindCase kind, size_t index);

// Have two sets the very same object at this place?
bool object_set_same(const struct object_set *a, const struct object_set *b,
		     Sluice__V1__Object__KindCase kind, size_t index);

// All of a kind sorted by name; `*objects` is freed by the caller with free. Returns the count.
size_t object_set_sorted(const struct object_set *set, Sluice__V1__Object__KindCase kind,
			 const Sluice__V1__Object ***objects);

// The object of this name, to be kept beyond the set; NULL where there is none. Given back with
// member_release.
struct member *object_set_hold(const struct object_set *set, Sluice__V1__Object__KindCase kind,
			       const char *name);

// An object that no set has; takes it over.
struct member *member_new(Sluice__V1__Object *object);
struct member *member_hold(struct member *member);
void member_release(struct member *member);
const Sluice__V1__Object *member_object(const struct member *member);

// Bytes of memory that it takes.
size_t member_size(struct member *member);

// A number that goes with the object; 0 to begin with.
uint64_t *member_mark(struct member *member);
