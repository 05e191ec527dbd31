// The files of src/page/web, embedded by embed.py.

#pragma once

#include <stddef.h>

struct asset {
	const char *path; // as /page/main.js; the last one has none
	const char *content_type;
	const unsigned char *bytes;
	size_t size;
};

extern const struct asset assets[];
