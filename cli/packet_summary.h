// What an Ethernet frame is, in a line, in tcpdump's words.

#pragma once

#include <stddef.h>
#include <stdint.h>

#define PACKET_SUMMARY_SIZE 512

// `captured` bytes of a frame that has `length`. Any bytes are fine.
void packet_summary(const uint8_t *frame, size_t captured, size_t length,
		    char text[PACKET_SUMMARY_SIZE]);
