// Where the headers of an unfinished packet are.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

struct layout {
	uint16_t l3;	  // offset of the IP header
	uint16_t l4;	  // offset behind it and its extension headers
	uint32_t end;	  // of the IP packet, as its header says
	uint8_t protocol; // behind them
	bool v6;
	bool fragment;
};

static inline uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline void write16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

// Of the first IP header behind the Ethernet header, as far as the first mbuf shows it. False:
// there is none.
bool layout_find(const struct rte_mbuf *packet, struct layout *layout);

// Of an inner IP packet with `protocol` at `l4`, whatever tunnel it is in, that reaches to the end
// of the frame.
bool layout_find_inner(const struct rte_mbuf *packet, uint16_t l4, uint8_t protocol,
		       struct layout *layout);

// Of what a packet's flags speak of: its only IP packet or, in a tunnel, the inner one. False: they
// are not true.
bool layout_of_flags(const struct rte_mbuf *packet, struct layout *layout);

// Sum of the pseudo header, not complemented, for an upper layer of `length` bytes.
uint16_t layout_pseudo_sum(const uint8_t *data, const struct layout *layout, uint32_t length);
