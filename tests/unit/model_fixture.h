// Objects, sets of them and stores, for tests of the model.

#pragma once

#include "test.h"

#include "model/object.h"
#include "model/store.h"

#define VRF SLUICE__V1__OBJECT__KIND_VRF
#define NET SLUICE__V1__OBJECT__KIND_NETWORK

Sluice__V1__Object *vrf_new(const char *name);
Sluice__V1__Object *network_new(const char *name, const char *vrf);

// Adds what the YAML has, which must be readable.
void set_put(struct object_set *set, const char *yaml);

// A directory for stores: cmocka's setup and teardown of a group.
int stores_open(void **state);
int stores_remove(void **state);
// A file in it; valid until the next call.
const char *store_path(const char *name);
// By somebody, at a second that is the revision's number.
int store_commit_at(struct store *store, const struct change *changes, size_t count,
		    uint64_t revision, struct error *err);
