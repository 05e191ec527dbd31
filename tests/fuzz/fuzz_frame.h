// What the fuzzers of frames share.

#pragma once

#include <stdint.h>

// Makes the checksums of IPv4 headers and ICMPv6 right, also behind outer headers of the usual
// size: chance would not find them.
void frame_repair(uint8_t *frame, uint32_t size);
