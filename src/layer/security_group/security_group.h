#pragma once

#include "layer/walk.h"

extern const struct layer security_group_layer;

// compile.c
int security_group_compile(const struct compile *compile, void **tables, struct error *err);
void security_group_free(void *tables);

// compare.c
void security_group_compare(const void *have, const void *want, const struct tables *common,
			    struct differences *differences);
