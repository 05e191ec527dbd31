// Any text as objects: read, checked, and compiled if they are valid.

#include "fuzz.h"
#include "plane/tables_from_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	tables_from_yaml_free(tables_from_yaml((const char *)data, size, "a", 1));
	return 0;
}
