// Answers to those who ask for the MAC address of an end: ARP and neighbour discovery.

#pragma once

#include <stdint.h>

#include "options.h"

#define NEIGHBOUR_ANSWER_MAX 86

// The answer of (`address`, `mac`) to a frame, or 0 where it asks for nothing or somebody else. The
// length of the frame written to `answer`.
uint16_t neighbour_answer(const struct address *address, const struct rte_ether_addr *mac,
			  const uint8_t *frame, uint16_t length,
			  uint8_t answer[NEIGHBOUR_ANSWER_MAX]);
