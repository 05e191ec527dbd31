// The frames of one end: headers that are written once, and what is patched for each packet; and
// what a frame that came is.

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "options.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_PSH 0x08
#define TCP_ACK 0x10

// Sequence numbers that connections begin with.
#define TCP_CLIENT_START 1000000000u
#define TCP_SERVER_START 2000000000u

// Which headers a buffer holds; the mark of a buffer is one of these plus a multiple of
// FRAME_KINDS.
enum frame_kind {
	FRAME_UNKNOWN,
	// UDP; or TCP with the numbers of a connection that was just opened, and a payload.
	FRAME_STREAM,
	// TCP, everything in its header patched; without and with a payload.
	FRAME_SEGMENT,
	FRAME_SEGMENT_DATA,
	FRAME_KINDS,
};

struct frame_template {
	uint16_t length;
	// Of transport and pseudo header as one's complement, without ports, and without what else
	// is patched. In the order of bytes in memory.
	uint32_t sum;
	uint8_t bytes[PORT_FRAME_MAX];
};

// Connections whose numbers leave the same remainder are some seconds apart, at any rate.
#define OUTSIDE_ENDS (1u << 24)

// The client as the server sees it. Network byte order.
struct outside {
	uint32_t address;
	uint16_t port;
};

// Where what is, and what the headers of this end say. `side` 0 is the client.
struct frames {
	unsigned int side;
	bool is_tcp;
	bool is_v6;
	bool has_sum;
	bool stamped;
	const struct options *options;
	// Bytes before the inner Ethernet header; 0: there is no tunnel.
	uint16_t outer_length;
	uint16_t ip_offset;
	uint16_t transport_offset;
	uint16_t payload_offset;
	uint16_t payload_length;
	// Goes up when templates change: buffers of before are written anew.
	uint32_t version;
	// Of IPv4, where client or server have several addresses, as seen here: how many, and the
	// first one as a number. 0: it has one.
	uint32_t addresses[SIDES];
	uint32_t first[SIDES];
	// Of the port's own frames, with a tunnel the outer ones. Zero: not learnt yet.
	struct rte_ether_addr next_hop;
	// --outside. Of the server, by connection: what the client is; of several at one place the
	// last.
	bool numbered;
	struct outside *outside;
	struct frame_template templates[FRAME_KINDS];
};

// The payload of stamped frames begins with it. Host byte order.
struct stamp {
	uint64_t time;
	uint64_t sequence;
};

// A TCP segment that is to be sent; of it UDP has the index.
struct segment {
	uint32_t index;
	uint32_t sequence;
	uint32_t acknowledged;
	uint8_t flags;
	bool has_payload;
};

// A frame that came.
struct seen {
	struct segment segment;
	uint16_t payload_length;
	bool stamped;
	struct stamp stamp;
};

enum frame_verdict {
	// Of the load, as it was sent.
	FRAME_OURS,
	// The network's own talk: multicast, neighbour discovery.
	FRAME_TALK,
	FRAME_FOREIGN,
};

// Smallest --size that has room for all headers and a stamp.
unsigned int frames_size_min(const struct options *options);
// False: no memory.
bool frames_init(struct frames *frames, const struct options *options, unsigned int side);
void frames_free(struct frames *frames);
// The MAC address of the tunnel's other end, or of the device outside, as it turns out.
void frames_set_next_hop(struct frames *frames, const struct rte_ether_addr *mac);
// `seen` is filled for FRAME_OURS. With a tunnel, `frame` is what came on the underlay.
enum frame_verdict frame_read(const struct frames *frames, const uint8_t *frame, uint16_t length,
			      struct seen *seen);

// Ports of a connection in the order of the wire.
static inline uint32_t frame_ports(const struct frames *frames, uint32_t index)
{
	uint16_t client =
		frames->outside ? frames->outside[index % OUTSIDE_ENDS].port
				: rte_cpu_to_be_16((uint16_t)(CLIENT_PORT + index % CLIENT_PORTS));
	uint16_t server = rte_cpu_to_be_16((uint16_t)(SERVER_PORT + index / CLIENT_PORTS));
	uint16_t ports[2] = {frames->side == 0 ? client : server,
			     frames->side == 0 ? server : client};
	uint32_t both;

	memcpy(&both, ports, sizeof(both));
	return both;
}

