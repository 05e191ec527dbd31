#pragma once

#include "layer/walk.h"

extern const struct layer port_security_layer;
