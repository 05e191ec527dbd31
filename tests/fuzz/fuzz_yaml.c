// Any text as objects: read, checked, and compiled if they are valid.

#include "fuzz_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_tables_free(fuzz_tables_make((const char *)data, size, "a"));
	return 0;
}