// One's complement of a sum of 16-bit words, as a checksum goes into a header.
static inline uint16_t frame_sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

// The client's or server's address of a connection, of several, in network byte order: of
// neighbours in time none is like the other.
static inline uint32_t frame_address(const struct frames *frames, unsigned int whose,
				     uint32_t index)
{
	if (frames->outside && whose == 0)
		return frames->outside[index % OUTSIDE_ENDS].address;
	return rte_cpu_to_be_32(frames->first[whose] + (uint32_t)((uint64_t)index * 2654435761 %
								  frames->addresses[whose]));
}

// Puts it into the IPv4 header. Returns what that adds to checksums: it takes the place of another.
static inline uint64_t frame_patch_address(const struct frames *frames, unsigned int whose,
					   uint8_t *ip, uint32_t index)
{
	uint32_t address = frame_address(frames, whose, index), before;
	uint8_t *at = ip + (frames->side == whose ? 12 : 16);
	uint16_t checksum;

	memcpy(&before, at, sizeof(before));
	memcpy(&checksum, ip + 10, sizeof(checksum));
	checksum = frame_sum_fold((uint64_t)(uint16_t)~checksum + (uint32_t)~before + address);
	memcpy(ip + 10, &checksum, sizeof(checksum));
	memcpy(at, &address, sizeof(address));
	return (uint64_t)(uint32_t)~rte_cpu_to_be_32(frames->first[whose]) + address;
}

// What all frames of a connection share. Returns what it adds to the checksum.
static inline uint64_t frame_patch(const struct frames *frames, uint8_t *frame,
				   enum frame_kind kind, uint32_t index, const struct stamp *stamp)
{
	const uint32_t mark = frames->version * FRAME_KINDS + kind;
	const struct frame_template *template = &frames->templates[kind];
	uint32_t ports = frame_ports(frames, index), words[4];
	uint64_t sum = ports;

	if (*port_frame_mark(frame) != mark) {
		memcpy(frame, template->bytes, template->length);
		*port_frame_mark(frame) = mark;
	}
	memcpy(frame + frames->transport_offset, &ports, sizeof(ports));
	if (frames->numbered) {
		memcpy(frame + frames->payload_offset, &index, sizeof(index));
		sum += index;
	}
	for (unsigned int whose = 0; whose < SIDES; whose++)
		if (frames->addresses[whose])
			sum += frame_patch_address(frames, whose, frame + frames->ip_offset, index);
	if (frames->outer_length) {
		// Of the dynamic ports (RFC 7348, section 5): entropy for those who spread by it.
		uint16_t source = rte_cpu_to_be_16((uint16_t)(0xc000 | (index & 0x3fff)));

		memcpy(frame + frames->outer_length - 16, &source, sizeof(source));
	}
	if (stamp) {
		memcpy(words, stamp, sizeof(words));
		memcpy(frame + frames->payload_offset, stamp, sizeof(*stamp));
		sum += (uint64_t)words[0] + words[1] + words[2] + words[3];
	}
	return sum + template->sum;
}

// A packet of an open connection. `stamp` or NULL. Returns its length.
static inline uint16_t frame_write_stream(const struct frames *frames, uint8_t *frame,
					  uint32_t index, const struct stamp *stamp)
{
	uint64_t sum = frame_patch(frames, frame, FRAME_STREAM, index, stamp);

	if (frames->has_sum) {
		uint16_t folded = frame_sum_fold(sum);
		uint16_t offset = frames->transport_offset + (frames->is_tcp ? 16 : 6);

		// RFC 768: zero would mean that there is none.
		if (folded == 0 && !frames->is_tcp)
			folded = 0xffff;
		memcpy(frame + offset, &folded, sizeof(folded));
	}
	return frames->templates[FRAME_STREAM].length;
}

// Of TCP. Returns its length.
uint16_t frame_write_segment(const struct frames *frames, uint8_t *frame,
			     const struct segment *segment);
