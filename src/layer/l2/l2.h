#pragma once

#include "layer/walk.h"

extern const struct layer l2_layer;
