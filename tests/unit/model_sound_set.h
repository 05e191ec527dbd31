// A set of objects without faults, and what a check says of it with others on top.

#pragma once

#include "model_fixture.h"

#include "model/check.h"

// The sound set, and the documents of `yaml`, which replace what has the same name.
struct object_set *sound_set_with(const char *yaml);
// A line a problem. The caller's.
char *problems_text(const struct problems *problems);
