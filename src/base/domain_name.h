// Domain names: which texts are one, and how messages hold them (RFC 1035 section 3.1).

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DOMAIN_NAME_WIRE_MAX 255
#define DOMAIN_LABEL_MAX     63

// One label of letters, digits and inner hyphens (RFC 1123 section 2.1): what a host may be called.
bool domain_label_valid(const char *text);

// Labels with dots between them; one dot may end it. At most 253 characters without that.
bool domain_name_valid(const char *text);

// Writes labels with their lengths and, where `root`, the empty one that ends a full name. Returns
// the bytes, 0 where the name is not valid or `room` is too small.
uint32_t domain_name_write(const char *text, bool root, uint8_t *wire, uint32_t room);
