// Frames made layer by layer: each function appends a header, frame_finish fills in lengths and
// checksums.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "packet/packet.h"

#define FRAME_MAX 4096

struct frame {
	uint8_t data[FRAME_MAX];
	uint32_t size;
	uint32_t l3;   // of the innermost IP header; 0: none
	uint32_t l4;   // of what is behind it and its extension headers
	uint32_t next; // where the protocol of what is appended next is to be written; 0: nowhere
	uint8_t protocol; // of what is at l4
};

uint8_t *frame_append(struct frame *frame, uint32_t size);
void frame_payload(struct frame *frame, uint32_t size);

// Starts anew. MAC addresses as text.
void frame_ethernet(struct frame *frame, const char *destination, const char *source,
		    uint16_t type);
// Puts an 802.1Q tag behind the MAC addresses; before anything else is appended.
void frame_vlan(struct frame *frame, uint16_t vlan);

// The family by the addresses' text; sets the Ethernet type too. `options`: bytes of IPv4 options,
// a multiple of 4.
void frame_ip(struct frame *frame, const char *source, const char *destination, uint8_t ttl,
	      uint32_t options);
// IPv6 extension header `protocol` of `size` bytes.
uint8_t *frame_extension(struct frame *frame, uint8_t protocol, uint32_t size);
// IPv6 fragment header, or the IPv4 header's field. `offset` in bytes.
void frame_fragment(struct frame *frame, uint32_t offset, bool more);

void frame_tcp(struct frame *frame, uint16_t source, uint16_t destination, uint8_t flags);
void frame_udp(struct frame *frame, uint16_t source, uint16_t destination);
// With an INIT chunk.
void frame_sctp(struct frame *frame, uint16_t source, uint16_t destination);
// ICMP or ICMPv6 by the IP header's family. `rest`: the 4 bytes behind the checksum, first byte
// highest.
void frame_icmp(struct frame *frame, uint8_t type, uint8_t code, uint32_t rest);
// Any other protocol.
void frame_protocol(struct frame *frame, uint8_t protocol);
void frame_arp(struct frame *frame, uint16_t operation, const char *sender_mac, const char *sender,
	       const char *target_mac, const char *target);
// NS or NA, with its link-layer address option if `mac` is not NULL.
void frame_nd(struct frame *frame, uint8_t type, uint8_t flags, const char *target,
	      const char *mac);

void frame_finish(struct frame *frame);

// The IP packet of `quoted` as payload, at most `size` bytes of it.
void frame_quote(struct frame *frame, const struct frame *quoted, uint32_t size);

// RFC 1071 the slow way, over big-endian words: 0 for data that holds its right checksum.
uint16_t reference_checksum(const uint8_t *data, uint32_t size, uint32_t sum);
// Checksum over pseudo header and everything from l4 to the end; 0 if it is right.
uint16_t reference_l4_checksum(const uint8_t *ip, uint32_t l4, uint32_t size, uint8_t protocol);
// Are all checksums in the frame right? Ethernet, IPv4 or IPv6, and TCP, UDP, ICMP at `l4`.
bool frame_checksums_right(const uint8_t *data, uint32_t l3, uint32_t l4, uint8_t protocol);

// Memory whose last byte is before a page that can't be read. `guard_put` copies data to its end
// and returns where it starts.
uint8_t *guard_put(const void *data, uint32_t size);

// Parses a frame so placed, with all of it contiguous.
enum drop_reason frame_parse(const struct frame *frame, struct packet *packet);

struct ip_address address(const char *text);
struct mac_address mac(const char *text);
