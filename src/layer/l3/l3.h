#pragma once

#include "layer/walk.h"

extern const struct layer l3_layer;
